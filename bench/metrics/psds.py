"""Polyphonic sound detection score (PSDS) over all thresholds.

Definition: Bilen et al., "A framework for the robust evaluation of sound event detection",
ICASSP 2020. Every distinct frame score is a threshold (Ebbers et al., "Threshold independent
evaluation of sound event detection scores", ICASSP 2022): a few fixed ones underestimate the area.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Metric
from bench.metrics.event_arrays import (
    EventArrays,
    Floats,
    FrameScores,
    events_of,
    merge_overlaps,
    pairs_of_same_clip,
    relabelled,
)
from bench.metrics.event_counts import intersections, tally


@dataclass(frozen=True)
class Scenario:
    """The requirements of a use of the detector.

    Attributes:
        dtc, gtc, cttc: tolerances of detection, ground truth and cross-triggers, as shares.
        alpha_ct: weight of cross-triggers among the false alarms; 0 ignores them.
        alpha_st: weight of the spread over classes.
        max_efpr: end of the curve, effective false positives per hour.
    """

    name: str
    dtc: float
    gtc: float
    cttc: float = 0.3
    alpha_ct: float = 0.0
    alpha_st: float = 1.0
    max_efpr: float = 100.0


# DCASE task 4, 2021 to 2024: exact times matter in the first, confused classes in the second.
PSDS1 = Scenario("PSDS1", dtc=0.7, gtc=0.7)
PSDS2 = Scenario("PSDS2", dtc=0.1, gtc=0.1, alpha_ct=0.5)


def psds(frames: FrameScores, reference: EventArrays, scenario: Scenario = PSDS1) -> Metric:
    """The normalised area under the mean ROC, less the spread over classes.

    Args:
        reference: events of these clips; overlaps within a class are merged.

    Returns:
        The score; per class the normalised area under its own curve. Classes without reference
        events are left out and are NaN. Without any reference event the score is NaN.
    """
    scores, step, seconds, classes = (
        frames.scores,
        frames.seconds_per_frame,
        frames.durations,
        frames.classes,
    )
    ends = seconds
    if frames.counts is not None:  # frames beyond a clip's own are never active
        ends = np.minimum(seconds, np.round(frames.counts * step, 6))
    truth = merge_overlaps(reference)
    listed = np.bincount(truth.label, minlength=len(classes))
    sounding = np.bincount(truth.label, truth.offset - truth.onset, minlength=len(classes))
    present = np.flatnonzero(listed)
    curves = []
    for label in present.tolist():
        others = present[present != label] if scenario.alpha_ct else present[:0]
        true, false, crossed = _counts_by_threshold(
            scores[:, :, [label]], step, seconds, ends, truth, label, others, scenario
        )
        rate = false / seconds.sum()
        if len(others):
            rate = rate + scenario.alpha_ct * (crossed / sounding[others]).mean(axis=1)
        curves.append(_staircase(3600 * rate, true / listed[label]))
    areas = [_area([curve], scenario) for curve in curves]
    per_class = dict.fromkeys(classes, float("nan"))
    per_class |= {classes[k]: area for k, area in zip(present.tolist(), areas, strict=True)}
    return Metric(
        scenario.name,
        _area(curves, scenario) if curves else float("nan"),
        f"{__name__}.psds",
        parameters=asdict(scenario) | {"thresholds": "every frame score", "clips": len(seconds)},
        per_class=per_class,
    )


def mean_over_classes(found: Metric) -> Metric:
    """The mean of the classes' own areas, over those that have one: a PSDS without its weight on
    their spread ("macro", as published on AudioSet-strong)."""
    areas = [area for area in (found.per_class or {}).values() if not np.isnan(area)]
    return replace(
        found,
        name=f"{found.name}_macro",
        value=float(np.mean(areas)) if areas else float("nan"),
        implementation=f"{__name__}.mean_over_classes",
        parameters=found.parameters | {"alpha_st": 0.0, "classes": len(areas)},
    )


def _counts_by_threshold(
    scores: NDArray[np.float32],
    seconds_per_frame: float,
    durations: Floats,
    ends: Floats,
    truth: EventArrays,
    label: int,
    others: NDArray[np.intp],
    scenario: Scenario,
) -> tuple[Floats, Floats, Floats]:
    """Counts of one class over all clips at every distinct score, highest first.

    A clip's counts change only where the threshold falls below one of its own scores. So each clip
    is evaluated at its own scores, and the changes of all clips are sorted and summed.

    Returns:
        True positives (K,), false positives (K,) and cross-triggers (K, others).
    """
    clips, frames, _ = scores.shape
    target = relabelled(truth.select(truth.label == label), 0)
    levels = -np.sort(-scores, axis=1)
    counts = np.zeros((frames + 1, clips, 2 + len(others)))
    for rank in range(frames):
        made = events_of(scores >= levels[:, [rank]], seconds_per_frame, ends)
        result = intersections(made, target, durations, 1, dtc=scenario.dtc, gtc=scenario.gtc)
        false = made.select(result.false)
        counts[rank + 1, :, 0] = tally(target.select(result.found), (clips, 1))[:, 0]
        counts[rank + 1, :, 1] = tally(false, (clips, 1))[:, 0]
        if len(others):
            counts[rank + 1, :, 2:] = _cross_triggers(false, truth, clips, others, scenario.cttc)
    changes = np.diff(counts, axis=0).reshape(frames * clips, -1)
    threshold = levels[:, :, 0].T.reshape(-1)
    order = np.argsort(-threshold, kind="stable")
    last_of_tie = np.append(np.diff(threshold[order]) != 0, True)
    totals = np.cumsum(changes[order], axis=0)[last_of_tie]
    return totals[:, 0], totals[:, 1], totals[:, 2:]


def _cross_triggers(
    false: EventArrays,
    truth: EventArrays,
    clips: int,
    others: NDArray[np.intp],
    cttc: float,
) -> NDArray[np.int64]:
    """False positives per clip that another class covers to the CTTC, (clips, others)."""
    p, r = pairs_of_same_clip(false, truth)
    shared = np.minimum(false.offset[p], truth.offset[r]) - np.maximum(
        false.onset[p], truth.onset[r]
    )
    share = np.maximum(shared, 0) / (false.offset - false.onset)[p]
    classes = int(truth.label.max()) + 1
    covered = np.bincount(
        p * classes + truth.label[r], share, minlength=len(false) * classes
    ).reshape(len(false), classes)
    hits = np.zeros((clips, len(others)), np.int64)
    np.add.at(hits, false.clip, covered[:, others] >= cttc)
    return hits


def _staircase(rate: Floats, found: Floats) -> tuple[Floats, Floats]:
    """Rates in ascending order with the best share found up to each of them, from (0, 0)."""
    order = np.argsort(rate, kind="stable")
    return (
        np.append(0.0, rate[order]),
        np.append(0.0, np.maximum.accumulate(found[order])),
    )


def _area(curves: Sequence[tuple[Floats, Floats]], scenario: Scenario) -> float:
    """Normalised area up to `max_efpr` under mean - alpha_st x standard deviation, at least 0."""
    rates = np.unique(np.concatenate([rate for rate, _ in curves]))
    rates = rates[rates < scenario.max_efpr]
    found = np.stack(
        [height[np.searchsorted(rate, rates, side="right") - 1] for rate, height in curves]
    )
    height = np.maximum(found.mean(axis=0) - scenario.alpha_st * found.std(axis=0), 0)
    return float(height @ np.diff(rates, append=scenario.max_efpr) / scenario.max_efpr)
