"""Learning curves: a validation figure by epoch, over the runs of a group."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.files import damage_told
from bench.results.groups import Group, Run
from bench.results.load import Results


@dataclass(frozen=True)
class Curve:
    """Epochs that every run has reached, with mean and standard deviation (0 for one run)."""

    epochs: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def curves(results: Results, dataset: str) -> dict[str, Curve]:
    """The selection metric on validation data of each model of a data set, by group.

    Raises:
        UserError: a metrics.jsonl is missing, damaged, or not the one of its record.
    """
    name = f"validation_{results.config.datasets[dataset].selection}"
    groups = results.base_groups(dataset)
    return {g.name: mean_curve(g, name) for g in groups if not results.is_baseline(g.model)}


def mean_curve(group: Group, name: str) -> Curve:
    """The curve of one figure over a group's runs."""
    by_epoch: dict[int, list[float]] = defaultdict(list)
    for run in group.runs:
        for point in _points(run):
            if point.get(name) is not None:
                by_epoch[point["epoch"]].append(point[name])
    epochs = sorted(e for e, values in by_epoch.items() if len(values) == len(group.runs))
    values = np.array([by_epoch[e] for e in epochs]).reshape(len(epochs), len(group.runs))
    std = values.std(axis=1, ddof=1) if len(group.runs) > 1 else np.zeros(len(epochs))
    return Curve(np.array(epochs), values.mean(axis=1), std)


def _points(run: Run) -> Iterator[dict[str, Any]]:
    path = run.file("metrics.jsonl")
    with damage_told(path, "train the run again"):
        points = [
            json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line
        ]
    yield from points
