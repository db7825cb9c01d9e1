"""The one rule: intervals, bold, words and verdicts agree; it keeps its level; folds are blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from test_reports_units import bold, group, run, standing, standing_among

from bench.metrics.resampling import Resampled
from bench.metrics.statistics import equivalence_p, t_interval
from bench.results.checks import TrivialCheck, _beside
from bench.results.comparisons import _paired
from bench.results.decisions import ALPHA, decide, detectable, paired
from bench.results.detectable import Detectable
from bench.results.effects import Effect
from bench.results.groups import Run, group_runs
from bench.results.intervals import Drawn
from bench.results.published import compare_rank, compare_sign
from bench.results.summary import Summary, summarise

FOLDS = 5
SHARE = 1 / 3


def gap(values: Any, folds: Any = (), seeds: Any = (), share: float | None = None) -> Summary:
    found = summarise([float(value) for value in values], folds, share, seeds)
    assert found is not None
    return found


def test_a_p_of_just_5_percent_is_not_significant() -> None:
    (made,) = decide([gap([0.1, 0.2, 0.3])], 0.05)
    at = replace(made, p_holm=ALPHA, equivalence_p=ALPHA)
    assert not at.differs
    assert not at.equivalent


FIGURES = st.lists(
    st.lists(st.sampled_from([k / 80 for k in range(-12, 13)]), min_size=1, max_size=7),
    min_size=1,
    max_size=6,
)


@given(FIGURES, st.sampled_from([None, 0.01, 0.05]), st.booleans())
def test_intervals_words_and_verdicts_never_contradict(
    family: list[list[float]], margin: float | None, folds: bool
) -> None:
    share = SHARE if folds else None
    gaps = [gap(own, range(len(own)), range(len(own)), share) for own in family]
    for made, before in zip(decide(gaps, margin), gaps, strict=True):
        low, high = made.difference.low, made.difference.high
        if low is not None and high is not None and before.low is not None:
            assert (low > 0 or high < 0) == made.differs or made.p_holm == pytest.approx(ALPHA)
            assert low <= before.low <= made.difference.mean <= before.high <= high
        elif made.differs:
            assert len(set(before.units)) == 1  # equal differences: no t
            assert before.n > 1
        assert made.differs == made.words.startswith("differs")
        assert (made.limit is not None) == (before.n == 1)
        assert not (made.limit and (made.differs or made.equivalent))
        if made.equivalent:
            assert margin is not None
            assert abs(made.difference.mean) < margin
        check = TrivialCheck(
            group([0.1]), "mAP", "clip_label", before, before, made.difference, made
        )
        assert made.differs == (check.verdict in ("better", "worse"))


@given(st.lists(st.lists(st.integers(0, 80), min_size=3, max_size=6), min_size=2, max_size=4))
def test_bold_means_that_every_printed_interval_is_above_0(counts: list[list[int]]) -> None:
    size = min(map(len, counts))
    groups = [group([count / 80 for count in own[:size]], f"m{n}") for n, own in enumerate(counts)]
    among = standing_among(*groups)
    found = standing(among, "d", "mAP")
    for rival in found.rivals:
        assert rival.decision is not None
        assert rival.difference is rival.decision.difference
        if rival.beaten and rival.difference.low is not None:
            assert rival.difference.low > 0
    expected = {found.best.name} if all(rival.beaten for rival in found.rivals) else set()
    assert bold(among, "d", "mAP") == expected


def test_a_family_by_hand() -> None:
    rng = np.random.default_rng(3)
    values = [rng.normal(mean, 0.02, 6) for mean in (0.05, 0.028, 0.0)]
    made = decide([gap(own) for own in values], 0.05)
    raw = [stats.ttest_1samp(own, 0).pvalue for own in values]
    assert [d.p for d in made] == pytest.approx(raw)
    assert made[0].p_holm == pytest.approx(3 * raw[0])
    expected = stats.t.interval(1 - 0.05 / 3, 5, values[0].mean(), stats.sem(values[0]))
    assert (made[0].difference.low, made[0].difference.high) == pytest.approx(expected)
    equal = [equivalence_p(own, 0.05) for own in values]
    assert made[2].equivalence_p == pytest.approx(min(1, 3 * equal[2]))
    pooled = np.sqrt(np.mean([own.var(ddof=1) for own in values]))
    shown = detectable(made)
    assert shown is not None
    power = stats.nct.sf(stats.t.ppf(1 - 0.05 / 6, 5), 5, shown / pooled * np.sqrt(6))
    assert power == pytest.approx(0.8, abs=1e-5)


def test_only_declared_contrasts_are_tested() -> None:
    from bench.experiment.config import Statistics

    low = [0.50, 0.52, 0.51, 0.53, 0.50, 0.52]
    groups = [group([v + up for v in low], name) for name, up in (("a", 0.2), ("b", 0.1), ("c", 0))]
    groups[0] = group([v + 0.2 + k / 1000 for k, v in enumerate(low)], "a")
    among = standing_among(*groups)
    assert [r.decision.family for r in standing(among, "d", "mAP").rivals if r.decision] == [3, 3]
    among.config.statistics = Statistics(contrasts=(("b", "a"), ("b", "c")))
    first, second = standing(among, "d", "mAP").rivals
    assert first.decision is not None
    assert first.decision.family == 2
    assert second.decision is None  # a against c was not declared
    assert bold(among, "d", "mAP") == frozenset()


def test_as_good_or_better_is_tested_by_non_inferiority() -> None:
    near = gap([0.001, -0.002, 0.003, 0.0, 0.001, -0.001])
    assert compare_rank(near, 0.005).kind == "reproduced"
    assert compare_rank(near, 0.0005).kind == "inconclusive"
    assert compare_rank(gap([0.1, 0.12, 0.11]), 0.005).kind == "reproduced"
    assert compare_rank(gap([-0.1, -0.12, -0.11]), 0.005).kind == "below"
    assert compare_rank(gap([0.1]), 0.005).kind == "inconclusive"
    assert compare_rank(near, 0.005, ["other data"]).kind == "not comparable"


def test_raises_is_tested_by_its_sign() -> None:
    lower = gap([-0.1, -0.12, -0.11])
    assert compare_sign(lower, -1).kind == "reproduced"
    assert compare_sign(lower, 1).kind == "below"
    assert compare_sign(gap([-0.1, 0.12, 0.0]), -1).kind == "inconclusive"
    assert compare_sign(gap([-0.1]), -1).kind == "inconclusive"


def test_a_repeat_of_all_folds_is_one_unit() -> None:
    rng = np.random.default_rng(0)
    figures = rng.normal(0.5, 0.05, (3, FOLDS))
    runs = [
        run(value, seed, fold) for seed, own in enumerate(figures) for fold, value in enumerate(own)
    ]
    made = group_runs(runs)
    summary = made.summary("mAP")
    assert summary is not None
    assert summary.units == pytest.approx(figures.mean(axis=1))
    expected = t_interval(figures.mean(axis=1))
    assert (summary.low, summary.high) == pytest.approx((expected.low, expected.high))
    assert (summary.n, summary.mean) == (15, pytest.approx(figures.mean()))
    lacking = group_runs([one for one in runs if (one.seed, one.fold) != (2, 4)])
    other = group_runs([run(0.4, one.seed, one.fold) for one in runs])
    difference = paired(lacking, other, "mAP")
    assert difference is not None
    assert difference.units == pytest.approx(figures[:2].mean(axis=1) - 0.4)
    one_seed = group_runs(runs[:FOLDS]).summary("mAP")
    assert one_seed is not None
    assert len(one_seed.units) == FOLDS  # a single repeat: folds, with the corrected variance
    assert one_seed.test_share == pytest.approx(SHARE)


@pytest.mark.parametrize(
    ("clips", "counts", "p", "limit"),
    [
        (80, [[4, -2, -2, 2, -2], [-1, -1, 3, -2, 1]], 1.0, 0.0),
        (70, [[0, 3, -1, 0, 1], [0, 4, -2, -2, 3]], 0.5, None),
    ],
)
def test_rounding_is_no_spread_between_repeats(
    clips: int, counts: list[list[int]], p: float, limit: float | None
) -> None:
    """Two repeats of five folds that gain the same number of clips in all."""
    places = [(fold, seed) for seed in range(2) for fold in range(FOLDS)]
    gained = [n for own in counts for n in own]
    before = group_runs([run(50 / clips, seed, fold) for fold, seed in places])
    after = group_runs(
        [run((50 + n) / clips, *reversed(at)) for n, at in zip(gained, places, strict=True)]
    )
    difference = paired(after, before, "mAP")
    assert difference is not None
    assert difference.units == pytest.approx([sum(counts[0]) / FOLDS / clips] * 2)
    (made,) = decide([difference], 0.05)
    assert (made.p, made.differs, made.detectable) == (p, False, None)
    assert (made.difference.low, made.difference.high) == (limit, limit)


def test_baselines_without_times_are_paired_by_the_unit_that_models_are() -> None:
    rng = np.random.default_rng(0)
    figures, trivial = rng.normal((0.4, 0.3), 0.03, (2, FOLDS, 2)).T
    runs = []
    for fold, seed in np.ndindex(FOLDS, 2):
        one = run(figures[fold, seed], seed, fold)
        known = {"clip_label": {"mAP": float(trivial[fold, seed])}}
        runs.append(Run(one.record.model_copy(update={"trivial": known}), one.folder))
    found = _beside(group_runs(runs), "clip_label", "mAP")
    assert found is not None
    *_, other, difference = found
    assert other.units == pytest.approx(trivial.mean(axis=0))
    assert difference.units == pytest.approx((figures - trivial).mean(axis=0))


def test_a_change_and_its_reference_are_shown_over_the_runs_that_both_have() -> None:
    reference = group([0.2, 0.3, 0.9, 0.8], "m")
    changed = replace(group([0.5, 0.4], "m"), variant="changed")
    difference = paired(changed, reference, "mAP")
    assert difference is not None
    effect = Effect(
        "s", "m", "d", "changed", "base", "why", "mAP", changed, reference, difference=difference
    )
    value, before = (one.summary("mAP") for one in effect.compared if one is not None)
    assert value is not None
    assert before is not None
    assert (value.mean, before.mean) == pytest.approx((0.45, 0.25))
    assert difference.mean == pytest.approx(value.mean - before.mean)
    assert len(effect.records) == 4
    alone = replace(effect, difference=None)
    assert alone.compared == (changed, reference)


@pytest.mark.parametrize(
    ("kind", "gaps", "told"),
    [
        ("positive", [0.3], "not testable"),
        ("aa", [0.3], "not testable"),
        ("positive", [0.3, 0.31, 0.32], "found"),
        ("positive", [0.3, -0.3], "not found: suspect"),
        ("aa", [0.3, 0.31, 0.32], "found: suspect"),
        ("aa", [0.3, -0.3], "not found"),
    ],
)
def test_a_control_of_one_pair_is_not_suspect(kind: Any, gaps: list[float], told: str) -> None:
    (decision,) = decide([gap(gaps)])
    effect = Effect("s", "m", "d", "v", "base", "why", "mAP", None, None, control=kind)
    study = Detectable("s", "m", "d", "mAP", (), (replace(effect, decision=decision),), None)
    assert study.control(kind) == told


@pytest.mark.parametrize("units", ["runs", "folds", "repeats"])
@pytest.mark.parametrize("family", [1, 4])
def test_new_clips_never_narrow_an_interval(units: str, family: int) -> None:
    rng = np.random.default_rng(1)
    seeds, folds = np.divmod(np.arange(12), 4) if units == "repeats" else (np.arange(12),) * 2
    folds = {"runs": np.full(12, -1), "folds": folds % 4}.get(units, folds)
    cells = list(zip(folds.tolist(), seeds.tolist(), strict=True))
    drawn, groups = {}, []
    for name in "ab":
        figures = zip(rng.normal(0.5, 0.02, 12), cells, strict=True)
        made = group_runs([run(value, seed, fold) for value, (fold, seed) in figures])
        once = np.array(made.figures("mAP"))
        noise = rng.normal(0, 1e-6, (200, 12))  # clips that add next to nothing
        own, groups = {"mAP": Resampled(once, once + noise)}, [*groups, replace(made, model=name)]
        drawn[groups[-1].name] = Drawn(tuple(r.partner for r in made.runs), ("clip",), own, {})
    difference = paired(*groups, "mAP")
    assert difference is not None
    assert len(difference.units) == {"runs": 12, "folds": 4, "repeats": 3}[units]
    others = [gap(rng.normal(0, 1, 6)) for _ in range(family - 1)]
    decision = decide([difference, *others])[0]
    new, shown = (
        _paired("", "", "mAP", tuple(groups), decision, drawn).new_clips,
        decision.difference,
    )
    assert new is not None
    assert (new.low, new.high) == pytest.approx((shown.low, shown.high), abs=1e-5)


def false_positives(repeats: int, interaction: float, experiments: int, *, blocks: bool) -> float:
    """How often a difference is found where the models are equal on the mean of these folds.

    `interaction` is the standard deviation between folds of what the models differ by, in units of
    that between seeds; `blocks`: a repeat is the unit, else each run is.
    """
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(experiments):
        by_fold = rng.normal(0, interaction, FOLDS)
        # New seeds on these folds: what folds add is the same in every repeat.
        figures = rng.normal(size=(repeats, FOLDS)) + (by_fold - by_fold.mean())
        seeds, folds = np.divmod(np.arange(repeats * FOLDS), FOLDS)
        values = figures.ravel()
        made = gap(values, folds, seeds, SHARE) if blocks else gap(values)
        found += decide([made])[0].differs
    return found / experiments


@pytest.mark.parametrize("interaction", [0, 1])
def test_repeats_keep_the_level_whatever_the_folds_do(interaction: float) -> None:
    assert 0.02 <= false_positives(4, interaction, 600, blocks=True) <= 0.08


@pytest.mark.long
@pytest.mark.parametrize("repeats", [3, 6])
def test_false_positives_are_what_the_protocol_says(repeats: int) -> None:
    found = {x: false_positives(repeats, x, 10_000, blocks=True) for x in (0, 0.5, 1)}
    runs = {x: false_positives(repeats, x, 10_000, blocks=False) for x in (0, 0.5, 1)}
    print(f"{repeats} repeats, by interaction: {found}; runs as units {runs}")
    assert list(found.values()) == pytest.approx([0.05] * 3, abs=0.01)


def moved(folds: float, experiments: int, seeds: int, share: float) -> float:
    """False positives where each seed tests one fold of its own, and models differ by fold."""
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(experiments):
        common = rng.normal(0, np.sqrt(share))  # training data that the folds share
        values = rng.normal(size=seeds) + rng.normal(0, folds, seeds) + common
        numbers = range(seeds)
        found += decide([gap(values, numbers, numbers, share)])[0].differs
    return found / experiments


@pytest.mark.long
def test_folds_in_turn_keep_the_level() -> None:
    found = {x: moved(x, 10_000, FOLDS, SHARE) for x in (0, 0.5, 1)}
    print(f"a fold per seed, by interaction: {found}")
    assert max(found.values()) <= 0.06


@pytest.mark.long
def test_the_printed_interval_covers_and_the_family_keeps_its_level() -> None:
    """Intervals as printed, in families of four of which one, two or no difference is real."""
    rng = np.random.default_rng(2)
    for real in (0, 1, 2):
        truth = np.array([2.0] * real + [0.0] * (4 - real))
        covered, wrong = [], 0
        for _ in range(4000):
            made = decide([gap(v) for v in rng.normal(size=(4, 6)) + truth[:, None]])
            for one, mean in zip(made, truth, strict=True):
                assert one.difference.low is not None
                assert one.difference.high is not None
                covered.append(one.difference.low <= mean <= one.difference.high)
            wrong += any(one.differs for one in made[real:])
        print(f"{real} real: covered {np.mean(covered):.4f}, any false {wrong / 4000:.4f}")
        assert 0.945 <= np.mean(covered) <= 0.995
        assert wrong / 4000 <= 0.06
