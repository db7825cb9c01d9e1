"""The training loop: one plain loop that every model shares, resumable at each epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.config import Recipe
from bench.losses import Objective
from bench.metrics.tagging import tagging_metrics
from bench.schedule import learning_rate
from bench.scoring import score_clips
from bench.state import StateFolder
from bench.streams import generator, stream_seed
from bench.task import Task, epoch_order
from modelkit.augment import Augment, Mixup, SpecAugment


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass
class Progress:
    """What a run has reached; saved whole after each epoch."""

    epoch: int = 0
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
) -> Progress:
    """Train `model` in place and leave the selected weights in it.

    Resumes from `state` where it holds an epoch of this run. Every random number depends on
    (seed, purpose, epoch, step) alone, so a resumed run equals an uninterrupted one.

    Args:
        loss: "bce" (sigmoid, several labels) or "ce" (softmax, one label).
        selection: validation metric that picks the epoch when the recipe selects "best".

    Raises:
        DivergedError: naming epoch and batch; the last good state stays on disk.
    """
    device = next(model.parameters()).device
    optimizer = make_optimizer(model, recipe)
    objective = Objective(task, loss, recipe.supervision)
    progress = _resume(model, optimizer, state)
    steps = -(-len(task.rows["train"]) // recipe.batch_size)
    while progress.epoch < recipe.epochs:
        started = time.perf_counter()
        epoch = progress.epoch
        order = epoch_order(task, recipe.sampler, generator(seed, "order", epoch))
        model.train()
        total = 0.0
        for step, rows in enumerate(np.array_split(order, steps)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, epoch * steps + step, steps)
            torch.manual_seed(stream_seed(seed, "dropout", epoch, step))
            augment = draw_augment(recipe, len(rows), generator(seed, "augment", epoch, step))
            value = train_step(model, optimizer, task, rows, augment, recipe, objective, device)
            if not np.isfinite(value):
                raise DivergedError(
                    f"loss is {value} at epoch {epoch + 1}, batch {step + 1} of {steps} "
                    f"(first clip {task.corpus.clips['clip'].iloc[rows[0]]}); the state of the "
                    "last epoch is kept; lower learning_rate or check the features"
                )
            total += value * len(rows)
        progress.epoch += 1
        progress.clips_seen += len(order)
        _average(progress, model, recipe)
        figure = validate(model, task, loss, selection)
        if figure > progress.best_value:
            progress.best_value, progress.best_epoch = figure, progress.epoch
            progress.best_weights = _copy(model)
        progress.seconds += time.perf_counter() - started
        progress.curve.append(
            {
                "epoch": progress.epoch,
                "step": progress.epoch * steps,
                "train_loss": total / len(order),
                "learning_rate": optimizer.param_groups[0]["lr"],
                f"validation_{selection}": figure,
                "seconds": round(progress.seconds, 3),
            }
        )
        _save(state, model, optimizer, progress)
        log(_line(progress, recipe, selection))
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


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
    rows: np.ndarray,
    augment: Augment | None,
    recipe: Recipe,
    objective: Objective,
    device: torch.device,
) -> float:
    """One optimisation step on these clips; returns the loss."""
    features = torch.from_numpy(task.features(rows)).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
        output = model(features, augment=augment)
        value = objective(output, rows, augment)
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    if recipe.gradient_clip:
        nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
    optimizer.step()
    return float(value.detach())


def validate(model: nn.Module, task: Task, loss: str, selection: str) -> float:
    """The selection metric on the validation split."""
    rows = task.rows["validation"]
    scores = score_clips(model, task, rows, loss).clip_scores
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
    state: StateFolder, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    state.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "progress": dict(vars(progress)),
        }
    )
    state.save_curve(progress.curve)


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
