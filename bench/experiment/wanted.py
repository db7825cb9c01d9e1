"""What an experiment fetches before its other jobs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.experiment.config import Config
from bench.experiment.released import find_file
from bench.sources.registry import CHECKPOINTS, Entry, find_entry


class Wanted(NamedTuple):
    """What one call fetches: an entry of a registry, into a folder, for a loader's options."""

    key: str
    entry: Entry
    folder: Path
    loader: str = ""
    options: Mapping[str, Any] = {}
    ways: tuple[str, ...] = ()


def fetched_here(settings: Config) -> dict[str, Wanted]:
    """What the experiment fetches, by name: data sets with a source, and checkpoints that its runs
    start from."""
    wanted = {
        name: Wanted(
            dataset.source,
            find_entry(dataset.source),
            Path(dataset.root),
            dataset.loader,
            dataset.options,
            dataset.fetch,
        )
        for name, dataset in settings.datasets.items()
        if dataset.source is not None
    }
    folder = Path(settings.paths.checkpoints)
    for name in starts(settings):
        entry = find_file(name, "recipes: init").entry(folder)
        wanted[start_name(name)] = Wanted(CHECKPOINTS, entry, folder)
    return wanted


def starts(settings: Config) -> list[str]:
    """Entries of the registry of checkpoints that some run of the experiment starts from."""
    recipes = (
        settings.recipe(model, dataset, variant.recipe)
        for dataset in settings.datasets
        for model in settings.models_on(dataset)
        for variant in settings.variants(model, dataset).values()
    )
    return list(dict.fromkeys(recipe.start for recipe in recipes if recipe.start is not None))


def start_name(entry: str) -> str:
    """The name by which a start is fetched; no data set has it."""
    return f"{CHECKPOINTS}/{entry}"
