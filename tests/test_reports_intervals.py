"""Intervals and paired comparisons of a report, against recomputations from records and scores."""

from __future__ import annotations

import copy
import re
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import factories
import independent
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.corpora import open_corpus
from bench.experiment.cells import list_cells
from bench.experiment.config import Config, Localization
from bench.metrics.statistics import holm
from bench.reporting.changes import metrics
from bench.reporting.check_tables import comparison_table, interval_table
from bench.reporting.event_tables import at_edges, localization_summary, localization_table
from bench.reporting.latex import to_latex
from bench.reporting.tables import to_csv, to_markdown
from bench.results.analysis import Analysis, analyse
from bench.results.intervals import Outcomes, bootstrap
from bench.results.record import OperatingPoint, threshold_grid


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Three models on two data sets, one of them with folds and one with events."""
    return analyse(make(tmp_path_factory.mktemp("experiment"), seeds=(0, 1, 2)))


def make(
    root: Path,
    seeds: tuple[int, ...],
    datasets: tuple[str, ...] = ("esc50", "desed"),
    **changed: str,
) -> Config:
    full = factories.make_config(root).model_dump(mode="json")
    config = factories.make_config(
        root,
        seeds=seeds,
        datasets={name: full["datasets"][name] | changed for name in datasets},
        models={name: full["models"][name] for name in ("htsat", "ast", "pann")},
        recipes={"base": full["recipes"]["base"]},
        ablations={},
        localization={"median_filters": [1], "thresholds": 9},
        cost={},
    )
    factories.make_inputs(config)
    for cell in list_cells(config):
        factories.make_run(config, cell)
    return config


def frame(table: object, folder: Path) -> pd.DataFrame:
    path = folder / "table.csv"
    path.write_text(to_csv(table))  # type: ignore[arg-type]
    return pd.read_csv(path)


def test_every_figure_has_both_intervals_by_name(results: Analysis, tmp_path: Path) -> None:
    table = interval_table(results)
    notes = " ".join(table.notes)
    assert "t-interval" in notes
    assert "bootstrap over recordings" in notes
    assert "Fewer than 10" in notes
    assert "bootstrap low" not in to_markdown(table)  # for programs: the CSV has it
    rows = frame(table, tmp_path)
    # esc50: two metrics, three models; desed: three clip metrics for three, five for two.
    assert len(rows) == 2 * 3 + 3 * 3 + 5 * 2
    for _, row in rows.iterrows():
        if "PSDS" in row["section"]:
            assert row["seeds_and_clips"].startswith("none")
        elif np.isfinite(row["bootstrap_low"]):
            assert row["bootstrap_low"] <= row["mean"] <= row["bootstrap_high"]
            digits = 1 if "%" in row["section"] else 3
            shown = f"[{row['bootstrap_low']:.{digits}f}, {row['bootstrap_high']:.{digits}f}]"
            assert row["seeds_and_clips"].replace("−", "-") == shown
    clipwise = rows[~rows["section"].str.contains("PSDS|d'")]
    assert clipwise["bootstrap_low"].notna().all()


def test_a_bootstrap_of_accuracy_is_that_of_its_definition(results: Analysis) -> None:
    group = results.group("esc50", "htsat")
    assert group is not None
    correct = []
    for run in group.runs:
        with np.load(run.folder / "scores.npz") as arrays:
            test = arrays["split"] == "test"
            right = arrays["clip_scores"][test].argmax(1) == arrays["targets"][test].argmax(1)
            correct.append(right)
    figures = [part.mean() for part in correct]
    (found,) = [
        one.interval for one in results.intervals if (one.group, one.metric) == (group, "accuracy")
    ]
    assert found is not None
    # Each run tests another fold: no clips are shared, and the folds' spread holds all there is.
    error = np.std(figures, ddof=1) * np.sqrt(1 / 3 + group.test_share)
    expected = stats.t.interval(0.95, 2, np.mean(figures), error)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.03)
    rng = np.random.default_rng(1)
    drawn = [rng.choice(correct[0], len(correct[0])).mean() for _ in range(4000)]
    resampled = bootstrap(
        Outcomes(group, lambda: open_corpus(results.layout.corpus("esc50"))), "accuracy"
    )
    assert resampled.once == pytest.approx(figures)
    assert resampled.drawn[:, 0].std() == pytest.approx(np.std(drawn), rel=0.15)


def test_the_interval_for_new_clips_is_that_of_plain_resampling(tmp_path: Path) -> None:
    """mAP and F1 of one run, in the table, beside their figures on repeated clips."""
    analysis = analyse(make(tmp_path, seeds=(0,), datasets=("desed",)))
    rows = frame(interval_table(analysis), tmp_path)
    truth = independent.Truth.read(analysis.layout.corpus("desed"))
    clips = len(truth.seconds)
    draws = np.random.default_rng(1).integers(0, clips, (200, clips))
    for model in ("htsat", "pann"):
        group = analysis.group("desed", model)
        assert group is not None
        localized = group.first.localization
        assert localized is not None
        assert localized.operating_point is not None
        for metric, point in (
            ("mAP", None),
            ("intersection F1", asdict(localized.operating_point)),
        ):
            folder, (key,) = group.runs[0].folder, group.record_keys
            (row,) = rows[
                (rows["records"] == key) & rows["section"].str.contains(f"{metric} ", regex=False)
            ].itertuples()
            once = independent.resampled_clips(folder, np.arange(clips)[None], truth, point)
            assert row.mean == pytest.approx(100 * once[0])
            drawn = independent.resampled_clips(folder, draws, truth, point)
            half = 100 * stats.norm.ppf(0.975) * drawn.std(ddof=1)
            expected = row.mean - half, row.mean + half
            assert (row.bootstrap_low, row.bootstrap_high) == pytest.approx(
                expected, abs=0.2 * half
            )


def test_differences_on_new_clips_are_paired_clip_by_clip(results: Analysis) -> None:
    (one,) = [p for p in results.comparisons if p.metric == "intersection_f1"]
    apart = [
        i.interval
        for i in results.intervals
        if i.group in one.groups and i.metric == "intersection_f1"
    ]
    assert one.new_clips is not None
    assert one.new_clips.mean == pytest.approx(one.difference.mean)
    assert None not in apart
    independent = np.hypot(*(i.high - i.low for i in apart if i))
    assert one.new_clips.high - one.new_clips.low < 1.2 * independent


def test_paired_comparisons_equal_scipy(results: Analysis, tmp_path: Path) -> None:
    rows = frame(comparison_table(results), tmp_path)
    assert len(rows) == 3 + 1  # AST cannot localize
    localized = rows[rows["section"].str.contains("DESED")].iloc[0]
    groups = [results.group("desed", model) for model in ("htsat", "pann")]
    one, other = (np.array(g.figures("intersection_f1")) for g in groups if g is not None)
    difference = one - other
    assert localized["difference_points"] == pytest.approx(100 * difference.mean())
    assert localized["effect_size_d"] == pytest.approx(difference.mean() / difference.std(ddof=1))
    p = stats.ttest_1samp(difference, 0).pvalue
    assert localized["p"] == localized["p_holm"] == pytest.approx(p)
    exact = stats.permutation_test(
        (difference,), np.sum, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert localized["p_sign_flip"] == pytest.approx(exact)
    power = stats.nct.sf(
        stats.t.ppf(0.975, 2),
        2,
        localized["detectable_points"] / 100 / difference.std(ddof=1) * np.sqrt(3),
    )
    assert power == pytest.approx(0.8, abs=1e-5)
    assert localized["p_equivalence"] > 0.05


def test_holm_runs_over_the_family_of_models(results: Analysis, tmp_path: Path) -> None:
    rows = frame(comparison_table(results), tmp_path)
    family = rows[rows["section"].str.contains("ESC-50")]
    figures = {}
    for model in ("htsat", "ast", "pann"):
        group = results.group("esc50", model)
        assert group is not None
        figures[model] = np.array(group.figures("accuracy"))
    # Each seed tests one fold: the t-test's variance is corrected for shared training data.
    p = []
    for a, b in combinations(figures, 2):
        gap = figures[a] - figures[b]
        share = results.group("esc50", "htsat").test_share  # type: ignore[union-attr]
        t = gap.mean() / (gap.std(ddof=1) * np.sqrt(1 / 3 + share))
        p.append(2 * stats.t.sf(abs(t), 2))
    assert list(family["p_holm"]) == pytest.approx(list(holm(p)))


def test_a_main_metric_of_its_own_is_in_every_list_of_figures(tmp_path: Path) -> None:
    config = make(tmp_path, seeds=(0, 1), datasets=("desed",), metric="psds1_macro")
    for cell in list_cells(config):
        value = {"psds1_macro": {"value": 0.4 + cell.seed / 10, "per_class": {}}}
        if cell.model != "ast":
            factories.change_record(config, cell, metrics={"test": value})
    analysis = analyse(config)
    group = analysis.group("desed", "htsat")
    assert group is not None
    assert metrics(analysis)[group.name]["psds1_macro"]["mean"] == pytest.approx(0.45)
    assert (group, "psds1_macro") in [(one.group, one.metric) for one in analysis.intervals]
    summary = frame(localization_summary(analysis, "desed"), tmp_path).set_index("model")
    assert list(summary["psds1_macro_percent"].dropna()) == pytest.approx([45, 45])
    by_class = frame(localization_table(analysis, "desed"), tmp_path)
    own = by_class[by_class["section"].str.startswith("Mean PSDS1")]
    assert list(own["macro_percent"].dropna()) == pytest.approx([45, 45])


def test_chosen_values_at_an_edge_of_what_was_tried_are_counted(results: Analysis) -> None:
    classes, low, high = tuple("abcd"), *threshold_grid(3)[[0, -1]]
    run = SimpleNamespace(record=SimpleNamespace(localization=None))
    others = [copy.deepcopy(run) for _ in range(3)]
    for one, thresholds in zip(others, ((low, 0.5, high, low), (0.5, 0.5, low, low)), strict=False):
        point = OperatingPoint(classes, thresholds, (1, 3, 3, 3), "", (0.5, 0.2, 0.0, None))
        one.record.localization = SimpleNamespace(operating_point=point)
    others[2].record.localization = SimpleNamespace(operating_point=None)
    groups = [SimpleNamespace(dataset="d", runs=[run, *own]) for own in (others[:1], others[1:])]
    tried = Localization(median_filters=(1, 3), thresholds=3)
    among: Any = SimpleNamespace(
        config=SimpleNamespace(localization=tried), groups=dict(enumerate(groups))
    )
    (said,) = at_edges(among, "d")
    assert re.findall(r"[\d,]+ of [\d,]+ \w+", said) == ["3 of 6 thresholds", "4 of 6 median"]
    assert not list(at_edges(among, "another"))
    (said,) = at_edges(results, "desed")
    assert said in localization_table(results, "desed").notes
    assert said in localization_summary(results, "desed").notes


def test_enough_seeds_can_show_a_difference(tmp_path: Path) -> None:
    config = make(tmp_path, seeds=tuple(range(10)), datasets=("desed",))
    table = interval_table(analyse(config))
    assert "Warning" not in " ".join(table.notes)
    for seed in range(10):
        cell = next(c for c in list_cells(config) if str(c) == f"desed/htsat/base/seed{seed}")
        value = {"intersection_f1": {"value": 0.95 + seed / 1000}}
        factories.change_record(config, cell, metrics={"test": value})
    table = comparison_table(analyse(config))
    rows = frame(table, tmp_path)
    localized = rows[rows["section"].str.contains("DESED")].iloc[0]
    assert localized["conclusion"].startswith("differs")
    assert 0 < localized["p_holm"] < 0.001
    p_values = {column.key for column in table.columns if column.p_value}
    assert p_values == {"p", "p_holm", "p_sign_flip", "p_equivalence"}
    for text, bound in ((to_markdown(table), r"\< 0.001"), (to_latex(table), "$<$ 0.001")):
        assert bound in text
        assert not re.search(r"\b0\.000\b", text)
