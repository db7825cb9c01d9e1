"""config/default.yaml: what its ablations are compared with, and what it leaves undecided."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.experiment import cells, config

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def default() -> config.Config:
    return config.load(ROOT / "config" / "default.yaml")


@pytest.fixture(scope="module")
def plans(default: config.Config) -> dict[cells.Cell, cells.Plan]:
    return {cell: cells.plan(default, cell) for cell in cells.list_cells(default)}


def beside(cell: cells.Cell, variant: str) -> cells.Cell:
    """The run of another variant that a run is paired with."""
    return cells.Cell(cell.dataset, cell.model, variant, cell.fold, cell.seed)


def test_pretraining_changes_the_start_and_no_step(
    plans: dict[cells.Cell, cells.Plan],
) -> None:
    started = [cell for cell in plans if cell.variant == "from_audioset"]
    assert started
    for cell in started:
        own, control = plans[cell], plans[beside(cell, "base")]
        assert control.recipe.init == "random"
        assert own.recipe == control.recipe.model_copy(update={"init": "run:audioset"})
        # Of its own: pairs that share a pretrained model are not independent.
        assert own.parent == cells.Cell("audioset", cell.model, "base", -1, cell.seed)
        assert own.parent in plans


def test_every_change_has_six_pairs_and_every_study_both_controls(
    default: config.Config, plans: dict[cells.Cell, cells.Plan]
) -> None:
    assert default.ablations
    for study in default.ablations.values():
        changes = list(study.variants())
        controls = Counter(change.control for change in changes if change.control)
        assert controls == {"aa": 1, "positive": 1}
        for dataset in study.datasets:
            for model in study.models:
                for change in changes:
                    pairs = [
                        cell
                        for cell in plans
                        if (cell.dataset, cell.model, cell.variant) == (dataset, model, change.name)
                        and beside(cell, change.against) in plans
                    ]
                    assert len(pairs) >= 6, change.name


def test_the_default_compares_no_models_and_longer_experiments_do(default: config.Config) -> None:
    declared = {
        name: config.load(ROOT / "config" / f"{name}.yaml").statistics.contrasts
        for name in ("long", "real")
    }
    assert default.statistics.contrasts == ()
    for pairs in declared.values():
        assert pairs is not None
        assert {("htsat", "ast"), ("htsat", "pann")} <= set(pairs)
