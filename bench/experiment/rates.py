"""What a rehearsal measured on this machine: seconds of a step by run, in a small file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.experiment.cells import Layout, list_cells, plan
from bench.experiment.config import Config
from bench.files import UserError, read_json, write_json
from bench.process import slots
from bench.provenance import environment


@dataclass(frozen=True)
class Rate:
    """What a run takes here.

    Attributes:
        digest: `Plan.digest` of the first seed's run.
        step_seconds, score_seconds: of training on one clip once, and of scoring it.
        device: "cpu" or the GPU's name.
    """

    digest: str
    step_seconds: float
    score_seconds: float
    parameters: int
    device: str

    def seconds(self, seen: int, epochs: int, others: int) -> float:
        """Of a training that sees this many clips in this many epochs. About half of the other
        clips
        validate: they are scored after each epoch, and all others at the end."""
        return seen * self.step_seconds + (epochs / 2 + 1) * others * self.score_seconds


def read_rates(settings: Config) -> dict[str, Rate]:
    """The rates of this machine by DATASET/MODEL/VARIANT, as far as the runs are still the same."""
    try:
        kept = read_json(_path(settings))
        if kept["machine"] != _machine():
            return {}
        rates = {name: Rate(**values) for name, values in kept["rates"].items()}
    except (UserError, KeyError, TypeError):
        return {}
    firsts: dict[str, str] = {}
    for cell in list_cells(settings):
        name = f"{cell.dataset}/{cell.model}/{cell.variant}"
        if name in rates and name not in firsts:
            firsts[name] = plan(settings, cell).digest
    return {name: rates[name] for name, digest in firsts.items() if rates[name].digest == digest}


def write_rates(settings: Config, rates: Mapping[str, Rate]) -> None:
    """Save these rates beside those that are still valid."""
    kept = {**read_rates(settings), **rates}
    values = {name: asdict(rate) for name, rate in kept.items()}
    write_json(_path(settings), {"machine": _machine(), "rates": values})


def _path(settings: Config) -> Path:
    return Layout.of(settings).work / "rehearsal.json"


def _machine() -> dict[str, Any]:
    """What times on this machine depend on."""
    return {"cpu": environment()["cpu"], "cores": os.cpu_count(), "gpus": len(slots.devices())}
