"""The folders that an experiment writes to: created for it and marked as its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.experiment import config
from bench.experiment.cells import Layout
from bench.files import UserError, claim, refuse_foreign


def load(source: str | Path) -> config.Config:
    """The config of an experiment that a command is about to write to; its folders are claimed.

    Raises:
        UserError: as `config.load`, or a folder is not this experiment's.
    """
    settings = config.load(source)
    take(settings)
    return settings


def take(settings: config.Config) -> None:
    """Make the folders this experiment's, if they are absent, empty, or were so before.

    Raises:
        UserError: one of them belongs to another experiment, or holds a person's files.
    """
    for key, folder in output_folders(settings).items():
        claim(folder, _owner(settings), _remedy(key))


def foreign(settings: config.Config) -> Iterator[str]:
    """A line for each folder that `take` would refuse."""
    for key, folder in output_folders(settings).items():
        try:
            refuse_foreign(folder, _owner(settings), _remedy(key))
        except UserError as error:
            yield str(error)


def output_folders(settings: config.Config) -> dict[str, Path]:
    """The folders by their keys in the config."""
    return {f"paths.{name}": folder for name, folder in vars(Layout.of(settings)).items()}


def _owner(settings: config.Config) -> str:
    return f"experiment {settings.experiment}"


def _remedy(key: str) -> str:
    return f"give this experiment another name, or set {key} to a folder of its own"
