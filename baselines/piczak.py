"""The CNN of Piczak, "Environmental sound classification with convolutional neural networks",
MLSP 2015, as in the author's code (karolpiczak/paper-2015-esc-convnet).

Its input is segments of 41 ("short") or 101 ("long") frames at 22,050 Hz, hop 512, in 60 mel bands.
With a front end of this many frames, training takes a random segment of a longer clip, and scoring
takes all segments that overlap by half and averages their probabilities ("probability voting").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelkit import kernels
from modelkit.augment import Augment
from modelkit.output import ModelOutput

SILENCE_DB = -70.0
NORM_MOMENTUM = 0.1
DELTA_FRAMES = 9  # width of the slope that librosa 0.3.1 takes for a delta
FREQUENCIES, TIMES = 57, 6  # of the first kernel; the second is (1, 3)
POOLED = 4  # frequencies of the first maximum, at stride 1


@dataclass(frozen=True)
class Size:
    """Widths: filters of both convolutions, units of both hidden layers."""

    filters: int = 80
    hidden: int = 5000


class PiczakCNN(nn.Module):
    """Log-mel features in dB to clip logits: two convolutions and two hidden layers.

    Segments whose mean is at most -70 dB neither train nor vote: their logits are 0, equal for all
    classes. The author drops them. He standardises by the training set; here a batch norm without
    parameters learns these statistics from the segments that are not silent.

    Args:
        classes: C.
        frames, mels: T and F, 101 and 60 in the paper; at least 20 and 60.
        seconds: not used: it cannot locate.
        filters, hidden: see `Size`; 29M parameters as in the paper.

    Raises:
        ValueError: features too small for the kernels.
    """

    slopes: Tensor

    def __init__(
        self,
        classes: int = 10,
        *,
        frames: int = 101,
        mels: int = 60,
        seconds: float = 2.35,
        filters: int = 80,
        hidden: int = 5000,
    ) -> None:
        super().__init__()
        self.architecture = Size(filters, hidden)
        height = mels - FREQUENCIES + 1 - (POOLED - 1)
        width = ((frames - TIMES + 1) // 3 - 2) // 3
        if height < 1 or width < 1:
            raise ValueError(
                f"{frames} frames of {mels} mels are too few for its kernels: at least 20 of 60"
            )
        self.standardise = nn.BatchNorm2d(2, momentum=NORM_MOMENTUM, affine=False)
        self.conv1 = nn.Conv2d(2, filters, (FREQUENCIES, TIMES))
        self.conv2 = nn.Conv2d(filters, filters, (1, 3))
        self.hidden1 = nn.Linear(filters * height * width, hidden)
        self.hidden2 = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, classes)
        self.drop = nn.Dropout(0.5)
        slopes = torch.arange(DELTA_FRAMES) - DELTA_FRAMES // 2
        self.register_buffer("slopes", slopes / (slopes**2).sum(), persistent=False)

    def forward(self, features: Tensor, augment: Augment | None = None) -> ModelOutput:
        """Features (B, T, F) in dB to clip logits (B, C)."""
        heard = features.mean(dim=(1, 2)) > SILENCE_DB
        x = features
        if augment is not None:
            x, heard = augment.mix(augment.mask(x)), augment.mix(heard[:, None].float())[:, 0] > 0
        if not kernels.on_cpu(x):  # by masks, since picking clips would wait for the device
            logits = torch.where(heard[:, None], self._logits(x, heard), 0.0)
            return ModelOutput(logits, None, 0.0)
        logits = x.new_zeros(len(x), self.output.out_features)
        if heard.any():
            logits[heard] = self._logits(x[heard]).to(logits.dtype)
        elif self.training:  # a gradient of nothing is still one
            logits = logits + 0 * self.output.bias
        return ModelOutput(logits, None, 0.0)

    def _logits(self, features: Tensor, heard: Tensor | None = None) -> Tensor:
        x = features.transpose(1, 2)  # (B, F, T)
        x = self._standardised(torch.stack([x, self._deltas(x)], dim=1), heard)
        # Of two channels, oneDNN computes the weights' gradient three times as fast in this layout.
        x = x.contiguous(memory_format=torch.channels_last)
        x = F.max_pool2d(self.drop(F.relu(self.conv1(x))), (POOLED, 3), stride=(1, 3))
        # ReLU after the maximum is the same; torch 2.13 compiles the other order to no gradient.
        x = F.relu(F.max_pool2d(self.conv2(x), (1, 3)))
        x = self.drop(F.relu(self.hidden1(x.flatten(1))))
        x = self.drop(F.relu(self.hidden2(x)))
        return self.output(x)

    def _standardised(self, x: Tensor, heard: Tensor | None) -> Tensor:
        """Batch norm of (B, 2, F, T) with statistics of only the clips `heard` (B,), which are not
        silent."""
        norm = self.standardise
        if heard is None or not self.training:
            return norm(x)
        weight = heard.view(-1, 1, 1, 1).to(x.dtype)
        values = (weight.sum() * x[0, 0].numel()).clamp(min=2)
        mean = (x * weight).sum((0, 2, 3)) / values
        centred = x - mean.view(1, -1, 1, 1)
        variance = (centred.square() * weight).sum((0, 2, 3)) / values
        rate = NORM_MOMENTUM * heard.any()
        with torch.no_grad():
            norm.get_buffer("running_mean").lerp_(mean, rate)
            norm.get_buffer("running_var").lerp_(variance * values / (values - 1), rate)
            norm.get_buffer("num_batches_tracked").add_(heard.any())
        return centred * (variance + norm.eps).rsqrt().view(1, -1, 1, 1)

    def _deltas(self, x: Tensor) -> Tensor:
        """Slope over DELTA_FRAMES frames of (B, F, T), the edges repeated."""
        padded = F.pad(x, (DELTA_FRAMES // 2,) * 2, mode="replicate")
        return F.conv1d(padded.flatten(0, 1)[:, None], self.slopes[None, None]).view_as(x)
