"""What a run writes: weights, curve and scores, and training.json, which describes their origin."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.task import Task
from bench.data.windows import is_longer
from bench.experiment.cells import Plan
from bench.files import digest_of, write_json_lines
from bench.models.scores import Scores, write_scores
from bench.process.launch import world_size
from bench.provenance import environment, source
from bench.results.training import Training
from bench.training.streams import PURPOSES, run_seed, stream_seed

SCORED = ("validation", "test")


@dataclass(frozen=True)
class Origin:
    """What determines a run's result.

    Attributes:
        digests: of everything besides the config: code, data, features, pins, what it starts from.
        threads: CPU threads.
        started: when it started; it determines nothing.
    """

    plan: Plan
    digests: Mapping[str, str]
    threads: int
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def identity(self) -> str:
        """sha256 of what determines the result: runs of one identity are equal to the digit."""
        several = {"processes": world_size()} if world_size() > 1 else {}
        values = {"resolved": self.plan.resolved, "digests": dict(self.digests)}
        return digest_of({**values, "threads": self.threads, **several})


@dataclass(frozen=True)
class Outcome:
    """What a run produced.

    Attributes:
        scores: of each split in SCORED.
        network: `networks.resolved_values` of the model.
        parameters: how many are trained.
        cost: seconds, memory and clips, by name.
        device: its name.
        curve: a point for each epoch.
        system: load and memory over time, `bench.process.sampler`.
        save: writes the weights, if they are the run's own.
    """

    scores: dict[str, Scores]
    network: Mapping[str, Any] | None
    parameters: int
    cost: Mapping[str, Any]
    device: str = "cpu"
    curve: Sequence[dict[str, Any]] = ()
    system: Sequence[dict[str, float]] = ()
    save: Callable[[Path], None] | None = None


def write_run(folder: Path, origin: Origin, task: Task, made: Outcome) -> None:
    """Write model.pt, metrics.jsonl, system.jsonl, scores.npz and training.json.

    training.json is written last: if it exists, the others are complete.
    """
    if made.save is not None:
        made.save(folder / "model.pt")
        write_json_lines(folder / "system.jsonl", list(made.system))
    write_json_lines(folder / "metrics.jsonl", list(made.curve))
    write_scores(folder / "scores.npz", task, made.scores)
    training = Training.model_validate(_description(origin, task, made))
    training.write(folder / "training.json")


def _description(origin: Origin, task: Task, made: Outcome) -> dict[str, Any]:
    plan = origin.plan
    parent = None
    if plan.parent is not None:
        parent = {"key": str(plan.parent), "identity": origin.digests["parent"]}
    seed = run_seed(plan.cell.seed, plan.recipe.streams)
    return {
        "key": str(plan.cell),
        "identity": origin.identity,
        "parent": parent,
        "resolved": plan.resolved,
        "config_digest": plan.digest,
        "digests": dict(origin.digests),
        "splits": {name: len(rows) for name, rows in task.rows.items()},
        "excluded": int((task.position < 0).sum()),
        "windowed": _windowed(task),
        "seeds": {name: stream_seed(seed, name) for name in PURPOSES},
        "provenance": {
            **source(),
            **environment(),
            "threads": origin.threads,
            "processes": world_size(),
            "device": made.device,
            "deterministic": True,
            "command": shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
            "started": origin.started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "network": made.network,
        "parameters": made.parameters,
        "cost": dict(made.cost),
    }


def _windowed(task: Task) -> int:
    """How many of the run's clips are longer than the model's input, and are scored in windows."""
    rows = np.unique(np.concatenate(list(task.rows.values())))
    return int(is_longer(task.lengths(rows), task.front_end.frames).sum())
