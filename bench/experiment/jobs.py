"""The jobs of an experiment, one by one: the files that each writes, and those that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.experiment.cells import (
    Cell,
    Layout,
    ensemble_cells,
    feature_sets,
    list_cells,
    plan,
    released_cells,
)
from bench.experiment.config import Config
from bench.experiment.trials import first_cell, pairs, path_of
from bench.experiment.wanted import fetched_here, start_name

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
FEATURES = ("digest.json", "index.parquet", "features.npy")
TRAINED = ("training.json", "model.pt", "metrics.jsonl", "scores.npz")
SHOWN = ("scores.npz", "metrics.jsonl", "record.json")
"""What MLflow and the report read of a run."""


@dataclass(frozen=True)
class Job:
    """One job of the DAG. `name` completes the command `python -m bench STAGE NAME`.

    `writes` begins with the file that is written last; it leaves out the report's tables, which
    `bench.reporting.listed` names.
    """

    stage: str
    name: str
    writes: tuple[Path, ...]
    reads: tuple[Path, ...] = ()
    cell: Cell | None = None

    @property
    def output(self) -> Path:
        """The file that shows that the job is done."""
        return self.writes[0]

    @property
    def done(self) -> bool:
        """Whether its output is there (`bench.ops.receipts` says whether it is out of date)."""
        return self.output.exists()


def list_jobs(settings: Config) -> list[Job]:
    """Every job of the experiment's report, in the order of the stages."""
    layout = Layout.of(settings)
    jobs = [Job("fetch", name, (layout.fetched(name),)) for name in fetched_here(settings)]
    if settings.embedded is not None:
        jobs.append(Job("embed", "", (_manifest(settings),)))
    for dataset in settings.datasets:
        sources = tuple(_source_of(settings, layout, dataset))
        jobs.append(Job("corpus", dataset, (layout.corpus_file(dataset),), sources))
    for dataset, front_end in feature_sets(settings):
        written = tuple(layout.features(dataset, front_end) / name for name in FEATURES)
        jobs.append(
            Job("featurize", f"{dataset} {front_end}", written, (layout.corpus_file(dataset),))
        )
    cells = list_cells(settings)
    jobs += [_train(settings, layout, cell) for cell in cells]
    jobs += [_evaluate(layout, cell) for cell in cells]
    costs = [layout.results / "cost" / f"{model}.json" for model in settings.cost.models]
    jobs += [Job("cost", path.stem, (path,)) for path in costs]
    scored = [layout.results / "rescore.json"] if settings.rescore is not None else []
    jobs += [Job("rescore", "", (path,)) for path in scored]
    shown = [layout.run(cell) / name for cell in cells for name in SHOWN]
    corpora = [layout.corpus_file(name) for name in settings.datasets]
    jobs.append(Job("track", "", (layout.results / "mlflow.json",), (*shown, *corpora)))
    pages = tuple(layout.report / name for name in ("index.html", "claims.html", "metrics.json"))
    facts = (*corpora, *costs, *scored, Path("docs/speed.json"))
    jobs.append(Job("report", "", pages, (*shown, *facts)))
    return jobs


def jobs_on_request(settings: Config) -> Iterator[Job]:
    """The jobs that run only on request: ensembles, released checkpoints, trials."""
    layout = Layout.of(settings)
    for cell in released_cells(settings):
        yield Job("released", str(cell), (layout.record(cell),), _inputs(settings, cell))
    for name in settings.ensembles:
        cell, members = ensemble_cells(settings, name)
        read = (layout.run(member) / part for member in members for part in SHOWN)
        yield Job("ensemble", name, (layout.record(cell),), tuple(read))
    for dataset, model in pairs(settings):
        cell = first_cell(settings, dataset, model)
        parent = plan(settings, cell).parent
        tried = [path_of(settings, parent.dataset, parent.model)] if parent else []
        inputs = (*_inputs(settings, cell), *tried)
        yield Job("tune", f"{dataset} {model}", (path_of(settings, dataset, model),), inputs)


def _train(settings: Config, layout: Layout, cell: Cell) -> Job:
    parent = plan(settings, cell).parent
    weights = [layout.run(parent) / "model.pt"] if parent else []
    written = tuple(layout.run(cell) / name for name in TRAINED)
    return Job("train", str(cell), written, (*_inputs(settings, cell), *weights), cell)


def _evaluate(layout: Layout, cell: Cell) -> Job:
    folder = layout.run(cell)
    read = (folder / name for name in TRAINED if name != "model.pt")
    inputs = (layout.corpus_file(cell.dataset), *read)
    return Job("evaluate", str(cell), (layout.record(cell),), inputs, cell)


def _inputs(settings: Config, cell: Cell) -> tuple[Path, ...]:
    """Corpus, features and starting checkpoint of a run."""
    chosen, layout = plan(settings, cell), Layout.of(settings)
    features = layout.features(cell.dataset, chosen.model.front_end)
    start = chosen.recipe.start if chosen.released is None else None
    fetched = [layout.fetched(start_name(start))] if start else []
    return (layout.corpus_file(cell.dataset), *(features / name for name in FEATURES), *fetched)


def _manifest(settings: Config) -> Path:
    assert settings.embedded is not None
    return Path(settings.embedded.root) / "manifest.json"


def _source_of(settings: Config, layout: Layout, dataset: str) -> Iterator[Path]:
    """The file that represents the audio of a data set that is built or fetched here."""
    if settings.built_here(dataset):
        yield _manifest(settings)
    elif dataset in fetched_here(settings):
        yield layout.fetched(dataset)
