"""`python -m bench track --live`: the trainings at work, epoch by epoch, on a tracking server.

It reads what trainings leave on disk anyway, in a process of its own: a slow or absent server
disturbs no training. When a run is done, `python -m bench track` replaces what stands here by the
run's record.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.experiment.config import Config
from bench.tracking.sync import log_metrics
from bench.training.running import Running, running_trainings

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAUSE_S = 5.0


class Follower:
    """Sends the new points of each running training; one MLflow run per cell, tagged `live`."""

    def __init__(self, client: MlflowClient, experiment: Callable[[str], str]) -> None:
        self.client, self.experiment = client, experiment
        self.runs: dict[str, str] = {}
        self.sent: dict[str, int] = {}

    def send(self, item: Running) -> int:
        """Send what is new of one training; returns the number of points."""
        key = str(item.cell)
        points = _points(item.folder / "metrics.jsonl")
        if key not in self.runs:
            self.runs[key], self.sent[key] = self._create(item, key), 0
        new = points[self.sent[key] :]
        run, now = self.runs[key], int(time.time() * 1000)
        from mlflow.entities import Metric

        metrics = [
            Metric(f"curve_{name}", float(value), now, int(point["step"]))
            for point in new
            for name, value in point.items()
            if name != "step"
        ]
        metrics += [
            Metric(f"system/{name}", value, now, int(points[-1]["step"]) if points else 0)
            for name, value in _system(item).items()
        ]
        log_metrics(self.client, run, metrics)
        self.sent[key] = len(points)
        return len(new)

    def _create(self, item: Running, key: str) -> str:
        cell = item.cell
        tags = {name: str(value) for name, value in vars(cell).items()} | {"key": key, "live": "1"}
        created = self.client.create_run(
            self.experiment(cell.dataset),
            run_name=f"{cell.model} {cell.variant} seed{cell.seed} (at work)",
            tags=tags,
        )
        return str(created.info.run_id)


def follow(settings: Config, follower: Follower, rounds: int | None = None) -> None:
    """Send what is new every PAUSE_S seconds, for ever or so many rounds.

    A server that fails is told of once per failure and asked again.
    """
    while rounds is None or rounds > 0:
        try:
            for item in running_trainings(settings):
                follower.send(item)
        except Exception as error:  # whatever the server does, trainings go on
            print(f"live tracking: {error}", file=sys.stderr, flush=True)
        rounds = None if rounds is None else rounds - 1
        if rounds != 0:
            time.sleep(PAUSE_S)


def _points(path: Path) -> list[dict[str, float]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []


def _system(item: Running) -> dict[str, float]:
    """Memory and CPU time of a training on this machine."""
    import psutil

    if item.host != socket.gethostname():
        return {}
    try:
        process = psutil.Process(item.pid)
        return {
            "process_memory_megabytes": process.memory_info().rss / 2**20,
            "cpu_seconds": sum(process.cpu_times()[:2]),
        }
    except psutil.Error:
        return {}
