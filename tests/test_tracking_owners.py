"""What others made in a store is never changed; what was made here is made again if it is lost."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from factories import ROOT, change_record, make_results, make_small_config

from bench.experiment.cells import Layout, list_cells
from bench.experiment.config import Config
from bench.files import UserError, read_json
from bench.tracking.store import OWNER, Store, break_false_seal
from bench.tracking.sync import sync

ALL = 6  # three models: a parent run and one seed each


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with records and a store of them."""
    folder = tmp_path_factory.mktemp("made")
    config = make_small_config(folder)
    make_results(config)
    assert sync(config) == {"written": ALL, "kept": 0}
    return folder


@pytest.fixture
def config(made: Path, tmp_path: Path) -> Config:
    """A copy of it in another place, with a space and signs in its name."""
    place = tmp_path / "a b#c%20é"
    shutil.copytree(made, place)
    return make_small_config(place)


def active(store: Store) -> dict[str, Any]:
    """The runs in esc50 that MLflow's pages list, by name."""
    found = store.client.search_runs([store.experiment("esc50")])
    runs = {run.info.run_name: run for run in found}
    assert len(runs) == len(found)
    return runs


def told(run: Any) -> dict[str, Any]:
    return {**run.to_dictionary(), "end": run.info.end_time}


def test_runs_of_others_stay_whatever_they_are_called(config: Config) -> None:
    store = Store(config)
    experiment, client = store.experiment("esc50"), store.client
    key = str(list_cells(config)[0])
    tags = {"mine": {"owner": "me"}, "same key": {"key": key}, "other folder": {"key": key}}
    tags["other folder"][OWNER] = "default of-another-folder"
    for name, own in tags.items():
        run = client.create_run(experiment, run_name=name, tags=own)
        client.log_metric(run.info.run_id, "loss", 0.5)
        client.set_terminated(run.info.run_id)
    elsewhere = client.create_run(client.create_experiment("mine"), run_name="alone")
    before = {name: told(run) for name, run in active(store).items()}
    change_record(config, list_cells(config)[0], cost={"train_hours": 2.0})
    assert sync(config) == {"written": 2, "kept": ALL - 2}  # the record and its parent
    after = {name: told(run) for name, run in active(Store(config)).items()}
    assert len(after) == ALL + 3
    for name in tags:
        assert after[name] == before[name]
    assert client.get_run(elsewhere.info.run_id).info.lifecycle_stage == "active"


def test_models_of_others_stay_with_a_run_that_is_replaced(config: Config) -> None:
    from mlflow.entities import LoggedModelOutput

    store = Store(config)
    cell = list_cells(config)[0]
    run = next(r for r in active(store).values() if r.data.tags["key"] == str(cell))
    models = [
        store.client.create_logged_model(
            store.experiment("esc50"), name, run.info.run_id, tags=tags
        )
        for name, tags in (("theirs", {}), ("ours", {OWNER: store.owner}))
    ]
    outputs = [LoggedModelOutput(model.model_id, 0) for model in models]
    store.client.log_outputs(run.info.run_id, outputs)
    change_record(config, cell, cost={"train_hours": 2.0})
    sync(config)
    left = store.client.search_logged_models([store.experiment("esc50")])
    assert [model.name for model in left] == ["theirs"]


def test_a_moved_folder_is_followed_and_written_to(config: Config, tmp_path: Path) -> None:
    store = Store(config)
    mine = store.client.create_run(store.experiment("esc50"), run_name="mine").info.run_id
    store.client.log_text(mine, "heard", "note.txt")
    ids = {run.info.run_id for run in active(store).values()}
    shutil.move(Path(config.paths.results).parent, tmp_path / "moved")
    moved = make_small_config(tmp_path / "moved")
    cell = list_cells(moved)[0]
    change_record(moved, cell, cost={"train_hours": 2.0})
    assert sync(moved) == {"written": 2, "kept": ALL - 2}
    store = Store(moved)
    runs = active(store)
    assert len(ids & {run.info.run_id for run in runs.values()}) == ALL - 1
    here = (tmp_path / "moved" / "results" / "mlartifacts" / "esc50").as_uri()
    for run in runs.values():
        assert run.info.artifact_uri.startswith(f"{here}/")
    for run in (r for r in runs.values() if r.data.tags.get("level") == "run"):
        got = store.client.download_artifacts(run.info.run_id, "record.json")
        assert (
            Path(got).read_bytes()
            == (
                Layout.of(moved).results / "runs" / run.data.tags["key"] / "record.json"
            ).read_bytes()
        )
    assert Path(store.client.download_artifacts(mine, "note.txt")).read_text() == "heard"


def test_a_copied_folder_leaves_the_first_as_it_is(made: Path, config: Config) -> None:
    before = (made / "results" / "mlflow.db").read_bytes()
    change_record(config, list_cells(config)[0], cost={"train_hours": 2.0})
    sync(config)
    assert (made / "results" / "mlflow.db").read_bytes() == before


def test_a_deleted_experiment_comes_back_with_every_run_once(config: Config) -> None:
    store = Store(config)
    change_record(config, list_cells(config)[0], cost={"train_hours": 2.0})
    sync(config)  # so that two runs are among the deleted ones already
    store.client.delete_experiment(store.experiment("esc50"))
    assert sync(config) == {"written": 0, "kept": ALL}
    assert len(active(Store(config))) == ALL


def test_a_deleted_experiment_of_others_is_named(tmp_path: Path) -> None:
    store = Store(make_small_config(tmp_path))
    theirs = store.client.create_experiment("esc50")
    store.client.delete_experiment(theirs)
    with pytest.raises(UserError, match=rf"'esc50'.*restore --experiment-id {theirs}"):
        store.experiment("esc50")
    assert store.client.get_experiment(theirs).lifecycle_stage == "deleted"


def test_a_deleted_run_is_made_again(config: Config) -> None:
    store = Store(config)
    store.client.delete_run(next(iter(active(store).values())).info.run_id)
    assert sync(config)["written"] == 1
    assert len(active(Store(config))) == ALL


def track(config: Config) -> str:
    """What the command says: MLflow's client keeps a lost database open within a process."""
    path = Path(config.paths.results).parent / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "bench", "track", "--config", str(path)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def lose_store(results: Path) -> None:
    (results / "mlflow.db").unlink()


def lose_artifacts(results: Path) -> None:
    shutil.rmtree(results / "mlartifacts")


def lose_one(results: Path) -> None:
    next((results / "mlartifacts").rglob("record.json")).unlink()


def cut_one(results: Path) -> None:
    path = next((results / "mlartifacts").rglob("*.svg"))
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("lose", "written"), [(lose_store, ALL), (lose_artifacts, ALL), (lose_one, 1), (cut_one, 1)]
)
def test_what_is_lost_is_due_and_made_again(
    config: Config, lose: Callable[[Path], None], written: int
) -> None:
    results = Layout.of(config).results
    seal = results / "mlflow.json"
    sync(config)
    break_false_seal(config)
    assert seal.exists()
    lose(results)
    break_false_seal(config)
    assert not seal.exists()
    assert f": {written} runs written, {ALL - written} unchanged" in track(config)
    break_false_seal(config)
    assert seal.exists()
    listed = read_json(seal)["files"]
    assert {Path(name).name for name in listed} >= {"record.json", "metrics.jsonl"}
    assert all((results / name).stat().st_size == size for name, size in listed.items())


def test_a_store_that_is_elsewhere_is_due(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    seal = Layout.of(config).results / "mlflow.json"
    break_false_seal(config)  # copied: the store that it names is the first folder's
    assert not seal.exists()
    sync(config)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    break_false_seal(config)
    assert not seal.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"store": 1}', '{"files": {"a": "b"}}'])
def test_a_damaged_seal_is_no_seal(config: Config, content: str) -> None:
    seal = Layout.of(config).results / "mlflow.json"
    seal.write_text(content)
    break_false_seal(config)
    assert not seal.exists()


def test_a_store_of_another_mlflow_is_named_and_kept(config: Config) -> None:
    path = Layout.of(config).results / "mlflow.db"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffff'")
    with pytest.raises(UserError, match=r"mlflow\.db.*move it away"):
        sync(config)
    assert path.exists()
