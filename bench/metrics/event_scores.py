"""F1 of located events by the three usual rules, over one event table and per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.metrics import VERSION, finite_or_none
from bench.metrics.event_arrays import EventArrays, Floats, encode, merge_overlaps
from bench.metrics.event_counts import (
    EDGE,
    Counts,
    collar_counts,
    intersection_counts,
    segment_counts,
)

FAMILIES: dict[str, dict[str, Any]] = {
    # psds_eval's defaults. The CTTC sorts false positives into cross-triggers; F1 does not use it.
    "intersection": {"dtc": 0.5, "gtc": 0.5, "cttc": 0.3, "overlaps": "merged within a class"},
    # DCASE's settings of sed_eval, whose own default share is 0.5.
    "event_based": {
        "collar_s": 0.2,
        "offset_share": 0.2,
        "edge_s": EDGE,
        "matching": "maximum bipartite",
    },
    "segment_based": {"segment_s": 1.0, "edge_s": EDGE},
}
"""The rules and everything that they leave open; each figure carries its entry."""

_FUNCTIONS = {
    "intersection": intersection_counts.__name__,
    "event_based": collar_counts.__name__,
    "segment_based": segment_counts.__name__,
}
_AVERAGING = (
    "macro over the classes with reference events, in the given order; a class of them that is "
    "never found counts as 0"
)


def score_tables(
    reference: pd.DataFrame,
    predictions: pd.DataFrame,
    durations: Mapping[str, float],
    classes: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """`score_events` of two tables of filename, onset, offset, event_label; times in seconds.

    Args:
        durations: file name -> seconds; these are the scored files, event-free ones included.
        classes: the class order; every label must be in it.

    Raises:
        ValueError: a table names an unknown file or class, or an event has no valid times.
    """
    truth, made = (encode(table, durations, classes) for table in (reference, predictions))
    return score_events(made, truth, np.array(list(durations.values()), np.float64), classes)


def score_events(
    predicted: EventArrays, reference: EventArrays, durations: Floats, classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Score predicted events by intersection, by collars and by segments.

    Args:
        durations: (N,) seconds of the scored clips, event-free ones included.

    Returns:
        JSON values under `intersection`, `event_based`, `segment_based`, each with
        `macro_f1` (0-1; null without reference events), `micro_f1` (null by intersection, where
        none is defined), `macro_f1_found` (the mean that psds_eval and sed_eval print: psds_eval
        leaves out classes without a true positive, sed_eval those without a prediction),
        `per_class` (class -> F1; null without reference events), `counts`, `implementation`,
        `version` and `parameters`.
    """
    counts = count_events(predicted, reference, durations, len(classes))
    return {family: _summary(family, counts[family], classes) for family in FAMILIES}


def count_events(
    predicted: EventArrays, reference: EventArrays, durations: Floats, classes: int
) -> dict[str, Counts]:
    """The counts behind `score_events`, (clips, classes) each.

    A bootstrap over clips weighs the rows of these tables instead of matching events again.
    """
    rules = FAMILIES["intersection"], FAMILIES["event_based"], FAMILIES["segment_based"]
    by_intersection, by_collar, by_segment = rules
    return {
        "intersection": intersection_counts(
            merge_overlaps(predicted),
            merge_overlaps(reference),
            durations,
            classes,
            dtc=by_intersection["dtc"],
            gtc=by_intersection["gtc"],
        ),
        "event_based": collar_counts(
            predicted,
            reference,
            len(durations),
            classes,
            collar=by_collar["collar_s"],
            offset_share=by_collar["offset_share"],
        ),
        "segment_based": segment_counts(
            predicted, reference, durations, classes, segment=by_segment["segment_s"]
        ),
    }


def _summary(family: str, by_clip: Counts, classes: Sequence[str]) -> dict[str, Any]:
    counts = by_clip.per_class()
    f1 = counts.f1()
    known = np.isfinite(f1)
    made = counts.true_positives + counts.false_positives
    found = known & ((counts.true_positives if family == "intersection" else made) > 0)
    total = Counts(
        counts.true_positives.sum(), counts.false_positives.sum(), counts.false_negatives.sum()
    )
    return {
        "macro_f1": _mean(f1[known]),
        "micro_f1": None if family == "intersection" else finite_or_none(float(total.f1())),
        "macro_f1_found": _mean(f1[found]),
        "per_class": {name: finite_or_none(value) for name, value in zip(classes, f1, strict=True)},
        "counts": {
            name: {
                "true_positives": int(counts.true_positives[c]),
                "false_positives": int(counts.false_positives[c]),
                "false_negatives": int(counts.false_negatives[c]),
            }
            for c, name in enumerate(classes)
        },
        "implementation": f"bench.metrics.event_counts.{_FUNCTIONS[family]}",
        "version": VERSION,
        "parameters": FAMILIES[family]
        | {"average": _AVERAGING, "clips": by_clip.true_positives.shape[0]},
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
