"""From frame scores to located events, and the choice of thresholds on validation data.

An operating point is one threshold and one median filter per class. It is chosen on validation
clips only; the test clips are decided once with the result, which the record keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.event_arrays import (
    EventArrays,
    Floats,
    FrameScores,
    Ints,
    events_of,
    merge_overlaps,
)
from bench.metrics.event_counts import intersection_counts
from bench.results.record import OperatingPoint, clips_digest


def detect(frames: FrameScores, point: OperatingPoint) -> EventArrays:
    """Located events of every clip.

    Raises:
        ValueError: the operating point is for other classes.
    """
    if point.classes != frames.classes:
        raise ValueError("the operating point was chosen for other classes, or another order")
    filtered = frames.scores.copy()
    for length in set(point.median_filters) - {1}:
        chosen = np.array(point.median_filters) == length
        own = median_filtered(frames.scores[:, :, chosen], length, frames.counts)
        filtered[:, :, chosen] = own
    if point.exclusive:
        filtered = winning(filtered)
    active = filtered > np.array(point.thresholds, np.float32)  # a score of 0.4 is not above 0.4
    return events_of(active, frames.seconds_per_frame, frames.durations)


def choose_operating_point(
    frames: FrameScores,
    reference: EventArrays,
    *,
    thresholds: ArrayLike,
    median_filters: Sequence[int] = (1,),
    exclusive: bool = False,
) -> OperatingPoint:
    """The threshold and filter per class with the best intersection F1 on these (validation) clips.

    Among equal F1 the shortest filter wins, then the threshold in the middle of the equal ones:
    it is the farthest from where the decision turns worse. A class without reference events here
    keeps the middle of the grid and the shortest filter. Exclusive classes share one filter, that
    with the best mean F1: which of them wins a frame depends on the filters of all.

    Args:
        reference: events of these clips.
        thresholds: candidates in ascending order, in the units of the scores.
        exclusive: at most one class is active in a frame.
    """
    grid = np.asarray(thresholds, np.float64)
    filters, classes = sorted(set(median_filters)), frames.classes
    merged = merge_overlaps(reference)
    f1 = np.array(
        [
            intersection_counts(events, merged, frames.durations, len(classes)).per_class().f1()
            for filtered in _filtered(frames, filters, exclusive)
            for events in _candidates(filtered, frames, grid)
        ]
    ).reshape(len(filters), len(grid), len(classes))
    source = (
        f"best intersection F1 per class on {len(frames.clips)} validation clips "
        f"({len(grid)} thresholds x filters {filters})"
    )
    known = ~np.isnan(f1[0, 0])
    if exclusive and known.any():
        shared = int(np.argmax(f1[:, :, known].max(axis=1).mean(axis=1)))
        f1, filters = f1[[shared]], [filters[shared]]

    chosen: list[tuple[float, int, float | None]] = []
    for c in range(len(classes)):
        table = f1[:, :, c]
        if np.isnan(table).all():
            chosen.append((float(grid[len(grid) // 2]), filters[0], None))
            continue
        best = table.max()
        place = int(np.argmax(table.max(axis=1)))
        equal = np.flatnonzero(table[place] == best)
        chosen.append((float(grid[equal[len(equal) // 2]]), filters[place], float(best)))
    best_thresholds, best_filters, values = zip(*chosen, strict=True)
    return OperatingPoint(
        classes,
        best_thresholds,
        best_filters,
        source,
        values,
        clips_digest(frames.clips),
        exclusive,
    )


def always_active(durations: Floats, classes: int) -> EventArrays:
    """The baseline without any information: every class in every clip from start to end."""
    active = np.ones((len(durations), 1, classes), bool)
    return events_of(active, float(durations.max()), durations)


def median_filtered(
    scores: NDArray[np.float32], length: int, counts: Ints | None = None
) -> NDArray[np.float32]:
    """Median over `length` frames (odd) along axis 1 of (N, T, C), mirrored at each clip's ends.

    The median commutes with a threshold, so filtering scores equals filtering decisions.

    Args:
        counts: (N,) frames that each clip has, where they differ.
    """
    if length == 1:
        return scores
    from scipy.ndimage import median_filter

    filtered = np.zeros_like(scores)
    ends = np.full(len(scores), scores.shape[1]) if counts is None else counts
    for count in np.unique(ends):
        alike = ends == count
        window = (1, length, 1)
        filtered[alike, :count] = median_filter(scores[alike, :count], window, mode="reflect")
    return filtered


def winning(scores: NDArray[Any]) -> NDArray[Any]:
    """Scores (..., C) with those of all classes but the highest set to 0; the first of equals."""
    best = scores.argmax(axis=-1)[..., None]
    return np.where(np.arange(scores.shape[-1]) == best, scores, scores.dtype.type(0))


def _filtered(
    frames: FrameScores, filters: Sequence[int], exclusive: bool
) -> Iterator[NDArray[np.float32]]:
    for length in filters:
        filtered = median_filtered(frames.scores, length, frames.counts)
        yield winning(filtered) if exclusive else filtered


def _candidates(
    scores: NDArray[np.float32], frames: FrameScores, thresholds: Floats
) -> Iterator[EventArrays]:
    for threshold in thresholds.astype(np.float32):
        yield events_of(scores > threshold, frames.seconds_per_frame, frames.durations)
