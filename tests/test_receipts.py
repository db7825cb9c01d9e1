"""Which finished work stands: what the receipts of an experiment say, held against the disk."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from workflow_copy import EXPERIMENT

from bench.experiment import config
from bench.experiment.jobs import Job
from bench.files import UserError
from bench.ops.receipts import KEEP, Receipts

CELL = "desed/htsat/base/seed0"
PARENT = "audioset/htsat/base/seed0"
HTSAT = {f"{stage} {cell}" for stage in ("train", "evaluate") for cell in (CELL, PARENT)}
VIEWS = {"track ", "report "}


def own_data(**changes: Any) -> config.Config:
    """EXPERIMENT on data of a person, in the working folder."""
    return config.load({**copy.deepcopy(EXPERIMENT), "embedded": None, **changes})


def perform(receipts: Receipts, job: Job, content: str = "made") -> int:
    def work() -> int:
        for path in receipts.outputs(job):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps([job.stage, job.name, path.name, content]))
        return 0

    return receipts.perform(job, work)


def run_due(settings: config.Config) -> set[str]:
    """Run, as the DAG does, what is due; the stages and names of what ran."""
    receipts = Receipts(settings)
    jobs = [
        job
        for job in receipts.jobs.values()
        if job.stage not in ("released", "ensemble", "tune") and receipts.due(job.stage, job.name)
    ]
    for job in jobs:
        perform(Receipts(settings), job)  # each in a process of its own
    return {f"{job.stage} {job.name}" for job in jobs}


def due(settings: config.Config) -> set[str]:
    return {f"{job.stage} {job.name}" for job in Receipts(settings).all_due()}


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config.Config:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(KEEP, raising=False)
    for name in ("audioset", "desed"):
        (tmp_path / "data" / name / "audio").mkdir(parents=True)
        (tmp_path / "data" / name / "labels.csv").write_text("clip,label\na,dog\n")
        (tmp_path / "data" / name / "audio" / "a.wav").write_bytes(b"sound")
    settings = own_data()
    run_due(settings)
    assert due(settings) == set()
    return settings


def test_a_whole_experiment_that_is_copied_without_dates_stands(
    finished: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, path in enumerate(sorted(tmp_path.rglob("*"))):
        if path.is_relative_to(tmp_path / "results") or path.is_relative_to(tmp_path / "work"):
            os.utime(path, (number, number))
    shutil.copytree(tmp_path, tmp_path.with_name("moved"))
    monkeypatch.chdir(tmp_path.with_name("moved"))
    assert due(finished) == set()


def test_work_that_was_deleted_is_not_missed(finished: config.Config) -> None:
    shutil.rmtree("work")
    assert due(finished) == set()


def test_work_that_was_deleted_is_made_again_where_a_job_reads_it(
    finished: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree("work")
    monkeypatch.setenv(KEEP, "1")
    receipts = Receipts(finished)
    for name in (("corpus", "desed"), ("featurize", "desed logmel")):
        job = receipts.jobs[name]
        perform(receipts, job)
        assert all(path.is_file() for path in job.writes)
    assert due(finished) == set()


def test_corrected_labels_and_late_clips_of_own_data_are_read_again(
    finished: config.Config,
) -> None:
    labels = Path("data/desed/labels.csv")
    for change in (
        lambda: labels.write_text("clip,label\na,cat\n"),
        lambda: Path("data/desed/audio/b.wav").write_bytes(b"sound"),
        lambda: Path("data/desed/audio/a.wav").write_bytes(b"other"),
        lambda: Path("data/desed/audio/a.wav").unlink(),
    ):
        change()
        found = due(finished)
        assert {"corpus desed", f"train {CELL}", f"evaluate {CELL}"} | VIEWS <= found
        assert "corpus audioset" not in found
        assert f"train {PARENT}" not in found
        run_due(finished)
        assert due(finished) == set()


def test_a_list_that_an_option_names_counts_wherever_it_lies(
    finished: config.Config, tmp_path: Path
) -> None:
    datasets = copy.deepcopy(EXPERIMENT["datasets"])
    datasets["desed"]["options"] = {"table": "lists/mine.csv"}
    Path("lists").mkdir()
    Path("lists/mine.csv").write_text("a,dog\n")
    settings = own_data(datasets=datasets)
    run_due(settings)
    Path("lists/mine.csv").write_text("a,cat\n")
    assert "corpus desed" in due(settings)


def test_new_dates_of_own_data_train_nothing_again(
    finished: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime("data/desed/audio/a.wav", (1, 1))
    weights = Path("results/runs", CELL, "model.pt")
    before = weights.stat().st_mtime_ns
    assert {"corpus desed", f"train {CELL}"} <= due(finished)
    monkeypatch.setenv(KEEP, "1")  # as Snakemake's jobs have it
    run_due(finished)
    assert weights.stat().st_mtime_ns == before
    assert due(finished) == set()


@pytest.mark.parametrize(
    ("lost", "again"),
    [
        ("out/claims.html", {"report "}),
        ("out/metrics.json", {"report "}),
        ("out/index.html", {"report "}),
        ("out/tables/desed.tex", {"report "}),
        (f"results/runs/{CELL}/record.json", {f"evaluate {CELL}"} | VIEWS),
        (f"results/runs/{CELL}/metrics.jsonl", {f"train {CELL}", f"evaluate {CELL}"} | VIEWS),
        (f"results/runs/{CELL}/scores.npz", {f"train {CELL}", f"evaluate {CELL}"} | VIEWS),
        (f"results/runs/{PARENT}/metrics.jsonl", HTSAT | VIEWS),
        ("results/cost/htsat.json", {"cost htsat", "report "}),
    ],
)
def test_lost_and_edited_outputs_are_made_again(
    finished: config.Config, lost: str, again: set[str]
) -> None:
    path = Path(lost)
    content = path.read_bytes()
    for spoil in (path.unlink, lambda: path.write_bytes(content[:-1] + b"?")):
        spoil()
        assert run_due(finished) == again
        assert path.read_bytes() == content
        assert due(finished) == set()


def test_one_recipe_value_makes_its_run_due_whatever_snakemake_remembers(
    finished: config.Config,
) -> None:
    recipes = {**EXPERIMENT["recipes"], "htsat/desed": {"init": "run:audioset", "epochs": 3}}
    changed = own_data(recipes=recipes)
    found = due(changed)
    assert {f"train {CELL}", f"evaluate {CELL}"} | VIEWS <= found
    assert not any("pann" in name or "corpus" in name for name in found)


@pytest.mark.parametrize(
    ("stage", "name", "read"),
    [
        ("train", CELL, f"results/runs/{PARENT}/model.pt"),
        ("train", CELL, "work/features/desed/logmel/index.parquet"),
        ("train", CELL, "work/features/desed/logmel/features.npy"),
        ("train", CELL, "work/corpora/desed/corpus.json"),
        ("evaluate", CELL, f"results/runs/{CELL}/scores.npz"),
        ("evaluate", CELL, f"results/runs/{CELL}/training.json"),
        ("report", "", f"results/runs/{CELL}/scores.npz"),
        ("report", "", f"results/runs/{CELL}/record.json"),
        ("track", "", f"results/runs/{CELL}/record.json"),
    ],
)
def test_a_job_refuses_an_input_that_is_not_what_its_maker_wrote(
    finished: config.Config, stage: str, name: str, read: str
) -> None:
    path, receipts = Path(read), Receipts(finished)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")  # as long as before
    with pytest.raises(UserError, match=rf"{read}: not what `bench .*` wrote; delete it"):
        perform(receipts, receipts.jobs[stage, name])
    path.write_bytes(content)
    assert perform(receipts, receipts.jobs[stage, name]) == 0


def test_a_job_that_fails_or_is_killed_leaves_no_receipt(finished: config.Config) -> None:
    receipts = Receipts(finished)
    job = receipts.jobs["evaluate", CELL]
    assert receipts.perform(job, lambda: 2) == 2
    assert f"evaluate {CELL}" in due(finished)


def test_a_damaged_receipt_is_as_good_as_none(finished: config.Config) -> None:
    receipts = Receipts(finished)
    place = receipts.place(receipts.jobs["cost", "htsat"])
    for content in ("{}", "[]", "null", '{"asked": 1}', "\0", ""):
        place.write_text(content)
        assert due(finished) == {"cost htsat", "report "}


@pytest.mark.parametrize("change", [{"metric": "intersection_f1"}, {"localize": False}])
def test_what_training_does_not_read_of_a_data_set_trains_nothing_again(
    finished: config.Config, change: dict[str, Any]
) -> None:
    datasets = copy.deepcopy(EXPERIMENT["datasets"])
    datasets["desed"] |= change
    found = due(own_data(datasets=datasets))
    assert f"evaluate {CELL}" in found
    assert not [job for job in found if job.startswith("train ")]
