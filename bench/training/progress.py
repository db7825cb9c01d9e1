"""How far a run has come, and the weights that it keeps: averaged, best on validation, or last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from bench.data.task import Task
from bench.experiment.config import Recipe
from bench.metrics.tagging import tagging_metrics
from bench.models.scoring import AT_ONCE, score_clips
from bench.models.team import Team


@dataclass
class Progress:
    """How far a run has come: `epoch` whole epochs and `step` batches of the next one."""

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

    def count_batch(self, clips: int, seconds: float) -> None:
        """Add a batch; its loss follows when it is read."""
        self.step += 1
        self.clips_seen += clips
        self.seconds += seconds

    def finish_epoch(self, model: nn.Module, recipe: Recipe, figure: float) -> None:
        """Count the epoch, add its weights to the average, and keep them if they are the best.

        Args:
            figure: the selection metric on the validation split.
        """
        self.epoch += 1
        if self.epoch > recipe.epochs - recipe.average_epochs:
            self._add_to_average(model)
        self.keep_best(model, figure)

    def keep_best(self, model: nn.Module, figure: float) -> None:
        """Keep the weights if this epoch is the first, or better than all before."""
        if figure > self.best_value or not self.best_weights:
            self.best_value, self.best_epoch = figure, self.epoch
            self.best_weights = _copy(model)

    def _add_to_average(self, model: nn.Module) -> None:
        """Sums are in float64."""
        for name, value in _copy(model).items():
            if value.is_floating_point():
                value = value.double()
            previous = self.summed_weights.get(name)
            self.summed_weights[name] = value if previous is None else previous + value

    def note(self, **values: Any) -> None:
        """Add a point to the curve and begin the next epoch."""
        self.curve.append({"epoch": self.epoch, **values})
        self.step, self.epoch_loss = 0, 0.0

    def select_weights(self, model: nn.Module, recipe: Recipe) -> None:
        """Load the weights that the recipe evaluates: averaged, best on validation, or last."""
        self.selected_epoch = self.epoch
        if recipe.average_epochs:
            model.load_state_dict(
                {
                    name: (self.summed_weights[name] / recipe.average_epochs).to(value.dtype)
                    if value.is_floating_point()
                    else value
                    for name, value in _copy(model).items()
                }
            )
        elif recipe.select == "best":
            self.select_best(model)

    def select_best(self, model: nn.Module) -> None:
        """Load the weights that were best on validation."""
        model.load_state_dict(self.best_weights)
        self.selected_epoch = self.best_epoch

    def line(self, recipe: Recipe, selection: str) -> str:
        """The last epoch in words, with rate and time left."""
        point = self.curve[-1]
        rate = self.clips_seen / max(self.seconds, 1e-9)
        left = self.seconds / self.epoch * (recipe.epochs - self.epoch)
        return (
            f"epoch {self.epoch}/{recipe.epochs}  loss {point['train_loss']:.4f}  "
            f"validation {selection} {100 * point[f'validation_{selection}']:.1f} %  "
            f"{rate:.0f} clips/s  {left:.0f} s left"
        )


def validate(
    model: nn.Module, task: Task, loss: str, selection: str, team: Team | None = None
) -> float:
    """The selection metric on the validation split."""
    rows = task.rows["validation"]
    scores = score_clips(model, task, rows, loss, team, at_once=AT_ONCE).clip_scores
    metrics = tagging_metrics(
        scores, task.targets[rows], task.corpus.classes, multilabel=task.corpus.multilabel
    )
    return metrics[selection].value


def _copy(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
