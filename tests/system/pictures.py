"""`make pictures`: the pictures of README and docs anew, from an experiment's report and runs.

docs/NAME.png is the overview of its report, docs/NAME_training_time.png its figures by training
time, if it has any; those in docs/mlflow are of the default.

They show what `test_report_system.py` and `test_mlflow_system.py` test, through the same browser.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browser import Tab, tab
from mlflow_server import serving

from bench.experiment import config
from bench.experiment.cells import Layout
from bench.experiment.config import Config
from bench.tracking.sync import links

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
WIDTH = 1280
ANSWERS = {
    "Which model localizes best?": DOCS / "mlflow" / "runs.png",
    "Does the token order matter?": DOCS / "mlflow" / "compare.png",
}
MAP = DOCS / "mlflow" / "event_map.png"
TIMES = """
const figures = [...document.querySelectorAll('figure')]
  .filter((f) => / by training time on /.test(f.querySelector('img').alt));
document.body.replaceChildren(...figures);
document.body.style.cssText = 'max-width: none; margin: 0; padding: 1rem; display: grid; '
  + 'grid-template-columns: 1fr 1fr; gap: 1rem';
for (const f of figures)
  f.querySelector('figcaption').textContent = f.querySelector('img').alt.split(':')[0];
String(figures.length)
"""
ROWS = "document.querySelector('.ag-center-cols-container .ag-row') !== null"
IMAGE = "[...document.querySelectorAll('img')].some((i) => i.naturalWidth > 300)"
UNPLACED = """
[...document.querySelectorAll('*')]
  .filter((e) => e.textContent.startsWith('Path: file:'))
  .map((e) => { e.style.visibility = 'hidden'; }).length > 0
"""  # where the store lies on this machine
CLOSE = "document.querySelector('[aria-label=\"Close\"]')"


def main(path: str) -> None:
    """Draw all pictures from the experiment of the config file `path`."""
    settings = config.load(path)
    with tempfile.TemporaryDirectory() as folder, tab(Path(folder)) as page:
        report, name = Layout.of(settings).report / "index.html", settings.experiment
        draw_report(page, report, DOCS / f"{name}.png")
        if page.wait_for(TIMES) != "0":
            _fit(page, "document.body")
            page.picture(DOCS / f"{name}_training_time.png")
        if name == "default":
            draw_answers(page, settings)


def draw_report(page: Tab, report: Path, target: Path) -> None:
    """The overview of a report: title, picture, table and findings."""
    page.resize(WIDTH, 800)
    page.open(report.resolve().as_uri())
    page.wait_for("document.readyState === 'complete'")  # else the overview is still growing
    _fit(page, "document.getElementById('overview')")
    page.picture(target)


def _fit(page: Tab, element: str) -> None:
    """Make the window as high as the page down to the end of `element`."""
    page.resize(WIDTH, int(page.wait_for(f"{element}?.getBoundingClientRect().bottom")))


def draw_answers(page: Tab, settings: Config) -> None:
    """What MLflow's pages answer to each question, and an event map of the best model."""
    from mlflow import MlflowClient

    store = Layout.of(settings).results.resolve() / "mlflow.db"
    uri = f"sqlite:///{store}"
    page.resize(WIDTH, 640)
    with serving("--backend-store-uri", uri) as address:
        asked = [line.rsplit(maxsplit=1) for line in links(settings, address) if "#" in line]
        for question, link in asked:
            if question.strip() in ANSWERS:
                page.open(link)
                page.wait_for(ROWS)
                page.wait_for(f"{CLOSE} === null || ({CLOSE}.click(), true)")
                page.picture(ANSWERS[question.strip()])
        located = next(name for name, chosen in settings.datasets.items() if chosen.localize)
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(located).experiment_id
        best, *_ = client.search_runs(
            [experiment],
            "tags.level = 'mean' and tags.variant = 'base'",
            order_by=["metrics.test_intersection_f1 DESC"],
        )
        runs = f"{address}/#/experiments/{experiment}/runs"
        page.open(f"{runs}/{best.info.run_id}/artifacts/figures/event_map_0.png")
        page.resize(WIDTH, 860)
        page.wait_for(IMAGE)
        page.wait_for(UNPLACED)
        page.picture(MAP)


if __name__ == "__main__":
    main(*sys.argv[1:])
