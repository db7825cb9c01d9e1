"""The trainings in progress, as their locks and curves show them to other processes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bench.experiment.cells import Cell, Layout, list_cells, plan
from bench.experiment.config import Config
from bench.process import locks


@dataclass(frozen=True)
class Running:
    """A training in progress: epochs done of all, seconds so far, its state and process."""

    cell: Cell
    epoch: int
    epochs: int
    seconds: float
    folder: Path = Path()
    pid: int = 0
    host: str = ""

    @property
    def seconds_left(self) -> float | None:
        """Estimated from its own pace; None before its first epoch."""
        return self.seconds / self.epoch * (self.epochs - self.epoch) if self.epoch else None


def running_trainings(settings: Config) -> list[Running]:
    """The trainings whose state a live process holds, on any machine that shares the folder."""
    cells = {str(cell): cell for cell in list_cells(settings)}
    found = []
    for path in sorted((Layout.of(settings).work / "state").glob("*.lock")):
        holder = locks.holder(path) or {}
        cell = cells.get(holder.get("purpose", ""))
        if cell is None:
            continue
        folder = path.with_suffix("")
        last = _last_line(folder / "metrics.jsonl")
        epoch, seconds = int(last.get("epoch", 0)), last.get("seconds", 0.0)
        epochs = plan(settings, cell).recipe.epochs
        pid, host = int(holder.get("pid", 0)), str(holder.get("host", ""))
        found.append(Running(cell, epoch, epochs, seconds, folder, pid, host))
    return found


def _last_line(path: Path) -> dict[str, float]:
    try:
        line = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        return {name: float(line[name]) for name in ("epoch", "seconds")}
    except (OSError, IndexError, KeyError, TypeError, ValueError):
        return {}
