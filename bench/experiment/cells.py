"""The runs of an experiment, listed from its config: a `Cell` each, and where its files are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from bench.experiment.ablations import BASE
from bench.experiment.config import Config, Dataset, FrontEnd, Model, Recipe
from bench.experiment.released import Checkpoint, Released, find_file
from bench.experiment.released import find as find_released
from bench.files import UserError, digest_of
from bench.strict import known

INIT_RUN = "run:"
RELEASED = "released-"
ENSEMBLE = "ensemble-"
UNTRAINED = Recipe.model_validate({"epochs": 1, "batch_size": 1, "learning_rate": 1.0})
FIXED_EPOCHS = ("piczak_cnn", "piczak_baselines")
ON_READING = {"frames", "fill", "normalise"}  # how a model reads features, not what is stored


@dataclass(frozen=True)
class Cell:
    """One run = (dataset, model, variant, fold, seed). `fold` is -1 where there are no folds."""

    dataset: str
    model: str
    variant: str
    fold: int
    seed: int

    def __str__(self) -> str:
        fold = f"fold{self.fold}-" if self.fold >= 0 else ""
        return f"{self.dataset}/{self.model}/{self.variant}/{fold}seed{self.seed}"


class Start(NamedTuple):
    """A file of initial weights: an entry of the registry of checkpoints, and its folder."""

    name: str
    entry: Checkpoint
    folder: Path


@dataclass(frozen=True)
class Plan:
    """What a cell resolves to: every value that its result depends on, besides code and data."""

    cell: Cell
    dataset: Dataset
    model: Model
    front_end: FrontEnd
    recipe: Recipe
    parent: Cell | None
    start: Start | None = None
    released: Released | None = None
    members: tuple[Cell, ...] = ()

    @cached_property
    def resolved(self) -> dict[str, Any]:
        """JSON-like form, hashed for the run's identity. Paths are left out: data and a teacher's
        scores have digests."""
        model = self.model.model_dump(mode="json", exclude={"title", "arguments_on", "seeds_on"})
        elsewhere = {
            *("title", "root", "data_kind", "source", "fetch", "front_ends"),
            *("seeds", "models", "crossed"),
        }
        if not (self.released or self.members):  # a training reads neither
            elsewhere |= {"metric", "localize"}
        return {
            "cell": asdict(self.cell),
            "dataset": self.dataset.model_dump(mode="json", exclude=elsewhere),
            "model": model,
            "front_end": self.front_end.model_dump(mode="json"),
            "recipe": self.recipe.model_dump(
                mode="json",
                include={"test_shifts"} if self.released else None,
                exclude={"distill": {"scores"}},
            ),
            "parent": str(self.parent) if self.parent else None,
            **({"released": self.released.values} if self.released else {}),
            **({"members": list(map(str, self.members))} if self.members else {}),
        }

    @property
    def digest(self) -> str:
        """sha256 of `resolved`."""
        return digest_of(self.resolved)


def list_cells(config: Config) -> list[Cell]:
    """Every run of the experiment: all models on all data sets, then the ablations' variants."""
    cells = [
        Cell(dataset, model, BASE, fold, seed)
        for dataset in config.datasets
        for model in config.models_on(dataset)
        for seed in config.seeds_of(model, dataset)
        for fold in _folds(config, dataset, seed)
    ]
    cells += [
        Cell(dataset, model, variant.name, fold, seed)
        for study in config.ablations.values()
        for dataset in study.datasets
        for model in study.models
        for variant in study.variants()
        for seed in study.seeds or config.seeds_of(model, dataset)
        for fold in _folds(config, dataset, seed)
    ]
    return list(dict.fromkeys(cells))


def target_cells(config: Config, name: str) -> list[Cell]:
    """The runs of one target of the experiment."""
    target = config.targets[name]
    return [
        cell
        for cell in list_cells(config)
        if cell.dataset in target.datasets
        and (target.variants is None or cell.variant in target.variants)
    ]


def _folds(config: Config, dataset: str, seed: int) -> tuple[int, ...]:
    """The folds that a seed's runs test; -1 stands for a data set without folds."""
    chosen = config.datasets[dataset]
    if chosen.crossed:
        return tuple(range(chosen.folds))
    return (seed % chosen.folds if chosen.folds else -1,)


def find_cell(config: Config, name: str) -> Cell:
    """The cell with this name.

    Raises:
        UserError: no such cell; the message lists the nearest names.
    """
    cells = {str(cell): cell for cell in list_cells(config)}
    known(name, cells, f"runs of experiment '{config.experiment}'")
    return cells[name]


def released_cells(config: Config) -> list[Cell]:
    """The released checkpoints of the experiment, each as the run that evaluates it.

    Raises:
        UserError: an entry that the registry lacks, that was not made for the data set, or whose
            architecture the experiment lacks.
    """
    cells = []
    for dataset, names in config.released.items():
        loader = config.datasets[dataset].loader
        for name in names:
            entry = find_released(name)
            if loader not in entry.evaluates:
                suited = ", ".join(entry.evaluates)
                raise UserError(f"released.{dataset}: '{name}' is for {suited}, not {loader}")
            models = [k for k, m in config.models.items() if m.architecture == entry.architecture]
            if not models:
                raise UserError(
                    f"released.{dataset}: '{name}' needs a model of architecture "
                    f"{entry.architecture} under models"
                )
            fold = -1 if entry.fold is None else entry.fold
            cells.append(Cell(dataset, models[0], f"{RELEASED}{name}", fold, config.seeds[0]))
    return cells


def _released_plan(config: Config, cell: Cell) -> Plan:
    """The plan of a released checkpoint: the experiment's data, the checkpoint's own features."""
    entry = find_released(cell.variant.removeprefix(RELEASED))
    dataset, model = config.datasets[cell.dataset], config.models[cell.model]
    stored = entry.front_end.model_dump(exclude=ON_READING)
    names = [
        name
        for name, front_end in dataset.front_ends.items()
        if front_end.model_dump(exclude=ON_READING) == stored
    ]
    if not names:
        raise UserError(
            f"{cell}: was trained on other features than datasets.{cell.dataset}.front_ends has; "
            f"add {entry.front_end.model_dump(exclude_defaults=True)}"
        )
    return Plan(
        cell=cell,
        dataset=dataset.model_copy(update={"loss": entry.loss}),
        model=model.model_copy(update={"arguments": entry.arguments, "front_end": names[0]}),
        front_end=entry.front_end,
        recipe=config.recipe(cell.model, cell.dataset),
        parent=None,
        released=entry,
    )


def ensemble_cells(config: Config, name: str) -> tuple[Cell, tuple[Cell, ...]]:
    """An ensemble of the experiment as a run, and its members.

    Raises:
        UserError: fewer than two members, or a member that the experiment lacks.
    """
    chosen = config.ensembles[name]
    ours = (chosen.dataset, chosen.model)
    if chosen.released:
        variants = {f"{RELEASED}{entry}" for entry in chosen.released}
        listed = released_cells(config)
    else:
        variants, listed = {chosen.variant}, list_cells(config)
    members = [c for c in listed if (c.dataset, c.model) == ours and c.variant in variants]
    found = {member.variant for member in members}
    if len(members) < 2 or found != variants:
        raise UserError(
            f"ensembles.{name}: needs two runs or more of {'/'.join(ours)}, "
            f"each of {', '.join(sorted(variants))}; the experiment has {len(members)}"
        )
    first = members[0]
    return dataclasses.replace(first, variant=f"{ENSEMBLE}{name}"), tuple(members)


def plan(config: Config, cell: Cell) -> Plan:
    """Resolve a cell: its data set, model with changed arguments, front end, recipe and parent."""
    if cell.variant.startswith(RELEASED):
        return _released_plan(config, cell)
    if cell.variant.startswith(ENSEMBLE):
        _, members = ensemble_cells(config, cell.variant.removeprefix(ENSEMBLE))
        return dataclasses.replace(
            plan(config, members[0]), cell=cell, parent=None, members=members
        )
    alone = network_plan(config, cell)
    dataset, model = alone.dataset, alone.model
    change = config.variants(cell.model, cell.dataset)[cell.variant]
    recipe = config.recipe(cell.model, cell.dataset, change.recipe)
    if dataset.folds and dataset.fold_protocol in FIXED_EPOCHS and recipe.select != "last":
        raise UserError(
            f"{cell}: fold_protocol {dataset.fold_protocol} selects no epoch; set the recipe's "
            "select to last"
        )
    if recipe.supervision != "weak" and dataset.loss == "ce":
        raise UserError(
            f"{cell}: supervision '{recipe.supervision}' needs datasets.{cell.dataset}.loss 'bce': "
            "under 'ce' one class sounds at every moment, and strong labels may name none or two"
        )
    return dataclasses.replace(
        alone,
        recipe=recipe,
        parent=_parent(config, cell, recipe),
        start=_start(config, cell, model, recipe),
    )


def network_plan(config: Config, cell: Cell) -> Plan:
    """The plan of a cell's network alone, with UNTRAINED instead of a recipe."""
    dataset, model = config.datasets[cell.dataset], config.models[cell.model]
    variants = config.variants(cell.model, cell.dataset)
    known(cell.variant, variants, f"{cell}: variant")
    arguments = model.arguments | model.arguments_on.get(cell.dataset, {})
    arguments |= variants[cell.variant].model
    model = model.model_copy(update={"arguments": arguments})
    return Plan(cell, dataset, model, dataset.front_ends[model.front_end], UNTRAINED, parent=None)


def _start(config: Config, cell: Cell, model: Model, recipe: Recipe) -> Start | None:
    """The file whose weights a run starts from."""
    if recipe.start is None:
        return None
    where = f"{cell}: recipe init '{recipe.init}'"
    entry = find_file(recipe.start, where)
    if not recipe.init.startswith(entry.kind) or entry.architecture != model.architecture:
        raise UserError(
            f"{where}: {recipe.start} is a start of {entry.architecture} by {entry.kind}:, not "
            f"of {model.architecture}"
        )
    return Start(recipe.start, entry, Path(config.paths.checkpoints))


def _parent(config: Config, cell: Cell, recipe: Recipe) -> Cell | None:
    """The run whose weights this one starts from: same model and seed on another data set.

    The runs of a model that has fewer seeds there are used in turn.
    """
    if not recipe.init.startswith(INIT_RUN):
        return None
    source, _, variant = recipe.init.removeprefix(INIT_RUN).partition("/")
    if source not in config.datasets:
        raise UserError(f"{cell}: recipe init '{recipe.init}' names no data set of the config")
    if source == cell.dataset:
        raise UserError(f"{cell}: recipe init '{recipe.init}' starts from its own data set")
    seeds = config.seeds_of(cell.model, source)
    seed = cell.seed if cell.seed in seeds else seeds[cell.seed % len(seeds)]
    folds = _folds(config, source, seed)
    fold = cell.fold if cell.fold in folds else folds[0]
    parent = Cell(source, cell.model, variant or BASE, fold, seed)
    if variant and parent not in list_cells(config):
        raise UserError(f"{cell}: recipe init '{recipe.init}' names no run: no {parent}")
    return parent


@dataclass(frozen=True)
class Layout:
    """Where an experiment keeps things: `work` may be deleted at any time, `results` may not."""

    work: Path
    results: Path
    report: Path

    @classmethod
    def of(cls, config: Config) -> Layout:
        """The layout of an experiment: folders named after it, unless it gives others."""
        paths, name = config.paths, config.experiment
        return cls(
            Path(paths.work or f"work/{name}"),
            Path(paths.results or f"results/{name}"),
            Path(paths.report or f"reports/{name}"),
        )

    @property
    def resolved_config(self) -> Path:
        """The experiment as the commands read it, overrides included."""
        return self.results / "config.json"

    def fetched(self, name: str) -> Path:
        """File that lists what was fetched of a data set."""
        return self.work / "fetched" / f"{name}.json"

    def corpus(self, dataset: str) -> Path:
        """Folder of a corpus table (clips.parquet, events.tsv, corpus.json)."""
        return self.work / "corpora" / dataset

    def corpus_file(self, dataset: str) -> Path:
        """File that describes a corpus table and holds its digests; written last."""
        return self.corpus(dataset) / "corpus.json"

    def features(self, dataset: str, front_end: str) -> Path:
        """Folder of a feature store."""
        return self.work / "features" / dataset / front_end

    def run(self, cell: Cell) -> Path:
        """Folder of a run's results."""
        return self.results / "runs" / str(cell)

    def record(self, cell: Cell) -> Path:
        return self.run(cell) / "record.json"

    def state(self, identity: str) -> Path:
        """Folder of a run's training state, keyed by the run's identity."""
        return self.work / "state" / identity[:16]

    def records(self, config: Config) -> Iterator[Path]:
        """The record of every cell of the experiment."""
        return (self.record(cell) for cell in list_cells(config))


def feature_sets(config: Config) -> list[tuple[str, str]]:
    """The (dataset, front end) pairs that some model needs, in config order."""
    return [
        (dataset, name)
        for dataset in config.datasets
        for name in dict.fromkeys(config.models[m].front_end for m in config.models_on(dataset))
    ]
