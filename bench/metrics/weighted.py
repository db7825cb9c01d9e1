"""Metrics of resampled clips, for `bench.metrics.resampling`.

Each function prepares one seed's results and returns a function of weights (R, N): how often each
resample drew each clip. Equal to the plain metric where all weights are 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import ndtri

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
    return _mean_over_classes(scores, targets, _average_precision)


def weighted_mauc(scores: ArrayLike, targets: ArrayLike) -> Weighted:
    """Mean area under the ROC curve; a class needs a positive and a negative in the resample."""
    return _mean_over_classes(scores, targets, _area)


def weighted_d_prime(scores: ArrayLike, targets: ArrayLike) -> Weighted:
    """d-prime of the mean area, as `bench.metrics.tagging.d_prime` defines it."""
    area = weighted_mauc(scores, targets)
    return lambda weights: np.sqrt(2.0) * ndtri(area(weights))


def _average_precision(hits: NDArray, taken: NDArray) -> NDArray[np.float64]:
    steps = np.diff(hits, axis=0, prepend=0.0)
    return np.sum(steps * hits / np.maximum(taken, 1), axis=0) / hits[-1]


def _area(hits: NDArray, taken: NDArray) -> NDArray[np.float64]:
    misses = taken - hits
    below = misses[-1] - misses
    tied = np.diff(misses, axis=0, prepend=0.0)
    pairs = hits[-1] * misses[-1]
    return np.sum(np.diff(hits, axis=0, prepend=0.0) * (below + tied / 2), axis=0) / pairs


def _mean_over_classes(
    scores: ArrayLike,
    targets: ArrayLike,
    figure: Callable[[NDArray, NDArray], NDArray[np.float64]],
) -> Weighted:
    """The mean of `figure(hits, taken)`: weighted positives and clips down to each score that a
    positive has, (scores, R)."""
    columns, ones = [], np.ones(len(np.asarray(scores)))
    for column, truth in zip(np.asarray(scores).T, np.asarray(targets, bool).T, strict=True):
        if truth.any():
            order = np.argsort(column)[::-1].astype(np.int32)
            bounds = _bounds(column[order], truth[order])
            columns.append(_sums(order, truth[order], bounds, ones))

    def mean(weights: NDArray) -> NDArray[np.float64]:
        drawn = np.ascontiguousarray(weights.T, np.float64)  # a clip's draws side by side
        values = np.full((len(weights), len(columns)), np.nan)
        for c, (positives, clips) in enumerate(columns):
            hits, taken = (np.cumsum(sums @ drawn, axis=0) for sums in (positives, clips))
            with np.errstate(invalid="ignore"):  # 0 / 0: the class has no value in this resample
                values[:, c] = figure(hits, taken)
        return _mean_of_defined(values)

    return mean


def _bounds(ranked: NDArray, truth: NDArray) -> NDArray[np.int64]:
    """Where ranked clips are cut: around all that tie with a positive. What lies between two such
    ties changes no figure clip by clip, and most clips of a rare class lie there."""
    ties = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    positive = np.logical_or.reduceat(truth, ties)
    cut = positive | np.append(True, positive[:-1])
    return np.append(ties[cut], len(ranked))


def _sums(
    order: NDArray, truth: NDArray, bounds: NDArray, ones: NDArray
) -> tuple[csr_array, csr_array]:
    """Matrices (segments, N) that sum the draws of each segment's positives, and of its clips;
    `ones` (N,) are the entries of all classes' matrices, held once."""
    hits = np.append(0, np.cumsum(truth))[bounds]
    shape = len(bounds) - 1, len(order)
    return (
        csr_array((ones[: hits[-1]], order[truth], hits), shape),
        csr_array((ones, order, bounds), shape),
    )


def weighted_macro_f1(counts: Counts) -> Weighted:
    """Macro F1 of located events from counts per clip and class (`count_events`)."""

    def figure(weights: NDArray) -> NDArray[np.float64]:
        drawn = Counts(
            weights @ counts.true_positives,
            weights @ counts.false_positives,
            weights @ counts.false_negatives,
        )
        return _mean_of_defined(drawn.f1())

    return figure


def _mean_of_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row means over the finite entries; NaN for a row without any."""
    defined = np.isfinite(values)
    number = defined.sum(axis=1)
    total = np.where(defined, values, 0.0).sum(axis=1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
