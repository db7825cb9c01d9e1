"""From frame scores to located events, and the choice of thresholds on validation data.

An operating point is one threshold and one median filter per class. It is chosen on validation
clips only; the test clips are decided once with the result, which the record keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bench.metrics.event_arrays import (
    EventArrays,
    Floats,
    Ints,
    decode,
    encode,
    events_of,
    merge_overlaps,
)
from bench.metrics.event_counts import Counts, collar_counts, intersection_counts
from bench.results.record import OperatingPoint, clips_digest

Criterion = Literal["intersection", "event_based"]


def threshold_grid(count: int) -> Floats:
    """`count` thresholds evenly inside (0, 1): i / (count + 1)."""
    return np.arange(1, count + 1) / (count + 1)


def detect(
    frame_scores: ArrayLike,
    seconds_per_frame: float,
    clip_ids: Sequence[str],
    classes: Sequence[str],
    point: OperatingPoint,
    durations: Mapping[str, float],
    counts: Ints | None = None,
) -> pd.DataFrame:
    """Located events of every clip.

    Args:
        frame_scores: (N, T, C) in the order of `clip_ids` and `classes`.
        durations: clip -> real length in seconds; events end there at the latest.
        counts: (N,) frames that each clip has, where they differ; zeros follow.

    Returns:
        filename, onset, offset, event_label, sorted by clip, class and onset.

    Raises:
        ValueError: shapes or classes do not agree, or a score is NaN.
    """
    scores = _checked(frame_scores, clip_ids, classes)
    if point.classes != tuple(classes):
        raise ValueError("the operating point was chosen for other classes, or another order")
    filtered = scores.copy()
    for length in set(point.median_filters) - {1}:
        chosen = np.array(point.median_filters) == length
        filtered[:, :, chosen] = median_filtered(scores[:, :, chosen], length, counts)
    if point.exclusive:
        filtered = winning(filtered)
    active = filtered > np.array(point.thresholds, np.float32)  # a score of 0.4 is not above 0.4
    seconds = np.array([durations[clip] for clip in clip_ids], np.float64)
    return decode(events_of(active, seconds_per_frame, seconds), clip_ids, classes)


def choose_operating_point(
    frame_scores: ArrayLike,
    seconds_per_frame: float,
    clip_ids: Sequence[str],
    reference: pd.DataFrame,
    durations: Mapping[str, float],
    classes: Sequence[str],
    *,
    thresholds: ArrayLike,
    median_filters: Sequence[int] = (1,),
    criterion: Criterion = "intersection",
    exclusive: bool = False,
    counts: Ints | None = None,
) -> OperatingPoint:
    """The threshold and filter per class with the best F1 on these (validation) clips.

    Among equal F1 the shortest filter wins, then the threshold in the middle of the equal ones:
    it is the farthest from where the decision turns worse. A class without reference events here
    keeps the middle of the grid and the shortest filter. Classes that exclude each other share one
    filter, that with the best mean F1: which of them wins a frame depends on the filters of all.

    Args:
        reference: events of these clips and no others.
        thresholds: candidates in ascending order, in the units of the scores.
        exclusive: at most one class is active in a frame.
        counts: (N,) frames that each clip has, where they differ; zeros follow.

    Raises:
        ValueError: as `detect`, or `reference` names a clip that is not among `clip_ids`.
    """
    scores = _checked(frame_scores, clip_ids, classes)
    grid = np.asarray(thresholds, np.float64)
    filters = sorted(set(median_filters))
    own = {clip: durations[clip] for clip in clip_ids}
    truth = encode(reference, own, classes)
    seconds = np.array(list(own.values()), np.float64)
    f1 = np.array(
        [
            [_counts(criterion, events, truth, seconds, len(classes)).per_class().f1()]
            for filtered in _filtered(scores, filters, exclusive, counts)
            for events in _candidates(filtered, seconds_per_frame, seconds, grid)
        ]
    ).reshape(len(filters), len(grid), len(classes))
    source = (
        f"best {criterion} F1 per class on {len(own)} validation clips "
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
        tuple(classes),
        best_thresholds,
        best_filters,
        source,
        values,
        clips_digest(clip_ids),
        exclusive,
    )


def always_active(
    clip_ids: Sequence[str], classes: Sequence[str], durations: Mapping[str, float]
) -> pd.DataFrame:
    """The baseline that listens to nothing: every class in every clip from start to end."""
    seconds = np.array([durations[clip] for clip in clip_ids], np.float64)
    active = np.ones((len(clip_ids), 1, len(classes)), bool)
    return decode(events_of(active, float(seconds.max()), seconds), clip_ids, classes)


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
    scores: NDArray[np.float32], filters: Sequence[int], exclusive: bool, counts: Ints | None
) -> Iterator[NDArray[np.float32]]:
    for length in filters:
        filtered = median_filtered(scores, length, counts)
        yield winning(filtered) if exclusive else filtered


def _candidates(
    scores: NDArray[np.float32], seconds_per_frame: float, durations: Floats, thresholds: Floats
) -> Iterator[EventArrays]:
    for threshold in thresholds.astype(np.float32):
        yield events_of(scores > threshold, seconds_per_frame, durations)


def _counts(
    criterion: Criterion,
    predicted: EventArrays,
    reference: EventArrays,
    durations: Floats,
    classes: int,
) -> Counts:
    if criterion == "intersection":
        return intersection_counts(predicted, merge_overlaps(reference), durations, classes)
    return collar_counts(predicted, reference, len(durations), classes)


def _checked(
    frame_scores: ArrayLike, clip_ids: Sequence[str], classes: Sequence[str]
) -> NDArray[np.float32]:
    scores = np.asarray(frame_scores, np.float32)
    if scores.ndim != 3 or scores.shape[::2] != (len(clip_ids), len(classes)):
        raise ValueError(
            f"frame scores {scores.shape} are not (clips, frames, classes) for "
            f"{len(clip_ids)} clips and {len(classes)} classes"
        )
    if np.isnan(scores).any():
        clip = int(np.argwhere(np.isnan(scores))[0][0])
        raise ValueError(f"a frame score of {clip_ids[clip]} is NaN; did the training diverge?")
    return scores
