"""The linear baseline: how much of a task plain spectra already give away."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modelkit.augment import Augment
from modelkit.output import ModelOutput


class Linear(nn.Module):
    """Logistic regression on the mean and deviation over time of each mel band.

    Its parameters are solved for, not trained step by step (`bench/training/linear.py`): mean and
    deviation (2F,) that standardise the statistics, weights (2F, C) and bias (C,), all float64.
    It hears any number of frames and cannot localize.
    """

    def __init__(self, classes: int, *, frames: int, mels: int, seconds: float) -> None:
        super().__init__()
        self.mean, self.deviation = _numbers(2 * mels), _numbers(2 * mels)
        self.weights, self.bias = _numbers(2 * mels, classes), _numbers(classes)

    @staticmethod
    def statistics(features: Tensor) -> Tensor:
        """Mean and standard deviation over time of each mel band: (B, T, F) -> (B, 2F) float64."""
        x = features.double()
        return torch.cat([x.mean(dim=1), x.std(dim=1, correction=0)], dim=1)

    def forward(self, features: Tensor, augment: Augment | None = None) -> ModelOutput:
        """Features (B, T, F) to float64 clip logits; it knows no augmentation."""
        x = (self.statistics(features) - self.mean) / self.deviation
        return ModelOutput(x @ self.weights + self.bias, None, 0.0)


def _numbers(*size: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(size, dtype=torch.float64))
