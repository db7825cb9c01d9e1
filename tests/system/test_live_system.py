"""Running trainings on a real tracking server, and their records in place of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import factories
import pytest
import yaml
from mlflow_server import serving

from bench.experiment import folders
from bench.experiment.cells import Layout, list_cells
from bench.files import write_json_lines
from bench.process import locks

pytestmark = pytest.mark.system
POINTS = [{"epoch": e, "step": 4 * e, "train_loss": 1 / e, "seconds": 2.0 * e} for e in (1, 2, 3)]


@contextmanager
def live(url: str, experiment: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m bench track --live` while the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "track", "--live", "--config", str(experiment)],
        cwd=factories.ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": url},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(found: Callable[[], Any], seconds: float = 90) -> Any:
    """What `found` returns once it is true."""
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end, "never came"
        time.sleep(0.5)
    return answer


def track(url: str, experiment: Path) -> str:
    """What `python -m bench track` says."""
    return subprocess.run(
        [sys.executable, "-m", "bench", "track", "--config", str(experiment)],
        cwd=factories.ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": url},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_two_folders_share_an_experiment_and_each_keeps_its_runs(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    configs = [factories.make_small_config(tmp_path / name) for name in ("one", "two")]
    paths = [tmp_path / name / "experiment.yaml" for name in ("one", "two")]
    for config, path in zip(configs, paths, strict=True):
        factories.make_results(config)
        path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    store, files = f"sqlite:///{tmp_path}/server.db", (tmp_path / "files").as_uri()
    with serving("--backend-store-uri", store, "--artifacts-destination", files) as url:
        client = MlflowClient(url)

        def runs() -> dict[str, Any]:
            (found,) = client.search_experiments(filter_string="name LIKE 'esc50%'")
            listed = client.search_runs([found.experiment_id])
            return {run.info.run_id: run.to_dictionary() for run in listed}

        assert "6 runs written, 0 unchanged" in track(url, paths[0])
        first = runs()
        assert "6 runs written, 0 unchanged" in track(url, paths[1])
        both = runs()
        assert len(both) == 12
        assert {run_id: both[run_id] for run_id in first} == first
        factories.change_record(configs[1], list_cells(configs[1])[0], cost={"train_hours": 2.0})
        assert "2 runs written, 4 unchanged" in track(url, paths[1])
        after = runs()
        assert len(after) == 12
        assert {run_id: after[run_id] for run_id in first} == first


def test_curves_arrive_while_training_and_records_take_their_place(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    config = factories.make_small_config(tmp_path)
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    cell = list_cells(config)[0]
    folders.take(config)
    state = Layout.of(config).work / "state" / "training"
    state.mkdir(parents=True)
    store, files = f"sqlite:///{tmp_path}/server.db", (tmp_path / "files").as_uri()
    with serving("--backend-store-uri", store, "--artifacts-destination", files) as url:
        client = MlflowClient(url)

        def runs() -> list[Any]:
            experiment = client.get_experiment_by_name(f"esc50 ({config.experiment})")
            return client.search_runs([experiment.experiment_id]) if experiment else []

        def losses(run: str) -> list[tuple[int, float]]:
            history = client.get_metric_history(run, "curve_train_loss")
            return sorted((point.step, point.value) for point in history)

        with locks.run_lock(state, str(cell)), live(url, path):
            write_json_lines(state / "metrics.jsonl", POINTS[:2])
            (run,) = wait_for(runs)
            assert run.data.tags["key"] == str(cell)
            assert run.data.tags["live"] == "1"
            wait_for(lambda: losses(run.info.run_id) == [(4, 1.0), (8, 0.5)])
            write_json_lines(state / "metrics.jsonl", POINTS)
            wait_for(lambda: losses(run.info.run_id) == [(4, 1.0), (8, 0.5), (12, 1 / 3)])
            memory = client.get_metric_history(run.info.run_id, "system/process_memory_megabytes")
            assert memory
            assert all(point.value > 1 for point in memory)
        factories.make_results(config)
        assert "6 runs written, 0 unchanged" in track(url, path)
        assert "0 runs written, 6 unchanged" in track(url, path)
        left = {r.data.tags["key"]: r for r in runs()}
        assert len(left) == len(runs()) == 6
        assert not any("live" in r.data.tags for r in left.values())
        kept = left[str(cell)]
        assert kept.info.status == "FINISHED"
        names = {file.path for file in client.list_artifacts(kept.info.run_id)}
        assert names == {"record.json", "metrics.jsonl"}
        assert len(losses(kept.info.run_id)) > 0
