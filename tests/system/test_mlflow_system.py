"""MLflow's own pages over a store made from records: runs listed, two compared, a curve drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import factories
import pytest
from browser import rendered
from mlflow_server import serving

from bench.experiment.config import Config
from bench.tracking.sync import sync

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = factories.make_config(tmp_path_factory.mktemp("store"), seeds=(0, 1), ablations={})
    factories.make_results(config)
    sync(config)
    return config


@pytest.fixture(scope="module")
def address(experiment: Config) -> Iterator[str]:
    """The address of a server over the store; `mlflow ui` is the same program."""
    store = f"sqlite:///{Path(experiment.paths.results).resolve()}/mlflow.db"
    with serving("--backend-store-uri", store) as url:
        yield url


def found(experiment: Config) -> tuple[str, dict[str, str]]:
    """The id of the DESED experiment, and run ids by key."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path(experiment.paths.results).resolve()}/mlflow.db")
    desed = client.get_experiment_by_name("desed").experiment_id
    runs = client.search_runs([desed])
    return desed, {run.data.tags["key"]: run.info.run_id for run in runs}


def test_the_runs_are_listed(experiment: Config, address: str, tmp_path: Path) -> None:
    desed, _ = found(experiment)
    wanted = quote("tags.level = 'mean'")
    page = rendered(f"{address}/#/experiments/{desed}/runs?searchFilter={wanted}", tmp_path)
    for name in ("htsat base", "ast base", "pann base", "linear base"):
        assert name in page


def test_two_runs_compare(experiment: Config, address: str, tmp_path: Path) -> None:
    desed, ids = found(experiment)
    chosen = quote(json.dumps([ids["desed/htsat/base"], ids["desed/pann/base"]]))
    within = quote(json.dumps([desed]))
    page = rendered(f"{address}/#/compare-runs?runs={chosen}&experiments={within}", tmp_path)
    assert "Comparing 2 Runs" in page
    assert "test_intersection_f1" in page


def test_a_curve_draws(experiment: Config, address: str, tmp_path: Path) -> None:
    desed, ids = found(experiment)
    chosen = quote(json.dumps([ids["desed/htsat/base/seed0"]]))
    within, metric = quote(json.dumps([desed])), quote(json.dumps("curve_train_loss"))
    page = rendered(
        f"{address}/#/metric?runs={chosen}&metric={metric}&experiments={within}"
        f"&plot_metric_keys={quote(json.dumps(['curve_train_loss']))}&x_axis=step",
        tmp_path,
    )
    assert "curve_train_loss" in page
    assert re.search(r'<path class="js-line"[^>]* d="M[^"]*L', page)
