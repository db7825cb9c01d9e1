"""PANN-CNN: Cnn14 and its decision-level variants, which locate events in time.

Kong, Cao, Iqbal, Wang, Wang, Plumbley, "PANNs: Large-Scale Pretrained Audio Neural Networks for
Audio Pattern Recognition", IEEE/ACM TASLP 28, 2020 (arXiv 1912.10211), as in the authors' code
(qiuqiangkong/audioset_tagging_cnn, pytorch/models.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.presets import resolve
from modelkit import draws, kernels
from modelkit.augment import Augment
from modelkit.checkpoint import CheckpointError, KeyReport, load_checked, read_state_dict
from modelkit.frontend import FRONT_END_KEYS, check_front_end, front_end_parameters
from modelkit.output import ModelOutput

Variant = Literal["cnn14", "decision_max", "decision_avg", "decision_att"]


@dataclass(frozen=True)
class Size:
    """What a preset fixes, and the variant built from it.

    Attributes:
        channels: outputs of each block; every block but the last halves both axes, and the last
            width is also that of the embedding.
        conv_dropout, dropout: rates after each block, and around the embedding layer.
    """

    channels: tuple[int, ...]
    conv_dropout: float
    dropout: float
    variant: Variant = "cnn14"


PRESETS = {
    "paper": Size((64, 128, 256, 512, 1024, 2048), conv_dropout=0.2, dropout=0.5),
    # At the paper's rates, so narrow a network does not learn within a CPU's budget.
    "tiny": Size((16, 32, 64, 128), conv_dropout=0.0, dropout=0.2),
}
UNUSED_NORM = "att_block.bn_att.*"  # in the authors' attention block, never called
CLASSIFIERS = ("fc_audioset.*", "att_block.*")


class PANN(nn.Module):
    """Features to clip logits, and for the decision-level variants to segment logits.

    Args:
        classes: C.
        variant: "cnn14" pools over time before the classifier and locates nothing. The others
            classify each segment, then pool probabilities: the largest ("decision_max"), their mean
            ("decision_avg"), or a mean weighted by attention ("decision_att").
        preset: "paper" (81M parameters with its frozen front end) or "tiny" (0.3M, for a CPU).
        frames, mels: T and F; other T are accepted when called, down to `ratio` frames.
        seconds: time spanned by `frames` frames (10.01 s: 1001 hops of 320 samples at 32 kHz).
        channels, conv_dropout, dropout: override the preset.

    Attributes:
        architecture: the preset with what overrode it, and the variant.
        ratio: frames per segment, 2 ** (blocks - 1): 32 in the paper's model, 0.32 s.
        classifier_entries: patterns of what is new with other classes.

    Raises:
        ValueError: variant or preset is unknown, or the features are too small for the blocks.
    """

    classifier_entries = CLASSIFIERS

    def __init__(
        self,
        classes: int = 527,
        *,
        variant: Variant = "cnn14",
        preset: str = "paper",
        frames: int = 1001,
        mels: int = 64,
        seconds: float = 10.01,
        channels: Sequence[int] | None = None,
        conv_dropout: float | None = None,
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        if variant not in get_args(Variant):
            raise ValueError(
                f"unknown variant {variant!r} of PANN; known: {', '.join(get_args(Variant))}"
            )
        size = resolve(
            PRESETS,
            preset,
            "PANN",
            variant=variant,
            channels=None if channels is None else tuple(channels),
            conv_dropout=conv_dropout,
            dropout=dropout,
        )
        self.architecture = size
        self.ratio = 2 ** (len(size.channels) - 1)
        if min(frames, mels) < self.ratio:
            raise ValueError(
                f"features of {frames} frames x {mels} mels vanish in {len(size.channels)} blocks; "
                f"PANN needs {self.ratio} of each, or fewer channels"
            )
        self.variant, self.mels, self.classes = variant, mels, classes
        self.seconds_per_segment = self.ratio * seconds / frames
        self.conv_dropout, self.dropout = size.conv_dropout, size.dropout
        self.bn0 = nn.BatchNorm1d(mels)
        self.block_names = [f"conv_block{number + 1}" for number in range(len(size.channels))]
        for name, (inputs, outputs) in zip(
            self.block_names, pairwise((1, *size.channels)), strict=True
        ):
            self.add_module(name, ConvBlock(inputs, outputs))
        width = size.channels[-1]
        self.fc1 = nn.Linear(width, width)
        if variant == "decision_att":
            self.att_block = Attention(width, classes)
        else:
            self.fc_audioset = nn.Linear(width, classes)
        self.apply(_initialise)
        # The layout that convolutions run fastest in, on CPUs and on tensor cores.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, features: Tensor, augment: Augment | None = None) -> ModelOutput:
        """(B, T, F) log-mel to clip logits (B, C), and segment logits or None.

        There are T // ratio segments. Frames left over at the end get the last segment's logits as
        one more segment, so that frame outputs cover the clip as the authors' do; the clip's logits
        do not count it. `augment` masks, then mixes, after the batch norm over mels.

        Raises:
            ValueError: the features have another number of mels, or less than one segment.
        """
        if features.ndim != 3 or features.shape[2] != self.mels or features.shape[1] < self.ratio:
            raise ValueError(
                f"PANN takes features (B, at least {self.ratio}, {self.mels}), got "
                f"{tuple(features.shape)}; pad shorter clips"
            )
        x = self.bn0(features.transpose(1, 2)).transpose(1, 2)
        if augment is not None:
            x = augment.mix(augment.mask(x))
        x = self._embed(x)
        if self.variant == "cnn14":
            x = self._drop(x.max(dim=2).values + x.mean(dim=2))
            # The authors drop out the embedding only where they return it, not before this layer.
            logits = self.fc_audioset(F.relu(self.fc1(x)))
            return ModelOutput(clip_logits=logits, frame_logits=None, seconds_per_frame=0.0)
        x = F.max_pool1d(x, 3, stride=1, padding=1) + F.avg_pool1d(x, 3, stride=1, padding=1)
        x = self._drop(F.relu(self.fc1(self._drop(x).transpose(1, 2))))
        clip, segments = self._decide(x)
        if features.shape[1] % self.ratio:
            segments = torch.cat([segments, segments[:, -1:]], dim=1)
        return ModelOutput(
            clip_logits=clip, frame_logits=segments, seconds_per_frame=self.seconds_per_segment
        )

    def _embed(self, x: Tensor) -> Tensor:
        """(B, T, F) to (B, channels, T // ratio): the blocks, and the mean over frequency."""
        x = x.unsqueeze(1)
        for name in self.block_names:
            x = self.get_submodule(name)(x)
            if name != self.block_names[-1]:
                x = F.avg_pool2d(x, 2)
            x = draws.dropout(x, self.conv_dropout, self.training)
        return x.mean(dim=3)

    def _decide(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T', width) to clip logits (B, C) and segment logits (B, T', C)."""
        if self.variant == "decision_att":
            weights, segments = self.att_block(x)
            return pooled_logits(segments, weights), segments
        segments = self.fc_audioset(x)
        if self.variant == "decision_max":
            return segments.max(dim=1).values, segments
        return pooled_logits(segments, torch.zeros_like(segments)), segments

    def _drop(self, x: Tensor) -> Tensor:
        return draws.dropout(x, self.dropout, self.training)

    @property
    def published_parameters(self) -> int:
        """Parameters as the authors' class counts them.

        Includes the frozen STFT and mel matrices of the front end (window 1024), and the unused
        batch norm in the attention block.
        """
        unused = 2 * self.classes if self.variant == "decision_att" else 0
        live = sum(parameter.numel() for parameter in self.parameters())
        return live + unused + front_end_parameters(self.mels)

    def load_official(self, path: str | Path, *, new_classes: bool = False) -> KeyReport:
        """Load a file released by PANNs' authors (`Cnn14_mAP=0.431.pth` and the like, 32 kHz).

        The front end's matrices are compared with those of 32 kHz, 1024, 64 mels, 50-14000 Hz.

        Args:
            new_classes: keep the fresh classifier, for other classes than the file's.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: an entry is missing, surplus or misshaped (the message names each), or
                the file was trained on other features.
        """
        state = read_state_dict(path)
        try:
            check_front_end(state, self.mels)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        ignore = (*FRONT_END_KEYS, UNUSED_NORM)
        fresh = CLASSIFIERS if new_classes else ()
        return load_checked(self, state, ignore=ignore, fresh=fresh, source=path)


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions, each with batch norm and ReLU (pooling is the model's)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, F) to (B, outputs, T, F)."""
        x = F.relu_(self.bn1(kernels.convolve(self.conv1, x)))
        return F.relu_(self.bn2(kernels.convolve(self.conv2, x)))


class Attention(nn.Module):
    """Classifies each segment and weights it for the clip, per class."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.att = nn.Conv1d(width, classes, 1)
        self.cla = nn.Conv1d(width, classes, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T', width) to log weights (not normalised) and segment logits, both (B, T', C)."""
        x = x.transpose(1, 2)
        return self.att(x).clamp(-10, 10).transpose(1, 2), self.cla(x).transpose(1, 2)


def pooled_logits(segments: Tensor, log_weights: Tensor) -> Tensor:
    """Logit of the weighted mean over time of sigmoid(segments), without leaving the log domain.

    With p = sum(w s(z)) and 1 - p = sum(w s(-z)), logit(p) = log p - log(1 - p); both sums share
    the weights' normalisation, which cancels. So losses on logits give what losses on the authors'
    probabilities give, and stay finite where p rounds to 0 or 1.

    Args:
        segments: (B, T', C) logits.
        log_weights: (B, T', C), up to a constant per clip and class.

    Returns:
        (B, C).
    """
    positive = torch.logsumexp(log_weights + F.logsigmoid(segments), dim=1)
    negative = torch.logsumexp(log_weights + F.logsigmoid(-segments), dim=1)
    return positive - negative


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
