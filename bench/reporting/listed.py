"""The tables that a report has, by name: what the report's job declares is what it writes."""

from __future__ import annotations

from collections import Counter

from bench.experiment.config import Config
from bench.files import UserError
from bench.results.speed import load_speed

SUFFIXES = ("csv", "tex", "md")


def table_names(settings: Config) -> list[str]:
    """Names of the tables, in the order of the report.

    Raises:
        UserError: a data set has the name of another table.
    """
    names = [
        *settings.datasets,
        "ablations",
        "detectable",
        "cost",
        *(["speed"] if load_speed() else []),
    ]
    names += ["chance", "without_times", "protocol", "recipes", "intervals", "comparisons"]
    names += ["rescore"] if settings.rescore is not None else []
    names += ["claims"]
    names += [name for name in ("released", "ensembles") if getattr(settings, name)]
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"datasets.{name}: the report has a table of this name; rename it")
    return names
