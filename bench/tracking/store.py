"""The store that the MLflow UI shows: one experiment per data set, with the runs made here.

It is <results>/mlflow.db, or the server that MLFLOW_TRACKING_URI names. Either may hold other
people's runs: every run and model made here carries a tag, and nothing else is changed or deleted.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

from bench.experiment.cells import Layout
from bench.experiment.config import Config
from bench.files import (
    UserError,
    atomic_write,
    damage_told,
    digest_of,
    read_json,
    write_json,
    write_text,
)
from bench.process.locks import hold
from bench.strict import Strict, parse
from bench.tracking import rows
from bench.tracking.questions import OURS
from bench.tracking.server import SERVER, server
from bench.tracking.views import NOTE, Tracked

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

OWNER = "tracked_from"
"""The tag of runs and models made here: the results folder whose records they show."""
KEY, DIGEST, FILES, PARENT = "key", "record_sha256", "files", "mlflow.parentRunId"
NOTE_DIGEST = "note_sha256"
"""The tag that tells a description that was made here from one that a person wrote."""
TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Opens an experiment in MLflow's UI for model training, not in that for language models."""


class Store:
    """MLflow's experiments, in the results folder's database or on a server that people share."""

    def __init__(self, settings: Config) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        from mlflow import MlflowClient

        results = Layout.of(settings).results
        results.mkdir(parents=True, exist_ok=True)
        self.folder = results.resolve()
        self.files = self.folder / "mlartifacts"
        self.database = self.folder / "mlflow.db"
        self.uri, self.shared = address(settings), server() is not None
        self.owner = self.name = settings.experiment
        self.places: dict[str, list[str]] = defaultdict(list)
        if self.shared:
            self.owner += f" {_id_of(self.folder)}"
            self.client = MlflowClient(self.uri)
        else:
            self.client = _open_database(self.database)
            self._find_moved_files()

    def experiment(self, dataset: str) -> str:
        """The id of a data set's experiment, created if missing, restored if deleted.

        Raises:
            UserError: someone else made it, and it was deleted.
        """
        name = f"{dataset} ({self.name})" if self.shared else dataset
        found = self.client.get_experiment_by_name(name)
        if found is None:
            place = None if self.shared else (self.files / dataset).as_uri()
            tags = {**TRAINING, OWNER: self.owner}
            return str(self.client.create_experiment(name, artifact_location=place, tags=tags))
        if found.lifecycle_stage == "deleted":
            if found.tags.get(OWNER) != self.owner:
                raise UserError(
                    f"{self.uri}: experiment '{name}' is deleted, and was not made here; restore it"
                    f" (`mlflow experiments restore --experiment-id {found.experiment_id}`, with"
                    f" {SERVER} set to this address) or give this experiment another name"
                )
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def describe(self, experiment: str, note: str, views: Mapping[str, str]) -> None:
        """Give an experiment that was made here its description, unless a person wrote another,
        and its saved views."""
        tags = self.client.get_experiment(experiment).tags
        if tags.get(OWNER) != self.owner:
            return
        wanted = dict(views)
        if NOTE not in tags or digest_of(tags[NOTE]) == tags.get(NOTE_DIGEST):
            wanted |= {NOTE: note, NOTE_DIGEST: digest_of(note)}
        for name in tags:
            if name.startswith(OURS) and name not in wanted:
                self.client.delete_experiment_tag(experiment, name)
        for name, value in wanted.items():
            if tags.get(name) != value:
                self.client.set_experiment_tag(experiment, name, value)

    def runs(self, experiment: str) -> list[tuple[str, Any]]:
        """The runs of an experiment that were made here, each after its key."""
        found: list[tuple[str, Any]] = []
        token = None
        while True:
            page = self.client.search_runs(
                [experiment], f"tags.{OWNER} = '{self.owner}'", max_results=1000, page_token=token
            )
            found += [(str(run.data.tags.get(KEY)), run) for run in page]
            token = page.token
            if not token:
                return found

    def create(self, experiment: str, name: str, tags: Mapping[str, str], **times: int) -> Any:
        """Create a run that is tagged as ours from the start."""
        tags = {**tags, OWNER: self.owner}
        return self.client.create_run(experiment, run_name=name, tags=tags, **times)

    def add(self, experiment: str, item: Tracked, parent: str | None = None) -> str:
        """Create an item's run with its files, still without figures, and return its id."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        tags = {KEY: item.key, **({PARENT: parent} if parent else {})}
        made = self.create(experiment, item.name, tags, start_time=item.started)
        run_id, place = str(made.info.run_id), str(made.info.artifact_uri)
        # The client's own call would request the whole run to learn this address.
        files = get_artifact_repository(place, tracking_uri=self.uri)
        for path in item.artifacts():
            files.log_artifact(str(path))
        self.places[run_id].append(place)
        return run_id

    def fill(self, runs: Mapping[str, Tracked]) -> dict[str, int]:
        """Write curves, figures, parameters and tags of runs that have none yet, and end them.

        A run's digest is written last or with everything else: an incomplete run has none, and is
        made again.

        Returns:
            The sizes of the runs' files, by their paths in the results folder.
        """
        files = {run_id: self._listed(run_id) for run_id in runs}
        tags = {
            run_id: {**item.tags(), FILES: json.dumps(files[run_id]), DIGEST: item.digest}
            for run_id, item in runs.items()
        }
        if self.shared:
            for run_id, item in runs.items():
                send(self.client, run_id, item, tags[run_id])
        else:
            rows.fill(self.database, runs, tags)
        return {name: size for own in files.values() for name, size in own.items()}

    def files_of(self, run: Any) -> dict[str, int]:
        """What `fill` noted about a run's files."""
        return dict(json.loads(run.data.tags.get(FILES, "{}")))

    def stands(self, run: Any, item: Tracked | None) -> bool:
        """Whether a run shows what `item` would, and all of its files are there."""
        if item is None or run.data.tags.get(DIGEST) != item.digest:
            return False
        return _whole(self.folder, self.files_of(run))

    def delete(self, run: Any) -> None:
        """Delete a run and its model, if that was made here; `mlflow gc` still has to free them."""
        from mlflow.exceptions import MlflowException

        for output in run.outputs.model_outputs if run.outputs else ():
            with suppress(MlflowException):  # it was deleted before
                if self.client.get_logged_model(output.model_id).tags.get(OWNER) == self.owner:
                    self.client.delete_logged_model(output.model_id)
        self.client.delete_run(run.info.run_id)

    def _listed(self, run_id: str) -> dict[str, int]:
        """The files in the folders of a new run; none if a server keeps them."""
        places = () if self.shared else self.places[run_id]
        folders = (Path(url2pathname(urlsplit(place).path)) for place in places)
        return {
            str(path.relative_to(self.folder)): path.stat().st_size
            for folder in folders
            if folder.is_relative_to(self.files)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def _find_moved_files(self) -> None:
        """Follow a results folder that has moved: addresses of files in a database are absolute."""
        from mlflow.entities import ViewType

        here = self.files.as_uri()
        for experiment in self.client.search_experiments(ViewType.ALL):
            place = str(experiment.artifact_location).rpartition("/")[0]
            if OWNER in experiment.tags and place != here:
                rows.move(self.database, place, here)
                return


class Seal(Strict):
    """What <results>/mlflow.json says: where the store is (null: nowhere), and its files' sizes."""

    store: str | None
    files: dict[str, int]


def one_writer(settings: Config) -> AbstractContextManager[Any]:
    """Wait for the writer of a results folder's store that a killed Snakemake may have left."""
    return hold(Layout.of(settings).results / ".mlflow.lock", "track", patience=60.0)


def address(settings: Config) -> str:
    """The store's address: the server that the environment names, or the results folder's own."""
    results = Layout.of(settings).results.resolve()
    return server() or f"sqlite:///{results / 'mlflow.db'}"


def write_seal(settings: Config, seal: Seal) -> None:
    """Note that the store shows the records."""
    write_json(Layout.of(settings).results / "mlflow.json", seal.model_dump())


def break_false_seal(settings: Config) -> None:
    """Remove mlflow.json if store or files are lost or elsewhere, so that `track` runs again."""
    results = Layout.of(settings).results
    path = results / "mlflow.json"
    if not path.exists():
        return
    with suppress(UserError):
        seal: Seal = parse(Seal, read_json(path), str(path))
        there = server() is not None or (results / "mlflow.db").is_file()
        if seal.store == address(settings) and there and _whole(results, seal.files):
            return
    with suppress(OSError):
        path.unlink()


def send(client: MlflowClient, run_id: str, item: Tracked, tags: Mapping[str, str]) -> None:
    """Fill and end one run by the public client."""
    from mlflow.entities import Metric, Param, RunTag

    log_metrics(client, run_id, [Metric(name, v, at, step) for name, v, step, at in item.points()])
    client.set_terminated(run_id, "FINISHED", end_time=item.finished)
    parameters = [Param(*pair) for pair in item.parameters().items()]
    for start in range(0, len(parameters), 100):  # as many as a server takes at once
        client.log_batch(run_id, params=parameters[start : start + 100])
    client.log_batch(run_id, tags=[RunTag(*pair) for pair in tags.items()])


def log_metrics(client: MlflowClient, run_id: str, metrics: Sequence[Metric]) -> None:
    """Send points of curves, in as many calls as a server wants (at most 1000 points each)."""
    for start in range(0, len(metrics), 900):
        client.log_batch(run_id, metrics=metrics[start : start + 900])


def _whole(folder: Path, files: Mapping[str, int]) -> bool:
    """Whether all files are there, in the sizes that they had."""
    try:
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except OSError:
        return False


def _id_of(folder: Path) -> str:
    """The identity of a results folder, stored in it."""
    path = folder / ".mlflow_id"
    if not path.exists():
        write_text(path, f"{uuid4().hex}\n")
    return path.read_text(encoding="utf-8").strip()


def _open_database(path: Path) -> MlflowClient:
    """The client of a results folder's own database, which is created if missing.

    Raises:
        UserError: it is damaged.
    """
    from mlflow import MlflowClient

    _never_wait_for_the_disk()
    if not path.exists():  # complete or absent: MLflow would never complete half a schema
        with atomic_write(path) as new:
            MlflowClient(f"sqlite:///{new}").search_experiments()
    with damage_told(path, "move it away and run again: what was made here comes from the records"):
        with closing(sqlite3.connect(path)) as database:  # MLflow would try for minutes
            database.execute("SELECT version_num FROM alembic_version")
        client = MlflowClient(f"sqlite:///{path}")
        client.search_experiments()
        return client


def _never_wait_for_the_disk() -> None:
    """Spare MLflow's own transactions the wait for the disk."""
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def _(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(rows.NO_WAIT)
