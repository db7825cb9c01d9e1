"""A fourth model, as a plug-in: two temporal convolutions whose mean over time is the clip logit.

In an experiment: `models: {toy: {architecture: "toy_model:ToyNet", front_end: logmel}}`.
"""

from __future__ import annotations

import torch
from torch import nn

from modelkit.augment import Augment
from modelkit.output import ModelOutput


class ToyNet(nn.Module):
    """Features (B, T, F) to clip logits (B, C) and frame logits (B, T / 2, C)."""

    def __init__(self, classes: int, *, frames: int, mels: int, seconds: float, width: int = 16):
        super().__init__()
        self.seconds_per_frame = 2 * seconds / frames
        self.bn0 = nn.BatchNorm1d(mels)
        self.trunk = nn.Sequential(nn.Conv1d(mels, width, 5, padding=2), nn.ReLU(), nn.AvgPool1d(2))
        self.head = nn.Conv1d(width, classes, 3, padding=1)

    def forward(self, features: torch.Tensor, augment: Augment | None = None) -> ModelOutput:
        x = self.bn0(features.transpose(1, 2))
        if augment is not None:
            x = augment.mix(augment.mask(x.transpose(1, 2))).transpose(1, 2)
        frame_logits = self.head(self.trunk(x)).transpose(1, 2)
        return ModelOutput(frame_logits.mean(1), frame_logits, self.seconds_per_frame)
