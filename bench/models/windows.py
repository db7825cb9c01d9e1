"""A recording of any length as windows that a model takes, and its frames back on one time axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.experiment.config import FrontEnd


def window_samples(front_end: FrontEnd) -> int:
    """Samples that fill the front end's `frames` exactly."""
    last = {"fbank": front_end.window, "preemphasis": front_end.hop}.get(front_end.kind, 0)
    return (front_end.frames - 1) * front_end.hop + last


def window_starts(samples: int, window: int) -> list[int]:
    """Where windows of `window` samples begin that overlap by half and cover all samples.

    The last one ends with the recording, so nothing is dropped and nothing is padded; a recording
    shorter than a window is one window.
    """
    if samples <= window:
        return [0]
    return [*range(0, samples - window, max(1, window // 2)), samples - window]


def stitch(
    frames: np.ndarray, starts_s: Sequence[float], seconds_per_frame: float, duration_s: float
) -> np.ndarray:
    """Frame scores of overlapping windows on the recording's own time axis.

    Where windows overlap, their scores are averaged, each with a weight that falls from the
    middle of its window to its ends: there a model has seen least around a frame. A window that
    begins between two frames of the axis gives each of them its share.

    Args:
        frames: (W, T', C) scores; frame i of window w begins i * seconds_per_frame after
            starts_s[w].
        starts_s: W times in seconds, ascending from 0.
        duration_s: length of the recording; frames after it are left out.

    Returns:
        (ceil(duration_s / seconds_per_frame), C); frame i spans [i, i + 1) * seconds_per_frame.
    """
    count, classes = frames.shape[1:]
    length = max(1, math.ceil(duration_s / seconds_per_frame - 1e-6))
    total = np.zeros((length + count + 1, classes))
    weight = np.zeros((length + count + 1, 1))
    taper = np.minimum(np.arange(count) + 0.5, np.arange(count, 0, -1) - 0.5)[:, None]
    for window, start in zip(frames, starts_s, strict=True):
        whole, rest = divmod(start / seconds_per_frame, 1.0)
        for first, share in ((int(whole), 1.0 - rest), (int(whole) + 1, rest)):
            total[first : first + count] += share * taper * window
            weight[first : first + count] += share * taper
    return (total[:length] / np.maximum(weight[:length], 1e-12)).astype(np.float32)
