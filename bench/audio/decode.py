"""Audio files to mono float32 at one rate, with the reason for each file that is refused."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bench.audio.mpeg import length_of
from bench.audio.packs import PACK_SUFFIXES, read_row
from bench.audio.wav import STREAMED, Completed, samples_of
from bench.files import UserError

BLOCK_VALUES = 1 << 20  # samples times channels per read: bounds memory whatever a header claims
RATES = (1_000, 768_000)  # Hz; a header outside of this is damage, not audio
FULL_SCALE = 0.9999
MOST_STUCK = 0.9  # a square wave at full scale is not a recording
UNKNOWN = 1 << 62  # frames that libsndfile reports of a FLAC file whose header states no length
LOUDEST = 2.0**31  # times full scale; integers stored as floats stay below
STEP = 2.0**-7  # of 8 bits, whose middle lies between two values: a constant so small is silence
CANCELLED = 0.01  # of the power that a mix of unrelated channels has: one inverts the others
MPEG = ("MP3", "MPEG")  # as soundfile names the format
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
            samples that are not finite, a constant other than silence, nothing but full scale, or
            a format that libsndfile does not read to the end.
    """
    try:
        state = Path(path).stat()
        if not stat.S_ISREG(state.st_mode):
            raise AudioError(path, "cannot be read (not a plain file)")
        if state.st_size == 0:
            raise AudioError(path, "empty file (0 bytes)")
        if Path(path).suffix.lower() in PACK_SUFFIXES:
            return _finish(path, *_from_pack(path, start_s, duration_s), rate, ())
        with _opened(path) as file:
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
        said = error.error_string.rstrip(".")
        if said.startswith("File does not exist"):  # it does: libsndfile does not know its content
            said = "its content is not audio of a known format"
        raise AudioError(path, f"not decodable ({said})") from error
    if wanted is None or len(samples) >= promised or len(samples) < wanted:
        if container in MPEG:
            _check_mpeg(path, len(samples), promised, first, wanted, source_rate)
        else:
            expected = promised if wanted is None else min(promised, wanted)
            repairs += _check_complete(path, len(samples), expected, source_rate)
    if not len(samples):
        raise AudioError(path, f"no samples from {start_s} s on")
    return _finish(path, samples, source_rate, rate, repairs)


def seconds_of(path: Path) -> float:
    """Length of an audio file as `decode` reads it; 0 if it cannot be read, or is a pack of clips.

    Most headers tell it. The frames of an MP3 file whose header does not are counted, and a FLAC
    file whose header does not is decoded.
    """
    if path.suffix.lower() in PACK_SUFFIXES:
        return 0.0
    try:
        with _opened(path) as file:
            if file.format in MPEG:
                length = length_of(path)
                if length is not None and not length.stated:
                    return length.seconds
            if file.frames < UNKNOWN:
                return file.frames / file.samplerate
        return _count_streamed(path)
    except (OSError, soundfile.LibsndfileError):
        return 0.0


def lengths_of(root: Path, paths: Iterable[str]) -> dict[str, float]:
    """`seconds_of` files below `root`, by path."""
    names = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(names, pool.map(lambda name: seconds_of(root / name), names), strict=True))


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """A file as libsndfile reads it; a WAV file to its end, if its header was never completed."""
    samples = samples_of(path)
    if samples is None or not samples.to_the_end or samples.stated >= STREAMED:
        with soundfile.SoundFile(os.fsencode(path)) as file:  # names need not be UTF-8
            yield file
        return
    with Completed(path, samples) as completed, soundfile.SoundFile(completed) as file:
        yield file


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
    if low == high and abs(low) <= STEP:
        samples = np.zeros_like(samples)
    elif low == high:
        raise AudioError(path, f"constant value {low:g} instead of sound")
    if (peak := max(high, -low)) >= FULL_SCALE:  # integers stored as floats have their own scale
        stuck = np.count_nonzero(np.abs(samples) >= FULL_SCALE * peak) / len(samples)
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


def _count_streamed(path: Path) -> float:
    """Seconds in a file of unknown length."""
    frames = 0
    with _Streamed(os.fsencode(path)) as file:
        while part := len(file.read(max(1, BLOCK_VALUES // file.channels), dtype="int16")):
            frames += part
        return frames / file.samplerate


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
    found = samples_of(path)
    if found is not None:
        if found.to_the_end:
            return ("the WAV header states no length: read to the end of the file",)
        if found.stated > found.there:
            reason = f"truncated: {found.there} of {found.stated} bytes of samples"
            raise AudioError(path, reason)
        return ()
    with open(path, "rb") as file:
        if (magic := file.read(4)) == b"OggS":
            _check_ogg(path, magic + file.read())
    if 0 < expected < 1 << 48 and got < expected:
        raise AudioError(path, f"truncated: {got / rate:.2f} s of {expected / rate:.2f} s")
    return ()


def _check_ogg(path: str | Path, data: bytes) -> None:
    """Check the marks of the pages on which a stream begins and ends."""
    last = data.rfind(b"OggS")
    if last + 5 >= len(data) or not data[last + 5] & 4:
        raise AudioError(path, "truncated: the last Ogg page is missing")
    if data.rfind(b"OggS\0\2") > data.find(b"OggS\0\0") >= 0:
        reason = "joined from several Ogg files, of which only the first can be read"
        raise AudioError(path, f"{reason}; convert it to FLAC or WAV")


def _check_mpeg(
    path: str | Path, got: int, promised: int, first: int, wanted: int | None, rate: int
) -> None:
    """Compare what was read of an MP3 file from sample `first` on with the frames that it has.

    Args:
        promised: how much libsndfile believes to follow `first`; it reads no further.

    Raises:
        AudioError: the file was cut off, or libsndfile takes it to be shorter than it is.
    """
    length = length_of(path)
    there = promised
    if length is not None:
        counted = round(length.seconds * rate) - first
        there = max(promised, counted) if length.stated else counted
    expected = there if wanted is None else min(there, wanted)
    if got >= expected - MP3_SLACK_S * rate:
        return
    told = f"{got / rate:.2f} s of {expected / rate:.2f} s"
    if got < promised:
        raise AudioError(path, f"truncated: {told}")
    raise AudioError(
        path,
        f"{told} can be read: no header states the length of this MP3, or it was joined from "
        "several; convert it to FLAC or WAV",
    )
