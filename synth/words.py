"""Spoken words and sentences by eSpeak NG, with the same samples in every run.

eSpeak NG is called through ctypes from the shared library that espeakng_loader carries. It keeps
synthesis state between utterances, and no call resets all of it. So the library speaks only in
processes that are forked for one `speak` each, which begins from the same untouched state.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from synth.synth import stream

RATE = 22_050
COMMANDS = (
    "bed", "bird", "down", "go", "left", "no", "off", "on", "right", "three", "tree", "up",
)  # fmt: skip
"""Twelve of Speech Commands' words, with pairs that sound alike."""

ACCENTS = (
    "en", "en-us", "en-us-nyc", "en-029", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
)  # fmt: skip
NOVELTY_VOICES = frozenset(
    [
        "robosoft",
        "robosoft2",
        "robosoft3",
        "robosoft4",
        "robosoft5",
        "robosoft6",
        "robosoft7",
        "robosoft8",
        "Demonic",
        "croak",
        "whisper",
        "whisperf",
        "UniRobot",
        "caleb",
        "zac",
        "anikaRobot",
    ]
)
_SYNCHRONOUS, _UTF8, _CHARACTERS = 2, 1, 1
_WPM, _PITCH, _SPREAD = 1, 3, 4  # espeak_PARAMETER

_STARTS = ("please", "could you", "we should", "I can", "they never", "maybe I will", "let us")
_VERBS = ("open", "clean", "find", "move", "bring", "repair", "hear", "sell", "wash", "paint")
_THINGS = ("window", "kettle", "garden gate", "old radio", "letter", "bicycle", "soup", "mirror")
_ENDS = ("", "", "now", "before dinner", "again", "with your brother", "on Monday morning")


@dataclass(frozen=True)
class Speaker:
    """One voice: an eSpeak variant with an accent, and its own pace (wpm), pitch and range."""

    variant: str
    accent: str
    wpm: int
    pitch: int
    spread: int

    @property
    def voice(self) -> str:
        """eSpeak's name of the voice."""
        return f"{self.accent}+{self.variant}"

    @property
    def key(self) -> str:
        """Eight hexadecimal digits, as Speech Commands names its speakers."""
        return hashlib.sha1(self.voice.encode()).hexdigest()[:8]


def speakers() -> tuple[Speaker, ...]:
    """Every speaker, in an order that mixes variants and accents (by hash)."""
    folder = os.path.join(_loader().get_data_path(), "voices", "!v")
    variants = [name for name in os.listdir(folder) if name not in NOVELTY_VOICES]
    return tuple(sorted((_speaker(v, a) for v in variants for a in ACCENTS), key=lambda s: s.key))


def _speaker(variant: str, accent: str) -> Speaker:
    rng = stream("speaker", variant, accent)
    return Speaker(
        variant,
        accent,
        wpm=int(rng.integers(130, 201)),
        pitch=int(rng.integers(25, 76)),
        spread=int(rng.integers(20, 81)),
    )


def sentence(rng: np.random.Generator) -> str:
    """A short sentence, two to nine words."""
    start, verb, thing, end = (
        pool[int(rng.integers(len(pool)))] for pool in (_STARTS, _VERBS, _THINGS, _ENDS)
    )
    return f"{start} {verb} the {thing} {end}".strip() if rng.random() < 0.7 else f"{verb} {thing}"


def speak(speaker: Speaker, texts: Sequence[str]) -> list[np.ndarray]:
    """Each text as int16 samples at `RATE`; equal calls give equal samples in every process.

    Raises:
        RuntimeError: eSpeak NG has no such voice or failed.
    """
    server = _server(os.getpid())
    server.send((speaker, texts))
    said = server.recv()
    if isinstance(said, str):
        raise RuntimeError(f"eSpeak NG, voice '{speaker.voice}', {list(texts)}: {said}")
    return list(said)


@lru_cache(maxsize=1)
def _server(_owner: int) -> Connection:
    """The process that forks a child per request; it is small, so that forking is cheap.

    It ends when its owner does. A process forked from the owner starts its own.
    """
    ours, theirs = Pipe()
    if os.fork() == 0:
        ours.close()
        _serve(theirs)
    theirs.close()
    return ours


def _serve(requests: Connection) -> None:
    """Answer until the owner is gone; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner decides
    try:
        library = _library()
        while True:
            speaker, texts = requests.recv()
            child = os.fork()
            if child == 0:
                _answer(requests, library, speaker, texts)
            if os.waitpid(child, 0)[1]:
                requests.send("the process died")
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)


def _answer(requests: Connection, library: Any, speaker: Speaker, texts: Sequence[str]) -> None:
    """Speak in this fresh process, and end it."""
    status = 1
    try:
        try:
            said: list[np.ndarray] | str = [_say(library, speaker, text) for text in texts]
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        requests.send(said)
        status = 0
    finally:
        os._exit(status)


def _say(library: Any, speaker: Speaker, text: str) -> np.ndarray:
    if library.espeak_SetVoiceByName(speaker.voice.encode()):
        raise LookupError("no such voice")
    settings = ((_WPM, speaker.wpm), (_PITCH, speaker.pitch), (_SPREAD, speaker.spread))
    for parameter, value in settings:
        library.espeak_SetParameter(parameter, value, 0)
    seed = hashlib.sha256(f"{speaker.voice}:{text}".encode()).digest()
    library.espeak_ng_SetRandSeed(int.from_bytes(seed[:4], "big") >> 1)
    _parts.clear()
    data = text.encode() + b"\0"
    status = library.espeak_Synth(data, len(data), 0, _CHARACTERS, 0, _UTF8, None, None)
    if status or not _parts:
        raise ValueError(f"no sound (status {status})")
    return np.concatenate(_parts)


_parts: list[np.ndarray] = []


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
def _collect(samples: Any, number: int, _events: Any) -> int:
    if number > 0:
        _parts.append(np.ctypeslib.as_array(samples, (number,)).copy())
    return 0


def _loader() -> Any:
    import espeakng_loader

    return espeakng_loader


@lru_cache(maxsize=1)
def _library() -> Any:
    """The library, initialised; nothing may be spoken in this process."""
    library = ctypes.CDLL(_loader().get_library_path())
    data = _loader().get_data_path().encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, 1 << 15)
    if rate != RATE:
        raise RuntimeError(f"eSpeak NG: sample rate {rate} instead of {RATE}; wrong data folder?")
    library.espeak_SetSynthCallback(_collect)
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint,
        ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    return library
