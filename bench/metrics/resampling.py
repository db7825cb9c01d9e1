"""Intervals for new seeds and new clips, from figures of resampled test clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from bench.metrics.statistics import Floats, Interval


@dataclass(frozen=True, eq=False)
class Resampled:
    """Figures of several runs on one test set, and on resamples of its clips.

    Attributes:
        once: (U,) the figures.
        drawn: (R, U) the same on R resamples; each row is one resample, the same for all runs.
    """

    once: Floats
    drawn: Floats

    def __sub__(self, other: Resampled) -> Resampled:
        """Paired differences, where both saw the same resamples."""
        return Resampled(self.once - other.once, self.drawn - other.drawn)

    def of(self, runs: Sequence[int]) -> Resampled:
        """Those of some runs."""
        return Resampled(self.once[list(runs)], self.drawn[:, list(runs)])

    def means(self, groups: Sequence[Sequence[int]]) -> Resampled:
        """The means of groups of runs."""
        once = np.array([self.once[list(own)].mean() for own in groups])
        drawn = [self.drawn[:, list(own)].mean(axis=1) for own in groups]
        return Resampled(once, np.stack(drawn, axis=1))


def resample(
    metric: Callable[[NDArray[np.int64]], Floats],
    groups: ArrayLike,
    *,
    resamples: int = 1000,
    rng_seed: int = 0,
    batch: int = 100,
) -> Resampled:
    """A metric on resamples that draw groups of clips with replacement.

    AP and F1 are not means over clips, so the metric is recomputed for each resample, from how
    often each clip was drawn. Source: Davison and Hinkley, "Bootstrap methods and their
    application", 1997, section 3.8.

    Args:
        metric: weights (R, N) -> (R, U) figures of U runs; see `bench.metrics.weighted`.
        groups: (N,) group of each clip (its original recording), any labels.
        resamples: number of resamples; `batch` of them are passed to the metric at a time.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    number = int(group.max()) + 1
    rng, even = np.random.default_rng(rng_seed), np.full(number, 1 / number)
    drawn = [
        metric(rng.multinomial(number, even, min(batch, resamples - first))[:, group])
        for first in range(0, resamples, batch)
    ]
    return Resampled(metric(np.ones((1, len(group)), np.int64))[0], np.concatenate(drawn))


def interval_of(
    figures: Resampled, level: float = 0.95, test_share: float | None = None
) -> Interval:
    """Interval of the mean over runs for new seeds and new clips.

    The variance of the mean has two parts: s²/n, which covers everything that differs between runs
    (s² (1/n + test_share) for folds, as in `fold_interval`), and the contribution of the clips that
    they share, the mean covariance of two runs under resampling (0 if each run has its own clips).
    The half-width is the root of the sum of squares of the half-widths that either part has alone,
    Student's and the normal one (Howe, J. Am. Stat. Assoc. 1974), so it is never below Student's. A
    single run has only the interval for new clips.

    It is symmetrical about the figure: percentiles of resampled mAP lean upwards, because repeated
    clips are ranked together, and cover 63 % instead of 95 % near an mAP of 0.2.

    Args:
        figures: of runs, or of the means of folds or repeats.
        test_share: test clips over training clips, where the figures are of folds.
    """
    once, runs = figures.once, len(figures.once)
    mean, normal = float(once.mean()), float(ndtri((1 + level) / 2))
    drawn = figures.drawn[~np.isnan(figures.drawn).any(axis=1)]
    if len(drawn) < 2 or not np.isfinite(drawn).all() or not math.isfinite(mean):
        half = math.nan
    elif runs == 1:
        half = normal * float(drawn.std(ddof=1))
    else:
        covariance = np.cov(drawn, rowvar=False)
        shared = float(covariance.sum() - np.trace(covariance)) / (runs * (runs - 1))
        student = float(stdtrit(runs - 1, (1 + level) / 2))
        between = float(once.var(ddof=1)) * (1 / runs + (test_share or 0.0))
        half = math.sqrt(student**2 * between + normal**2 * max(shared, 0.0))
    return Interval(
        mean,
        mean - half,
        mean + half,
        level,
        runs,
        f"t, and bootstrap of the clips: {len(figures.drawn)} resamples of recordings",
        "new seeds and new clips" if runs > 1 else "new clips",
    )
