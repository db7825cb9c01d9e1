"""What a run has reached, and the weights that it keeps: averaged, best on validation, or last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from bench.experiment.config import Recipe


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


def finish_epoch(progress: Progress, model: nn.Module, recipe: Recipe, figure: float) -> None:
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


def select_weights(progress: Progress, model: nn.Module, recipe: Recipe) -> None:
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


def progress_line(progress: Progress, recipe: Recipe, selection: str) -> str:
    point = progress.curve[-1]
    rate = progress.clips_seen / max(progress.seconds, 1e-9)
    left = progress.seconds / progress.epoch * (recipe.epochs - progress.epoch)
    return (
        f"epoch {progress.epoch}/{recipe.epochs}  loss {point['train_loss']:.4f}  "
        f"validation {selection} {point[f'validation_{selection}']:.4f}  "
        f"{rate:.0f} clips/s  {left:.0f} s left"
    )
