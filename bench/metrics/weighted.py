"""Metrics of resampled clips, for `bench.statistics.hierarchical_bootstrap`.

Each function prepares one seed's results and returns a function of weights (R, N): how often each
resample drew each clip. Equal to the plain metric where all weights are 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.event_counts import Counts

Weighted = Callable[[NDArray], NDArray[np.float64]]


def weighted_accuracy(correct: ArrayLike) -> Weighted:
    """Accuracy from (N,) 0/1: whether each clip was classified correctly."""
    right = np.asarray(correct, np.float64)
    return lambda weights: (weights @ right) / weights.sum(axis=1)


def weighted_map(scores: ArrayLike, targets: ArrayLike) -> Weighted:
    """Mean average precision from (N, C) scores and 0/1 targets.

    A class without positives in a resample is left out of that resample's mean.
    """
    columns = []
    for column, truth in zip(np.asarray(scores).T, np.asarray(targets, bool).T, strict=True):
        if truth.any():
            order = np.argsort(column)[::-1]
            ranked = column[order]
            ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
            columns.append((order, truth[order], ends))

    def figure(weights: NDArray) -> NDArray[np.float64]:
        precision = np.full((len(weights), len(columns)), np.nan)
        for c, (order, truth, ends) in enumerate(columns):
            drawn = weights[:, order]
            taken = np.cumsum(drawn, axis=1)[:, ends]
            hits = np.cumsum(drawn * truth, axis=1)[:, ends].astype(np.float64)
            steps = np.diff(hits, axis=1, prepend=0.0)
            total = np.sum(steps * hits / np.maximum(taken, 1), axis=1)
            some = hits[:, -1] > 0
            precision[some, c] = total[some] / hits[some, -1]
        return _mean_of_defined(precision)

    return figure


def weighted_macro_f1(counts: Counts) -> Weighted:
    """Macro F1 of located events from counts per clip and class (`count_events`)."""

    def figure(weights: NDArray) -> NDArray[np.float64]:
        drawn = Counts(
            weights @ counts.true_positives,
            weights @ counts.false_positives,
            weights @ counts.misses,
        )
        return _mean_of_defined(drawn.f1())

    return figure


def _mean_of_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row means over the finite entries; NaN for a row without any."""
    defined = np.isfinite(values)
    number = defined.sum(axis=1)
    total = np.where(defined, values, 0.0).sum(axis=1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
