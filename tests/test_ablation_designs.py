"""Ablations are factors under a design: which runs follow, with which values, against what."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.experiment import cells, config
from bench.experiment.ablations import AblationStudy
from bench.experiment.extends import read
from bench.files import UserError
from bench.ops.plan import table
from bench.training.streams import run_seed, stream_seed

ROOT = Path(__file__).resolve().parent.parent
FACTORS = {
    "window_size": {"window_2": {"model": {"window_size": 2}}},
    "token_order": {"frequency_first": {"model": {"token_order": "frequency_time_window"}}},
    "pretraining": {"scratch": {"why": "from random weights", "recipe": {"init": "random"}}},
}


def study(**values: Any) -> dict[str, Any]:
    return {"models": ["htsat"], "datasets": ["desed"], "factors": FACTORS, **values}


def experiment(**studies: dict[str, Any]) -> config.Config:
    values = read(ROOT / "tests" / "experiment.yaml")
    return config.load({**values, "ablations": studies})


def compared(settings: config.Config, name: str) -> list[tuple[str, str]]:
    return [(v.name, v.against) for v in settings.ablations[name].variants()]


def test_one_at_a_time_compares_each_level_with_base() -> None:
    settings = experiment(a=study())
    assert compared(settings, "a") == [
        ("window_2", "base"),
        ("frequency_first", "base"),
        ("scratch", "base"),
    ]
    plan = cells.plan(settings, cells.find_cell(settings, "desed/htsat/window_2/seed1"))
    assert plan.model.arguments == {"preset": "tiny", "window_size": 2}
    assert plan.recipe == settings.recipe("htsat", "desed")


def test_a_full_grid_takes_every_combination() -> None:
    settings = experiment(a=study(design="full_grid"))
    names = [name for name, _ in compared(settings, "a")]
    assert len(names) == len(set(names)) == 7
    assert {against for _, against in compared(settings, "a")} == {"base"}
    cell = cells.find_cell(settings, "desed/htsat/window_2+frequency_first+scratch/seed0")
    plan = cells.plan(settings, cell)
    assert plan.recipe.init == "random"
    assert plan.parent is None
    assert plan.model.arguments["token_order"] == "frequency_time_window"


def test_leave_one_out_undoes_one_change_at_a_time() -> None:
    settings = experiment(a=study(design="leave_one_out"))
    every = "window_2+frequency_first+scratch"
    assert compared(settings, "a") == [
        (every, "base"),
        ("frequency_first+scratch", every),
        ("window_2+scratch", every),
        ("window_2+frequency_first", every),
    ]
    words = [v.why for v in settings.ablations["a"].variants()]
    assert words[1:] == [
        "without window_size 2",
        "without token_order frequency_time_window",
        "without from random weights",
    ]


def test_a_reference_level_is_where_the_other_factors_start() -> None:
    settings = experiment(a=study(reference="scratch"))
    assert compared(settings, "a") == [
        ("scratch", "base"),
        ("window_2", "scratch"),
        ("frequency_first", "scratch"),
    ]
    plan = cells.plan(settings, cells.find_cell(settings, "desed/htsat/window_2/seed0"))
    assert plan.recipe.init == "random"


def test_a_study_may_take_several_models_and_data_sets_and_fewer_seeds() -> None:
    factors = {"rate": {"slow": {"recipe": {"learning_rate": 1e-5}}}}
    settings = experiment(
        a=study(models=["htsat", "pann"], datasets=["desed", "esc50"], seeds=[1], factors=factors)
    )
    own = [str(cell) for cell in cells.list_cells(settings) if cell.variant == "slow"]
    assert own == [
        "desed/htsat/slow/seed1",
        "desed/pann/slow/seed1",
        "esc50/htsat/slow/fold1-seed1",
        "esc50/pann/slow/fold1-seed1",
    ]


def test_a_model_may_have_fewer_seeds_and_its_ablations_take_them() -> None:
    values = read(ROOT / "tests" / "experiment.yaml")
    values["ablations"] = {"a": study()}
    values["models"]["htsat"]["seeds_on"] = {"desed": [1, 2]}
    names = [str(cell) for cell in cells.list_cells(config.load(values))]
    own = [name for name in names if name.startswith("desed/htsat/")]
    assert len(own) == 2 * (1 + 3)
    assert all(name.endswith(("seed1", "seed2")) for name in own)
    values["ablations"]["a"]["seeds"] = [0, 1]
    with pytest.raises(UserError, match=r"ablations\.a\.seeds: unknown '0'"):
        config.load(values)


def test_two_studies_share_a_run_that_both_name() -> None:
    settings = experiment(a=study(), b=study(design="full_grid"))
    names = [str(cell) for cell in cells.list_cells(settings)]
    own = [name for name in names if name.startswith("desed/htsat/")]
    assert len(names) == len(set(names))
    assert len(own) == len(settings.seeds_on("desed")) * (1 + 7)


def test_a_variant_may_start_from_its_own_pretraining() -> None:
    factors = {"order": {"other": {"model": {"token_order": "frequency_time_window"}}}}
    tuned = {"other": {**factors["order"]["other"], "recipe": {"init": "run:audioset/other"}}}
    settings = experiment(
        a=study(datasets=["audioset"], factors=factors), b=study(factors={"order": tuned})
    )
    plan = cells.plan(settings, cells.find_cell(settings, "desed/htsat/other/seed2"))
    assert str(plan.parent) == "audioset/htsat/other/seed2"
    absent = experiment(b=study(factors={"order": tuned}))
    with pytest.raises(UserError, match="names no run: no audioset/htsat/other/seed2"):
        cells.plan(absent, cells.find_cell(absent, "desed/htsat/other/seed2"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ["htsta"]}, "unknown 'htsta'; did you mean 'htsat'"),
        ({"datasets": ["dsed"]}, "unknown 'dsed'; did you mean 'desed'"),
        ({"seeds": [7]}, r"seeds: unknown '7'.*valid: 0, 1, 2"),
        ({"factors": {"f": {"x": {"control": "bb"}}}}, "control.*'positive' or 'aa'"),
        (
            {"factors": {"f": {"x": {"control": "aa", "recipe": {"epochs": 2}}}}},
            "control aa changes random streams alone",
        ),
        ({"reference": "scrach"}, "unknown 'scrach'; did you mean 'scratch'"),
        ({"design": "half_grid"}, "design.*'full_grid'"),
        ({"factors": {"f": {"x": {"recipe": {"epoch": 3}}}}}, "did you mean 'epochs'"),
        (
            {"factors": {"f": {"x": {"recipe": {"epochs": 0}}}}},
            r"f\.x\.recipe: epochs.*got 0",
        ),
        ({"factors": {"f": {"x": {"recipes": {}}}}}, "did you mean 'recipe'"),
        (
            {"factors": {"f": {"x": {"recipe": {"init": "scratch"}}}}},
            r"init: 'scratch' is not valid: first weights",
        ),
        ({"factors": {"f": {"a+b": {}}}}, "level 'a\\+b' needs another name"),
        ({"factors": {"f": {"x": {}}, "g": {"x": {}}}}, "level 'x' needs another name"),
        ({"factors": {"f": {"x": {}}}, "design": "leave_one_out"}, "two or more factors"),
    ],
)
def test_what_does_not_exist_or_fit_is_refused_with_its_remedy(changes, words) -> None:
    with pytest.raises(UserError, match=words):
        experiment(a=study(**changes))


def test_combined_levels_must_agree_on_what_they_set() -> None:
    factors = {
        "f": {"x": {"recipe": {"epochs": 3}}},
        "g": {"y": {"recipe": {"epochs": 4}}},
    }
    experiment(a=study(factors=factors))
    with pytest.raises(UserError, match=r"'x\+y' set recipe value 'epochs' to 3 and 4"):
        experiment(a=study(factors=factors, design="full_grid"))


def test_two_studies_cannot_mean_different_runs_by_one_name() -> None:
    other = {"window_size": {"window_2": {"model": {"window_size": 8}}}}
    with pytest.raises(UserError, match="'window_2' of htsat on desed has other values"):
        experiment(a=study(), b=study(factors=other))


def test_controls_are_levels_with_a_mark() -> None:
    factors = {
        "order": {"random": {"control": "positive", "model": {"token_order": "random"}}},
        "streams": {"again": {"control": "aa"}},
        "size": {"window_2": {"model": {"window_size": 2}}},
    }
    settings = experiment(a=study(factors=factors))
    found = {v.name: v.control for v in settings.ablations["a"].variants()}
    assert found == {"random": "positive", "again": "aa", "window_2": None}
    base, again = (
        cells.plan(settings, cells.find_cell(settings, f"desed/htsat/{name}/seed1"))
        for name in ("base", "again")
    )
    assert (base.recipe.streams, again.recipe.streams) == (0, 1)
    assert again.recipe.model_copy(update={"streams": 0}) == base.recipe
    assert again.model == base.model
    assert config.Config.model_validate(settings.model_dump(mode="json")) == settings


def test_other_streams_share_no_random_number() -> None:
    assert run_seed(3, 0) == 3
    seeds = [stream_seed(run_seed(s, n), "init") for s in range(20) for n in range(3)]
    assert len(set(seeds)) == 60


def test_a_study_of_several_models_multiplies_their_own_epochs() -> None:
    factors = {"steps": {"longer": {"recipe": {"epochs_times": 2.5}}}}
    settings = experiment(a=study(models=["htsat", "pann"], factors=factors))
    for model in ("htsat", "pann"):
        plan = cells.plan(settings, cells.find_cell(settings, f"desed/{model}/longer/seed0"))
        assert plan.recipe.epochs == round(2.5 * settings.recipe(model, "desed").epochs)
        assert "epochs_times" not in plan.resolved["recipe"]
    steps = {"epochs_times": 2, "schedule": "steps", "step_epochs": [3]}
    with pytest.raises(UserError, match="step_epochs are counted in epochs"):
        experiment(a=study(factors={"steps": {"longer": {"recipe": steps}}}))


def test_the_plan_counts_the_runs_of_a_study() -> None:
    settings = experiment(a=study(design="full_grid"))
    assert f"ablation 'a': {7 * len(settings.seeds_on('desed'))} runs" in table(settings)


@given(st.lists(st.integers(1, 3), min_size=2, max_size=4))
def test_designs_have_the_sizes_that_their_definitions_give(counts: list[int]) -> None:
    factors = {f"f{i}": {f"l{i}{j}": {} for j in range(n)} for i, n in enumerate(counts)}

    def size(design: str) -> int:
        made = AblationStudy.model_validate(study(design=design, factors=factors))
        made.check("a")
        return len(list(made.variants()))

    assert size("one_at_a_time") == sum(counts)
    assert size("full_grid") == prod(n + 1 for n in counts) - 1
    if max(counts) == 1:
        assert size("leave_one_out") == 1 + len(counts)
