"""`python -m bench track --live`: running training, epoch by epoch, on a tracking server.

It reads the files that training writes anyway, in a separate process: a slow or absent server
does not affect training. When a run is done, `python -m bench track` replaces its live curves by
its record.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NoReturn

from bench.experiment.config import Config
from bench.experiment.running import Running, running_trainings
from bench.files import UserError
from bench.process.sampler import Sampler
from bench.tracking.server import ANSWER_S, REMEDY, SERVER, first_line, server, silence
from bench.tracking.store import KEY, Store, log_metrics, one_writer

PAUSE_S = 5.0


class Follower:
    """Sends the new points of each running training; one MLflow run per cell, tagged `live`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.runs: dict[str, str] = {}
        self.sent: dict[str, int] = {}
        self.samplers: dict[str, Sampler] = {}

    def send(self, item: Running) -> int:
        """Send the new points of one training; returns their number."""
        from mlflow.entities import Metric

        key = str(item.cell)
        points = _points(item.folder / "metrics.jsonl")
        if key not in self.runs:
            self.runs[key], self.sent[key] = self._create(item, key), 0
        new = points[self.sent[key] :]
        now = int(time.time() * 1000)
        metrics = [
            Metric(f"curve_{name}", float(value), now, int(point["step"]))
            for point in new
            for name, value in point.items()
            if name != "step"
        ]
        metrics += [
            Metric(f"system/{name}", value, now, int(points[-1]["step"]) if points else 0)
            for name, value in self._system(item, key).items()
        ]
        log_metrics(self.store.client, self.runs[key], metrics)
        self.sent[key] = len(points)
        return len(new)

    def _create(self, item: Running, key: str) -> str:
        cell = item.cell
        tags = {name: str(value) for name, value in vars(cell).items()} | {KEY: key, "live": "1"}
        name = f"{cell.model} {cell.variant} seed{cell.seed} (at work)"
        made = self.store.create(self.store.experiment(cell.dataset), name, tags)
        return str(made.info.run_id)

    def _system(self, item: Running, key: str) -> dict[str, float]:
        """Load and memory of a training on this machine."""
        import psutil

        if item.host != socket.gethostname():
            return {}
        try:
            if key not in self.samplers or self.samplers[key].process.pid != item.pid:
                self.samplers[key] = Sampler(item.pid)
            return {k: v for k, v in self.samplers[key].sample().items() if k != "seconds"}
        except psutil.Error:
            return {}


def follow(settings: Config) -> NoReturn:
    """Send new points to the tracking server every PAUSE_S seconds, until stopped.

    A fault is reported once, in one line, and so is its end; meanwhile the server is tried again.

    Raises:
        UserError: no server is named; or it does not answer, and `tracking.unreachable` says stop.
    """
    url = server()
    if url is None:
        raise UserError(f"{SERVER} names no server; set it to http://HOST:PORT")
    # Instead of MLflow's minutes: failed calls are repeated here.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", f"{ANSWER_S:.0f}")

    @cache
    def follower() -> Follower:
        with one_writer(settings):
            return Follower(Store(settings))

    def send() -> None:
        for item in running_trainings(settings):
            follower().send(item)

    failing = False
    while True:
        fault, lost = attempt(url, send)
        if lost and settings.tracking.unreachable == "stop":
            raise UserError(f"{fault}; {REMEDY}")
        if bool(fault) != failing:
            failing = bool(fault)
            said = fault or f"{url}: the tracking server answers again"
            print(said, file=sys.stderr, flush=True)
        time.sleep(PAUSE_S)


def attempt(url: str, send: Callable[[], None]) -> tuple[str, bool]:
    """Send once; returns what went wrong, in one line, and whether the server is lost."""
    if lost := silence(url):
        return lost, True
    try:
        send()
    except Exception as error:  # whatever the server does, training continues
        lost = silence(url)
        return lost or f"{url}: {first_line(error)}", bool(lost)
    return "", False


def _points(path: Path) -> list[dict[str, float]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []
