"""Disks that fail, files that are damaged, clocks that jump: one clear message, nothing lost.

Out of memory, a missing GPU and a loss that is no number are in test_training_resumes.py and
test_team.py, stale locks in test_workflow_locks.py, a second Snakemake in test_workflow_guards.py.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from factories import ROOT, make_config, make_inputs
from small_training import make_recipe, make_task, parent_run, train
from test_training_resumes import same

from bench import __main__ as cli
from bench.corpora import open_corpus
from bench.data.store import FeatureStore
from bench.experiment import cells, config
from bench.experiment.cells import Layout
from bench.experiment.config import Config
from bench.files import UserError, write_json, write_tensors
from bench.models import networks
from bench.models.scores import read_scores
from bench.ops import receipts
from bench.training import fit
from bench.training.state import StateFolder
from bench.training.step import train_step

DISK = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN]
CELL = "desed/linear/base/seed0"
OUTPUTS = ("model.pt", "metrics.jsonl", "scores.npz", "training.json")


@pytest.fixture
def experiment(tmp_path: Path) -> tuple[Config, str]:
    """Corpora and features of an experiment, and its config file."""
    settings = make_config(tmp_path, seeds=(0,))
    make_inputs(settings)
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    return settings, str(path)


def failing_fsync(at: int, number: int) -> Callable[[int], None]:
    """`os.fsync`, which fails from its `at`-th call on."""
    calls = iter(range(10**6))

    def fsync(descriptor: int) -> None:
        if next(calls) >= at:
            raise OSError(number, os.strerror(number))

    return fsync


@pytest.mark.parametrize("number", DISK)
def test_a_disk_that_fails_under_a_stage_is_one_line_and_the_same_command_goes_on(
    experiment: tuple[Config, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    """Full, over quota, turned read-only, a bad block, a network drive that is gone."""
    settings, path = experiment
    folder = Layout.of(settings).results / "runs" / CELL
    for at, name in enumerate(OUTPUTS):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing_fsync(at, number))
            assert cli.main(["train", CELL, "--config", path]) == 2
        told = capsys.readouterr().err
        assert os.strerror(number) in told
        assert "finished work is kept" in told
        assert len(told.splitlines()) == 1
        assert not (folder / name).exists()
        assert not [p for p in folder.rglob("*") if ".tmp" in p.name]
    assert cli.main(["train", CELL, "--config", path]) == 0
    assert cli.main(["evaluate", CELL, "--config", path]) == 0
    assert all((folder / name).exists() for name in (*OUTPUTS, "record.json"))


def test_a_kill_before_the_receipt_costs_no_training(
    experiment: tuple[Config, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are hashed for a while, and the receipt of the run before is gone by then."""
    settings, path = experiment
    recipe = {"epochs": 2, "warmup_epochs": 1, "init": "random"}
    settings = config.load(path, {"recipes": {"pann/desed": recipe}})
    Path(path).write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    call = ["train", "desed/pann/base/seed0", "--config", path, "--gpus", "0"]
    steps: list[int] = []

    class Killed(BaseException):
        pass

    def killed(path: Path) -> Any:
        raise Killed

    def counted(*arguments: Any, **options: Any) -> Any:
        steps.append(1)
        return train_step(*arguments, **options)

    monkeypatch.setattr(fit, "train_step", counted)
    with monkeypatch.context() as patch:
        patch.setattr(receipts, "_sealed", killed)
        with pytest.raises(Killed):
            cli.main(call)
    layout = Layout.of(settings)
    folder = layout.run(cells.find_cell(settings, call[1]))
    once, scores = len(steps), read_scores(folder / "scores.npz", "test")
    assert cli.main(call) == 0
    assert len(steps) == once > 0
    again = read_scores(folder / "scores.npz", "test")
    assert np.array_equal(again.scores.clip_scores, scores.scores.clip_scores)
    assert not list((layout.work / "state").glob("*/state.pt"))
    assert cli.main(call) == 0  # by hand: all of it again
    assert len(steps) == 2 * once


@pytest.mark.parametrize("number", DISK)
def test_a_disk_that_fails_while_the_state_is_saved_keeps_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    task, recipe = make_task(), make_recipe()
    straight = train(task, tmp_path / "straight", recipe)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing_fsync(4, number))  # two files an epoch
        with pytest.raises(OSError, match=os.strerror(number)):
            train(task, tmp_path / "run", recipe)
    saved = StateFolder(tmp_path / "run", "a").load()
    assert saved is not None
    assert saved["progress"]["epoch"] == 2
    same(straight, train(task, tmp_path / "run", recipe))


def test_torch_does_not_hide_what_the_disk_says(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"x\.pt: cannot be written"):
        write_tensors(tmp_path / "file" / "x.pt", {})
    with open("/dev/full", "wb") as full, pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.files.open", lambda path, mode: full, raising=False)
        with pytest.raises(OSError, match="No space left"):
            write_tensors(tmp_path / "x.pt", {"weights": torch.zeros(100_000)})
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_features_cut_short_or_damaged_are_named(experiment: tuple[Config, str]) -> None:
    folder = Layout.of(experiment[0]).features("desed", "logmel")
    FeatureStore.open(folder)
    data, index = folder / "features.npy", folder / "index.parquet"
    whole = data.read_bytes()
    for cut in (len(whole) - 1, len(whole) // 2, 100, 0):
        data.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"logmel: missing or damaged .*delete this folder"):
            FeatureStore.open(folder)
    frames = np.load(_restored(data, whole))[:-7]
    np.save(data, frames)  # whole, but another array
    with pytest.raises(UserError, match=r"damaged \(2393 frames, the index asks for 2400\)"):
        FeatureStore.open(folder)
    _restored(data, whole)
    index.write_bytes(index.read_bytes()[:-9])
    with pytest.raises(UserError, match="logmel: missing or damaged"):
        FeatureStore.open(folder)


def test_features_that_vanish_under_a_training_leave_a_word_and_the_state(tmp_path: Path) -> None:
    """The kernel ends the process: a page of the mapped file is no longer there."""
    recipes = {"base": {"epochs": 500, "batch_size": 8, "learning_rate": 1e-3}}
    settings = make_config(tmp_path, seeds=(0,), recipes=recipes, ablations={})
    make_inputs(settings)
    path, cell = tmp_path / "experiment.yaml", "desed/pann/base/seed0"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "train", cell, "--config", path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "epoch 1/500" in process.stdout.readline()
    os.truncate(Layout.of(settings).features("desed", "logmel") / "features.npy", 128)
    _, told = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGBUS
    assert "Bus error" in told
    assert "store.py" in told
    assert list((tmp_path / "work" / "state").glob("*/state.pt"))


def _restored(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["clips.parquet", "missing.tsv", "corpus.json"])
def test_a_damaged_corpus_is_named(experiment: tuple[Config, str], name: str) -> None:
    folder = Layout.of(experiment[0]).corpus("desed")
    whole = (folder / name).read_bytes()
    for content in (whole[: len(whole) // 2], b"", None):
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        with pytest.raises(UserError, match=r"desed.*(delete|run the stage)"):
            open_corpus(folder)
        (folder / name).write_bytes(whole)


def test_an_edited_corpus_table_is_refused(experiment: tuple[Config, str]) -> None:
    """Whole and plausible, but with other labels: a training would learn them without a word."""
    folder = Layout.of(experiment[0]).corpus("desed")
    table = pd.read_parquet(folder / "clips.parquet")
    table["labels"] = table["labels"].iloc[::-1].to_numpy()
    table.to_parquet(folder / "clips.parquet", index=False)
    with pytest.raises(UserError, match=r"desed.*\(clips\.parquet is not what was .*; delete this"):
        open_corpus(folder)


def test_a_parents_weights_cut_short_flipped_or_foreign_are_refused(tmp_path: Path) -> None:
    settings, path = make_config(tmp_path), tmp_path / "model.pt"
    plan = cells.plan(settings, cells.find_cell(settings, "desed/pann/base/seed0"))
    model = parent_run(path, plan)
    assert networks.start_from_run(networks.build(plan, 3), plan, path).complete
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(model.fc1.weight.detach().numpy().tobytes())] ^= 1
    for content in (whole[:-100], whole[: len(whole) // 2], bytes(flipped), b"", b"\x80\x02}q"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"model\.pt: .*train the run it belongs to again"):
            networks.start_from_run(model, plan, path)
    parent_run(path, cells.plan(settings, cells.find_cell(settings, "desed/htsat/base/seed0")))
    with pytest.raises(UserError, match=r"model\.pt: tensors of another model; train"):
        networks.start_from_run(model, plan, path)


@pytest.mark.parametrize(("jump", "every_s"), [(-(10**9), 0.0), (10**9, 1000.0)])
def test_a_clock_that_jumps_changes_neither_saving_nor_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: int, every_s: float
) -> None:
    """The clock jumps whenever it is read: back while every step is saved, ahead while none is."""
    task, recipe, now, jumps = make_task(), make_recipe(), time.time, itertools.count()
    saved: list[Path] = []
    save = StateFolder.save

    def noted(state: StateFolder, values: dict[str, Any]) -> None:
        saved.append(state.folder)
        save(state, values)

    monkeypatch.setattr(StateFolder, "save", noted)
    straight = train(task, tmp_path / "straight", recipe, every_s=every_s)
    monkeypatch.setattr(time, "time", lambda: now() + jump * next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))
    jumped = train(task, tmp_path / "run", recipe, every_s=every_s)
    same(straight, jumped)
    assert 0 < jumped[1].seconds < 600
    assert saved.count(tmp_path / "run") == saved.count(tmp_path / "straight") >= recipe.epochs
    write_json(tmp_path / "run" / "note.json", {})  # files too
