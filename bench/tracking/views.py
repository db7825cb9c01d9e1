"""Records as MLflow runs: their names, tags, parameters, figures, curves and files."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.experiment.cells import Cell
from bench.experiment.config import Config
from bench.files import digest_file, digest_of
from bench.results.record import Record

ARTIFACTS = ("record.json", "metrics.jsonl", "events.tsv")
NOT_A_CURVE = ("step", "seconds")
Point = tuple[str, float, int, int]
"""Name, value, step, time in ms."""


def factors_of(settings: Config, cell: Cell) -> str:
    """The ablation factors that a cell's variant changes, or "none"."""
    for study in settings.ablations.values():
        if cell.model not in study.models or cell.dataset not in study.datasets:
            continue
        for variant in study.variants():
            if variant.name == cell.variant:
                changed = (
                    name
                    for name, levels in study.factors.items()
                    if any(level in levels for level in variant.levels)
                )
                return ", ".join(changed)
    return "none"


class TrackedRecord:
    """One record as a run of MLflow; `digest` changes whenever the run has to be rewritten."""

    def __init__(self, settings: Config, cell: Cell, folder: Path, code: str) -> None:
        self.folder = folder
        self.record = Record.read(folder / "record.json")
        self.sha256 = digest_file(folder / "record.json")
        self.digest = digest_of([self.sha256, code])
        self.factor = factors_of(settings, cell)
        self.key = self.record.key
        self.name = f"{cell.model} {cell.variant} " + self.key.rsplit("/", 1)[1]
        self.started = _milliseconds(self.record.provenance.started)
        self.finished = _milliseconds(self.record.provenance.finished)

    def tags(self) -> dict[str, str]:
        """Tags to filter runs by."""
        record = self.record
        return {
            **{name: str(value) for name, value in vars(record.cell).items()},
            "factor": self.factor,
            "level": "run",
            "experiment": record.experiment,
            "data": record.data_kind,
            "identity": record.identity,
            "git_sha": str(record.provenance.git_sha),
            "data_digest": record.digests.data,
            "device": record.provenance.device,
        }

    def parameters(self) -> dict[str, str]:
        """Model, recipe and front end, flattened."""
        resolved = self.record.resolved.values
        flat = dict(_flatten({k: resolved[k] for k in ("model", "recipe", "front_end")}))
        return {name: value[:500] for name, value in flat.items()}

    def figures(self) -> dict[str, float]:
        """Final figures: test and validation metrics and costs."""
        record = self.record
        splits = (("test", record.metrics.test), ("validation", record.metrics.validation))
        figures = {
            f"{split}_{name}": metric.value
            for split, metrics in splits
            for name, metric in metrics.items()
        }
        figures |= {f"cost_{name}": value for name, value in record.cost.model_dump().items()}
        figures["parameters"] = record.parameters
        return {name: float(value) for name, value in figures.items() if value is not None}

    def points(self) -> Iterator[Point]:
        """Every point of the learning curve, then of load and memory while training, then the
        final figures."""
        for point in _lines(self.folder / "metrics.jsonl"):
            moment = self.started + int(1000 * point.get("seconds", 0.0))
            for name, value in point.items():
                if name not in NOT_A_CURVE:
                    yield f"curve_{name}", float(value), int(point["step"]), moment
        for number, sample in enumerate(_lines(self.folder / "system.jsonl")):
            moment = self.started + int(1000 * sample["seconds"])
            for name, value in sample.items():
                if name != "seconds":
                    yield f"system/{name}", float(value), number, moment
        for name, value in self.figures().items():
            yield name, value, 0, self.finished

    def artifacts(self) -> list[Path]:
        """Files that the run shows."""
        return [self.folder / name for name in ARTIFACTS if (self.folder / name).is_file()]


class TrackedGroup:
    """The parent run of a model and variant: mean and spread over its records.

    `metric` is the data set's leading one: the record that is best in it gives the logged model.
    """

    def __init__(self, key: str, metric: str, records: list[TrackedRecord]) -> None:
        self.key, self.records = key, records
        self.name = " ".join(key.split("/")[1:])
        self.digest = digest_of([record.digest for record in records])
        self.started = min(record.started for record in records)
        self.finished = max(record.finished for record in records)
        self.best = max(records, key=lambda r: r.figures().get(f"validation_{metric}", -1.0))

    def tags(self) -> dict[str, str]:
        """What the records share."""
        own = self.records[0].tags()
        shared = ("dataset", "model", "variant", "factor", "experiment", "data", "data_digest")
        commits = {record.tags()["git_sha"] for record in self.records}
        more = {
            "git_sha": commits.pop() if len(commits) == 1 else "several",
            "runs": str(len(self.records)),
            "level": "mean",
            "best": self.best.key,
        }
        return {name: own[name] for name in shared} | more

    def parameters(self) -> dict[str, str]:
        """Those of the first record: seeds and folds are not parameters."""
        return self.records[0].parameters()

    def figures(self) -> dict[str, float]:
        """Means, and the standard deviations (n - 1) of the test figures."""
        columns: dict[str, list[float]] = defaultdict(list)
        for record in self.records:
            for name, value in record.figures().items():
                columns[name].append(value)
        figures = {name: statistics.fmean(values) for name, values in columns.items()}
        spread = {
            f"{name}_sd": statistics.stdev(values)
            for name, values in columns.items()
            if len(values) > 1 and name.startswith("test_")
        }
        return figures | spread

    def points(self) -> Iterator[Point]:
        """Its figures: it has no curve of its own."""
        for name, value in self.figures().items():
            yield name, value, 0, self.finished

    def artifacts(self) -> list[Path]:
        """None of its own: pictures come from the report's gallery."""
        return []


Tracked = TrackedRecord | TrackedGroup


def _lines(path: Path) -> Iterator[dict[str, float]]:
    if path.is_file():
        with open(path, encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
