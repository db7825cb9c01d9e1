"""Clips longer than a model's input: their windows of feature frames, and joining their scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.experiment.config import FrontEnd

OVERHANG = 1
"""Frames that a clip may have more than a model takes and still fit: centred analysis makes one
more than there are hops in a clip, and less than a hop of sound is in no other frame."""


def is_longer(lengths: np.ndarray, frames: int) -> np.ndarray:
    """Which clips of these lengths have more frames than a model of `frames` takes."""
    return np.asarray(lengths) > frames + OVERHANG


def window_starts(length: int, frames: int) -> list[int]:
    """First frames of the windows that cover a clip of `length` frames.

    They overlap by half. The last one ends with the clip, so nothing is dropped and nothing is
    filled; a clip that fits is one window.
    """
    if not is_longer(np.array(length), frames):
        return [0]
    return [*range(0, length - frames, max(1, frames // 2)), length - frames]


def every_window(lengths: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """All windows of clips of these lengths: the place of each window's clip, and its start."""
    starts = [window_starts(int(length), frames) for length in lengths]
    place = np.repeat(np.arange(len(starts)), [len(own) for own in starts])
    return place, np.array([start for own in starts for start in own], np.int64)


def drawn_windows(lengths: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    """(B,) first frame of one random window of each clip, anywhere in it; 0 for clips that fit."""
    spare = np.where(is_longer(lengths, frames), lengths - frames, 0)
    return rng.integers(0, spare, endpoint=True)


def window_samples(front_end: FrontEnd) -> int:
    """Samples that fill the front end's `frames` exactly."""
    last = {"fbank": front_end.window, "preemphasis": front_end.hop}.get(front_end.kind, 0)
    return (front_end.frames - 1) * front_end.hop + last


def stitch(frames: np.ndarray, starts_s: Sequence[float], seconds_per_frame: float) -> np.ndarray:
    """Frame scores of a clip's overlapping windows on the clip's own time axis.

    Where windows overlap, their scores are averaged, each with a weight that falls from the
    middle of its window to its ends: there a model has seen least around a frame. A window that
    begins between two frames of the axis contributes to both, in proportion.

    Args:
        frames: (W, T', C) scores; frame i of window w begins i * seconds_per_frame after
            starts_s[w].
        starts_s: W times in seconds, ascending from 0.

    Returns:
        (T, C) float32 up to the end of the last window; frame i spans [i, i + 1) *
        seconds_per_frame. A single window is returned unchanged.
    """
    if len(frames) == 1:
        return frames[0]
    count, classes = frames.shape[1:]
    length = math.ceil(starts_s[-1] / seconds_per_frame - 1e-6) + count
    total, weight = np.zeros((length + 1, classes)), np.zeros((length + 1, 1))
    taper = np.minimum(np.arange(count) + 0.5, np.arange(count, 0, -1) - 0.5)[:, None]
    for window, start in zip(frames, starts_s, strict=True):
        whole, rest = divmod(start / seconds_per_frame, 1.0)
        for first, share in ((int(whole), 1.0 - rest), (int(whole) + 1, rest)):
            total[first : first + count] += share * taper * window
            weight[first : first + count] += share * taper
    return (total[:length] / np.maximum(weight[:length], 1e-12)).astype(np.float32)
