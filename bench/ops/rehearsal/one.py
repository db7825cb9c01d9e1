"""One run of a rehearsal, in a process of its own: a few steps of its training, interrupted once
and resumed, then its evaluation, with the seconds and the memory that a step takes.

`python -m bench.ops.rehearsal.one CONFIG RUN LIMITS OUTCOME` writes the outcome as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench import registry
from bench.experiment import config
from bench.experiment.cells import Cell, Layout, find_cell, plan
from bench.experiment.config import Config, Recipe
from bench.files import UserError, read_json, write_json
from bench.ops.rehearsal.outcome import Limits, Outcome
from bench.process.locks import stop_with_supervisor
from bench.process.memory import give_back_freed, peak_bytes, resident_bytes, start_peak
from bench.training.excerpt import Excerpt

PROBE = 2  # clips of the first steps


class _Enough(Exception):
    """A probe has done its steps: the first warms up, the second has the optimizer's state."""


class _Part(Excerpt):
    """The first and the last step of the first and the last epoch, at a batch that fits."""

    def __init__(self, batch: int, ends: type[BaseException] | None = None, after: int = 1) -> None:
        """`ends` is raised after this many steps."""
        self.batch, self.ends, self.after = batch, ends, after
        self.stage = "start-up"
        self.steps: list[tuple[int, int]] = []
        self.seconds: list[float] = []
        self.in_fp32 = False
        self.base = 0
        self.peaks: list[int] = []  # of each step, with what came before it since the last one
        self.held: list[int] = []  # after each step

    def recipe(self, declared: Recipe) -> Recipe:
        gc.collect()
        give_back_freed()
        _start_peak()
        self.base = _held()
        self.stage = "first training step"
        averaged = min(declared.average_epochs, 1)  # of which the last epoch is rehearsed alone
        changes = {"batch_size": self.batch, "average_epochs": averaged}
        self.in_fp32 = declared.precision == "bf16" and _emulates_bf16()
        precision = "fp32" if self.in_fp32 else declared.precision
        return declared.model_copy(update={**changes, "precision": precision})

    def taken(self, count: int) -> Sequence[int]:
        self.clock = time.perf_counter()
        return sorted({0, count - 1})

    def stepped(self, epoch: int, step: int) -> None:
        _finish_step()
        now = time.perf_counter()
        self.seconds.append(now - self.clock)
        self.steps.append((epoch, step))
        self.peaks.append(_peak())
        give_back_freed()  # else what is held seems to be what the step took
        self.held.append(_held())
        _start_peak()
        self.clock = time.perf_counter()
        self.stage = f"after step {step + 1} of epoch {epoch + 1}"
        if self.ends is not None and len(self.steps) == self.after:
            raise self.ends


def rehearse_run(settings: Config, cell: Cell, limits: Limits) -> Outcome:
    """Take one run of a scratch experiment from its start to its record; never raises for a failure
    of the run: the outcome names it."""
    resolved = plan(settings, cell)
    outcome = Outcome(str(cell), resolved.digest, resolved.recipe.batch_size)
    parts: list[_Part] = []
    stage = ""
    try:
        if resolved.model.architecture in registry.SOLVED:  # in seconds
            _train(settings, cell, limits, _Part(outcome.batch))
        else:
            parts.append(_Part(min(PROBE, outcome.batch), _Enough, after=2))
            _train(settings, cell, limits, parts[0])
            outcome.rehearsed = _batch_for(resolved.recipe, parts[0], limits)
            for ends in (SystemExit, None):
                parts.append(_Part(outcome.rehearsed, ends))
                _train(settings, cell, limits, parts[-1])
            outcome.in_fp32 = parts[-1].in_fp32
            outcome.memory = max([*parts[-1].peaks, _peak()])
            stage = "resume"
            if parts[1].steps[0] in parts[2].steps:
                raise UserError("training started over after its interruption")
        stage = "evaluate"
        _evaluate(settings, cell, outcome)
        if parts:
            stage = "memory"
            measured = parts[2] if parts[2].steps else parts[1]  # all was one step
            outcome.step_seconds = statistics.median(measured.seconds)
            outcome.memory_per_clip = _each(parts[0], measured, outcome.parameters)
            _judge(resolved.recipe, outcome, limits, cell)
    except Exception as error:
        outcome.stage = stage or (f"train ({parts[-1].stage})" if parts else "train")
        outcome.said = _told(error)
    return outcome


def _train(settings: Config, cell: Cell, limits: Limits, part: _Part) -> None:
    """`python -m bench train`, as far as the excerpt goes."""
    from bench.training.train import Resources, drop_state, train_cell

    try:
        train_cell(settings, cell, Resources(threads=limits.threads, excerpt=part))
        drop_state(Layout.of(settings), cell)
    except (_Enough, SystemExit):
        if part.ends is None:
            raise


def _batch_for(recipe: Recipe, probed: _Part, limits: Limits) -> int:
    """The largest batch whose step is within the limits, as estimated by the probe, which
    overstates the memory per clip. It is even or odd as the recipe's is."""
    each = max(1.0, (probed.peaks[0] - probed.base) / probed.batch)
    by_memory = probed.batch + (limits.memory - probed.peaks[-1]) / each
    by_time = limits.step_seconds / probed.seconds[-1] * probed.batch
    fits = min(recipe.batch_size, int(min(by_memory, by_time)))
    fits -= (recipe.batch_size - fits) % 2
    return max(fits, probed.batch)


def _each(probed: _Part, larger: _Part, parameters: int) -> float:
    """Bytes that another clip adds to a step: the rise of two batches' steps above what is held
    before them. If both batches are the same, the gradients that a step frees first count."""
    low, high = (part.peaks[-1] - [part.base, *part.held][-2] for part in (probed, larger))
    more = larger.batch - probed.batch
    each = (high - low) / more if more else (low + 4 * parameters) / probed.batch
    return max(0.0, each)


def _evaluate(settings: Config, cell: Cell, outcome: Outcome) -> None:
    """The record of the run, and what its training noted."""
    from bench.evaluation.evaluate import evaluate_cell

    evaluate_cell(settings, cell)
    folder = Layout.of(settings).run(cell)
    training = read_json(folder / "training.json")
    scored = training["splits"]["validation"] + training["splits"]["test"]
    outcome.score_seconds = training["cost"]["score_seconds"] / scored
    outcome.parameters = training["parameters"]
    outcome.device = training["provenance"]["device"]


def _judge(recipe: Recipe, outcome: Outcome, limits: Limits, cell: Cell) -> None:
    """Check the recipe's batch against the stated memory."""
    if limits.stated is None or outcome.memory_needed <= limits.stated:
        return
    raise UserError(
        f"batch_size {recipe.batch_size} needs about {outcome.memory_needed / 1e9:.1f} GB of "
        f"{limits.stated / 1e9:.1f}: {outcome.fitting(limits.stated)} fit; lower "
        f"recipes.{cell.model}/{cell.dataset}.batch_size (and learning_rate with it), or use a "
        "larger device"
    )


def _emulates_bf16() -> bool:
    import torch

    from bench.models.torch_setup import emulates_bf16

    return emulates_bf16("cuda" if torch.cuda.is_available() else "cpu")


def _finish_step() -> None:
    """Wait for the GPU, which training itself does not do within an epoch."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _start_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    start_peak()


def _peak() -> int:
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_bytes()


def _held() -> int:
    import torch

    return torch.cuda.memory_allocated() if torch.cuda.is_available() else resident_bytes()


def _told(error: Exception) -> str:
    """The message; for an unexpected error, also its type and place."""
    if isinstance(error, UserError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename}, line {last.lineno})"


def main(arguments: Sequence[str]) -> None:
    """See the module."""
    path, name, limits, out = arguments
    stop_with_supervisor()
    settings = config.load(path)
    outcome = rehearse_run(settings, find_cell(settings, name), Limits(**json.loads(limits)))
    write_json(Path(out), asdict(outcome))


if __name__ == "__main__":
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    main(sys.argv[1:])
