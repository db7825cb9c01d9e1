"""`python -m bench track`: MLflow as a view of the records, rebuilt by one writer.

One experiment per data set; one parent run per (model, variant) with its mean figures, pictures and
the best seed's model, one nested run per fold and seed. A run is found again by its key and left
alone while its digest is the same, so that calling this twice changes nothing. Training processes
never write to the store: concurrent first writers corrupt a fresh SQLite file.

The store is <results>/mlflow.db, or the server that MLFLOW_TRACKING_URI names; `--live` shows
running trainings on that server (`bench.tracking.live`).
"""

from __future__ import annotations

import argparse
import errno
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.code_digest import stage_digest
from bench.experiment import cells, config, folders
from bench.experiment.cells import Layout
from bench.files import UserError, atomic_write, damage_told, write_json
from bench.process.locks import hold
from bench.tracking.attachments import log_model, log_pictures, pictures
from bench.tracking.views import Tracked, TrackedGroup, TrackedRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from bench.reporting.results import Results

KEY, DIGEST = "key", "record_sha256"
SERVER = "MLFLOW_TRACKING_URI"
TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Opens an experiment in MLflow's pages for model training, not in those for language models."""
LEADING = ("test_intersection_f1", "test_accuracy", "test_mAP")
NO_WAIT = "PRAGMA synchronous = OFF"
BIG_CACHE = "PRAGMA cache_size = -262144"  # KiB, negative by SQLite's convention


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--live", action="store_true", help=f"show running trainings on the server of {SERVER}"
    )


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    settings = folders.load(args.config)
    if args.live:
        from bench.tracking.live import Follower, follow

        if server() is None:
            raise UserError(f"{SERVER} names no server; set it to http://HOST:PORT")
        store = Store(settings)
        follow(settings, Follower(store.client, store.experiment))
    # A job left over from a killed Snakemake writes for a moment more.
    lock = Layout.of(settings).results / ".mlflow.lock"
    with hold(lock, "track", patience=60.0), _full_disk_told():
        counts = sync(settings)
    print(f"MLflow: {counts['written']} runs written, {counts['kept']} unchanged", flush=True)
    return 0


@contextmanager
def _full_disk_told() -> Iterator[None]:
    """Say of a full disk what other writers say, whichever library met it.

    Raises:
        OSError: no space left.
    """
    try:
        yield
    except Exception as error:
        if "database or disk is full" not in str(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "mlflow.db") from error


def server() -> str | None:
    """The tracking server that the environment names."""
    uri = os.environ.get(SERVER, "")
    return uri if uri.startswith(("http://", "https://")) else None


class Store:
    """MLflow's experiments, one a data set, in an own database or on a server that others share."""

    def __init__(self, settings: config.Config) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        from mlflow import MlflowClient

        self.owner = settings.experiment
        results = Layout.of(settings).results
        results.mkdir(parents=True, exist_ok=True)
        self.folder = results.resolve()
        self.database = self.folder / "mlflow.db"
        self.uri = server() or f"sqlite:///{self.database}"
        self.client = MlflowClient(self.uri) if server() else _open_database(self.database)

    def experiment(self, dataset: str) -> str:
        """The id of a data set's experiment, made where it is missing."""
        shared = server() is not None
        name = f"{dataset} ({self.owner})" if shared else dataset
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        place = None if shared else (self.folder / "mlartifacts" / dataset).as_uri()
        return str(self.client.create_experiment(name, artifact_location=place, tags=TRAINING))

    def create(self, experiment: str, item: Tracked, tags: Mapping[str, str]) -> str:
        """Make an item's run with its files, and return its id."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        made = self.client.create_run(
            experiment, start_time=item.started, run_name=item.name, tags=dict(tags)
        )
        # The client's own call would ask for the whole run to learn this address.
        files = get_artifact_repository(str(made.info.artifact_uri), tracking_uri=self.uri)
        for path in item.artifacts():
            files.log_artifact(str(path))
        return str(made.info.run_id)

    def fill(self, runs: Mapping[str, Tracked]) -> None:
        """Write curves, figures, parameters and tags of runs that have none yet, and end them.

        A run's digest comes last or with all else: a run cut short has none, and is written again.
        Into the experiment's own database they go as the rows of one transaction, a hundred times
        faster than by MLflow's calls, which look for each row's predecessors.
        """
        if server() is not None:
            for run_id, item in runs.items():
                _send(self.client, run_id, item)
            return
        with closing(sqlite3.connect(self.database, timeout=60)) as database, database:
            database.execute(NO_WAIT)
            database.execute(BIG_CACHE)
            _insert(database, runs)


def log_metrics(client: MlflowClient, run_id: str, metrics: Sequence[Metric]) -> None:
    """Send points of curves, in as many calls as a server wants (at most 1000 points each)."""
    for start in range(0, len(metrics), 900):
        client.log_batch(run_id, metrics=metrics[start : start + 900])


def _send(client: MlflowClient, run_id: str, item: Tracked) -> None:
    """Fill one run on a server."""
    from mlflow.entities import Metric, Param, RunTag

    log_metrics(client, run_id, [Metric(name, v, at, step) for name, v, step, at in item.points()])
    client.set_terminated(run_id, "FINISHED", end_time=item.finished)
    tags = [RunTag(*pair) for pair in {**item.tags(), DIGEST: item.digest}.items()]
    parameters = [Param(*pair) for pair in item.parameters().items()]
    client.log_batch(run_id, params=parameters[:100], tags=tags)


def _insert(database: sqlite3.Connection, runs: Mapping[str, Tracked]) -> None:
    """Fill runs of MLflow's tables."""
    points: list[tuple[str, float, int, int, str]] = []
    last: list[tuple[str, float, int, int, str]] = []
    for run_id, item in runs.items():
        own = [(name, value, at, step, run_id) for name, value, step, at in item.points()]
        points += own
        newest = {row[0]: row for row in sorted(own, key=itemgetter(3, 2, 1))}
        last += sorted(newest.values(), key=_place)  # pages list them as they were inserted
    columns = "(key, value, timestamp, step, run_uuid, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
    points.sort(key=itemgetter(0, 2, 3))  # in the order of the table's key: pages fill in turn
    database.executemany(f"INSERT OR IGNORE INTO metrics {columns}", points)
    database.executemany(f"INSERT INTO latest_metrics {columns}", last)
    for run_id, item in runs.items():
        pairs = {
            "params": list(item.parameters().items()),
            "tags": [*item.tags().items(), (DIGEST, item.digest)],
        }
        for table, rows in pairs.items():
            insert = f"INSERT OR REPLACE INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)"
            database.executemany(insert, [(*row, run_id) for row in rows])
        end = "UPDATE runs SET status = 'FINISHED', end_time = ? WHERE run_uuid = ?"
        database.execute(end, (item.finished, run_id))


def _place(row: tuple[str, float, int, int, str]) -> tuple[int, bool, bool, str]:
    """The leading figures first (a comparison's plot opens with the first), then those of the test
    clips, spreads last among them."""
    name = row[0]
    leads = LEADING.index(name) if name in LEADING else len(LEADING)
    return leads, not name.startswith("test_"), name.endswith("_sd"), name


def _open_database(path: Path) -> MlflowClient:
    """The client of an experiment's own database, which is made where it is missing.

    Raises:
        UserError: it is damaged.
    """
    from mlflow import MlflowClient

    _never_wait_for_the_disk()
    if not path.exists():  # whole or absent: half a schema MLflow would never complete
        with atomic_write(path) as new:
            MlflowClient(f"sqlite:///{new}").search_experiments()
    with damage_told(path, "delete it and run again: all that it holds comes from the records"):
        with closing(sqlite3.connect(path)) as database:  # MLflow would try for minutes
            database.execute("SELECT version_num FROM alembic_version")
        client = MlflowClient(f"sqlite:///{path}")
        client.search_experiments()
        return client


def _never_wait_for_the_disk() -> None:
    """Let transactions go on while the disk writes: after a power cut, make the view anew."""
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def _(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(NO_WAIT)


def sync(settings: config.Config) -> dict[str, int]:
    """Bring the store in line with the records; returns how many runs were written and kept.

    Raises:
        UserError: a record is missing.
    """
    from bench.reporting.results import load_results

    store, layout, code = Store(settings), Layout.of(settings), stage_digest("track")
    counts = {"written": 0, "kept": 0}
    records: dict[str, str] = {}
    results: Results | None = None
    groups: dict[tuple[str, str, str], list[cells.Cell]] = defaultdict(list)
    for cell in cells.list_cells(settings):
        groups[cell.dataset, cell.model, cell.variant].append(cell)
    for dataset, chosen in settings.datasets.items():
        experiment = store.experiment(dataset)
        existing = {run.data.tags.get(KEY): run for run in _runs(store.client, experiment)}
        parents = [
            TrackedGroup(
                "/".join(key),
                chosen.selection,
                [TrackedRecord(settings, cell, layout.run(cell), code) for cell in members],
            )
            for key, members in groups.items()
            if key[0] == dataset
        ]
        stale = [parent for parent in parents if not _stands(existing.get(parent.key), parent)]
        if stale and results is None:
            results = load_results(settings)
        shown = pictures(results, dataset) if results and stale else {}
        for parent in parents:
            new: dict[str, Tracked] = {}
            parent_id = _upsert(store, experiment, existing, parent, None, new)
            if parent_id in new:
                log_pictures(store.client, parent_id, shown.get(parent.key, []))
                log_model(store.uri, parent_id, parent.best)
            for record in parent.records:
                _upsert(store, experiment, existing, record, parent_id, new)
            store.fill(new)
            counts["written"] += len(new)
            counts["kept"] += 1 + len(parent.records) - len(new)
        own = {record.key: record.sha256 for parent in parents for record in parent.records}
        records |= own
        wanted = {parent.key for parent in parents} | set(own)
        for key, old in existing.items():
            if key not in wanted:
                _delete(store.client, old)
    write_json(layout.results / "mlflow.json", {"records": records})
    return counts


def _stands(old: Any, item: Tracked, parent: str | None = None) -> bool:
    """Whether a run of the store is what `item` would write."""
    if old is None:
        return False
    tags = old.data.tags
    return tags.get(DIGEST) == item.digest and tags.get("mlflow.parentRunId") == parent


def _upsert(
    store: Store,
    experiment: str,
    existing: Mapping[str, Any],
    item: Tracked,
    parent: str | None,
    new: dict[str, Tracked],
) -> str:
    """The id of an item's run. Unless the same is there it is made with its files, and added to
    `new` to be filled; a changed one is deleted."""
    old = existing.get(item.key)
    if old is not None:
        if _stands(old, item, parent):
            return str(old.info.run_id)
        _delete(store.client, old)
    links = {"mlflow.parentRunId": parent} if parent else {}
    run_id = store.create(experiment, item, {KEY: item.key, **links})
    new[run_id] = item
    return run_id


def _delete(client: MlflowClient, run: Any) -> None:
    """A run and its logged model."""
    for output in run.outputs.model_outputs if run.outputs else ():
        client.delete_logged_model(output.model_id)
    client.delete_run(run.info.run_id)


def _runs(client: MlflowClient, experiment: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
