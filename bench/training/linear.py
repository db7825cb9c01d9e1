"""The linear baseline: logistic regression on the mean and deviation of each mel band.

It says how much of a task plain spectra already give away. The inverse regularisation is chosen on
the validation split, so that it is tuned like the networks are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.task import Task
from bench.files import atomic_write
from bench.metrics.tagging import tagging_metrics

INVERSE_REGULARISATION = (0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class LinearModel:
    """Standardised features (N, 2F) times weights (2F, C) plus bias (C,)."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    multilabel: bool

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(N, C) float32: sigmoid where clips have several labels, softmax elsewhere."""
        from scipy.special import expit, softmax

        logits = ((features - self.mean) / self.deviation) @ self.weights + self.bias
        probabilities = expit(logits) if self.multilabel else softmax(logits, axis=1)
        return probabilities.astype(np.float32)

    @property
    def parameters(self) -> int:
        """Fitted numbers, the standardisation included."""
        return sum(a.size for a in (self.mean, self.deviation, self.weights, self.bias))

    def write(self, path: Path) -> None:
        """Write the arrays as an npz archive, atomically."""
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                mean=self.mean,
                deviation=self.deviation,
                weights=self.weights,
                bias=self.bias,
            )


def statistics(task: Task, rows: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of each mel band, (N, 2F) float64."""
    parts = []
    for start in range(0, len(rows), 64):
        frames = task.features(rows[start : start + 64]).astype(np.float64)
        parts.append(np.concatenate([frames.mean(axis=1), frames.std(axis=1)], axis=1))
    return np.concatenate(parts)


def fit(task: Task) -> tuple[LinearModel, list[dict[str, Any]], int]:
    """Fit on the training split for each regularisation; keep the best on validation.

    Returns the model, one curve point per candidate, and the number of the chosen one (from 1).
    """
    train, validation = task.rows["train"], task.rows["validation"]
    x, x_validation = statistics(task, train), statistics(task, validation)
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    y, y_validation = task.targets[train], task.targets[validation]
    multilabel = task.corpus.multilabel
    selection = "mAP" if multilabel else "accuracy"
    best: tuple[float, LinearModel, int] | None = None
    curve = []
    for number, strength in enumerate(INVERSE_REGULARISATION, start=1):
        weights, bias = _solve((x - mean) / deviation, y, strength, multilabel)
        model = LinearModel(mean, deviation, weights, bias, multilabel)
        scores = model.probabilities(x_validation)
        metrics = tagging_metrics(scores, y_validation, task.corpus.classes, multilabel=multilabel)
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
            best = (value, model, number)
    assert best is not None
    return best[1], curve, best[2]


def _solve(
    x: np.ndarray, y: np.ndarray, strength: float, multilabel: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (F, C) and bias (C,); a class without training positives gets a certain no."""
    from sklearn.linear_model import LogisticRegression

    def solver() -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=300)

    weights = np.zeros((x.shape[1], y.shape[1]))
    bias = np.full(y.shape[1], -20.0)
    if multilabel:
        for c in range(y.shape[1]):
            if 0 < y[:, c].sum() < len(y):
                fitted = solver().fit(x, y[:, c])
                weights[:, c], bias[c] = fitted.coef_[0], fitted.intercept_[0]
        return weights, bias
    fitted = solver().fit(x, y.argmax(axis=1))
    weights[:, fitted.classes_], bias[fitted.classes_] = fitted.coef_.T, fitted.intercept_
    return weights, bias
