"""MLflow's own pages over a store made from records: runs listed, two compared, a curve drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import factories
import pytest
from browser import rendered, tab
from mlflow_server import serving

from bench.experiment.config import Config
from bench.tracking.sync import links, sync

ROWS = """
(() => {
  const rows = [...document.querySelectorAll('.ag-center-cols-container .ag-row')].map((row) => {
    const names = `.ag-pinned-left-cols-container [row-index="${row.getAttribute('row-index')}"]`;
    const cell = [...row.querySelectorAll('[col-id]')]
      .find((cell) => cell.getAttribute('col-id') === %s);
    const name = document.querySelector(`${names} a`)?.innerText;
    return [Number(row.getAttribute('row-index')), name, parseFloat(cell?.innerText)];
  });
  return rows.length > 0 && rows.every((row) => row[1] && !isNaN(row[2]))
    ? JSON.stringify(rows.sort((a, b) => a[0] - b[0]).map((row) => row.slice(1))) : null;
})()
"""
pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("store")
    full = factories.make_config(folder).model_dump(mode="json")
    config = factories.make_config(
        folder,
        seeds=(0, 1),
        datasets={"desed": full["datasets"]["desed"]},
        recipes={"base": full["recipes"]["base"]},
        ablations={"htsat": full["ablations"]["htsat"]},
        cost={},
    )
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


@pytest.mark.parametrize(
    ("question", "figure", "shown"),
    [
        (
            "Which model localizes best?",
            "test_intersection_f1",
            {"htsat base", "pann base"},
        ),
        (
            "Does the token order matter?",
            "change_test_intersection_f1",
            {"htsat frequency_first"},
        ),
        ("Which run took the most memory?", "cost_peak_memory_mb", None),
    ],
)
def test_a_question_is_answered_by_one_link(
    experiment: Config,
    address: str,
    tmp_path: Path,
    question: str,
    figure: str,
    shown: set[str] | None,
) -> None:
    from mlflow import MlflowClient

    link = next(line for line in links(experiment, address) if question in line).split()[-1]
    with tab(tmp_path) as page:
        page.open(link)
        rows = json.loads(page.wait_for(ROWS % json.dumps(f"metrics.`{figure}`")))
    client = MlflowClient(f"sqlite:///{Path(experiment.paths.results).resolve()}/mlflow.db")
    desed = client.get_experiment_by_name("desed").experiment_id
    runs = {run.info.run_name: run.data for run in client.search_runs([desed])}
    values = [value for _, value in rows]
    assert values == sorted(values, reverse=True)
    for name, value in rows:
        assert name in runs, (name, list(runs))
        assert value == pytest.approx(runs[name].metrics[figure], rel=1e-2)
    if shown is None:
        highest = max(run.metrics["cost_peak_memory_mb"] for run in runs.values())
        assert values[0] == pytest.approx(highest, rel=1e-3)
    else:
        assert shown <= {name for name, _ in rows}
