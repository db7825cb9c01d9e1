"""The linear baseline: how much of a task mean spectra alone solve."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from modelkit.augment import Augment
from modelkit.output import ModelOutput


class Linear(nn.Module):
    """Logistic regression on the mean and standard deviation over time of each mel band.

    Its parameters are solved for, not trained step by step: mean and standard deviation (2F,) that
    standardise the statistics, weights (2F, C) and bias (C,), all float64. It takes any number of
    frames and cannot localize.
    """

    SETTINGS = tuple({"inverse_regularisation": value} for value in (0.001, 0.01, 0.1, 1.0))

    def __init__(self, classes: int, *, frames: int, mels: int, seconds: float) -> None:
        super().__init__()
        self.mean, self.std = _numbers(2 * mels), _numbers(2 * mels)
        self.weights, self.bias = _numbers(2 * mels, classes), _numbers(classes)

    @staticmethod
    def summary(features: Tensor) -> Tensor:
        """Mean and standard deviation over time of each mel band: (B, T, F) -> (B, 2F) float64."""
        x = features.double()
        return torch.cat([x.mean(dim=1), x.std(dim=1, correction=0)], dim=1)

    def forward(self, features: Tensor, augment: Augment | None = None) -> ModelOutput:
        """Features (B, T, F) to float64 clip logits; augmentation is ignored."""
        x = (self.summary(features) - self.mean) / self.std
        return ModelOutput(x @ self.weights + self.bias, None, 0.0)

    def solve(
        self, x: np.ndarray, y: np.ndarray, *, exclusive: bool, inverse_regularisation: float
    ) -> None:
        """Set the parameters to those that fit summaries (N, 2F) and targets (N, C) 0/1 best.

        Args:
            exclusive: each example has one class: one softmax over all, else one sigmoid for each.
        """
        mean, std = x.mean(axis=0), x.std(axis=0) + 1e-6
        weights, bias = _solve((x - mean) / std, y, inverse_regularisation, exclusive)
        found = {"mean": mean, "std": std, "weights": weights, "bias": bias}
        self.load_state_dict({name: torch.from_numpy(value) for name, value in found.items()})


def _numbers(*size: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(size, dtype=torch.float64))


def _solve(
    x: np.ndarray, y: np.ndarray, inverse_regularisation: float, exclusive: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (2F, C) and bias (C,); a class without training positives is never predicted."""
    from sklearn.linear_model import LogisticRegression

    def solver() -> LogisticRegression:
        return LogisticRegression(C=inverse_regularisation, max_iter=300)

    weights = np.zeros((x.shape[1], y.shape[1]))
    bias = np.full(y.shape[1], -20.0)
    if exclusive:
        fitted = solver().fit(x, y.argmax(axis=1))
        solved = fitted.classes_
        if len(solved) == 2:  # one row, for the second class; the first has logit 0
            bias[solved[0]], solved = 0.0, solved[1:]
        weights[:, solved], bias[solved] = fitted.coef_.T, fitted.intercept_
        return weights, bias
    for c in range(y.shape[1]):
        if 0 < y[:, c].sum() < len(y):
            fitted = solver().fit(x, y[:, c])
            weights[:, c], bias[c] = fitted.coef_[0], fitted.intercept_[0]
    return weights, bias
