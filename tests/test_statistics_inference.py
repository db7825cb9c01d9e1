"""Statistics against scipy, against tables, and by simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from bench.metrics.event_counts import Counts
from bench.metrics.statistics import (
    cohens_d,
    compare,
    detectable_effect,
    equivalence,
    fold_interval,
    hierarchical_bootstrap,
    holm,
    limit_of,
    pairs_needed,
    sign_flip_p,
    smallest_p,
    t_interval,
    welch_interval,
    wilcoxon_p,
)
from bench.metrics.tagging import average_precision, d_prime, ranking_metrics
from bench.metrics.weighted import (
    weighted_accuracy,
    weighted_d_prime,
    weighted_macro_f1,
    weighted_map,
    weighted_mauc,
)


def samples(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size))


def test_t_interval_equals_scipy():
    for size in (2, 3, 10, 40):
        values = samples(1, size)[0] + 3
        interval = t_interval(values, 0.9)
        low, high = stats.t.interval(0.9, size - 1, values.mean(), stats.sem(values))
        assert (interval.low, interval.high) == pytest.approx((low, high))


def test_one_seed_gives_a_mean_and_no_limits():
    interval = t_interval([0.5])
    assert interval.mean == 0.5
    assert np.isnan(interval.low)
    assert interval.to_json()["high"] is None


@pytest.mark.parametrize("size", [3, 5, 10])
def test_t_interval_covers_its_own_estimand(size):
    intervals = [t_interval(values) for values in samples(2000, size, seed=size)]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    print(f"t-interval, {size} seeds: {covered:.3f}")
    assert 0.93 <= covered <= 0.97


def test_welch_interval_equals_scipy():
    values, other = samples(2, 7)[0] + 2, samples(2, 4, 9)[1][:4] * 3
    found = welch_interval(values, other.mean(), other.std(ddof=1), 4, 0.9)
    expected = stats.ttest_ind(values, other, equal_var=False).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert np.isnan(welch_interval([1.0], 0.5, 0.1, 3).low)
    assert welch_interval([1.0, 1.0], 1.0, 0.0, 3).high == 0


def test_fold_interval_by_hand():
    # Five folds: the factor is 1/5 + 1/4 = 0.45 instead of 0.2.
    values = samples(1, 5)[0]
    plain, corrected = t_interval(values), fold_interval(values, 0.25)
    assert corrected.high - corrected.mean == pytest.approx(1.5 * (plain.high - plain.mean))


def test_sign_flip_equals_scipy():
    for size in range(2, 9):
        d = samples(1, size, seed=size)[0] + 0.4
        exact = stats.permutation_test(
            (d,), np.sum, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        assert sign_flip_p(d) == pytest.approx(exact)


def test_sign_flip_counts_equal_sums_whatever_the_rounding():
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1
    assert sign_flip_p([0.1, 0.1, 0.1]) == 0.25


def test_random_flips_continue_the_exact_ones():
    d = samples(1, 24)[0] + 0.45
    expected = stats.ttest_1samp(d, 0).pvalue
    assert sign_flip_p(d) == pytest.approx(expected, abs=0.01)


def test_wilcoxon_equals_enumeration():
    d = samples(1, 7)[0] + 0.3
    ranks = stats.rankdata(np.abs(d))
    sums = np.array([ranks @ np.array(signs) for signs in itertools.product([0, 1], repeat=7)])
    middle = sums.mean()
    expected = np.mean(np.abs(sums - middle) >= abs(ranks @ (d > 0) - middle) - 1e-9)
    assert wilcoxon_p(d) == pytest.approx(expected)
    assert wilcoxon_p([0.0, 0.0, 0.0]) == 1


def test_the_smallest_p_is_attained():
    for pairs in (3, 5, 6, 8):
        assert sign_flip_p(np.arange(1.0, pairs + 1)) == smallest_p(pairs)
        assert wilcoxon_p(np.arange(1.0, pairs + 1)) == pytest.approx(smallest_p(pairs))
    assert [pairs_needed(m) for m in (1, 5, 10, 20, 30)] == [6, 8, 9, 10, 11]


def test_too_few_seeds_are_said_plainly():
    assert limit_of(3) == "3 paired runs cannot reach p = 0.05, 6 can"
    assert limit_of(6) is None
    assert "over 5 comparisons" in limit_of(6, 5)
    assert limit_of(8, 5) is None


def test_detectable_effect_reaches_its_power():
    expected = {3: 3.26, 5: 1.68, 6: 1.43, 8: 1.16, 10: 1.00, 12: 0.89}
    for pairs, effect in expected.items():
        assert detectable_effect(pairs) == pytest.approx(effect, abs=0.006)
    d = samples(4000, 6) + detectable_effect(6)
    assert np.mean(stats.ttest_1samp(d, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.02)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])


def test_holm_keeps_the_chance_of_any_false_rejection():
    families = np.random.default_rng(1).normal(size=(2000, 5, 10))
    any_rejected = [
        holm([sign_flip_p(differences) for differences in family]).min() <= 0.05
        for family in families
    ]
    print(f"any false rejection of five: {np.mean(any_rejected):.4f}")
    assert 0.02 <= np.mean(any_rejected) <= 0.065


def test_effect_size_by_hand():
    assert cohens_d([1.0, 2.0, 3.0]) == 2
    assert cohens_d([1.0, 1.0]) == np.inf
    assert cohens_d([-0.05, -0.05, -0.05]) == -np.inf  # their mean is not -0.05 in binary
    assert cohens_d([0.0, 0.0]) == 0
    assert np.isnan(cohens_d([1.0]))


def test_equal_gains_stay_equal_whatever_subtraction_rounds():
    first, second = [0.5, 0.35, 0.2, 0.85], [0.45, 0.3, 0.15, 0.8]
    assert len({a - b for a, b in zip(first, second, strict=True)}) > 1
    same = compare(first, second)
    assert same.cohens_d == np.inf
    assert same.wilcoxon_p == same.sign_flip_p == same.smallest_p == 0.125


def test_equivalence_equals_two_one_sided_tests():
    for seed in range(20):
        d = samples(1, 8, seed)[0]
        result = equivalence(d, -1.0, 0.8)
        p = max(
            stats.ttest_1samp(d, -1.0, alternative="greater").pvalue,
            stats.ttest_1samp(d, 0.8, alternative="less").pvalue,
        )
        assert result.p == pytest.approx(p)
        assert result.equivalent == (p < 0.05)
        assert result.interval.level == pytest.approx(0.9)
    assert equivalence([0.1, 0.1], -0.2, 0.2).equivalent
    assert not equivalence([0.1], -0.2, 0.2).equivalent  # one pair shows nothing
    with pytest.raises(ValueError, match="low < high"):
        equivalence([0.1, 0.2], 0.2, -0.2)


def test_comparison_gathers_the_paired_statistics():
    result = compare([0.5, 0.6, 0.7], [0.4, 0.55, 0.5])
    assert result.n == 3
    assert result.difference.mean == pytest.approx(0.35 / 3)
    assert result.sign_flip_p == result.smallest_p == 0.25
    with pytest.raises(ValueError, match="paired"):
        compare([1.0], [1.0, 2.0])


@pytest.mark.parametrize("values", [[], [np.nan, 1.0], [[1.0]]])
def test_samples_without_numbers_are_refused(values):
    with pytest.raises(ValueError, match="finite"):
        t_interval(values)


def experiment(seeds: int, seed: int, ratio: float = 1.7, clips: int = 60) -> np.ndarray:
    """Scores around 0: each seed and each clip shifts them, and each pair has its own noise.

    A new seed (its shift and noise) moves the mean `ratio` times as much as a new test set does.
    """
    rng = np.random.default_rng(seed)
    between_seeds = np.sqrt((ratio * 0.3) ** 2 - 0.2**2) / np.sqrt(clips)
    return (
        rng.normal(0, between_seeds, (seeds, 1))
        + rng.normal(0, 0.3, clips)
        + rng.normal(0, 0.2, (seeds, clips))
    )


def bootstrap_coverage(seeds: int, experiments: int, ratio: float = 1.7) -> float:
    covered = []
    for repetition in range(experiments):
        scores = experiment(seeds, repetition, ratio)
        interval = hierarchical_bootstrap(
            lambda seed, weights, scores=scores: weighted_accuracy(scores[seed])(weights),
            seeds,
            np.arange(scores.shape[1]),
            resamples=200,
            batch=200,
        )
        covered.append(interval.low <= 0 <= interval.high)
    return float(np.mean(covered))


@pytest.mark.parametrize(("seeds", "least"), [(3, 0.84), (5, 0.87), (10, 0.90)])
def test_bootstrap_coverage_is_near_its_level(seeds, least):
    assert least <= bootstrap_coverage(seeds, 300) <= 0.99


@pytest.mark.long
@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (1, {3: 0.95, 5: 0.95, 10: 0.94}),
        (2, {3: 0.91, 5: 0.94, 10: 0.94}),
        (3.3, {3: 0.85, 5: 0.91, 10: 0.93}),
    ],
)
def test_bootstrap_coverage_is_what_the_protocol_says(ratio, expected):
    found = {seeds: bootstrap_coverage(seeds, 2000, ratio) for seeds in expected}
    print(f"bootstrap, seeds move a figure {ratio} times as much as clips: {found}")
    assert found == pytest.approx(expected, abs=0.015)


def test_bootstrap_resamples_groups_whole():
    # Ten recordings of twenty equal clips each: the spread is that of ten values.
    values = np.repeat(np.random.default_rng(0).normal(size=10), 20)
    groups = np.repeat(np.arange(10), 20)
    metric = weighted_accuracy(values)
    whole = hierarchical_bootstrap(lambda _, weights: metric(weights), 1, groups)
    single = hierarchical_bootstrap(lambda _, weights: metric(weights), 1, np.arange(200))
    assert whole.high - whole.low > 3 * (single.high - single.low)
    assert whole.mean == pytest.approx(values.mean())


def test_weighted_metrics_equal_the_plain_ones_on_repeated_clips():
    rng = np.random.default_rng(0)
    scores = rng.random((30, 4)).round(1)
    targets = rng.random((30, 4)) < [0.05, 0.2, 0.5, 0.0]
    weights = rng.multinomial(30, np.full(30, 1 / 30), 20)
    figures = weighted_map(scores, targets)(weights)
    for drawn, figure in zip(weights, figures, strict=True):
        clips = np.repeat(np.arange(30), drawn)
        assert figure == pytest.approx(np.nanmean(average_precision(scores[clips], targets[clips])))


def test_weighted_areas_equal_the_plain_ones_on_repeated_clips():
    rng = np.random.default_rng(1)
    scores = rng.random((30, 4)).round(1)
    targets = rng.random((30, 4)) < [0.05, 0.2, 0.5, 1.0]
    weights = rng.multinomial(30, np.full(30, 1 / 30), 20)
    areas, distances = (
        made(scores, targets)(weights) for made in (weighted_mauc, weighted_d_prime)
    )
    for drawn, area, distance in zip(weights, areas, distances, strict=True):
        clips = np.repeat(np.arange(30), drawn)
        expected = np.nanmean(ranking_metrics(scores[clips], targets[clips])[1])
        assert area == pytest.approx(expected)
        assert distance == pytest.approx(d_prime(expected))


def test_weighted_f1_equals_the_plain_one_on_repeated_clips():
    rng = np.random.default_rng(0)
    counts = Counts(*(rng.integers(0, 3, (12, 3)) for _ in range(3)))
    weights = rng.multinomial(12, np.full(12, 1 / 12), 5)
    for drawn, figure in zip(weights, weighted_macro_f1(counts)(weights), strict=True):
        clips = np.repeat(np.arange(12), drawn)
        again = Counts(
            counts.true_positives[clips],
            counts.false_positives[clips],
            counts.false_negatives[clips],
        )
        assert figure == pytest.approx(np.nanmean(again.per_class().f1()))
