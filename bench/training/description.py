"""training.json: what made the weights, the curve and the scores that lie beside it."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.task import Task
from bench.data.windows import is_longer
from bench.experiment.cells import Plan
from bench.process.launch import team_size
from bench.provenance import environment, source
from bench.results.training import Training
from bench.training.streams import PURPOSES, stream_seed

SCORED = ("validation", "test")


def describe_run(
    folder: Path,
    plan: Plan,
    task: Task,
    digests: dict[str, str],
    identity: str,
    started: datetime,
    *,
    threads: int,
    network: dict[str, Any] | None,
    parameters: int,
    cost: dict[str, Any],
    device: str,
) -> None:
    """Write training.json: what made the files beside it.

    Args:
        network: `networks.resolved_values` of the model.
    """
    cell = plan.cell
    training = Training.model_validate(
        {
            "key": str(cell),
            "identity": identity,
            "parent": {"key": str(plan.parent), "identity": digests["parent"]}
            if plan.parent
            else None,
            "resolved": plan.resolved,
            "config_digest": plan.digest,
            "digests": digests,
            "splits": {name: len(rows) for name, rows in task.rows.items()},
            "excluded": int((task.position < 0).sum()),
            "windowed": _windowed(task),
            "seeds": {name: stream_seed(cell.seed, name) for name in PURPOSES},
            "provenance": {
                **source(),
                **environment(),
                "threads": threads,
                "processes": team_size(),
                "device": device,
                "deterministic": True,
                "command": shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
                "started": started.isoformat(timespec="seconds"),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            "network": network,
            "parameters": parameters,
            "cost": cost,
        }
    )
    training.write(folder / "training.json")


def _windowed(task: Task) -> int:
    """How many of the run's clips are longer than the model takes, and so heard in windows."""
    rows = np.unique(np.concatenate(list(task.rows.values())))
    return int(is_longer(task.lengths(rows), task.front_end.frames).sum())
