"""Fitting the classic baselines (`baselines/classic.py`).

Nothing is chosen: the validation figure is only reported.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from bench.data.task import Task
from bench.files import UserError
from bench.metrics.tagging import tagging_metrics
from bench.models.scores import excludes
from bench.models.scoring import AT_ONCE, score_clips
from bench.training.linear import examples


def fit(model: nn.Module, task: Task, loss: str) -> tuple[list[dict[str, Any]], int]:
    """Fit `model` on every window of the training clips; one curve point, and its number, 1.

    Raises:
        UserError: classes do not exclude each other.
    """
    if not excludes(loss):
        raise UserError("the classic baselines tell classes apart that exclude each other: loss ce")
    x, targets = examples(model, task, task.rows["train"])
    try:
        model.solve(x, targets.argmax(axis=1))  # type: ignore[operator]
    except ValueError as error:
        raise UserError(f"{task.corpus.name}: {error}") from error
    validation = task.rows["validation"]
    scores = score_clips(model, task, validation, loss, at_once=AT_ONCE).clip_scores
    metrics = tagging_metrics(
        scores, task.targets[validation], task.corpus.classes, multilabel=False
    )
    return [{"epoch": 1, "step": 1, "validation_accuracy": metrics["accuracy"].value}], 1
