"""Intervals, paired tests and equivalence for figures that were measured over several seeds.

All functions are pure. `differences` are one number per pair: the same seed and fold under two
conditions, so that what the pair has in common cancels out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import nctdtrinc, stdtr, stdtrit

Floats = NDArray[np.float64]

ENOUGH_SEEDS = 10
"""Below this number of seeds, an interval needs a warning."""
EXACT_PAIRS = 20
"""Up to this number of pairs all sign flips are enumerated (about a million)."""


@dataclass(frozen=True)
class Interval:
    """A mean with its interval; `covers` says what a repetition would draw again.

    NaN limits mean that the sample is too small.
    """

    mean: float
    low: float
    high: float
    level: float
    n: int
    method: str
    covers: str


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


def paired_t_p(differences: ArrayLike, test_share: float | None = None) -> float:
    """Two-sided p of the paired t-test that the mean difference is 0.

    Exact for normal differences from two pairs on; one pair gives 1. Equal differences have no t: p
    is then 1 if they are 0, else that of the sign flips. Source: Student, Biometrika 1908.

    Args:
        test_share: n_test / n_train where the differences are of folds, for the corrected variance
            of `fold_interval`.
    """
    d = _sample(differences)
    if np.ptp(d) == 0:
        return sign_flip_p(d) if d[0] else 1.0
    error = float(d.std(ddof=1)) * math.sqrt(1 / len(d) + (test_share or 0.0))
    return float(2 * stdtr(len(d) - 1, -abs(float(d.mean())) / error))


def sign_flip_p(differences: ArrayLike) -> float:
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
    rng = np.random.default_rng(0)
    signs = rng.integers(0, 2, (100_000, len(d)), dtype=np.int8) * 2 - 1
    return float((1 + np.sum(np.abs(signs @ d) >= observed)) / 100_001)


def detectable_effect(
    pairs: int, power: float = 0.8, alpha: float = 0.05, test_share: float | None = None
) -> float:
    """Mean difference, in standard deviations, that a paired t-test finds with `power`.

    Source: Cohen, "Statistical power analysis for the behavioral sciences", 1988, chapter 2
    (noncentral t; rejection on the wrong side is neglected). NaN below two pairs.

    Args:
        alpha: level of the test; alpha / m for the strictest of m tests under Holm.
        test_share: as in `paired_t_p`.
    """
    if pairs < 2:
        return math.nan
    critical = stdtrit(pairs - 1, 1 - alpha / 2)
    error = math.sqrt(1 / pairs + (test_share or 0.0))
    return float(nctdtrinc(pairs - 1, 1 - power, critical) * error)


def holm(p_values: ArrayLike) -> Floats:
    """Adjusted p-values of one family, in the given order (Holm, Scand. J. Statist. 1979).

    Comparing them with alpha bounds the chance of any false rejection by alpha, whatever the
    dependence.
    """
    return np.minimum(_sample(p_values) * holm_factors(p_values), 1)


def holm_factors(p_values: ArrayLike) -> Floats:
    """The factor by which Holm's correction multiplies each p: from 1 to the size of the family.

    The t-interval at level 1 - alpha / factor excludes 0 exactly where Holm rejects. It contains
    the uncorrected interval, so it covers at least as often.
    """
    p = _sample(p_values)
    order = np.argsort(p, kind="stable")
    steps = np.arange(len(p), 0, -1)
    ranked = p[order]
    reached = np.maximum.accumulate(ranked * steps)
    factors = np.empty(len(p))
    factors[order] = np.divide(reached, ranked, out=steps.astype(np.float64), where=ranked > 0)
    return factors


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


def equivalence_p(differences: ArrayLike, margin: float, test_share: float | None = None) -> float:
    """p of two one-sided t-tests that the mean difference lies outside ±margin.

    At most alpha exactly where the (1 - 2 alpha) t-interval lies within ±margin; 1 below two
    pairs. A difference that is not significant is no evidence of equivalence. Source: Schuirmann,
    J. Pharmacokinet. Biopharm. 1987.

    Args:
        margin: positive, fixed before the runs.
        test_share: as in `paired_t_p`.
    """
    return max(
        inferiority_p(sign * _sample(differences), margin, test_share) for sign in (1.0, -1.0)
    )


def inferiority_p(differences: ArrayLike, margin: float, test_share: float | None = None) -> float:
    """p of the one-sided t-test that the mean difference is at or below -margin: small if the first
    is shown to be as good as the second or better. 1 below two pairs.

    Source: Piaggio et al., JAMA 2012 (non-inferiority).
    """
    if not margin > 0:
        raise ValueError(f"a margin of {margin} encloses nothing; give a positive one")
    d = _sample(differences) + margin
    if len(d) < 2:
        return 1.0
    if np.ptp(d) == 0:
        return 0.0 if d[0] > 0 else 1.0
    error = float(d.std(ddof=1)) * math.sqrt(1 / len(d) + (test_share or 0.0))
    return float(stdtr(len(d) - 1, -float(d.mean()) / error))


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
