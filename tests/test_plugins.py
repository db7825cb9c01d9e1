"""A made-up model and a made-up data set: one file and one config entry each, nothing else."""

from __future__ import annotations

import copy
import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from workflow_copy import EXPERIMENT, due, make_copy, write_experiment

from bench import __main__ as cli
from bench.code_digest import model_stage_digest
from bench.data.task import open_task
from bench.experiment import config
from bench.experiment.cells import Layout, find_cell, plan
from bench.experiment.jobs import list_jobs
from bench.experiment.triggers import Triggers
from bench.files import UserError
from bench.models.scores import read_scores
from bench.tracking.sync import sync

PLUGINS = Path(__file__).resolve().parent / "plugins"
MODEL = {
    "title": "Toy net",
    "architecture": "toy_model:ToyNet",
    "front_end": "logmel",
    "arguments": {"width": 8},
}
DATASET = {
    "title": "Whistles",
    "loader": "toy_data:load",
    "root": "whistles",
    "loss": "ce",
    "metric": "accuracy",
    "selection": "accuracy",
    "front_ends": EXPERIMENT["datasets"]["desed"]["front_ends"],
}
WIDER = {
    "models": ["toy"],
    "datasets": ["whistles"],
    "factors": {"width": {"wide_1.5": {"why": "twice as wide", "model": {"width": 16}}}},
}


def extended() -> dict:
    """An experiment of one known and one made-up model on the made-up data set."""
    values = copy.deepcopy(EXPERIMENT)
    values |= {"datasets": {"whistles": DATASET}, "ablations": {"width": WIDER}, "seeds": [0, 1]}
    values["models"] = {"pann": values["models"]["pann"], "toy": MODEL}
    values["recipes"] = {"base": values["recipes"]["base"]}
    values["cost"] = {"models": {}}
    values["embedded"] = None
    values["paths"] = {"work": "work", "results": "results", "report": "report"}
    return values


def write_audio(root: Path) -> None:
    """24 clips of 0.5 s, of which one is listed alone."""
    rng = np.random.default_rng(0)
    (root / "audio").mkdir(parents=True)
    with open(root / "clips.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "split", "label"])
        for number in range(25):
            label, pitch = (("low", 300), ("high", 2000))[number % 2]
            table.writerow(
                [f"{number}.wav", ("train", "train", "validation", "test")[number // 2 % 4], label]
            )
            if number < 24:
                wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(8000) / 16000)
                wave += rng.normal(0, 0.02, wave.shape)
                soundfile.write(root / "audio" / f"{number}.wav", wave, 16000)


def forget_plugins() -> None:
    for name in ("toy_model", "toy_data"):
        sys.modules.pop(name, None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the plug-ins, audio and experiment in it."""
    for path in PLUGINS.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    forget_plugins()
    write_audio(tmp_path / "whistles")
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(extended()))
    yield tmp_path
    forget_plugins()


def test_plug_ins_are_short() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in PLUGINS.glob("*.py")}
    assert lines["toy_model.py"] < 60
    assert lines["toy_data.py"] < 80


def test_they_appear_in_dag_tables_report_and_mlflow(folder: Path) -> None:
    for job in list_jobs(config.load(folder / "experiment.yaml")):
        arguments = [job.stage, *job.name.split(), "--config", "experiment.yaml"]
        assert cli.main(arguments) == 0, arguments
    table = pd.read_csv("report/tables/whistles.csv")
    assert set(table["model"]) >= {"PANN-CNN tiny", "Toy net"}
    row = table[table["model"] == "Toy net"].iloc[0]
    records = [json.loads(path.read_text()) for path in Path("results/runs").rglob("record.json")]
    own = [r for r in records if r["cell"]["model"] == "toy" and r["cell"]["variant"] == "base"]
    expected = np.mean([r["metrics"]["test"]["accuracy"]["value"] for r in own])
    assert row["accuracy_percent"] == pytest.approx(100 * expected)
    assert own[0]["coverage"] == {"found": 24, "listed": 25, "excluded": 0, "windowed": 0}
    ablation = pd.read_csv("report/tables/ablations.csv")
    assert list(ablation["variant"]) == ["wide_1.5"]
    assert "Toy net" in Path("report/tables/cost.md").read_text()
    page = Path("report/index.html").read_text()
    found = page.split('<section id="whistles"')[1].split("</section>")[0]
    assert re.search(
        r"<h3>Whistles: .*(PANN-CNN tiny|Toy net) (has|share) the highest mean</h3>", found
    )
    assert "and Toy net on Whistles" in page.split("<h1>")[1].split("</h1>")[0]
    changes = page.split('<section id="ablations"')[1].split("</section>")[0]
    assert "Twice as wide" in changes
    assert re.search(r'alt="Learning curves on Whistles[^"]*Toy net ends at', page)
    check_store(folder)


def check_store(folder: Path) -> None:
    """MLflow has every run once, filterable, with curves, load, pictures and the best model."""
    import mlflow

    uri = f"sqlite:///{folder}/results/mlflow.db"
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("whistles").experiment_id
    runs = {run.data.tags["key"]: run for run in client.search_runs([experiment])}
    assert {"whistles/toy/base/seed0", "whistles/toy/base", "whistles/toy/wide_1.5/seed1"} <= set(
        runs
    )
    found = client.search_runs([experiment], "tags.factor = 'width' and tags.level = 'run'")
    assert {run.data.tags["variant"] for run in found} == {"wide_1.5"}
    one = runs["whistles/toy/wide_1.5/seed1"]
    parent = runs["whistles/toy/wide_1.5"]
    assert one.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {"git_sha", "data_digest", "experiment", "seed", "model"} <= set(one.data.tags)
    curve = client.get_metric_history(one.info.run_id, "curve_train_loss")
    lines = Path("results/runs/whistles/toy/wide_1.5/seed1/metrics.jsonl").read_text().splitlines()
    points = [json.loads(line) for line in lines]
    assert [(p.step, p.value) for p in curve] == [(p["step"], p["train_loss"]) for p in points]
    assert "system/process_memory_megabytes" in one.data.metrics
    base = runs["whistles/toy/base"]
    pictures = [file.path for file in client.list_artifacts(base.info.run_id, "figures")]
    assert pictures == ["figures/learning_curves.svg"]

    mlflow.set_tracking_uri(uri)
    model = mlflow.pyfunc.load_model(f"models:/{base.outputs.model_outputs[0].model_id}")
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 100, 32)
    settings = config.load(folder / "experiment.yaml")
    best = find_cell(settings, base.data.tags["best"])
    resolved, layout = plan(settings, best), Layout.of(settings)
    task = open_task(resolved, layout.corpus("whistles"), layout.features("whistles", "logmel"))
    stored = read_scores(layout.run(best) / "scores.npz", "test").scores.clip_scores
    served = model.predict(task.features(task.rows["test"]))
    np.testing.assert_allclose(served, stored, atol=1e-6)

    assert sync(settings) == {"written": 0, "kept": 9}
    assert len(client.search_runs([experiment])) == 9


def test_adding_one_runs_only_its_own_jobs(tmp_path: Path) -> None:
    folder = make_copy(tmp_path / "copy")
    for path in PLUGINS.glob("*.py"):
        (folder / path.name).write_text(path.read_text())
    (folder / "whistles").mkdir()
    values = copy.deepcopy(EXPERIMENT)
    before = Triggers(config.load(values))
    known = {cell: (before.train(cell), before.evaluate(cell)) for cell in before.plans}
    values["models"]["toy"] = MODEL
    values["datasets"]["whistles"] = DATASET
    values["ablations"]["width"] = WIDER
    write_experiment(folder, values)
    jobs = due(folder)
    assert {"train whistles/toy/base/seed0", "train whistles/toy/wide_1.5/seed0"} <= set(jobs)
    assert "read whistles" in jobs
    sys.path.insert(0, str(folder))
    try:
        after = Triggers(config.load(values))
        assert {cell: (after.train(cell), after.evaluate(cell)) for cell in known} == known
        mine = after.train("whistles/toy/base/seed0")
    finally:
        sys.path.remove(str(folder))
    assert mine["code"] != known["desed/pann/base/seed0"][0]["code"]


def test_an_edit_of_a_plug_in_concerns_its_own_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench import code_digest

    def digests() -> list[str]:
        for cached in vars(code_digest).values():
            if hasattr(cached, "cache_clear"):
                cached.cache_clear()
        return [model_stage_digest("train", name) for name in ("toy_model:ToyNet", "pann")]

    own, other = digests()
    path = folder / "toy_model.py"
    path.write_text(path.read_text().replace("5, padding=2", "3, padding=1"))
    changed, same = digests()
    assert own != changed
    assert other == same


@pytest.mark.parametrize(
    ("section", "key", "words"),
    [
        ("models", "architecture", "'htsta'; did you mean 'htsat'"),
        (
            "models",
            "architecture",
            "unknown 'absent_module:Net'.*name a plug-in as module:attribute",
        ),
        ("datasets", "loader", "'desd'; did you mean 'desed'"),
        ("datasets", "loader", "unknown 'absent_module:load'.*name a plug-in as module:attribute"),
    ],
)
def test_an_unknown_name_is_refused_with_its_remedy(section: str, key: str, words: str) -> None:
    values = copy.deepcopy(EXPERIMENT)
    next(iter(values[section].values()))[key] = re.search("'(.*?)'", words).group(1)
    with pytest.raises(UserError, match=words):
        config.load(values)
