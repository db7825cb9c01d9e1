"""Audio files to mono float32 at one rate, with the reason for each file that is refused."""

from __future__ import annotations

import math
import os
import stat
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from bench.audio.packs import PACK_SUFFIXES, read_row
from bench.files import UserError

BLOCK_VALUES = 1 << 20  # samples times channels per read: bounds memory whatever a header claims
RATES = (1_000, 768_000)  # Hz; a header outside of this is damage, not audio
STREAMED = (
    0x7FFF0000  # WAV data sizes from here on are place-holders of programs that wrote to a pipe
)
FULL_SCALE = 0.9999
MOST_STUCK = 0.9  # a square wave at full scale is not a recording
UNKNOWN = 1 << 62  # frames that libsndfile reports of a FLAC file whose header states no length
LOUDEST = 2.0**31  # times full scale; integers stored as floats stay below
CANCELLED = 0.01  # of the power that a mix of unrelated channels has: one inverts the others
MP3_SLACK_S = 1.0  # libsndfile's length of an MP3 is an estimate, measured up to 0.53 s too long


class AudioError(ValueError):
    """A file that holds no usable audio; the message names the file and the reason."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str]]:
        path = str(self).removesuffix(f": {self.reason}")
        return AudioError, (path, self.reason)


@dataclass(frozen=True, eq=False)
class Audio:
    """A decoded clip.

    Attributes:
        samples: float32 (n,), mono, at the requested rate, finite, at least one.
        source_rate: the file's own rate in Hz.
        duration_s: length in seconds, before it was resampled to a whole number of samples.
        repairs: what was wrong with the file and was repaired.
    """

    samples: np.ndarray
    source_rate: int
    duration_s: float
    repairs: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether every sample is zero."""
        return not self.samples.any()


def read(
    path: str | Path, rate: int, *, start_s: float = 0.0, duration_s: float | None = None
) -> np.ndarray:
    """The samples of `decode`: mono float32 (n,) at `rate` Hz."""
    return decode(path, rate, start_s=start_s, duration_s=duration_s).samples


def decode(
    path: str | Path, rate: int, *, start_s: float = 0.0, duration_s: float | None = None
) -> Audio:
    """Decode a part of an audio file, mix its channels to one and resample it (soxr, high quality).

    Args:
        path: WAV, FLAC, OGG, MP3 or whatever else libsndfile reads; any rate, any channels.
        rate: wanted sample rate in Hz.
        start_s: where the part begins, in seconds.
        duration_s: its length in seconds; the file may end earlier. None reads to the end.

    Raises:
        AudioError: no such file, an empty or truncated one, no audio, no samples in the part,
            samples that are not finite, a constant other than zero, or nothing but full scale.
    """
    try:
        state = Path(path).stat()
        if not stat.S_ISREG(state.st_mode):
            raise AudioError(path, "cannot be read (not a plain file)")
        if state.st_size == 0:
            raise AudioError(path, "empty file (0 bytes)")
        if Path(path).suffix.lower() in PACK_SUFFIXES:
            return _finish(path, *_from_pack(path, start_s, duration_s), rate, ())
        with soundfile.SoundFile(os.fsencode(path)) as file:  # names need not be UTF-8
            if not RATES[0] <= file.samplerate <= RATES[1]:
                raise AudioError(path, f"sample rate of {file.samplerate} Hz in the header")
            source_rate, container = file.samplerate, file.format
            first = round(start_s * source_rate)
            promised = file.frames - first
            wanted = None if duration_s is None else math.ceil(duration_s * source_rate)
            if file.frames < UNKNOWN:
                samples, repairs = _read_mono(file, first, wanted)
        if promised + first >= UNKNOWN:
            samples, repairs = _read_streamed(path, first, wanted)
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror or error})") from error
    except soundfile.LibsndfileError as error:
        raise AudioError(path, f"not decodable ({error.error_string.rstrip('.')})") from error
    if wanted is None or len(samples) >= promised or len(samples) < wanted:
        slack = int(MP3_SLACK_S * source_rate) if container in ("MP3", "MPEG") else 0
        expected = promised if wanted is None else min(promised, wanted)
        repairs += _check_complete(path, len(samples), expected - slack, source_rate)
    if not len(samples):
        raise AudioError(path, f"no samples from {start_s} s on")
    return _finish(path, samples, source_rate, rate, repairs)


def seconds_of(path: Path) -> float:
    """Length of an audio file by its header; 0 if that does not tell, as for a pack of clips."""
    if path.suffix.lower() in PACK_SUFFIXES:
        return 0.0
    try:
        found = soundfile.info(os.fsencode(path))  # names need not be UTF-8
    except (OSError, soundfile.LibsndfileError):
        return 0.0
    return float(found.duration) if found.frames < UNKNOWN else 0.0


def lengths_of(root: Path, paths: Iterable[str]) -> dict[str, float]:
    """`seconds_of` files below `root`, by path."""
    names = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(names, pool.map(lambda name: seconds_of(root / name), names), strict=True))


def _from_pack(
    path: str | Path, start_s: float, duration_s: float | None
) -> tuple[np.ndarray, int]:
    """A clip of one of PANNs' packs."""
    try:
        samples, source_rate = read_row(path, start_s)
    except (UserError, OSError) as error:
        raise AudioError(path, str(error)) from error
    wanted = None if duration_s is None else math.ceil(duration_s * source_rate)
    return samples[:wanted], source_rate


def _finish(
    path: str | Path, samples: np.ndarray, source_rate: int, rate: int, repairs: tuple[str, ...]
) -> Audio:
    """Check the samples and resample them."""
    low, high = samples.min(), samples.max()
    if not (np.isfinite(low) and np.isfinite(high)):  # both are NaN if any sample is
        count = np.count_nonzero(~np.isfinite(samples))
        raise AudioError(path, f"{count} samples are NaN or infinite")
    if max(high, -low) > LOUDEST:
        raise AudioError(path, f"samples of up to {max(high, -low):g} times full scale")
    if low == high != 0:
        raise AudioError(path, f"constant value {low:g} instead of sound")
    if max(high, -low) >= FULL_SCALE:
        stuck = np.count_nonzero(np.abs(samples) >= FULL_SCALE) / len(samples)
        if stuck > MOST_STUCK:
            raise AudioError(path, f"{stuck:.0%} of the samples stand at full scale")
    duration_s = len(samples) / source_rate
    if source_rate != rate:
        samples = soxr.resample(samples, source_rate, rate, quality="HQ")
        if not len(samples):
            raise AudioError(path, "too short to resample")
    return Audio(samples, source_rate, duration_s, repairs)


def _read_mono(
    file: soundfile.SoundFile, first: int, wanted: int | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Up to `wanted` frames from `first` on, channels averaged: float32 (n,).

    Channels that cancel each other, because one is inverted, would average to nothing: the loudest
    alone is taken then, and that is a repair.
    """
    with np.errstate(over="ignore"):  # absurd samples are refused later
        mixed, energy = _read_channels(file, first, wanted)
        left = np.dot(mixed, mixed)
    if not left < CANCELLED * energy.sum() / len(energy) ** 2:
        return mixed, ()
    loudest = int(energy.argmax())
    if file.seekable():
        alone, _ = _read_channels(file, first, wanted, only=loudest)
    else:
        with _Streamed(file.name) as again:
            alone, _ = _read_channels(again, first, wanted, only=loudest)
    names = ", ".join(str(channel + 1) for channel in range(len(energy)))
    return alone, (f"channels {names} cancel each other: channel {loudest + 1} alone is taken",)


class _Streamed(soundfile.SoundFile):
    """A file of unknown length, in which libsndfile cannot seek."""

    def seekable(self) -> bool:
        return False


def _read_streamed(
    path: str | Path, first: int, wanted: int | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """`_read_mono` of a file of unknown length, read from its beginning."""
    end = None if wanted is None else first + wanted
    with _Streamed(os.fsencode(path)) as file:
        mixed, repairs = _read_mono(file, 0, end)
    said = "the header states no length: read to the end of the file"
    return mixed[first:], (*repairs, said)


def _read_channels(
    file: soundfile.SoundFile, first: int, wanted: int | None, only: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the channels (or `only` one), float32 (n,), and the energy of each of several."""
    energy = np.zeros(file.channels)
    if first >= file.frames:
        return np.empty(0, np.float32), energy
    if first or (only is not None and file.seekable()):
        file.seek(first)
    block = max(1, BLOCK_VALUES // file.channels)
    # libsndfile's own scaling, ten times faster in NumPy than in its loop over samples
    plain = file.subtype == "PCM_16"
    parts: list[np.ndarray] = []
    left = math.inf if wanted is None else wanted
    while left > 0:
        kind = "int16" if plain else "float32"
        part = file.read(int(min(block, left)), dtype=kind, always_2d=True)
        if not len(part):
            break
        if plain:
            part = part.astype(np.float32)
            part *= np.float32(2.0**-15)
        if only is not None or part.shape[1] == 1:
            parts.append(np.ascontiguousarray(part[:, only or 0]))
        else:
            energy += np.einsum("tc,tc->c", part, part)
            parts.append(part.mean(axis=1, dtype=np.float32))
        left -= len(part)
    mixed = parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.float32), *parts])
    return mixed, energy


def _check_complete(path: str | Path, got: int, expected: int, rate: int) -> tuple[str, ...]:
    """Repairs, if the file's end is where its container says it is.

    Raises:
        AudioError: the file was cut off.
    """
    with open(path, "rb") as file:
        magic = file.read(12)
        if magic[:4] == b"RIFF" and magic[8:] == b"WAVE":
            return _check_wav(path, file)
        if magic[:4] == b"OggS":
            file.seek(max(0, Path(path).stat().st_size - 65536))
            tail = file.read()
            last = tail.rfind(b"OggS")
            if last < 0 or last + 5 >= len(tail) or not tail[last + 5] & 4:
                raise AudioError(path, "truncated: the last Ogg page is missing")
    if 0 < expected < 1 << 48 and got < expected:
        raise AudioError(path, f"truncated: {got / rate:.2f} s of {expected / rate:.2f} s")
    return ()


def _check_wav(path: str | Path, file: BinaryIO) -> tuple[str, ...]:
    """Compare the data chunk's size with what follows it."""
    size_of_file = Path(path).stat().st_size
    position = 12
    while position + 8 <= size_of_file:
        file.seek(position)
        name, size = struct.unpack("<4sI", file.read(8))
        position += 8
        if name == b"data":
            there = size_of_file - position
            if size >= STREAMED or (size == 0 and there):
                return ("the WAV header states no length: read to the end of the file",)
            if size > there:
                raise AudioError(path, f"truncated: {there} of {size} bytes of samples")
            return ()
        position += size + size % 2
    return ()
