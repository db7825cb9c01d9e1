"""Records as MLflow runs: their names, tags, parameters, figures, curves and files."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.experiment.cells import Cell
from bench.experiment.config import Config
from bench.files import digest_file, digest_of
from bench.results.groups import STAGE_DIGESTS, Group, Run, why_not_comparable
from bench.results.record import Record
from bench.tracking import notes

ARTIFACTS = ("record.json", "metrics.jsonl", "events.tsv")
NOT_A_CURVE = ("step", "seconds")
NOTE = "mlflow.note.content"
"""The tag that MLflow's pages show as the description."""
REFERENCE, CHANGE = "reference_", "change_"
"""What a variant's figures of its reference, and its differences from it, begin with."""
Point = tuple[str, float, int, int]
"""Name, value, step, time in ms."""


@dataclass(frozen=True)
class Change:
    """The ablation factors that a variant changes, what it is compared with, and why."""

    factor: str
    against: str
    why: str


def change_of(settings: Config, cell: Cell) -> Change | None:
    """What a cell's variant is in the first study that has it; None for what is no variant."""
    for study in settings.ablations.values():
        if cell.model in study.models and cell.dataset in study.datasets:
            for variant in study.variants():
                if variant.name == cell.variant:
                    changed = [
                        k for k, levels in study.factors.items() if {*variant.levels} & {*levels}
                    ]
                    return Change(", ".join(changed), variant.against, variant.why)
    return None


class TrackedRecord:
    """One record as a run of MLflow; `digest` changes whenever the run has to be rewritten."""

    def __init__(self, settings: Config, cell: Cell, folder: Path, code: str) -> None:
        self.settings, self.folder = settings, folder
        self.record = Record.read(folder / "record.json")
        self.change = change_of(settings, cell)
        self.key = self.record.key
        self.name = f"{cell.model} {cell.variant} " + self.key.rsplit("/", 1)[1]
        self.started = _milliseconds(self.record.provenance.started)
        self.finished = _milliseconds(self.record.provenance.finished)
        self.digest = digest_of([digest_file(folder / "record.json"), code, self.tags()])

    def tags(self) -> dict[str, str]:
        """Tags to filter runs by."""
        record = self.record
        return {
            **{name: str(value) for name, value in vars(record.cell).items()},
            "factor": self.change.factor if self.change else "none",
            "level": "run",
            "experiment": record.experiment,
            "data": record.data_kind,
            "identity": record.identity,
            "git_sha": str(record.provenance.git_sha),
            "data_digest": record.digests.data,
            "device": record.provenance.device,
            NOTE: notes.of_record(self.settings, record),
        }

    def parameters(self) -> dict[str, str]:
        """Model, recipe and front end, flattened; of the model also what its defaults resolve to,
        so that runs with and without a changed argument have the same names."""
        resolved = self.record.resolved
        model = resolved.values["model"] | resolved.model.arguments | (self.record.network or {})
        model.pop("arguments", None)
        parts = {"model": model, **{k: resolved.values[k] for k in ("recipe", "front_end")}}
        flat = dict(_flatten(parts))
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
        yield from self.curve()
        for number, sample in enumerate(_lines(self.folder / "system.jsonl")):
            moment = self.started + int(1000 * sample["seconds"])
            for name, value in sample.items():
                if name != "seconds":
                    yield f"system/{name}", float(value), number, moment
        for name, value in self.figures().items():
            yield name, value, 0, self.finished

    def curve(self) -> Iterator[Point]:
        """Every point of the learning curve."""
        for point in _lines(self.folder / "metrics.jsonl"):
            moment = self.started + int(1000 * point.get("seconds", 0.0))
            for name, value in point.items():
                if name not in NOT_A_CURVE:
                    yield f"curve_{name}", float(value), int(point["step"]), moment

    def artifacts(self) -> list[Path]:
        """Files that the run shows."""
        return [self.folder / name for name in ARTIFACTS if (self.folder / name).is_file()]


class TrackedGroup:
    """The parent run of a model and variant: mean and spread over its records.

    `metric` is the data set's leading one: the record that is best in it gives the logged model.
    `reference` are the records that a variant is compared with.
    """

    def __init__(
        self,
        key: str,
        metric: str,
        records: list[TrackedRecord],
        reference: Sequence[TrackedRecord] = (),
    ) -> None:
        self.key, self.records = key, records
        self.name = " ".join(key.split("/")[1:])
        self.started = min(record.started for record in records)
        self.finished = max(record.finished for record in records)
        self.best = max(records, key=lambda r: r.figures().get(f"validation_{metric}", -1.0))
        self.reference = _comparable(records, reference)
        made_from = [record.digest for record in (*records, *self.reference)]
        self.digest = digest_of([made_from, self.tags()])

    def tags(self) -> dict[str, str]:
        """What the records share."""
        first = self.records[0]
        own = first.tags()
        shared = ("dataset", "model", "variant", "factor", "experiment", "data", "data_digest")
        commits = {record.tags()["git_sha"] for record in self.records}
        note = notes.of_group(
            first.settings, [r.record for r in self.records], self.figures(), first.change
        )
        more = {
            "git_sha": commits.pop() if len(commits) == 1 else "several",
            "runs": str(len(self.records)),
            "level": "mean",
            "best": self.best.key,
            NOTE: note,
        }
        return {name: own[name] for name in shared} | more

    def parameters(self) -> dict[str, str]:
        """Those of the first record: seeds and folds are not parameters."""
        return self.records[0].parameters()

    def figures(self) -> dict[str, float]:
        """Means, the standard deviations (n - 1) of the test figures, and of a variant what it is
        compared with."""
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
        return figures | spread | self._against()

    def _against(self) -> dict[str, float]:
        """The reference's test figures, and how much higher the own are: means over the seeds and
        folds that both have."""
        others = {(r.record.cell.fold, r.record.cell.seed): r.figures() for r in self.reference}
        both: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for record in self.records:
            other = others.get((record.record.cell.fold, record.record.cell.seed), {})
            for name, value in record.figures().items():
                if name.startswith("test_") and name in other:
                    both[name].append((value, other[name]))
        found = {}
        for name, pairs in both.items():
            found[REFERENCE + name] = statistics.fmean(other for _, other in pairs)
            found[CHANGE + name] = statistics.fmean(own - other for own, other in pairs)
        return found

    def points(self) -> Iterator[Point]:
        """The mean curve, as far as all records go, and the figures."""
        at: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
        for record in self.records:
            for name, value, step, moment in record.curve():
                at[name, step].append((value, moment - record.started))
        for (name, step), found in at.items():
            if len(found) == len(self.records):
                values, times = zip(*found, strict=True)
                moment = self.started + round(statistics.fmean(times))
                yield name, statistics.fmean(values), step, moment
        for name, value in self.figures().items():
            yield name, value, 0, self.finished

    def artifacts(self) -> list[Path]:
        """None of its own: pictures come from the report's gallery."""
        return []


def _comparable(
    records: Sequence[TrackedRecord], reference: Sequence[TrackedRecord]
) -> Sequence[TrackedRecord]:
    """The reference, if it was made as the records were."""
    if not reference:
        return ()
    groups = [
        Group(cell.dataset, cell.model, cell.variant, runs, len(runs))
        for some in (records, reference)
        for cell, runs in [(some[0].record.cell, tuple(Run(r.record, r.folder) for r in some))]
    ]
    return () if why_not_comparable(groups, STAGE_DIGESTS) else reference


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
