"""`python -m bench track`: MLflow as a view of the records, rebuilt by one writer.

One experiment per data set; one parent run per (model, variant) with its mean figures, one nested
run per fold and seed. A run is found again by its key and left alone while its record's digest is
the same, so that calling this twice changes nothing. Training processes never write to the store:
concurrent first writers corrupt a fresh SQLite file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import cells, config
from bench.cells import Layout
from bench.files import digest_file, digest_of, read_json, write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY, DIGEST = "key", "record_sha256"
ARTIFACTS = ("record.json", "metrics.jsonl", "events.tsv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb: none of its own."""


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    counts = sync(config.load(args.config))
    print(f"MLflow: {counts['written']} runs written, {counts['kept']} unchanged", flush=True)
    return 0


def sync(settings: config.Config) -> dict[str, int]:
    """Bring <results>/mlflow.db in line with the records; returns how many runs were written.

    Raises:
        UserError: a record is missing.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    layout = Layout.of(settings)
    layout.results.mkdir(parents=True, exist_ok=True)
    store = layout.results.resolve()
    client = MlflowClient(tracking_uri=f"sqlite:///{store}/mlflow.db")
    counts = {"written": 0, "kept": 0}
    groups: dict[tuple[str, str, str], list[cells.Cell]] = defaultdict(list)
    for cell in cells.list_cells(settings):
        groups[cell.dataset, cell.model, cell.variant].append(cell)
    for dataset in settings.datasets:
        experiment = _experiment(client, dataset, store)
        existing = {run.data.tags.get(KEY): run for run in _runs(client, experiment)}
        wanted: set[str] = set()
        for (_, model, variant), members in groups.items():
            if members[0].dataset != dataset:
                continue
            records = [_Record.read(layout.run(cell)) for cell in members]
            parent = _Group(f"{dataset}/{model}/{variant}", records)
            parent_id = _upsert(client, experiment, existing, parent, None, counts)
            for record in records:
                _upsert(client, experiment, existing, record, parent_id, counts)
            wanted |= {parent.key, *(record.key for record in records)}
        for key, stale in existing.items():
            if key not in wanted:
                client.delete_run(stale.info.run_id)
    write_json(
        layout.results / "mlflow.json",
        {
            "records": {
                str(c): digest_file(layout.run(c) / "record.json")
                for g in groups.values()
                for c in g
            }
        },
    )
    return counts


class _Record:
    """One record as MLflow sees it."""

    def __init__(self, folder: Path, values: dict[str, Any], digest: str) -> None:
        self.folder, self.values, self.digest = folder, values, digest
        self.key: str = values["key"]
        cell = values["cell"]
        self.name = f"{cell['model']} {cell['variant']} " + self.key.rsplit("/", 1)[1]
        self.started = _milliseconds(values["provenance"]["started"])
        self.finished = _milliseconds(values["provenance"]["finished"])

    @classmethod
    def read(cls, folder: Path) -> _Record:
        path = folder / "record.json"
        return cls(folder, read_json(path), digest_file(path))

    def tags(self) -> dict[str, str]:
        values = self.values
        return {
            **{name: str(value) for name, value in values["cell"].items()},
            "profile": values["profile"],
            "data": values["data_kind"],
            "identity": values["identity"],
            "git_sha": str(values["provenance"]["git_sha"]),
            "data_digest": values["digests"]["data"],
            "device": values["provenance"]["device"],
        }

    def parameters(self) -> dict[str, str]:
        resolved = self.values["resolved"]
        flat = dict(_flatten({k: resolved[k] for k in ("model", "recipe", "front_end")}))
        return {name: value[:500] for name, value in flat.items()}

    def figures(self) -> dict[str, float]:
        """Final figures: test and validation metrics and costs."""
        values = self.values
        figures = {
            f"{split}_{name}": metric["value"]
            for split, metrics in values["metrics"].items()
            for name, metric in metrics.items()
        }
        figures |= {f"cost_{name}": value for name, value in values["cost"].items()}
        figures["parameters"] = values["parameters"]
        return {name: float(value) for name, value in figures.items() if value is not None}

    def curve(self) -> Iterator[tuple[str, float, int, int]]:
        """(name, value, step, time in ms) of every curve point."""
        with open(self.folder / "metrics.jsonl", encoding="utf-8") as lines:
            for line in lines:
                point = json.loads(line)
                moment = self.started + int(1000 * point.get("seconds", 0.0))
                for name, value in point.items():
                    if name != "step":
                        yield f"curve_{name}", float(value), point["step"], moment

    def artifacts(self) -> list[Path]:
        return [self.folder / name for name in ARTIFACTS if (self.folder / name).is_file()]


class _Group:
    """The parent run of a model and variant: mean and spread over its records."""

    def __init__(self, key: str, records: list[_Record]) -> None:
        self.key, self.records = key, records
        self.name = " ".join(key.split("/")[1:])
        self.digest = digest_of([record.digest for record in records])
        self.started = min(record.started for record in records)
        self.finished = max(record.finished for record in records)

    def tags(self) -> dict[str, str]:
        own = self.records[0].tags()
        shared = ("dataset", "model", "variant", "profile", "data", "data_digest")
        return {name: own[name] for name in shared} | {"runs": str(len(self.records))}

    def parameters(self) -> dict[str, str]:
        return self.records[0].parameters()

    def figures(self) -> dict[str, float]:
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

    def curve(self) -> Iterator[tuple[str, float, int, int]]:
        return iter(())

    def artifacts(self) -> list[Path]:
        return []


def _upsert(
    client: MlflowClient,
    experiment: str,
    existing: dict[str, Any],
    item: _Record | _Group,
    parent: str | None,
    counts: dict[str, int],
) -> str:
    """Write one run unless the same is there; a changed one is deleted and written anew."""
    from mlflow.entities import Metric, Param, RunTag

    old = existing.get(item.key)
    links = {"mlflow.parentRunId": parent} if parent else {}
    if old is not None:
        same_parent = old.data.tags.get("mlflow.parentRunId") == parent
        if old.data.tags.get(DIGEST) == item.digest and same_parent:
            counts["kept"] += 1
            return old.info.run_id
        client.delete_run(old.info.run_id)
    created = client.create_run(
        experiment, start_time=item.started, run_name=item.name, tags={KEY: item.key, **links}
    )
    run_id = created.info.run_id
    points = [Metric(*point[:2], point[3], point[2]) for point in item.curve()]
    points += [Metric(name, value, item.finished, 0) for name, value in item.figures().items()]
    for start in range(0, len(points), 900):  # the store takes at most 1000 a call
        client.log_batch(run_id, metrics=points[start : start + 900])
    parameters = [Param(*pair) for pair in item.parameters().items()]
    client.log_batch(run_id, params=parameters[:100])
    for path in item.artifacts():
        client.log_artifact(run_id, str(path))
    client.set_terminated(run_id, "FINISHED", end_time=item.finished)
    # The digest comes last: a run cut short by a kill has none, and is written again.
    tags = [RunTag(*pair) for pair in {**item.tags(), DIGEST: item.digest}.items()]
    client.log_batch(run_id, tags=tags)
    counts["written"] += 1
    return run_id


def _experiment(client: MlflowClient, name: str, store: Path) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    return client.create_experiment(name, artifact_location=(store / "mlartifacts" / name).as_uri())


def _runs(client: MlflowClient, experiment: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _flatten(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
