"""Intervals, paired tests and equivalence for figures that were measured over several seeds.

All functions are pure. `differences` are one number per pair: the same seed and fold under two
conditions, so that what the pair shares cancels out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import nctdtrinc, stdtr, stdtrit

Floats = NDArray[np.float64]

ENOUGH_SEEDS = 10
"""Below this number of seeds an interval deserves a warning beside it."""
EXACT_PAIRS = 20
"""Up to this number of pairs all sign flips are enumerated (about a million)."""


@dataclass(frozen=True)
class Interval:
    """A mean with its interval; `covers` says what a repetition would draw anew.

    NaN limits mean that the sample is too small to give any.
    """

    mean: float
    low: float
    high: float
    level: float
    n: int
    method: str
    covers: str

    def to_json(self) -> dict[str, Any]:
        """The interval as JSON values; missing limits become null."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t-interval of the mean over seeds: new seeds, this test set.

    Source: Student, Biometrika 1908. It is exact for normal values at any n, where a percentile
    bootstrap over 3, 5 or 10 seeds covers 73, 83 or 90 % instead of 95 %.
    """
    return _t_interval(values, level, None, "t-interval", "new seeds on this test set")


def fold_interval(values: ArrayLike, test_share: float, level: float = 0.95) -> Interval:
    """Corrected resampled t-interval of the mean over folds.

    Folds share training data, so their variance understates that of the mean: 1/k becomes
    1/k + n_test / n_train. Source: Nadeau and Bengio, Machine Learning 2003, section 3.

    Args:
        values: one figure per fold.
        test_share: n_test / n_train, e.g. 0.25 for five folds.
    """
    return _t_interval(
        values, level, test_share, "corrected resampled t (Nadeau-Bengio)", "new training sets"
    )


def welch_interval(
    values: ArrayLike, mean: float, std: float, n: int, level: float = 0.95
) -> Interval:
    """Interval of the mean of `values` less a mean of which only (mean, std, n) is known.

    Variances need not be equal. Source: Welch, Biometrika 1947.

    Args:
        mean, std, n: the other sample's mean, standard deviation and size (at least 2).
    """
    v = _sample(values)
    difference, low, high = float(v.mean() - mean), math.nan, math.nan
    if len(v) > 1 and n > 1:
        parts = v.var(ddof=1) / len(v), std**2 / n
        total = sum(parts)
        weights = parts[0] ** 2 / (len(v) - 1) + parts[1] ** 2 / (n - 1)
        half = 0.0
        if total > 0:
            half = float(stdtrit(total**2 / weights, (1 + level) / 2) * math.sqrt(total))
        low, high = difference - half, difference + half
    return Interval(difference, low, high, level, len(v), "Welch t", "new seeds of both")


def hierarchical_bootstrap(
    metric: Callable[[int, NDArray[np.int64]], Floats],
    seeds: int,
    groups: ArrayLike,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    rng_seed: int = 0,
    batch: int = 100,
) -> Interval:
    """Percentile interval over new seeds and new clips.

    Each resample draws seeds, and groups of clips, with replacement; all drawn seeds see the same
    clips, as in the experiment. AP and F1 are no means over clips, so the metric is computed
    anew per resample, from how often each clip was drawn. Source: Davison and Hinkley,
    "Bootstrap methods and their application", 1997, section 3.8.

    The more the seeds differ, the narrower it is for its level. Simulated coverage of a nominal
    95 % with 3, 5, 10 seeds: 95, 95, 94 % where a new seed moves the figure as much as a new test
    set does; 91, 94, 94 % where it moves it twice as much; 85, 91, 93 % at 3.3 times.

    Args:
        metric: (seed index, weights (R, N)) -> (R,) figures; see `bench.metrics.weighted`.
        seeds: number of seeds.
        groups: (N,) group of each clip (its original recording), any labels.
        resamples: number of resamples; `batch` of them are handed to the metric at a time.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    number = int(group.max()) + 1
    rng = np.random.default_rng(rng_seed)
    even = np.full(number, 1 / number)
    drawn = []
    for first in range(0, resamples, batch):
        size = min(batch, resamples - first)
        weights = rng.multinomial(number, even, size)[:, group]
        chosen = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size)
        figures = np.stack([metric(seed, weights) for seed in range(seeds)], axis=1)
        drawn.append((figures * chosen).sum(axis=1) / seeds)
    once = np.ones((1, len(group)), np.int64)
    mean = float(np.mean([metric(seed, once)[0] for seed in range(seeds)]))
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(np.concatenate(drawn), [tail, 100 - tail])
    return Interval(
        mean,
        float(low),
        float(high),
        level,
        seeds,
        f"hierarchical percentile bootstrap, {resamples} resamples of seeds and groups",
        "new seeds and new clips",
    )


def sign_flip_p(differences: ArrayLike, rng_seed: int = 0) -> float:
    """Two-sided p of the paired permutation test: the share of sign flips at least as extreme.

    Exact up to `EXACT_PAIRS` pairs, above it from 100,000 random flips, the observed one counted
    (Phipson and Smyth 2010). Source: Fisher, "The design of experiments", 1935, section 21.
    """
    d = _sample(differences)
    observed = abs(d.sum()) - 1e-12 * np.abs(d).sum()  # equal sums count, whatever the rounding
    if len(d) <= EXACT_PAIRS:
        sums = np.zeros(1)
        for value in d:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= observed))
    rng = np.random.default_rng(rng_seed)
    signs = rng.integers(0, 2, (100_000, len(d)), dtype=np.int8) * 2 - 1
    return float((1 + np.sum(np.abs(signs @ d) >= observed)) / 100_001)


def wilcoxon_p(differences: ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test (scipy; exact for small samples without ties)."""
    from scipy.stats import wilcoxon

    d = _sample(differences)
    return 1.0 if not d.any() else float(wilcoxon(d).pvalue)


def smallest_p(pairs: int) -> float:
    """The smallest two-sided p that an exact paired test of so many pairs can give: 2 / 2^n."""
    return min(1.0, 2.0 ** (1 - pairs))


def pairs_needed(comparisons: int = 1, alpha: float = 0.05) -> int:
    """Pairs from which an exact paired test can reject after Holm's correction."""
    return math.ceil(math.log2(2 * comparisons / alpha))


def limit_of(pairs: int, comparisons: int = 1, alpha: float = 0.05) -> str | None:
    """Words where so few pairs cannot reach significance; None where they can."""
    if smallest_p(pairs) * comparisons <= alpha:
        return None
    family = f" over {comparisons} comparisons" if comparisons > 1 else ""
    needed = pairs_needed(comparisons, alpha)
    return f"{pairs} paired runs cannot reach p = {alpha:g}{family}, {needed} can"


def detectable_effect(pairs: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Mean difference, in standard deviations, that a paired t-test finds with `power`.

    Source: Cohen, "Statistical power analysis for the behavioral sciences", 1988, chapter 2
    (noncentral t; rejection on the wrong side is neglected). NaN below two pairs.
    """
    if pairs < 2:
        return math.nan
    critical = stdtrit(pairs - 1, 1 - alpha / 2)
    return float(nctdtrinc(pairs - 1, 1 - power, critical) / math.sqrt(pairs))


def holm(p_values: ArrayLike) -> Floats:
    """Adjusted p-values of one family, in the given order (Holm, Scand. J. Statist. 1979).

    Comparing them with alpha bounds the chance of any false rejection by alpha, whatever the
    dependence.
    """
    p = _sample(p_values)
    order = np.argsort(p)
    factors = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return adjusted


def cohens_d(differences: ArrayLike) -> float:
    """Paired effect size d_z: mean difference over its standard deviation (Cohen 1988).

    NaN below two pairs; infinite (0 for no difference) where all differences are equal.
    """
    d = _sample(differences)
    if len(d) < 2:
        return math.nan
    if np.ptp(d) == 0:  # the deviation of equal values is seldom 0 after rounding
        return math.copysign(math.inf, d[0]) if d[0] else 0.0
    return float(d.mean() / d.std(ddof=1))


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests: `equivalent` when `interval` lies inside (low, high)."""

    interval: Interval
    low: float
    high: float
    p: float
    equivalent: bool


def equivalence(
    differences: ArrayLike, low: float, high: float, alpha: float = 0.05
) -> Equivalence:
    """Whether the mean difference lies inside margins that were fixed beforehand.

    Both t-tests, against `low` and against `high`, reject at alpha exactly when the (1 - 2 alpha)
    t-interval lies inside; p is the larger of the two. Source: Schuirmann, J. Pharmacokinet.
    Biopharm. 1987. A difference that is not significant is no evidence of equivalence.
    """
    if not low < high:
        raise ValueError(f"margins {low} and {high} enclose nothing; give low < high")
    d = _sample(differences)
    interval = t_interval(d, 1 - 2 * alpha)
    inside = bool(interval.low > low and interval.high < high)
    error = d.std(ddof=1) / math.sqrt(len(d)) if len(d) > 1 else math.nan
    if error == 0:
        p = 0.0 if inside else 1.0
    else:
        df = len(d) - 1
        p = float(max(stdtr(df, (low - d.mean()) / error), stdtr(df, (d.mean() - high) / error)))
    return Equivalence(interval, low, high, p, inside)


@dataclass(frozen=True)
class Comparison:
    """Everything that stands beside one paired difference."""

    n: int
    difference: Interval
    cohens_d: float
    sign_flip_p: float
    wilcoxon_p: float
    smallest_p: float
    detectable_effect: float


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """first - second, paired by position; figures are of the order of 1.

    Raises:
        ValueError: the two have different lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values cannot be paired")
    # 0.50 - 0.45 and 0.35 - 0.30 are one difference: subtraction's rounding would break the tie.
    d = np.round(np.asarray(first, np.float64) - np.asarray(second, np.float64), 12)
    return Comparison(
        len(d),
        t_interval(d),
        cohens_d(d),
        sign_flip_p(d),
        wilcoxon_p(d),
        smallest_p(len(d)),
        detectable_effect(len(d)),
    )


def _t_interval(
    values: ArrayLike, level: float, test_share: float | None, method: str, covers: str
) -> Interval:
    v = _sample(values)
    mean, low, high = float(v.mean()), math.nan, math.nan
    if len(v) > 1:
        factor = 1 / len(v) + (test_share or 0.0)
        half = float(stdtrit(len(v) - 1, (1 + level) / 2) * v.std(ddof=1) * math.sqrt(factor))
        low, high = mean - half, mean + half
    return Interval(mean, low, high, level, len(v), method, covers)


def _sample(values: ArrayLike) -> Floats:
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or len(sample) == 0 or not np.isfinite(sample).all():
        raise ValueError("statistics need a list of at least one finite number")
    return sample
