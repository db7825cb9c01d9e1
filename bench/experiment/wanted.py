"""What an experiment fetches before anything else can run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from bench.experiment.config import Config


class Wanted(NamedTuple):
    """What one call fetches: an entry of the registry, into a folder, for a loader's options."""

    entry: str
    loader: str
    folder: Path
    options: dict[str, Any]
    ways: tuple[str, ...]


def fetched_here(settings: Config) -> dict[str, Wanted]:
    """What the experiment fetches, by name: data sets with a source."""
    return {
        name: Wanted(
            dataset.source, dataset.loader, Path(dataset.root), dataset.options, dataset.fetch
        )
        for name, dataset in settings.datasets.items()
        if dataset.source is not None
    }
