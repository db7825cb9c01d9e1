"""The training loop: one plain loop that every model shares, resumable at every batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.data.task import Task, epoch_order
from bench.experiment.config import Recipe
from bench.files import UserError
from bench.metrics.tagging import tagging_metrics
from bench.models.scoring import score_clips
from bench.process.signals import held_signals
from bench.process.team import Team
from bench.training.headroom import Batch, within_memory
from bench.training.loading import read_ahead
from bench.training.losses import Objective
from bench.training.schedule import learning_rate
from bench.training.state import StateFolder
from bench.training.streams import generator, stream_seed
from modelkit.augment import Augment, Mixup, SpecAugment


class DivergedError(UserError):
    """The loss or its gradient is no longer a number."""


@dataclass
class Progress:
    """What a run has reached: `epoch` whole epochs and `step` batches of the next one."""

    epoch: int = 0
    step: int = 0
    epoch_loss: float = 0.0
    seconds: float = 0.0
    clips_seen: int = 0
    best_value: float = -1.0
    best_epoch: int = 0
    selected_epoch: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    summed_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)


def fit(
    model: nn.Module,
    task: Task,
    recipe: Recipe,
    loss: str,
    selection: str,
    seed: int,
    state: StateFolder,
    log: Callable[[str], None] = print,
    *,
    team: Team | None = None,
    workers: int = 0,
) -> Progress:
    """Train `model` in place and leave the selected weights in it.

    Resumes from `state`, which is saved after each epoch, by time in between, and when the process
    is told to end. Every random number depends on (seed, purpose, epoch, step) alone, so a resumed
    run equals an uninterrupted one.

    Args:
        loss: "bce" (sigmoid, several labels) or "ce" (softmax, one label).
        selection: validation metric that picks the epoch when the recipe selects "best".
        team: the processes that share each batch; each calls this function.
        workers: threads that read batches ahead; results do not depend on them.

    Raises:
        DivergedError: naming epoch and batch; the last good state stays on disk.
    """
    team = team or Team()
    optimizer = make_optimizer(model, recipe)
    objective = Objective(task, loss, recipe.supervision, team)
    progress = _resume(model, optimizer, state)
    take_step = partial(
        train_step, team.wrap(model), optimizer, recipe=recipe, objective=objective, team=team
    )
    steps = -(-len(task.rows["train"]) // recipe.batch_size)
    clock = time.perf_counter()

    def spend() -> None:
        nonlocal clock
        now = time.perf_counter()
        progress.seconds += now - clock
        clock = now

    try:
        while progress.epoch < recipe.epochs:
            epoch = progress.epoch
            order = epoch_order(task, recipe.sampler, generator(seed, "order", epoch))
            parts = np.array_split(order, steps)
            todo = range(progress.step, steps)
            batches = read_batches(task, recipe, parts, todo, seed, epoch, team, workers)
            model.train()
            for step, batch in zip(todo, batches, strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(recipe, epoch * steps + step, steps)
                own = (team.rank,) if team.rank else ()
                torch.manual_seed(stream_seed(seed, "dropout", epoch, step, *own))
                with held_signals():
                    value = within_memory(take_step, batch, alone=team.size == 1)
                    if not math.isfinite(value):
                        first = task.corpus.clips["clip"].iloc[parts[step][0]]
                        raise DivergedError(
                            f"the loss or its gradient is {value} at epoch {epoch + 1}, batch "
                            f"{step + 1} of {steps} (first clip {first}); the last good state is "
                            "kept; lower learning_rate or check the features"
                        )
                    progress.epoch_loss += value * len(parts[step])
                    progress.clips_seen += len(parts[step])
                    progress.step += 1
                    spend()
                team.leave_together()
                if state.due():
                    _save(state, model, optimizer, progress, team)
            figure = validate(model, task, loss, selection, team)
            with held_signals():
                _finish_epoch(progress, model, recipe, figure)
                spend()
                progress.curve.append(
                    {
                        "epoch": progress.epoch,
                        "step": progress.epoch * steps,
                        "train_loss": progress.epoch_loss / len(order),
                        "learning_rate": optimizer.param_groups[0]["lr"],
                        f"validation_{selection}": figure,
                        "seconds": round(progress.seconds, 3),
                    }
                )
                progress.step, progress.epoch_loss = 0, 0.0
            _save(state, model, optimizer, progress, team)
            log(_line(progress, recipe, selection))
    except (SystemExit, KeyboardInterrupt):
        with held_signals():
            _save(state, model, optimizer, progress, team)
        log(f"stopped after epoch {progress.epoch}, batch {progress.step} of {steps}; saved")
        raise
    _select(progress, model, recipe)
    return progress


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW or Adam over all trainable parameters in one group, as the published recipes do.

    The fused form computes the same in one pass over the weights.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(
        parameters,
        lr=recipe.learning_rate,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        amsgrad=recipe.amsgrad,
        fused=True,
    )


def draw_augment(recipe: Recipe, batch: int, rng: np.random.Generator) -> Augment | None:
    """The batch's SpecAugment and mixup numbers, or None where the recipe has neither."""
    if recipe.specaugment is None and recipe.mixup is None:
        return None
    stripes = SpecAugment(**dict(recipe.specaugment)) if recipe.specaugment else None
    mixup = Mixup(**dict(recipe.mixup)) if recipe.mixup else None
    return Augment.draw(batch, rng, stripes=stripes, mixup=mixup)


def read_batches(
    task: Task,
    recipe: Recipe,
    parts: list[np.ndarray],
    steps: range,
    seed: int,
    epoch: int,
    team: Team,
    workers: int,
) -> Iterator[Batch]:
    """This process's part of the batches `steps` of an epoch whose batches are the rows `parts`."""

    def read(step: int) -> Batch:
        rows, weight = parts[step], 1.0
        rng = generator(seed, "augment", epoch, step)
        augment = draw_augment(recipe, len(rows), rng)
        if team.size > 1:
            whole = augment or Augment.draw(len(rows), rng)
            needed, augment = whole.part(team.rank, team.size)
            rows, weight = rows[needed], augment.size * team.size / whole.size
        return Batch(torch.from_numpy(task.features(rows)), rows, augment, weight)

    return read_ahead(read, steps, workers)


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    recipe: Recipe,
    objective: Objective,
    team: Team,
) -> float:
    """One optimisation step on a batch; returns the loss of the whole batch.

    Where loss or gradient is no finite number the weights stay as they were, and it returns that.
    """
    device = next(model.parameters()).device
    features = batch.features.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
        output = model(features, augment=batch.augment)
        value = objective(output, batch.rows, batch.augment, batch.weight)
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip or math.inf)
    (whole,) = team.add_up(float(value.detach()))
    if not (math.isfinite(whole) and math.isfinite(float(norm))):
        return whole if not math.isfinite(whole) else float(norm)
    optimizer.step()
    return whole / team.size


def validate(model: nn.Module, task: Task, loss: str, selection: str, team: Team) -> float:
    """The selection metric on the validation split."""
    rows = task.rows["validation"]
    scores = score_clips(model, task, rows, loss, team).clip_scores
    metrics = tagging_metrics(
        scores, task.targets[rows], task.corpus.classes, multilabel=task.corpus.multilabel
    )
    return metrics[selection].value


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer, state: StateFolder) -> Progress:
    saved = state.load()
    if saved is None:
        return Progress()
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return Progress(**saved["progress"])


def _save(
    state: StateFolder,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    team: Team,
) -> None:
    if team.rank:
        return
    state.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "progress": dict(vars(progress)),
        }
    )
    state.save_curve(progress.curve)


def _finish_epoch(progress: Progress, model: nn.Module, recipe: Recipe, figure: float) -> None:
    """Count the epoch, add its weights to the average, and keep them where they are the best."""
    progress.epoch += 1
    _average(progress, model, recipe)
    if figure > progress.best_value:
        progress.best_value, progress.best_epoch = figure, progress.epoch
        progress.best_weights = _copy(model)


def _copy(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _average(progress: Progress, model: nn.Module, recipe: Recipe) -> None:
    """Add the weights of the last `average_epochs` epochs up, in float64."""
    if progress.epoch <= recipe.epochs - recipe.average_epochs:
        return
    for name, value in _copy(model).items():
        if value.is_floating_point():
            value = value.double()
        previous = progress.summed_weights.get(name)
        progress.summed_weights[name] = value if previous is None else previous + value


def _select(progress: Progress, model: nn.Module, recipe: Recipe) -> None:
    """Load the weights that the recipe evaluates: averaged, best on validation, or last."""
    if recipe.average_epochs:
        weights = {
            name: (progress.summed_weights[name] / recipe.average_epochs).to(value.dtype)
            if value.is_floating_point()
            else value
            for name, value in _copy(model).items()
        }
        model.load_state_dict(weights)
    elif recipe.select == "best":
        model.load_state_dict(progress.best_weights)
        progress.selected_epoch = progress.best_epoch
        return
    progress.selected_epoch = progress.epoch


def _line(progress: Progress, recipe: Recipe, selection: str) -> str:
    point = progress.curve[-1]
    rate = progress.clips_seen / max(progress.seconds, 1e-9)
    left = progress.seconds / progress.epoch * (recipe.epochs - progress.epoch)
    return (
        f"epoch {progress.epoch}/{recipe.epochs}  loss {point['train_loss']:.4f}  "
        f"validation {selection} {point[f'validation_{selection}']:.4f}  "
        f"{rate:.0f} clips/s  {left:.0f} s left"
    )
