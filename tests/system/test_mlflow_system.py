"""MLflow's own pages over a store made from records: runs listed, two compared, a curve drawn."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import factories
import pytest
from browser import rendered

from bench.experiment.config import Config
from bench.tracking.sync import sync

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = factories.make_config(tmp_path_factory.mktemp("store"), seeds=(0, 1), ablations={})
    factories.make_results(config)
    sync(config)
    return config


@pytest.fixture(scope="module")
def address(profile: Config) -> Iterator[str]:
    """The address of `mlflow ui` over the store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    store = f"sqlite:///{Path(profile.paths.results).resolve()}/mlflow.db"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(
        [*command, "--workers", "1", "--backend-store-uri", store],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2)
            break
        except OSError:
            time.sleep(0.5)
    yield url
    server.terminate()
    server.wait(timeout=30)


def found(profile: Config) -> tuple[str, dict[str, str]]:
    """The id of the DESED experiment, and run ids by key."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path(profile.paths.results).resolve()}/mlflow.db")
    experiment = client.get_experiment_by_name("desed").experiment_id
    runs = client.search_runs([experiment])
    return experiment, {run.data.tags["key"]: run.info.run_id for run in runs}


def test_the_runs_are_listed(profile: Config, address: str, tmp_path: Path) -> None:
    experiment, _ = found(profile)
    wanted = quote("tags.level = 'mean'")
    page = rendered(f"{address}/#/experiments/{experiment}/runs?searchFilter={wanted}", tmp_path)
    for name in ("htsat base", "ast base", "pann base", "linear base"):
        assert name in page


def test_two_runs_compare(profile: Config, address: str, tmp_path: Path) -> None:
    experiment, ids = found(profile)
    chosen = quote(json.dumps([ids["desed/htsat/base"], ids["desed/pann/base"]]))
    within = quote(json.dumps([experiment]))
    page = rendered(f"{address}/#/compare-runs?runs={chosen}&experiments={within}", tmp_path)
    assert "Comparing 2 Runs" in page
    assert "test_intersection_f1" in page


def test_a_curve_draws(profile: Config, address: str, tmp_path: Path) -> None:
    experiment, ids = found(profile)
    chosen = quote(json.dumps([ids["desed/htsat/base/seed0"]]))
    within, metric = quote(json.dumps([experiment])), quote(json.dumps("curve_train_loss"))
    page = rendered(
        f"{address}/#/metric?runs={chosen}&metric={metric}&experiments={within}"
        f"&plot_metric_keys={quote(json.dumps(['curve_train_loss']))}&x_axis=step",
        tmp_path,
    )
    assert "curve_train_loss" in page
    assert re.search(r'<path class="js-line"[^>]* d="M[^"]*L', page)
