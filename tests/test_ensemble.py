"""Ensembles: exactly the mean of their members' probabilities, scored like any run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from factories import ROOT, make_inputs, make_run

from bench.__main__ import main
from bench.data.task import split_corpus
from bench.evaluation.evaluate import tagging
from bench.experiment import config as experiments
from bench.experiment.cells import Cell, Layout, ensemble_cells, plan
from bench.experiment.config import Config
from bench.experiment.extends import read
from bench.files import UserError, read_json
from bench.models.scores import read_scores
from bench.reporting.released import ensemble_table
from bench.results.released import ensembles


@pytest.fixture
def experiment(tmp_path: Path) -> Config:
    values = read(ROOT / "tests" / "experiment.yaml")
    values["paths"] = {name: str(tmp_path / name) for name in ("work", "results", "report")}
    values["ablations"] = {}
    values["ensembles"] = {
        "three": {"dataset": "desed", "model": "htsat"},
        "ast": {"dataset": "desed", "model": "ast"},
        "folds": {"dataset": "esc50", "model": "htsat"},
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(values))
    settings = experiments.load(tmp_path / "experiment.yaml")
    make_inputs(settings)
    for dataset, model in (("desed", "htsat"), ("desed", "ast"), ("esc50", "htsat")):
        for seed in settings.seeds:
            fold = seed if dataset == "esc50" else -1
            make_run(settings, Cell(dataset, model, "base", fold, seed))
    return settings


def test_an_ensemble_is_the_mean_of_its_members(experiment: Config, tmp_path: Path) -> None:
    assert main(["ensemble", "three", "--config", str(tmp_path / "experiment.yaml")]) == 0
    cell, members = ensemble_cells(experiment, "three")
    layout = Layout.of(experiment)
    assert len(members) == 3
    found = read_scores(layout.run(cell) / "scores.npz", "test")
    parts = [read_scores(layout.run(member) / "scores.npz", "test") for member in members]
    for kind in ("clip_scores", "frame_scores"):
        mean = sum(getattr(part.scores, kind).astype(float) for part in parts) / 3
        assert getattr(found.scores, kind) == pytest.approx(mean, abs=1e-3)
    record = read_json(layout.record(cell))
    corpus = split_corpus(plan(experiment, cell), layout.corpus("desed"))
    assert record["metrics"]["test"]["mAP"] == tagging(found, corpus)["mAP"]
    assert record["resolved"]["members"] == [str(member) for member in members]
    assert record["parameters"] == 3 * 610_000
    row = {
        row.label: row.entries
        for row in ensemble_table(experiment, list(ensembles(experiment))).rows
    }["three"]
    assert row["figure_percent"].value == record["metrics"]["test"]["intersection_f1"]["value"]
    singles = [read_json(layout.record(m))["metrics"]["test"] for m in members]
    values = [one["intersection_f1"]["value"] for one in singles]
    assert row["members_percent"].value == pytest.approx(np.mean(values))


def test_an_ensemble_of_models_without_frames_has_none(experiment: Config, tmp_path: Path) -> None:
    assert main(["ensemble", "ast", "--config", str(tmp_path / "experiment.yaml")]) == 0
    cell, _ = ensemble_cells(experiment, "ast")
    record = read_json(Layout.of(experiment).record(cell))
    assert not record["localization"]["can_localize"]


def test_what_cannot_be_averaged_is_refused(
    experiment: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(name: str) -> str:
        assert main(["ensemble", name, "--config", str(tmp_path / "experiment.yaml")]) == 2
        return capsys.readouterr().err

    assert "other clips or classes" in refused("folds")
    assert "did you mean 'three'" in refused("thre")

    def cells(**values: Any) -> Any:
        chosen = experiments.Ensemble.model_validate(
            {"dataset": "desed", "model": "htsat", **values}
        )
        return ensemble_cells(experiment.model_copy(update={"ensembles": {"new": chosen}}), "new")

    with pytest.raises(UserError, match="the experiment has 0"):
        cells(variant="frequency_first")
    with pytest.raises(UserError, match="needs two runs or more"):
        cells(released=("htsat-audioset-1",))
