"""The rehearsal of the full-size experiment: every recipe, with small networks for large ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import baselines.ast
import baselines.pann
import htsat.presets
from bench.experiment import config, folders
from bench.experiment.cells import list_cells, plan
from bench.ops import rehearse
from bench.ops.rehearsal.one import rehearse_run
from bench.ops.rehearsal.outcome import Limits
from bench.ops.rehearsal.page import page

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.system


def test_every_recipe_of_the_full_size_experiment_is_rehearsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for presets in (htsat.presets.PRESETS, baselines.ast.PRESETS, baselines.pann.PRESETS):
        monkeypatch.setitem(presets, "paper", presets["tiny"])
    patches = baselines.ast.PRESETS["tiny"]  # laid as in the released files
    monkeypatch.setitem(baselines.ast.PRESETS, "paper", replace(patches, stride=10))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rehearse, "workers", lambda: 1)
    settings = config.load(ROOT / "config" / "paper.yaml")
    folders.take(settings)
    done = rehearse.rehearse(
        settings,
        [],
        Limits(memory=8e9, step_seconds=1.0),
        one_run=lambda small, cell, limits, _: rehearse_run(small, cell, limits),
    )
    assert done.failures == {}
    runs = {(cell.dataset, cell.model, cell.variant) for cell in list_cells(settings)}
    assert {*done.outcomes} == runs
    for cell in list_cells(settings):
        resolved = plan(settings, cell)
        one = done.outcomes[rehearse.group_of(cell)]
        assert one.batch == resolved.recipe.batch_size
        assert (resolved.recipe.start is None) or resolved.recipe.start in done.starts
    assert {done.stages[name] for name in ("track", "report")} == {"ok"}
    text = page(settings, done)
    assert f"{len(runs)} distinct runs, no failures" in text
    assert "training runs are from steps measured here" in text
