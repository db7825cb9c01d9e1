"""A figure over runs: mean, spread and the interval of the mean."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.metrics.statistics import Interval, fold_interval, t_interval


@dataclass(frozen=True)
class Summary:
    """One figure over the runs of a group.

    `sd` is the standard deviation between runs (n - 1); `low` and `high` are the 95 % interval of
    the mean. All three are None where a single run (or a single fold) gives none.
    """

    values: tuple[float, ...]
    mean: float
    sd: float | None
    low: float | None
    high: float | None

    @property
    def n(self) -> int:
        return len(self.values)


def summarise(
    values: Sequence[float], folds: Sequence[int] = (), test_share: float | None = None
) -> Summary | None:
    """The summary of these values, one per run; None where there are none.

    Args:
        folds: the test fold of each run; folds share training data, so the interval is then the
            corrected one over fold means.
        test_share: test clips over training clips of one fold; None without folds.
    """
    if not values:
        return None
    if test_share is None:
        interval = t_interval(values)
    else:
        interval = fold_interval(fold_means(values, folds), test_share)
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(tuple(values), math.fsum(values) / len(values), sd, *_limits(interval))


def fold_means(values: Sequence[float], folds: Sequence[int]) -> list[float]:
    """The mean of each fold's values, in the order of first appearance."""
    by_fold: dict[int, list[float]] = defaultdict(list)
    for value, fold in zip(values, folds, strict=True):
        by_fold[fold].append(value)
    return [math.fsum(own) / len(own) for own in by_fold.values()]


def _limits(interval: Interval) -> tuple[float | None, float | None]:
    if math.isnan(interval.low):
        return None, None
    return interval.low, interval.high
