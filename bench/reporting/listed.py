"""The names of a report's tables, for the job that declares them and the report that writes
them."""

from __future__ import annotations

from collections import Counter

from bench.experiment.config import Config
from bench.files import UserError
from bench.results.speed import load_speed

SUFFIXES = ("csv", "tex", "notes.tex", "md")
OVERVIEW = "overview"
TAGGING, CLASSIFICATION, LOCALIZATION = (
    "paper_tagging",
    "paper_classification",
    "paper_localization",
)


def table_names(settings: Config) -> list[str]:
    """Names of the tables, in the order of the report.

    Raises:
        UserError: a data set has the name of another table.
    """
    located = [name for name, chosen in settings.datasets.items() if chosen.localize]
    names = [OVERVIEW, *settings.datasets, *map(summary_name, located)]
    names += [classes_name(name) for name in settings.datasets if name not in located]
    names += ["ablations", "detectable", "training_time", "cost"]
    names += ["speed"] if load_speed() else []
    names += ["chance", "without_times", "protocol", "recipes", "intervals", "comparisons"]
    names += ["rescore"] if settings.rescore is not None else []
    names += ["claims", *layouts(settings)]
    names += [name for name in ("released", "ensembles") if getattr(settings, name)]
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"datasets.{name}: the report has a table of this name; rename it")
    return names


def layouts(config: Config) -> dict[str, list[str]]:
    """Tables in the layouts of the HTS-AT paper, with their data sets; events have one for each."""
    kinds = config.datasets.items()
    located = [name for name, settings in kinds if settings.localize]
    several = [name for name, s in kinds if s.loss == "bce" and not s.localize]
    single = [name for name, s in kinds if s.loss == "ce" and not s.localize]
    found = {TAGGING: several, CLASSIFICATION: single}
    for name in located:
        found[LOCALIZATION if len(located) == 1 else f"{LOCALIZATION}_{name}"] = [name]
    return {table: datasets for table, datasets in found.items() if datasets}


def classes_name(dataset: str) -> str:
    """The name of the table by class, of a data set without events."""
    return f"{dataset}_classes"


def summary_name(dataset: str) -> str:
    """The name of the table by model."""
    return f"{dataset}_summary"
