"""Models trained for several times their epochs: who is recognised, what is shown, and which
rankings are called undecided."""

from __future__ import annotations

import re
from pathlib import Path

import factories
import pandas as pd
import pytest
from recomputed import Runs, check

from bench.experiment.cells import Layout, list_cells
from bench.experiment.config import Config
from bench.reporting.build import build
from bench.reporting.findings import findings
from bench.reporting.leads import task_findings
from bench.reporting.training_times import pictures, undecided
from bench.results.analysis import Analysis, analyse
from bench.results.effects import effects
from bench.results.load import load_results
from bench.results.training_times import TrainingTimes, training_times

MODELS = ("htsat", "ast", "pann")
EPOCHS = {"htsat": 10, "ast": 7, "pann": 6}
TIMES = {"htsat": [1, 2.5, 10], "ast": [1, 18 / 7, 10], "pann": [1, 15 / 6]}
"""Rounded to whole epochs; `pann` is not in the second study."""
STUDIES = {
    "some": {
        "models": list(MODELS),
        "datasets": ["esc50"],
        "factors": {
            "a": {"x": {"recipe": {"epochs_times": 2.5}}},
            "b": {"streams": {"control": "aa"}},
        },
    },
    "others": {
        "models": ["htsat", "ast"],
        "datasets": ["esc50"],
        "factors": {
            "c": {"y": {"recipe": {"epochs_times": 10}}},
            "d": {"longer": {"recipe": {"epochs_times": 3, "batch_size": 8}}},
        },
    },
    "windows": {
        "models": ["htsat"],
        "datasets": ["esc50"],
        "factors": {"e": {"three_times": {"model": {"window_size": 8}}}},
    },
}


def experiment(root: Path) -> Config:
    full = factories.make_config(root).model_dump(mode="json")
    base = full["recipes"]["base"]
    return factories.make_config(
        root,
        seeds=(0, 1),
        datasets={"esc50": full["datasets"]["esc50"] | {"seeds": None}},
        models={name: full["models"][name] for name in (*MODELS, "linear")},
        recipes={"base": base} | {name: {"epochs": epochs} for name, epochs in EPOCHS.items()},
        statistics={"contrasts": [["htsat", "ast"], ["htsat", "pann"]]},
        ablations=STUDIES,
        cost={},
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    made = experiment(tmp_path_factory.mktemp("times"))
    factories.make_results(made)
    return made


def changed(config: Config, accuracies: dict[str, dict[str, float]]) -> None:
    """Other test figures in the records: model -> variant -> accuracy of both seeds."""
    for cell in list_cells(config):
        value = accuracies.get(cell.model, {}).get(cell.variant)
        if value is not None:
            test = {"accuracy": {"value": value + 0.01 * cell.seed}}
            factories.change_record(config, cell, metrics={"test": test})


def found(config: Config) -> TrainingTimes:
    results = load_results(config)
    return training_times(results, effects(results), "esc50")


def test_records_that_differ_in_epochs_alone_make_a_line(config: Config) -> None:
    lines = found(config).lines
    assert {model: [one.times for one in line] for model, line in lines.items()} == TIMES
    for model, line in lines.items():
        assert line[0].group.variant == "base"
        assert [one.group.variant for one in line[1:]] == ["x", "y"][: len(line) - 1]
        assert line[0].epochs == EPOCHS[model]


@pytest.mark.parametrize(
    ("ast", "pairs"),
    [
        ({"base": 0.5, "x": 0.5, "y": 0.5}, []),
        ({"base": 0.5, "x": 0.7, "y": 0.5}, [("htsat", "ast")]),
        ({"base": 0.5, "x": 0.5, "y": 0.7}, [("htsat", "ast")]),
        ({"base": 0.7, "x": 0.5, "y": 0.5}, [("ast", "htsat")]),
        ({"base": 0.7, "x": 0.7, "y": 0.7}, []),
        ({"base": 0.5, "x": 0.6, "y": 0.6}, []),  # as good is no other order
    ],
)
def test_an_order_that_changes_between_two_times_is_undecided(
    config: Config, ast: dict[str, float], pairs: list[tuple[str, str]]
) -> None:
    steady = {"base": 0.6, "x": 0.6, "y": 0.6}
    changed(config, {"htsat": steady, "ast": ast, "pann": {"base": 0.1, "x": 0.2}})
    own = found(config).undecided
    assert [one.models for one in own] == pairs
    for one in own:
        sign = 1 if one.models[0] == "htsat" else -1
        times = [time for time, _ in one.gaps]
        assert times == [1, pytest.approx(2.5, rel=0.03), 10]
        gaps = [gap for _, gap in one.gaps]
        assert gaps == pytest.approx([sign * (0.6 - ast[name]) for name in ("base", "x", "y")])


def test_only_declared_contrasts_are_called_undecided(config: Config) -> None:
    """AST and PANN change places too, but no test of the two is declared."""
    changed(
        config,
        {
            "htsat": {"base": 0.9, "x": 0.9, "y": 0.9},
            "ast": {"base": 0.5, "x": 0.6, "y": 0.6},
            "pann": {"base": 0.6, "x": 0.5},
        },
    )
    assert found(config).undecided == ()
    every = config.model_copy(
        update={"statistics": config.statistics.model_copy(update={"contrasts": None})}
    )
    assert [set(one.models) for one in found(every).undecided] == [{"ast", "pann"}]


def said(analysis: Analysis) -> str:
    shown = [*findings(analysis), *task_findings(analysis, "esc50")]
    return "\n".join(f"{one.title} {one.text} {one.certainty} {one.lines}" for one in shown)


def test_the_findings_and_the_figure_say_what_is_undecided(config: Config) -> None:
    better = {"base": 0.8, "x": 0.8, "y": 0.8}
    lower = {"base": 0.5, "x": 0.5}
    changed(config, {"htsat": better, "ast": lower | {"y": 0.5}, "pann": lower})
    decided = analyse(config)
    assert "undecided" not in said(decided) + "".join(one.caption for one in pictures(decided))
    changed(config, {"ast": {"y": 0.9}})
    flipping = analyse(config)
    (sentence,) = undecided(flipping, "esc50")
    assert "HTS-AT tiny and AST tiny" in sentence
    assert "+30.0 points at 1×" in sentence
    assert "−10.0 points at 10×" in sentence
    ranking, task = findings(flipping)[0], next(task_findings(flipping, "esc50"))
    (picture,) = pictures(flipping)
    for text in (ranking.text, task.text, picture.caption):
        assert sentence in text
    (rank,) = flipping.standings["esc50", "accuracy"]
    assert [(rival.group.model, rival.flips) for rival in rank.rivals] == [
        ("ast", True),
        ("pann", False),
    ]
    assert not rank.rivals[0].beaten
    assert "undecided" in ranking.lines[0] + task.certainty
    assert not re.search(r"\bp [=<]", ranking.lines[0] + task.certainty)
    assert "leads" not in task.title


def test_the_table_equals_a_recomputation_and_the_page_has_the_figure(tmp_path: Path) -> None:
    config = experiment(tmp_path)
    factories.make_results(config)
    page = build(config).read_text(encoding="utf-8")
    layout = Layout.of(config)
    tables = layout.report / "tables"
    runs = Runs(layout.results, layout.work / "corpora", config.model_dump(mode="json"))
    assert check(tables, runs)["training_time"] > 8 * 7
    frame = pd.read_csv(tables / "training_time.csv")
    assert len(frame) == sum(map(len, TIMES.values()))
    for _, own in frame.groupby("model"):
        assert own["times"].is_monotonic_increasing
    (picture,) = pictures(analyse(config))
    assert picture.uri in page
    for row in frame.itertuples():
        assert f"{row.model} " in picture.alt
        assert f"{row.mean:.1f} at " in picture.alt
    for words in ("chance", "linear baseline"):
        assert words in picture.alt


def test_an_experiment_without_longer_runs_has_no_figure(config: Config) -> None:
    plain = config.model_copy(update={"ablations": {"windows": config.ablations["windows"]}})
    analysis = analyse(plain)
    assert pictures(analysis) == []
    assert analysis.training_times["esc50"].pairs == frozenset()
