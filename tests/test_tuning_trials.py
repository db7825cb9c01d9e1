"""Declared trials on validation data: equal budgets, recorded, and told in the report."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from bench import __main__ as cli
from bench.experiment.cells import Cell, Layout, list_cells, plan
from bench.experiment.config import Config
from bench.experiment.trials import path_of, points, trial_cells
from bench.files import UserError, digest_file, read_json, write_json
from bench.ops.status import overview
from bench.reporting.check_tables import tuning_table
from bench.results import tuning
from bench.results.analysis import analyse
from bench.results.audit import audit
from bench.results.load import load_results
from bench.results.provenance import sources
from bench.training import train
from bench.training.tune import best_of, tune

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
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    config = make(tmp_path)
    factories.make_inputs(config)
    for cell in list_cells(config):
        factories.make_run(config, cell)
    trained: list[str] = []

    def stand_in(settings: Config, cell: Cell, means: object, layout: Layout) -> None:
        chosen = plan(settings, cell)
        trained.append(f"{cell} {chosen.recipe.learning_rate}")
        digests = train.input_digests(chosen, layout)
        factories.make_run(settings, cell, str(chosen.recipe.learning_rate), **digests)
        (layout.run(cell) / "model.pt").write_text(f"weights of {chosen.recipe.learning_rate}")

    monkeypatch.setattr(train, "train_cell", stand_in)
    monkeypatch.setattr(factories, "trained", trained, raising=False)
    return config


def with_child(root: Path) -> Config:
    """HTS-AT on two data sets; on the second it starts from its run on the first."""
    full = factories.make_config(root).model_dump(mode="json")
    config = make(
        root,
        datasets={name: full["datasets"][name] for name in ("audioset", "desed")},
        models={"htsat": full["models"]["htsat"]},
        recipes={"base": full["recipes"]["base"], "htsat/desed": {"init": "run:audioset"}},
    )
    factories.make_inputs(config)
    return config


def how(config: Config, model: str, dataset: str = "audioset") -> str:
    results = load_results(config)
    group = results.group(dataset, model)
    assert group is not None
    return tuning.tunings(results)[group.name].words


@pytest.mark.parametrize(("seeds", "told"), [((0, 1, 2), True), ((0, 2), False)])
def test_where_folds_take_turns_the_clips_that_judged_trials_are_tested(
    tmp_path: Path, seeds: tuple[int, ...], told: bool
) -> None:
    config = factories.make_small_config(tmp_path, seeds=seeds)
    factories.make_results(config)
    run = {"run": "esc50/htsat/base/fold0-seed0", "digests": {}, "config_digest": ""}
    trial = {"point": {"learning_rate": 1.0}, "value": 0.5, "runs": [run]}
    found = {"seeds": [0], "selection": "accuracy", "recipe": {}, "trials": [trial], "chosen": 0}
    write_json(path_of(config, "esc50", "htsat"), {**found, "experiment": "default"})
    assert ("on seed 0, on test clips of seed 1" in how(config, "htsat", "esc50")) is told


def trial_folder(config: Config, dataset: str, model: str, number: int, seed: int = 0) -> Path:
    work = Layout.of(config).work / "tuning" / dataset / model / f"trial{number}"
    return work / "runs" / dataset / model / "base" / f"seed{seed}"


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_every_trial_is_recorded_with_its_validation_figure(experiment: Config) -> None:
    found = tune(experiment, "audioset", "htsat")
    assert [trial["point"]["learning_rate"] for trial in found["trials"]] == RATES
    assert factories.trained == [
        f"audioset/htsat/base/seed{seed} {rate}" for rate in RATES for seed in (0, 1)
    ]
    for number, trial in enumerate(found["trials"]):
        expected = []
        for seed in (0, 1):
            folder = trial_folder(experiment, "audioset", "htsat", number, seed)
            with np.load(folder / "scores.npz") as arrays:
                chosen = arrays["split"] == "validation"
                scores, targets = arrays["clip_scores"][chosen], arrays["targets"][chosen]
            present = targets.any(axis=0)
            expected.append(average_precision_score(targets[:, present], scores[:, present]))
        assert [run["value"] for run in trial["runs"]] == pytest.approx(expected)
        assert trial["value"] == pytest.approx(np.mean(expected))
    values = [trial["value"] for trial in found["trials"]]
    assert len(set(values)) == 4
    assert found["chosen"] == int(np.argmax(values))
    assert (found["split"], found["seeds"]) == ("validation", [0, 1])
    assert read_json(path_of(experiment, "audioset", "htsat")) == found


def test_the_experiment_itself_sees_nothing_of_trials(experiment: Config, tmp_path: Path) -> None:
    before = files(Layout.of(experiment).results), overview(experiment)
    tune(experiment, "audioset", "htsat")
    assert (files(Layout.of(experiment).results), overview(experiment)) == before
    text = path_of(experiment, "audioset", "htsat").read_text()
    assert str(tmp_path) not in text  # what is committed names no folder of this machine


def test_recorded_trials_are_not_trained_again_unless_something_changed(experiment: Config) -> None:
    first = tune(experiment, "audioset", "htsat")
    shutil.rmtree(Layout.of(experiment).work / "tuning")
    assert tune(experiment, "audioset", "htsat") == first
    assert len(factories.trained) == 8
    path = path_of(experiment, "audioset", "htsat")
    record = read_json(path)
    record["trials"][2]["runs"][1]["digests"]["data"] = "0" * 64
    write_json(path, record)
    assert (
        tune(experiment, "audioset", "htsat")["trials"][2]["value"] == first["trials"][2]["value"]
    )
    assert factories.trained[8:] == [f"audioset/htsat/base/seed1 {RATES[2]}"]
    write_json(path, record)  # the same again: what was trained still stands in the work folder
    tune(experiment, "audioset", "htsat")
    assert len(factories.trained) == 9


def test_trials_start_from_the_best_trial_where_runs_start_from_runs(
    experiment: Config, tmp_path: Path
) -> None:
    config = with_child(tmp_path / "child")
    with pytest.raises(UserError, match="not recorded; first run `python -m bench tune audioset"):
        tune(config, "desed", "htsat")
    assert not factories.trained
    best = tune(config, "audioset", "htsat")["chosen"]
    parents = [
        digest_file(trial_folder(config, "audioset", "htsat", best, seed) / "model.pt")
        for seed in (0, 1)
    ]
    found = tune(config, "desed", "htsat")
    for trial in found["trials"]:
        assert [run["digests"]["parent"] for run in trial["runs"]] == parents
    shutil.rmtree(Layout.of(config).work / "tuning")
    del factories.trained[:]
    assert tune(config, "desed", "htsat") == found
    assert factories.trained == [f"audioset/htsat/base/seed{s} {RATES[best]}" for s in (0, 1)]
    path = path_of(config, "audioset", "htsat")
    record = read_json(path)
    record["trials"][best]["runs"][0]["digests"]["code_train"] = "0" * 64
    write_json(path, record)
    with pytest.raises(UserError, match="out of date; first run `python -m bench tune audioset"):
        tune(config, "desed", "htsat")


def test_the_report_says_how_each_recipe_was_chosen(experiment: Config, tmp_path: Path) -> None:
    assert (
        how(experiment, "htsat")
        == "set by hand: 0 of 4 declared trials of this experiment recorded"
    )
    assert how(experiment, "linear") == tuning.NEEDS_NONE
    found = tune(experiment, "audioset", "htsat")
    best = found["trials"][found["chosen"]]["point"]["learning_rate"]
    tried = "best of 4 trials of this experiment by validation mAP on seeds 0, 1"
    chosen = f"tuned: {tried}"
    if best in (RATES[0], RATES[-1]):
        chosen += f" (the {'lowest' if best == RATES[0] else 'highest'} learning_rate tried)"
    follow, other = (
        make(tmp_path, recipes={**experiment.recipes, "htsat": values})
        for values in ({"learning_rate": best}, {"learning_rate": best, "epochs": 3})
    )
    another = make(tmp_path, recipes={**experiment.recipes, "htsat": {"learning_rate": 0.123}})
    factories.make_run(another, list_cells(another)[0])
    assert how(another, "htsat") == (f"set by hand: the {tried} has learning_rate {best}")
    factories.make_run(other, list_cells(other)[0])
    assert how(other, "htsat") == "set by hand: the recorded trials had other epochs"
    for cell in list_cells(follow):
        factories.make_run(follow, cell)
    assert how(follow, "htsat") == chosen
    table = tuning_table(analyse(follow))
    assert [row.label for row in table.rows] == ["HTS-AT tiny", "PANN-CNN tiny", "Linear baseline"]
    assert table.rows[0].entries["trials"].value == 4
    (source,) = [s for s in sources(analyse(follow)) if s.name == "audioset/htsat/base"]
    assert ("recipe", chosen) in source.facts
    assert ("trials", str(path_of(follow, "audioset", "htsat"))) in source.facts


def test_a_recipe_that_another_experiment_tuned_is_called_inherited(
    experiment: Config, tmp_path: Path
) -> None:
    found = tune(experiment, "audioset", "htsat")
    rate = found["trials"][found["chosen"]]["point"]["learning_rate"]
    inherited = (
        f"inherited from experiment {experiment.experiment}: learning_rate {rate}, "
        "best of 4 trials there by validation mAP on seeds 0, 1"
    )
    for values, words in (
        ({"learning_rate": rate}, inherited),
        ({"learning_rate": rate, "epochs": 3}, f"{inherited}; epochs set by hand"),
        (
            {"learning_rate": 0.123},
            "set by hand: 0 of 4 declared trials of this experiment recorded",
        ),
    ):
        other = make(tmp_path, experiment="other", recipes={**experiment.recipes, "htsat": values})
        for cell in list_cells(other):
            factories.make_run(other, cell)
        assert how(other, "htsat") == words


@pytest.mark.parametrize(
    ("digest", "words"),
    [("code_train", "training code"), ("data", "data"), ("parent", "starting weights")],
)
def test_the_report_names_what_trials_and_runs_do_not_share(
    experiment: Config, tmp_path: Path, digest: str, words: str
) -> None:
    found = tune(experiment, "audioset", "htsat")
    point = found["trials"][found["chosen"]]["point"]
    follow = make(tmp_path, recipes={**experiment.recipes, "htsat": point})
    for cell in list_cells(follow):
        factories.make_run(follow, cell, **{digest: "0" * 64})
    assert how(follow, "htsat").endswith(f", tried with other {words}")


def test_among_equal_trials_the_lowest_rate_is_chosen() -> None:
    rates = [2e-3, 5e-4, 1e-3]
    trials = [{"point": {"learning_rate": rate}, "value": 0.5} for rate in rates]
    assert best_of(trials) == 1
    assert best_of([*trials, {"point": {"learning_rate": 1.0}, "value": 0.6}]) == 3
    assert best_of([{"point": {"weight_decay": 0.1}, "value": 0.5}] * 2) == 0


def test_trials_take_the_first_seeds_each_on_another_fold(tmp_path: Path) -> None:
    config = factories.make_small_config(tmp_path, seeds=(3, 5, 7))
    tried = trial_cells(config, "esc50", "htsat")
    assert [(cell.seed, cell.fold) for cell in tried] == [(3, 3), (5, 0)]
    values = config.model_dump(mode="json")
    values["datasets"]["esc50"]["crossed"] = True
    crossed = trial_cells(Config.model_validate(values), "esc50", "htsat")
    assert [(cell.seed, cell.fold) for cell in crossed] == [(3, 0), (5, 1)]


def test_where_there_is_one_seed_trials_take_its_folds(tmp_path: Path) -> None:
    values = factories.make_small_config(tmp_path, seeds=(3,)).model_dump(mode="json")
    values["datasets"]["esc50"]["crossed"] = True
    config = Config.model_validate(values)
    tried = trial_cells(config, "esc50", "htsat")
    assert [(cell.seed, cell.fold) for cell in tried] == [(3, 0), (3, 1)]
    values["datasets"]["esc50"] |= {"crossed": False, "folds": 0}
    assert len(trial_cells(Config.model_validate(values), "esc50", "htsat")) == 1


def test_unequal_budgets_are_named(experiment: Config) -> None:
    tune(experiment, "audioset", "htsat")
    (breach,) = audit(load_results(experiment)).violations
    assert breach.rule == "budget"
    assert breach.text.endswith("recorded trials: HTS-AT tiny 4, PANN-CNN tiny 0")
    tune(experiment, "audioset", "pann")
    assert audit(load_results(experiment)).violations == ()


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
        ({"trials": 4, "space": {"base": {"learning_rate": RATES}}}, "linear", "nothing to tune"),
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


def test_the_verb_prints_the_trials_and_how_to_apply_the_best(
    experiment: Config, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "experiment.json"
    write_json(path, experiment.model_dump(mode="json"))
    call = ["tune", "--config", str(path)]
    assert cli.main([*call, "audioset", "pann"]) == 0
    said = capsys.readouterr().out
    found = read_json(path_of(experiment, "audioset", "pann"))
    best = found["trials"][found["chosen"]]["point"]["learning_rate"]
    assert f"best of 4 by validation mAP, mean of 2 runs: learning_rate {best}" in said
    assert ("widen tuning.space" in said) == (best in (RATES[0], RATES[-1]))
    assert said.count("{'learning_rate'") == 4
    applied = f"to apply it, put under recipes:  pann/audioset: {{learning_rate: {best}}}"
    used = experiment.recipe("pann", "audioset").learning_rate
    assert ("the experiment uses it" if best == used else applied) in said
    assert cli.main(call) == 0
    said = capsys.readouterr().out
    assert "audioset pann\n  best of 4" in said
    assert "audioset htsat\n  no trial recorded: `python -m bench tune audioset htsat`" in said
    assert cli.main([*call, "audioset"]) == 2
    assert "name a data set and a model" in capsys.readouterr().err
