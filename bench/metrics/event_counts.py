"""True positives, false positives and false negatives of located events, by the three usual rules.

Each function takes `EventArrays` and returns counts per clip and class, so that sums over any
clips (all, or a bootstrap resample) are one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.metrics.event_arrays import EventArrays, Floats, Ints, pairs_of_same_class

EDGE = 1e-9
"""Seconds by which a tolerance may be exceeded: 0.9 - 0.7 is 0.2 on paper, not in binary."""


@dataclass(frozen=True)
class Counts:
    """Counts per clip and class, three int arrays of shape (clips, classes)."""

    true_positives: Ints
    false_positives: Ints
    false_negatives: Ints

    def per_class(self) -> Counts:
        """Summed over the clips: three arrays of shape (classes,)."""
        return Counts(
            self.true_positives.sum(0), self.false_positives.sum(0), self.false_negatives.sum(0)
        )

    def f1(self) -> Floats:
        """2 TP / (2 TP + FP + FN), elementwise; NaN where there is no reference event."""
        hits = 2.0 * self.true_positives
        total = hits + self.false_positives + self.false_negatives
        known = self.true_positives + self.false_negatives > 0
        return np.where(known, hits / np.maximum(total, 1), np.nan)


@dataclass(frozen=True)
class Intersections:
    """The decisions of the intersection rule, before they are summed.

    Attributes:
        accepted: (predicted,) bool; covered by its class's reference to at least the DTC.
        false: (predicted,) bool; the other predictions that touch their clip.
        found: (reference,) bool; covered by accepted predictions to at least the GTC.
    """

    accepted: NDArray[np.bool_]
    false: NDArray[np.bool_]
    found: NDArray[np.bool_]


def intersections(
    predicted: EventArrays,
    reference: EventArrays,
    durations: Floats,
    classes: int,
    *,
    dtc: float = 0.5,
    gtc: float = 0.5,
) -> Intersections:
    """Apply the detection and the ground-truth tolerance criterion (Bilen et al. 2020, 2.1-2.2).

    Both inputs must be free of overlaps within a class (`merge_overlaps`). Ratios are compared in
    double precision in psds_eval's order of operations, so that its figures are reproduced exactly.
    """
    p, r = pairs_of_same_class(predicted, reference, classes)
    shared = np.minimum(predicted.offset[p], reference.offset[r]) - np.maximum(
        predicted.onset[p], reference.onset[r]
    )
    p, r, shared = p[shared > 0], r[shared > 0], shared[shared > 0]
    precision = np.bincount(
        p, shared / (predicted.offset - predicted.onset)[p], minlength=len(predicted)
    )
    touched = np.bincount(p, minlength=len(predicted)) > 0
    accepted = touched & (precision >= dtc)
    p, r, shared = p[accepted[p]], r[accepted[p]], shared[accepted[p]]
    coverage = np.bincount(
        r, shared / (reference.offset - reference.onset)[r], minlength=len(reference)
    )
    reached = np.bincount(r, minlength=len(reference)) > 0
    inside = (predicted.onset < durations[predicted.clip]) & (predicted.offset > 0)
    return Intersections(accepted, ~accepted & inside, reached & (coverage >= gtc))


def intersection_counts(
    predicted: EventArrays,
    reference: EventArrays,
    durations: Floats,
    classes: int,
    *,
    dtc: float = 0.5,
    gtc: float = 0.5,
) -> Counts:
    """Counts of the intersection rule, shape (clips, classes).

    A reference event is found when accepted predictions cover it to the GTC. A prediction that is
    not accepted is false; an accepted one whose reference event stays below the GTC is neither.
    """
    shape = (len(durations), classes)
    result = intersections(predicted, reference, durations, classes, dtc=dtc, gtc=gtc)
    hits = tally(reference.select(result.found), shape)
    false = tally(predicted.select(result.false), shape)
    return Counts(hits, false, tally(reference, shape) - hits)


def collar_counts(
    predicted: EventArrays,
    reference: EventArrays,
    clips: int,
    classes: int,
    *,
    collar: float = 0.2,
    offset_share: float = 0.2,
) -> Counts:
    """Counts of the collar rule (sed_eval's event-based metric), shape (clips, classes).

    A pair fits when the onsets differ by at most `collar` seconds and the offsets by at most
    max(collar, offset_share x reference length), each plus `EDGE`. Fitting pairs are matched one to
    one, as many as possible; unmatched events are false or missed.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    p, r = pairs_of_same_class(predicted, reference, classes)
    tolerance = np.maximum(collar, offset_share * (reference.offset - reference.onset)[r])
    fits = (np.abs(predicted.onset[p] - reference.onset[r]) <= collar + EDGE) & (
        np.abs(predicted.offset[p] - reference.offset[r]) <= tolerance + EDGE
    )
    p, r = p[fits], r[fits]
    matched = np.zeros(0, np.int64)
    if len(p):
        graph = csr_array((np.ones(len(p), bool), (p, r)), shape=(len(predicted), len(reference)))
        matched = np.flatnonzero(maximum_bipartite_matching(graph, perm_type="column") >= 0)
    shape = (clips, classes)
    hits = tally(predicted.select(matched), shape)
    return Counts(hits, tally(predicted, shape) - hits, tally(reference, shape) - hits)


def segment_counts(
    predicted: EventArrays,
    reference: EventArrays,
    durations: Floats,
    classes: int,
    *,
    segment: float = 1.0,
) -> Counts:
    """Counts of active segments (sed_eval's segment-based metric), shape (clips, classes).

    An event makes every segment active that it touches (by more than `EDGE`), however briefly. The
    clip's last, partial segment counts; anything beyond the clip does not.
    """
    segments = np.ceil(durations / segment - EDGE).astype(np.int64)
    made = _activity(predicted, segments, classes, segment)
    listed = _activity(reference, segments, classes, segment)
    hits = (made & listed).sum(axis=1)
    return Counts(hits, made.sum(axis=1) - hits, listed.sum(axis=1) - hits)


def _activity(
    events: EventArrays, segments: Ints, classes: int, segment: float
) -> NDArray[np.bool_]:
    """(clips, segments of the longest clip, classes) bool."""
    limit = segments[events.clip]
    start = np.minimum(np.floor(events.onset / segment + EDGE).astype(np.int64), limit)
    end = np.minimum(np.ceil(events.offset / segment - EDGE).astype(np.int64), limit)
    end = np.maximum(start, end)
    steps = np.zeros((len(segments), int(segments.max()) + 1, classes), np.int64)
    np.add.at(steps, (events.clip, start, events.label), 1)
    np.add.at(steps, (events.clip, end, events.label), -1)
    return steps.cumsum(axis=1)[:, :-1] > 0


def tally(events: EventArrays, shape: tuple[int, int]) -> Ints:
    """Number of events per clip and class, in an array of `shape`."""
    place = events.clip * shape[1] + events.label
    return np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
