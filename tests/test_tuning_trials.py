"""Declared trials on validation data: equal budgets, recorded, and told in the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import factories
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from bench import __main__ as cli
from bench.experiment.cells import Cell, Layout, list_cells
from bench.experiment.config import Config
from bench.files import UserError, read_json, write_json
from bench.training import train
from bench.training.tune import path_of, points, tune
from reports import audit, tuning
from reports.results import load_results

RATES = [5e-4, 1e-3, 2e-3, 4e-3]


def make(root: Path, **changes: Any) -> Config:
    """Three models on one data set, with two declared trials of four points."""
    full = factories.make_config(root).model_dump(mode="json")
    values = {
        "seeds": (0, 1),
        "datasets": {"audioset": full["datasets"]["audioset"]},
        "models": {name: full["models"][name] for name in ("htsat", "pann", "linear")},
        "recipes": {"base": full["recipes"]["base"]},
        "ablations": {},
        "localization": {},
        "cost": {},
        "tuning": {"trials": 4, "space": {"base": {"learning_rate": RATES}}},
        **changes,
    }
    return factories.make_config(root, **values)


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    config = make(tmp_path)
    factories.make_inputs(config)
    for cell in list_cells(config):
        factories.make_run(config, cell)
    trained: list[str] = []

    def stand_in(settings: Config, cell: Cell, means: object) -> None:
        trained.append(str(cell))
        factories.make_run(settings, cell)

    monkeypatch.setattr(train, "train_cell", stand_in)
    monkeypatch.setattr(factories, "trained", trained, raising=False)
    return config


def how(config: Config, model: str) -> str:
    results = load_results(config)
    group = results.group("audioset", model)
    assert group is not None
    return tuning.how_chosen(results, group)


def test_every_trial_is_recorded_with_its_validation_figure(profile: Config) -> None:
    found = tune(profile, "audioset", "htsat")
    assert [trial["point"]["learning_rate"] for trial in found["trials"]] == RATES
    assert factories.trained == [f"audioset/htsat/trial{n}/seed0" for n in range(4)]
    for number, trial in enumerate(found["trials"]):
        folder = Layout.of(profile).results / f"runs/audioset/htsat/trial{number}/seed0"
        with np.load(folder / "scores.npz") as arrays:
            chosen = arrays["split"] == "validation"
            scores, targets = arrays["clip_scores"][chosen], arrays["targets"][chosen]
        present = targets.any(axis=0)
        expected = average_precision_score(targets[:, present], scores[:, present])
        assert trial["value"] == pytest.approx(expected)
        assert trial["clips"] == chosen.sum()
        assert trial["recipe"]["learning_rate"] == RATES[number]
    values = [trial["value"] for trial in found["trials"]]
    assert found["chosen"] == int(np.argmax(values))
    assert (found["split"], found["budget"]) == ("validation", 4)


def test_recorded_trials_are_not_trained_again_unless_something_changed(profile: Config) -> None:
    first = tune(profile, "audioset", "htsat")
    assert tune(profile, "audioset", "htsat") == first
    assert len(factories.trained) == 4
    path = path_of(profile, "audioset", "htsat")
    record = read_json(path)
    record["trials"][2]["digests"]["data"] = "0" * 64
    write_json(path, record)
    tune(profile, "audioset", "htsat")
    assert factories.trained[4:] == ["audioset/htsat/trial2/seed0"]


def test_the_report_says_how_each_recipe_was_chosen(profile: Config, tmp_path: Path) -> None:
    assert how(profile, "htsat") == "set by hand: 0 of 4 declared trials recorded"
    assert how(profile, "linear") == tuning.NEEDS_NONE
    found = tune(profile, "audioset", "htsat")
    best = found["trials"][found["chosen"]]["point"]["learning_rate"]
    chosen = "the best by validation mAP of one seed of 4 recorded trials"
    used = load_results(profile).config.recipe("htsat", "audioset").learning_rate
    if best == used:
        assert how(profile, "htsat") == chosen
    else:
        assert how(profile, "htsat").endswith(f"of one seed has learning_rate {best}")
    follow = make(tmp_path, recipes={**profile.recipes, "htsat": {"learning_rate": best}})
    for cell in list_cells(follow):
        factories.make_run(follow, cell)
    assert how(follow, "htsat") == chosen
    table = tuning.tuning_table(load_results(follow))
    assert [row.label for row in table.rows] == ["HTS-AT", "PANN-CNN", "Linear baseline"]
    assert table.rows[0].entries["trials"].value == 4


def test_unequal_budgets_are_named(profile: Config) -> None:
    tune(profile, "audioset", "htsat")
    (breach,) = audit.violations(load_results(profile))
    assert breach.rule == "budget"
    assert breach.text.endswith("recorded trials: HTS-AT 4, PANN-CNN 0")
    tune(profile, "audioset", "pann")
    assert audit.violations(load_results(profile)) == ()


def test_each_model_gets_the_same_number_of_points(tmp_path: Path) -> None:
    space = {"base": {"learning_rate": RATES}, "pann": {"weight_decay": [0.0, 0.05]}}
    config = make(tmp_path, tuning={"trials": 4, "space": space})
    own, other = (points(config, "audioset", model) for model in ("htsat", "pann"))
    assert len(own) == len(other) == 4
    assert other == points(config, "audioset", "pann")
    assert len({tuple(point.items()) for point in other}) == 4


@pytest.mark.parametrize(
    ("declared", "model", "message"),
    [
        ({"trials": 0}, "htsat", "declare a budget"),
        ({"trials": 9, "space": {"base": {"learning_rate": RATES}}}, "htsat", "has 4 points"),
        ({"trials": 4, "space": {"base": {"learning_rate": RATES}}}, "linear", "by itself"),
        ({"trials": 4, "space": {"base": {"learning_rate": RATES}}}, "cnn", "unknown 'cnn'"),
    ],
)
def test_what_cannot_be_tuned_is_refused(
    tmp_path: Path, declared: dict, model: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        tune(make(tmp_path, tuning=declared), "audioset", model)


def test_a_space_of_unknown_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"tuning\.space\.base: unknown 'learning_rat'; did you mean"
    ):
        make(tmp_path, tuning={"trials": 1, "space": {"base": {"learning_rat": [1]}}})


def test_the_verb_prints_the_trials(profile: Config, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "profile.json"
    write_json(path, profile.model_dump(mode="json"))
    assert cli.main(["tune", "audioset", "pann", "--config", str(path)]) == 0
    said = capsys.readouterr().out
    assert "best of 4 by validation mAP" in said
    assert said.count("learning_rate") == 5
