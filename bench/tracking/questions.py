"""What people ask of the runs, as saved views of MLflow's pages: sorted, filtered, columns chosen.

A saved view is a tag of an experiment; MLflow's pages list it under *Saved views*, and open it at
`#/experiments/ID/runs?viewStateShareKey=KEY` (`mlflow/server/js`, experiment-page, saved views).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bench.experiment.config import Config
from bench.results.names import METRICS
from bench.tracking.views import CHANGE, REFERENCE

SAVED = "mlflow.sharedViewState."
FACTORS = {"token_semantic": "token-semantic module"}
"""Factors of ablations whose names are no words."""
OURS = f"{SAVED}bench-"
"""What the tags of the views that are made here begin with; others are a person's."""


@dataclass(frozen=True)
class Question:
    """A question, the runs that answer it, the figure that sorts them (highest first), and the
    columns to show; each name as MLflow has it, such as metrics.`test_mAP`."""

    text: str
    runs: str
    by: str
    columns: tuple[str, ...]

    @property
    def key(self) -> str:
        """Names the saved view in a link."""
        return "bench-" + re.sub("[^a-z0-9]+", "-", self.text.lower()).strip("-")

    def view(self) -> str:
        """The saved view, as MLflow's pages store it."""
        state = {
            "searchFilter": self.runs,
            "orderByKey": self.by,
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": self.columns,
            "columnOrder": self.columns,
            "columnWidths": {column: 8 * len(column) for column in self.columns},  # pixels
        }
        made = 0  # no moment of its own, so that writing it again changes nothing
        return json.dumps({"name": self.text, "createdAt": made, "state": json.dumps(state)})


def questions(settings: Config, dataset: str) -> Iterator[Question]:
    """Which model is best, whether each factor of an ablation matters, what took most."""
    chosen = settings.datasets[dataset]
    main = f"test_{chosen.metric}"
    has = f"metrics.{main} >= 0"  # what cannot localize has no figure
    shown = [f"test_{name}" for name in dict.fromkeys((chosen.metric, chosen.selection))]
    figures = [column for name in shown for column in (name, f"{name}_sd")]
    yield Question(
        "Which model localizes best?"
        if chosen.localize
        else f"Which model has the best {METRICS[chosen.metric]}?",
        f"tags.level = 'mean' and tags.variant = 'base' and {has}",
        _metric(main),
        (*map(_metric, [*figures, "parameters", "cost_train_seconds", "cost_peak_memory_mb"]),),
    )
    for factor in _factors(settings, dataset):
        columns = [f"{part}{name}" for name in shown for part in (CHANGE, "", REFERENCE)]
        yield Question(
            f"Does the {FACTORS.get(factor, factor.replace('_', ' '))} matter?",
            f"tags.level = 'mean' and tags.factor LIKE '%{factor}%'",
            _metric(CHANGE + main),
            (*map(_metric, [*columns, f"{main}_sd"]),),
        )
    yield Question(
        "Which run took the most memory?",
        "tags.level = 'run'",
        _metric("cost_peak_memory_mb"),
        (
            *map(_metric, ["cost_peak_memory_mb", "cost_train_seconds", "parameters"]),
            "params.`recipe.batch_size`",
            "params.`recipe.precision`",
            "tags.`device`",
        ),
    )


def link(page: str, experiment: str, question: Question) -> str:
    """The address of a saved view; `page` is the server's, empty from one of its own pages."""
    place = f"{page}#/experiments/{experiment}/runs"
    return f"{place}?workflowType=machine_learning&viewStateShareKey={question.key}"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _factors(settings: Config, dataset: str) -> list[str]:
    """The factors that are varied on a data set, without those that hold controls alone."""
    found = (
        name
        for study in settings.ablations.values()
        if dataset in study.datasets
        for name, levels in study.factors.items()
        if not all(level.control for level in levels.values())
    )
    return list(dict.fromkeys(found))
