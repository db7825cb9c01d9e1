"""Solving the linear baseline (`baselines/linear.py`).

The inverse regularisation is chosen on the validation split, so that it is tuned like the networks
are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from bench.data.task import Task
from bench.data.windows import every_window
from bench.metrics.tagging import tagging_metrics
from bench.models.scores import excludes
from bench.models.scoring import AT_ONCE, score_clips

INVERSE_REGULARISATION = (0.001, 0.01, 0.1, 1.0)


def fit(model: nn.Module, task: Task, loss: str) -> tuple[list[dict[str, Any]], int]:
    """Solve `model` on the training split for each regularisation; keep the best on validation.

    Of a clip that is longer than the front end's frames every window is an example.

    Returns one curve point per candidate, and the number of the chosen one (from 1).
    """
    validation = task.rows["validation"]
    x, y = examples(model, task, task.rows["train"])
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    targets, multilabel = task.targets[validation], task.corpus.multilabel
    selection = "mAP" if multilabel else "accuracy"
    best: tuple[float, dict[str, torch.Tensor], int] | None = None
    curve = []
    for number, strength in enumerate(INVERSE_REGULARISATION, start=1):
        weights, bias = _solve((x - mean) / deviation, y, strength, exclusive=excludes(loss))
        found = {"mean": mean, "deviation": deviation, "weights": weights, "bias": bias}
        state = {name: torch.from_numpy(value) for name, value in found.items()}
        model.load_state_dict(state)
        scores = score_clips(model, task, validation, loss, at_once=AT_ONCE).clip_scores
        metrics = tagging_metrics(scores, targets, task.corpus.classes, multilabel=multilabel)
        value = metrics[selection].value
        curve.append(
            {
                "epoch": number,
                "step": number,
                "inverse_regularisation": strength,
                f"validation_{selection}": value,
            }
        )
        if best is None or value > best[0]:
            best = (value, state, number)
    assert best is not None
    model.load_state_dict(best[1])
    return curve, best[2]


def examples(model: nn.Module, task: Task, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The statistics (W, 2F) float64 and targets (W, C) of every window of these clips."""
    clips, starts = every_window(task.lengths(rows), task.front_end.frames)
    windows = rows[clips]
    parts = []
    for begin in range(0, len(windows), AT_ONCE):
        some = slice(begin, begin + AT_ONCE)
        features = torch.from_numpy(task.features(windows[some], starts[some]))
        parts.append(model.statistics(features).numpy())  # type: ignore[operator]
    return np.concatenate(parts), task.targets[windows]


def _solve(
    x: np.ndarray, y: np.ndarray, strength: float, *, exclusive: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (F, C) and bias (C,); a class without training positives gets a certain no."""
    from sklearn.linear_model import LogisticRegression

    def solver() -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=300)

    weights = np.zeros((x.shape[1], y.shape[1]))
    bias = np.full(y.shape[1], -20.0)
    if exclusive:
        fitted = solver().fit(x, y.argmax(axis=1))
        solved = fitted.classes_
        if len(solved) == 2:  # one row, of the second against the first, whose logit is then 0
            bias[solved[0]], solved = 0.0, solved[1:]
        weights[:, solved], bias[solved] = fitted.coef_.T, fitted.intercept_
        return weights, bias
    for c in range(y.shape[1]):
        if 0 < y[:, c].sum() < len(y):
            fitted = solver().fit(x, y[:, c])
            weights[:, c], bias[c] = fitted.coef_[0], fitted.intercept_[0]
    return weights, bias
