"""The jobs of an experiment, one by one, with the file that shows that each is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.experiment.cells import Cell, Layout, feature_sets, list_cells
from bench.experiment.config import Config
from bench.experiment.wanted import fetched_here

STAGES = (
    "fetch",
    "embed",
    "corpus",
    "featurize",
    "train",
    "evaluate",
    "cost",
    "rescore",
    "track",
    "report",
)


@dataclass(frozen=True)
class Job:
    """One job of the DAG. `name` completes the command `python -m bench STAGE NAME`."""

    stage: str
    name: str
    output: Path
    cell: Cell | None = None

    @property
    def done(self) -> bool:
        """Whether its output is there (Snakemake also knows whether it is out of date)."""
        return self.output.exists()


def list_jobs(settings: Config) -> list[Job]:
    """Every job of the experiment in the order of the stages."""
    layout = Layout.of(settings)
    jobs = [Job("fetch", name, layout.fetched(name)) for name in fetched_here(settings)]
    if settings.embedded is not None:
        jobs.append(Job("embed", "", Path(settings.embedded.root) / "manifest.json"))
    for dataset in settings.datasets:
        jobs.append(Job("corpus", dataset, layout.corpus(dataset) / "corpus.json"))
    for dataset, front_end in feature_sets(settings):
        folder = layout.features(dataset, front_end)
        jobs.append(Job("featurize", f"{dataset} {front_end}", folder / "digest.json"))
    cells = list_cells(settings)
    for stage, output in (("train", "training.json"), ("evaluate", "record.json")):
        jobs += [Job(stage, str(cell), layout.run(cell) / output, cell) for cell in cells]
    for model in settings.cost.models:
        jobs.append(Job("cost", model, layout.results / "cost" / f"{model}.json"))
    if settings.rescore is not None:
        jobs.append(Job("rescore", "", layout.results / "rescore.json"))
    jobs.append(Job("track", "", layout.results / "mlflow.json"))
    jobs.append(Job("report", "", layout.report / "index.html"))
    return jobs
