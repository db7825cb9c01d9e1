"""config/real.yaml: equal terms for all networks, and what its comparisons rest on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.experiment import cells, config, trials
from bench.experiment.estimate import EMBEDDED_CLIPS, Estimate
from synth.sizes import EmbeddedSizes

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def real() -> config.Config:
    return config.load(ROOT / "config" / "real.yaml")


@pytest.fixture(scope="module")
def plans(real: config.Config) -> list[cells.Plan]:
    return [cells.plan(real, cell) for cell in cells.list_cells(real)]


def test_six_networks_are_tested_on_every_fold_of_esc10(plans: list[cells.Plan]) -> None:
    """The compared ones in six repeats, the others in the first two."""
    runs: dict[str, set[tuple[int, int]]] = {}
    for plan in plans:
        cell = plan.cell
        if (cell.dataset, cell.variant) == ("esc10", "base") and cell.model != "linear":
            runs.setdefault(cell.model, set()).add((cell.seed, cell.fold))
    assert list(runs) == ["htsat", "ast", "pann", "mobilenet", "passt", "atst_frame"]
    for place, found in enumerate(runs.values()):
        repeats = range(6 if place < 3 else 2)
        assert found == {(seed, fold) for seed in repeats for fold in range(5)}


def test_every_pair_chooses_among_the_same_rates(real: config.Config) -> None:
    points = [trials.points(real, *pair) for pair in trials.pairs(real)]
    assert len(points[0]) == real.tuning.trials
    assert all(point == points[0] for point in points)


def test_a_start_changes_nothing_but_the_start(plans: list[cells.Plan]) -> None:
    base = {
        plan.cell: plan.recipe.model_dump(exclude={"init"})
        for plan in plans
        if plan.cell.variant == "base"
    }
    started = [plan for plan in plans if plan.cell.variant == "from_audioset"]
    assert {plan.cell.model for plan in started} == {"htsat", "ast", "pann"}
    for plan in started:
        cell = cells.Cell("esc10", plan.cell.model, "base", plan.cell.fold, plan.cell.seed)
        assert plan.recipe.model_dump(exclude={"init"}) == base[cell]
        assert plan.parent == cells.Cell("audioset", plan.cell.model, "base", -1, plan.cell.seed)


def test_the_starts_learn_from_the_corpus_of_the_default(real: config.Config) -> None:
    assert real.embedded is not None
    kept = {*EmbeddedSizes.model_fields} - {*real.embedded.sizes}
    assert kept >= {"seed", "sources", "clip_seconds", "balanced", "unbalanced", "evaluation"}
    default = config.load(ROOT / "config" / "default.yaml").datasets["audioset"]
    assert real.datasets["audioset"].options == default.options


def test_networks_on_soundscapes_see_the_same_labels(plans: list[cells.Plan]) -> None:
    seen: dict[str, set[str]] = {}
    for plan in plans:
        if plan.cell.variant == "base" and plan.cell.model != "linear":
            seen.setdefault(plan.cell.dataset, set()).add(plan.recipe.supervision)
    assert seen["soundscapes"] == {"weak"}
    assert seen["soundscapes_timed"] == {"both"}


def test_what_is_fetched_counts_its_own_clips_beside_embedded_corpora(
    real: config.Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # nothing is there yet
    clips = Estimate.of(real).clips
    assert (clips["esc10"], clips["digits"]) == (400, 3000)
    assert clips["audioset"] == EMBEDDED_CLIPS
