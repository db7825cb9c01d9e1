"""The features of one recording of any length, in memory that does not grow with its audio."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.audio.decode import Audio, decode, seconds_of
from bench.audio.frontend import Transform

PART_S = 600.0
"""Longer recordings are decoded in parts of about so many seconds: an hour of sound takes 0.7 GB,
its features a tenth of that."""
AROUND_S = 1.0  # decoded on both sides of a part: more than a window and the resampler reach


@dataclass(frozen=True, eq=False)
class Heard:
    """The features of a recording as a model takes them.

    Attributes:
        features: float16 (frames, F), repeated where the front end repeats short sounds.
        own_frames: how many of them are the recording itself.
        duration_s: in seconds.
        repairs: what was wrong with the file and was repaired.
        silent: whether every sample is zero.
    """

    features: np.ndarray
    own_frames: int
    duration_s: float
    repairs: tuple[str, ...]
    silent: bool


def hear(path: Path, front_end: Transform) -> Heard:
    """Decode a recording and compute its features; raises AudioError as `decode` does.

    Short ones are decoded whole, as clips of the benchmark are. The parts of a long one join at
    whole hops; a limit to a clip's range (`range_db`) is held in each part.
    """
    length_s = seconds_of(path)  # 0 where the header does not tell: `decode` finds out
    if length_s <= 2 * PART_S:
        sound = decode(path, front_end.sample_rate)
        own = front_end.model_copy(update={"repeat_to_s": None}).frames_of(len(sound.samples))
        features = front_end.features(sound.samples).astype(np.float16)
        return Heard(features, own, sound.duration_s, sound.repairs, sound.silent)
    parts: list[np.ndarray] = []
    repairs: dict[str, None] = {}
    silent, end_s = True, 0.0
    for sound, start_s, skipped, wanted in _parts(path, front_end, length_s):
        features = front_end.features(sound.samples).astype(np.float16)
        last = None if wanted is None else skipped + wanted
        parts.append(features[skipped:last].copy())
        repairs |= dict.fromkeys(sound.repairs)
        silent, end_s = silent and sound.silent, start_s + sound.duration_s
    joined = np.concatenate(parts)
    return Heard(joined, len(joined), end_s, tuple(repairs), silent)


def _parts(
    path: Path, front_end: Transform, length_s: float
) -> Iterator[tuple[Audio, float, int, int | None]]:
    """Parts with their surroundings: samples, the second at which they begin, the frames to skip,
    and those to take (None: all that follow)."""
    # Whole seconds that are whole hops: parts begin on samples and frames, at any rate of the file.
    unit = front_end.hop // math.gcd(front_end.hop, front_end.sample_rate)
    step = unit * max(1, round(PART_S / unit))
    around = unit * math.ceil(AROUND_S / unit)
    rate = front_end.sample_rate / front_end.hop  # frames a second
    for start in range(0, max(1, int(length_s // step)) * step, step):
        first = max(0, start - around)
        is_last = start + 2 * step > length_s
        duration = None if is_last else start + step + around - first
        sound = decode(path, front_end.sample_rate, start_s=first, duration_s=duration)
        yield sound, first, round((start - first) * rate), None if is_last else round(step * rate)
