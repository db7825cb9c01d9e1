"""The declared trials of every recipe: which pairs, which points, and where they are recorded."""

from __future__ import annotations

import random
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

from bench import registry
from bench.experiment.ablations import BASE
from bench.experiment.cells import Cell, list_cells
from bench.experiment.config import Config
from bench.files import UserError


def pairs(settings: Config) -> list[tuple[str, str]]:
    """The (data set, model) pairs whose recipes can be tuned."""
    return [
        (dataset, model)
        for dataset in settings.datasets
        for model in settings.models_on(dataset)
        if settings.models[model].architecture not in registry.SOLVED
    ]


def path_of(settings: Config, dataset: str, model: str) -> Path:
    """Where the trials of a model on a data set are recorded."""
    return Path(settings.paths.tuning) / settings.experiment / dataset / f"{model}.json"


def trial_cells(settings: Config, dataset: str, model: str) -> list[Cell]:
    """The runs that trials repeat with other values: of the first seeds, each on another fold.

    Where there are fewer seeds, they are used in turn.
    """
    wanted = (dataset, model, BASE)
    by_seed: dict[int, list[Cell]] = {}
    for cell in list_cells(settings):
        if (cell.dataset, cell.model, cell.variant) == wanted:
            by_seed.setdefault(cell.seed, []).append(cell)
    chosen = islice(cycle(by_seed.values()), settings.tuning.seeds)
    return list(dict.fromkeys(cells[n % len(cells)] for n, cells in enumerate(chosen)))


def first_cell(settings: Config, dataset: str, model: str) -> Cell:
    """The first of the runs that trials repeat: what their jobs read and wait for."""
    return trial_cells(settings, dataset, model)[0]


def points(settings: Config, dataset: str, model: str) -> list[dict[str, Any]]:
    """The points of the space that this model's trials try, the same at every call.

    All combinations if they fit the budget, else a random sample seeded by the names.

    Raises:
        UserError: the experiment declares no trials, or a space of fewer points than trials.
    """
    tuning = settings.tuning
    space = {**tuning.space.get("base", {}), **tuning.space.get(model, {})}
    every = [dict(zip(space, values, strict=True)) for values in product(*space.values())]
    if not tuning.trials:
        raise UserError("tuning.trials is 0: declare a budget, the same for every model")
    if len(every) < tuning.trials:
        raise UserError(
            f"tuning.space has {len(every)} points for {model}, fewer than the {tuning.trials} "
            "trials that every model gets; add candidates"
        )
    if len(every) == tuning.trials:
        return every
    return random.Random(f"{dataset}/{model}").sample(every, tuning.trials)
