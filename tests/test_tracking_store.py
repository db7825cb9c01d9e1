"""The MLflow store is whole or absent, and a damaged one is named."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from factories import ROOT, make_config, make_results, make_small_config

from bench import __main__ as cli
from bench.experiment import folders
from bench.experiment.cells import Layout
from bench.experiment.config import Config
from bench.files import UserError
from bench.process.locks import hold
from bench.tracking import rows, sync
from bench.tracking.store import Store


@pytest.fixture
def experiment(tmp_path: Path) -> Config:
    return make_config(tmp_path, seeds=(0,), ablations={})


def test_after_a_kill_while_the_store_is_made_the_same_command_goes_on(
    experiment: Config, tmp_path: Path
) -> None:
    path, results = tmp_path / "experiment.yaml", tmp_path / "results"
    path.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    process = subprocess.Popen([sys.executable, "-m", "bench", "track", "--config", path], cwd=ROOT)
    while not any(file.stat().st_size > 100_000 for file in results.glob("**/*.db")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (results / "mlflow.db").exists()  # half its tables are in another file
    assert Store(experiment).experiment("desed") == "1"


def test_a_writer_waits_for_one_that_a_killed_snakemake_has_left(tmp_path: Path) -> None:
    config = make_small_config(tmp_path, seeds=(0,))
    make_results(config)
    path, results = tmp_path / "experiment.yaml", Layout.of(config).results
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    call = [sys.executable, "-m", "bench", "track", "--config", path]
    with hold(results / ".mlflow.lock", "track"):
        process = subprocess.Popen(call, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("track waits for track (process")
        assert not (results / "mlflow.db").exists()
    assert "0 unchanged" in process.communicate()[0]
    assert process.returncode == 0


@pytest.mark.parametrize("content", [b"SQLite format 3\x00 and no more", b"text"])
def test_a_damaged_store_is_named(experiment: Config, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mlflow.db").write_bytes(content)
    with pytest.raises(
        UserError, match=r"mlflow\.db: missing or damaged (.|\n)*; move it away and run"
    ):
        Store(experiment)


def test_a_disk_that_is_full_under_the_store_is_one_line(
    experiment: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SQLite says the same of a full disk and of a limit on its pages."""
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    monkeypatch.setattr(rows, "NO_WAIT", "PRAGMA max_page_count = 50")
    assert cli.main(["track", "--config", str(path)]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: [Errno 28] No space left on device: 'mlflow.db'; finished work")
    assert [path.name for path in (tmp_path / "results").iterdir()] == [".owner"]


def test_asking_where_the_store_is_is_not_the_job(
    experiment: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No receipt: the store may lack records that are newer than it."""
    path, results = tmp_path / "experiment.yaml", tmp_path / "results"
    path.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    assert cli.main(["track", "--store", "--config", str(path)]) == 0
    assert capsys.readouterr().out == f"sqlite:///{results}/mlflow.db\n"
    assert not results.exists()
    folders.take(experiment)
    Store(experiment).experiment("desed")
    assert cli.main(["track", "--links", "http://localhost", "--config", str(path)]) == 0
    assert "http://localhost/" in capsys.readouterr().out
    assert not (results / "receipts").exists()


def test_runs_that_were_made_but_not_filled_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_small_config(tmp_path, seeds=(0, 1))
    make_results(config)
    fill, filled = Store.fill, []

    def cut_short(store: Store, runs: dict[str, sync.Tracked]) -> dict[str, int]:
        if filled:
            raise KeyboardInterrupt
        filled.extend(runs)
        return fill(store, runs)

    monkeypatch.setattr(Store, "fill", cut_short)
    with pytest.raises(KeyboardInterrupt):
        sync.sync(config)
    monkeypatch.undo()
    assert len(filled) == 3  # one model's parent run and two seeds
    assert sync.sync(config) == {"written": 6, "kept": 3}
    with sqlite3.connect(tmp_path / "results" / "mlflow.db") as store:
        query = "SELECT status, count(*) FROM runs WHERE lifecycle_stage = 'active' GROUP BY status"
        assert store.execute(query).fetchall() == [("FINISHED", 9)]
        commits = "SELECT DISTINCT value, count(*) FROM tags WHERE key = 'git_sha'"
        assert store.execute(commits).fetchall() == [("0123456789abcdef" * 2 + "01234567", 9)]
        figures = store.execute("SELECT key FROM latest_metrics ORDER BY rowid").fetchall()
        assert [name for (name,) in figures[:3]] == [
            "test_accuracy",
            "test_mAP",
            "test_accuracy_sd",
        ]
    (experiment,) = (e for e in Store(config).client.search_experiments() if e.name == "esc50")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
