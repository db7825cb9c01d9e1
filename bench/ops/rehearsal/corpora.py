"""Stand-ins for missing data sets: tens of clips in the real layout, with the real class lists and
the oddities of real folders: awkward counts, clips that are missing, silent, too long or too short,
in stereo or at other sample rates, and published lists that share a recording."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from bench.corpora.audioset import CLASS_FILE, EVAL_FILE, TRAIN_FILES, unit_hash
from bench.corpora.desed import CLASSES, PUBLIC, SYNTHETIC, VALIDATION, WEAK, Part
from bench.corpora.esc50 import META, STRADDLING
from bench.corpora.speechcommands import LISTS
from bench.experiment.released import class_list
from bench.files import write_text
from bench.text_tables import text_of

TRAINED, OTHER = 23, 7
"""Clips of a training split, and of each of the others: primes, so that no batch size divides
them."""
OPTIONS = ("train", "validation_share")
"""Loader options that a stand-in follows; the others say where a person's files are."""


class Audio(NamedTuple):
    """One file: its length in seconds, rate in Hz, channels, and how loud it is (0: silent)."""

    seconds: float
    rate: int = 32_000
    channels: int = 1
    level: float = 0.1


def _write(path: Path, audio: Audio) -> None:
    """Noise whose level rises and falls, the same for the same path and audio."""
    seed = hashlib.sha256(path.name.encode()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "big"))
    samples = round(audio.seconds * audio.rate)
    wave = audio.level * rng.standard_normal((samples, audio.channels))
    wave *= np.abs(np.sin(np.linspace(0, 9, samples)))[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, audio.rate)


def _odd(number: int, usual: Audio) -> Audio:
    """The audio of clip `number`: the first few differ from the rest."""
    silent, stereo = usual._replace(level=0.0), usual._replace(channels=2, rate=44_100)
    return {1: silent, 2: stereo, 3: usual._replace(rate=22_050)}.get(number, usual)


def _video(*of: object) -> str:
    """An 11-character id like YouTube's."""
    digest = hashlib.sha256(repr(of).encode()).digest()
    return base64.urlsafe_b64encode(digest)[:11].decode()


def _table(path: Path, rows: Iterable[Iterable[object]], separator: str = "\t") -> None:
    write_text(path, text_of((map(str, row) for row in rows), separator))


def _audioset(root: Path, options: Mapping[str, Any]) -> None:
    names = class_list("audioset")
    mids = [f"/m/0{number:04x}" for number in range(len(names))]
    header = ("index", "mid", "display_name")
    _table(root / CLASS_FILE, [header, *zip(count(), mids, names)], ",")
    share = float(options.get("validation_share", 0.1))
    if not 0 <= share < 1:
        return  # the loader names it
    files = TRAIN_FILES.get(options.get("train", "balanced"), ())
    trained = _videos(TRAINED + 1, lambda clip: unit_hash(clip) >= share)
    held_out = _videos(OTHER if share else 0, lambda clip: unit_hash(clip) < share)
    clips = [*trained, *held_out]
    lists = {file: clips[number :: len(files)] for number, file in enumerate(files)}
    lists[EVAL_FILE] = [_video("evaluation", number) for number in range(OTHER)]
    for file, listed in lists.items():
        rows = [
            "# Segments csv of stand-ins",
            f"# num_ytids={len(listed)}",
            "# YTID, start_seconds, end_seconds, positive_labels",
        ]
        for number, clip in enumerate(listed):
            start, place = 5 * (number % 4), len(names) * number // len(listed)
            marked = ",".join(mids[(place + step) % len(mids)] for step in (0, 72, 137))
            rows.append(f'{clip}, {start:.3f}, {start + 10:.3f}, "{marked}"')
            audio = _odd(number, Audio(10.0))
            if number == 5:  # a whole video, of which the list names a part
                audio = audio._replace(seconds=start + 25.0)
            if number == 6:
                audio = audio._replace(seconds=6.2)
            if clip != trained[0]:  # which is missing
                suffix = "flac" if number % 2 else "wav"
                _write(root / file.removesuffix(".csv") / f"Y{clip}.{suffix}", audio)
        write_text(root / file, "\n".join(rows) + "\n")


def _videos(wanted: int, suits: Callable[[str], bool]) -> list[str]:
    """The first suitable ids."""
    found: list[str] = []
    numbers = count()
    while len(found) < wanted:
        clip = _video("train", next(numbers))
        if suits(clip):
            found.append(clip)
    return found


def _esc50(root: Path, options: Mapping[str, Any]) -> None:
    names, numbers = class_list("esc50"), count()
    rows: list[tuple[object, ...]] = [
        ("filename", "fold", "target", "category", "esc10", "src_file", "take")
    ]
    for fold, clips in enumerate((11, 12, 11, 11, 9), start=1):  # 31 train while fold 1 is tested
        for number in range(clips):
            target = next(numbers) % len(names)
            source = STRADDLING[0] if number == 4 and fold < 3 else f"{fold}{number:04d}"
            filename = f"{fold}-{source}-A-{target}.wav"
            rows.append((filename, fold, target, names[target], False, source, "A"))
            seconds = {4: 7.5, 5: 1.2}.get(number, 5.0)
            if (fold, number) != (2, 0):  # which is missing
                _write(root / "audio" / filename, _odd(number, Audio(seconds, 44_100)))
    _table(root / META, rows, ",")


def _speechcommands(root: Path, options: Mapping[str, Any]) -> None:
    words, numbers = sorted(class_list("speechcommands-ast")), count()
    listed: dict[str, list[str]] = {split: [] for split in LISTS}
    parts = [*["train"] * (len(words) + 2), *["validation"] * OTHER, *["test"] * (OTHER + 1)]
    for number, split in enumerate(parts):
        speaker = hashlib.sha1(f"{split}{number % 5}".encode()).hexdigest()[:8]
        name = f"{words[number % len(words)]}/{speaker}_nohash_{next(numbers)}.wav"
        if split in listed:
            listed[split].append(name)
        seconds = {4: 1.6, 5: 0.4}.get(number, 1.0)
        if number != len(parts) - 1:  # which is missing
            _write(root / name, _odd(number, Audio(seconds, 16_000)))
    for split, file in LISTS.items():
        _table(root / file, ([name] for name in listed[split]))
    _write(root / "_background_noise_" / "white_noise.wav", Audio(61.0, 16_000))


def _desed(root: Path, options: Mapping[str, Any]) -> None:
    half = TRAINED // 2
    weak = [*_cuts("weak", half + 2)]  # of which one is missing
    validation, public = [*_cuts("validation", OTHER)], [*_cuts("public", OTHER)]
    for number in (5, 6):  # two videos of which both lists cut clips, at other times
        shared = validation[number][: len("Y") + 11]
        public[number] = f"{shared}_{200 + number:.3f}_{210 + number:.3f}.wav"
    labels = [
        (name, f"{CLASSES[number % 10]},{CLASSES[(number + 3) % 10]}")
        for number, name in enumerate(weak)
    ]
    _table(root / WEAK.labels, [("filename", "event_labels"), *labels])
    _part(root, WEAK, weak[1:])
    _strong(root, SYNTHETIC, [f"{number}.wav" for number in range(half)])
    _strong(root, VALIDATION, validation)
    _strong(root, PUBLIC, public)


def _cuts(part: str, clips: int) -> Iterator[str]:
    """Names of clips of 10 s that contain the video's id and their start and end."""
    for number in range(clips):
        start = 10 * number
        yield f"Y{_video(part, number)}_{start:.3f}_{start + 10:.3f}.wav"


def _part(root: Path, part: Part, names: Iterable[str]) -> None:
    """The audio of a part; one clip is shorter than its name says."""
    for number, name in enumerate(names):
        seconds = 7.1 if number == 4 else 10.0
        _write(root / part.audio / name, _odd(number, Audio(seconds, 44_100)))


def _strong(root: Path, part: Part, names: list[str]) -> None:
    """A part with the times of its events: clip 1 has none, those of the others overlap."""
    rows: list[tuple[object, ...]] = [("filename", "onset", "offset", "event_label")]
    for number, name in enumerate(names):
        if number == 1:
            rows.append((name, "", "", ""))
            continue
        for step in range(3):
            onset, label = 0.5 + 2 * step, CLASSES[(number + 4 * step) % 10]
            rows.append((name, f"{onset:.3f}", f"{onset + 2.5:.3f}", label))
    _table(root / part.labels, rows)
    _part(root, part, names)
    if part.durations:
        lengths = ((name, 7.1 if number == 4 else 10.0) for number, name in enumerate(names))
        _table(root / part.durations, [("filename", "duration"), *lengths])


WRITERS: dict[str, Callable[[Path, Mapping[str, Any]], None]] = {
    "audioset": _audioset,
    "esc50": _esc50,
    "speechcommands": _speechcommands,
    "desed": _desed,
}
"""Loader -> what writes its stand-in into a folder, for these options."""
