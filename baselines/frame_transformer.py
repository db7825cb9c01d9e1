"""ATST-Frame and Dasheng: a transformer over slices of the spectrogram, one token per 40 ms.

Li, Shao, Li, "Self-supervised Audio Teacher-Student Transformer for Both Clip-level and Frame-level
Tasks", TASLP 2024 (arXiv 2306.04186), as in the authors' code (Audio-WestlakeU/audiossl), and with
heads for clips and frames as in Schmid et al., "Effective Pre-Training of Audio Transformers for
Sound Event Detection", ICASSP 2025 (arXiv 2409.09546; fschmid56/PretrainedSED).
Dinkel et al., "Scaling up masked audio encoder learning for general audio classification",
Interspeech 2024 (arXiv 2406.06992; XiaoMi/dasheng).

Both are one trunk: a patch spans all bands and four frames, and no class token is needed. Dasheng
normalises its input, has biases where ATST-Frame has none, and encodes long clips in pieces.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from baselines.presets import resolve
from baselines.transformer import blocks, check_size
from modelkit.augment import Augment
from modelkit.checkpoint import CheckpointError, KeyReport, load_checked, read_state_dict
from modelkit.output import ModelOutput

Heads = Literal["clips", "frames"]

FRAMES_PER_TOKEN = 4
HEADS: dict[str, tuple[str, ...]] = {
    "clips": ("clip_head.*",),
    "frames": ("strong_head.*", "weak_head.*"),
}
ANY_HEAD = (*HEADS["clips"], *HEADS["frames"])


@dataclass(frozen=True)
class Architecture:
    """What preset and arguments fix: token width, blocks, attention heads, kind of classifiers."""

    dim: int
    depth: int
    heads: int
    heads_for: Heads = "clips"


PRESETS = {"paper": Architecture(768, 12, 12), "tiny": Architecture(96, 4, 3)}


class FrameTransformer(nn.Module):
    """The trunk: features to clip logits, and to frame logits with heads for frames.

    Args:
        classes: C.
        heads_for: "clips": one head on the mean of the tokens, as the authors fine-tuned on
            AudioSet; it locates nothing. "frames": a linear head on each token and one on their
            mean, as in PretrainedSED.
        preset: "paper" (85M parameters) or "tiny" (0.5M, for a CPU).
        frames, mels: T and F; other T are accepted when called.
        seconds: time spanned by `frames` frames.
        dim, depth, heads: override the preset.
        mask_value: what SpecAugment's stripes take; the authors of both mask no features.

    Attributes:
        architecture: the preset with what overrode it.
        positions: tokens that the position table holds.
        classifier_entries: patterns of what is new with other classes.

    Raises:
        ValueError: preset or heads are unknown, the heads do not divide the width, or the clips are
            too short, or longer than the position table allows.
    """

    classifier_entries = ANY_HEAD
    positions: ClassVar[int]
    qkv_bias: ClassVar[bool]

    def __init__(
        self,
        classes: int = 527,
        *,
        heads_for: Heads = "clips",
        preset: str = "paper",
        frames: int = 1001,
        mels: int = 64,
        seconds: float = 10.01,
        dim: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        mask_value: float = 0.0,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if heads_for not in HEADS:
            known = ", ".join(get_args(Heads))
            raise ValueError(f"unknown heads_for {heads_for!r} of {name}; known: {known}")
        size = resolve(
            PRESETS, preset, name, heads_for=heads_for, dim=dim, depth=depth, heads=heads
        )
        self.architecture, self.heads_for = size, heads_for
        self.mels, self.mask_value = mels, mask_value
        self.seconds_per_frame = FRAMES_PER_TOKEN * seconds / frames
        patch = (mels, FRAMES_PER_TOKEN)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, size.dim, patch, patch)})
        self.time_pos_embed = nn.Parameter(0.02 * torch.randn(1, size.dim, 1, self.positions))
        self.blocks = blocks(size.dim, size.depth, size.heads, qkv_bias=self.qkv_bias)
        self.norm = nn.LayerNorm(size.dim, eps=1e-6)
        if heads_for == "clips":
            self.clip_head = nn.Sequential(self._head_norm(), nn.Linear(size.dim, classes))
        else:
            self.strong_head = nn.Linear(size.dim, classes)
            self.weak_head = nn.Linear(size.dim, classes)
        self._check_frames(frames)

    def forward(self, features: Tensor, augment: Augment | None = None) -> ModelOutput:
        """(B, T, F) to clip logits (B, C), and frame logits (B, T // 4, C) or None.

        No frame is masked as padding: a clip that is shorter than its features ends in silence.
        `augment` masks, then mixes the features.

        Raises:
            ValueError: the features have another number of mels, or of frames that do not fit.
        """
        if features.ndim != 3 or features.shape[2] != self.mels:
            raise ValueError(
                f"{type(self).__name__} takes features (B, T, {self.mels}), got "
                f"{tuple(features.shape)}"
            )
        self._check_frames(features.shape[1])
        if augment is not None:
            features = augment.mix(augment.mask(features, fill=self.mask_value))
        tokens = self.encode(features)
        mean = tokens.mean(1)
        if self.heads_for == "clips":
            return ModelOutput(self.clip_head(mean), frame_logits=None, seconds_per_frame=0.0)
        return ModelOutput(self.weak_head(mean), self.strong_head(tokens), self.seconds_per_frame)

    def encode(self, features: Tensor) -> Tensor:
        """(B, T, F) to normalised tokens (B, T // 4, dim)."""
        return self._attend(self._patches(features))

    def _patches(self, features: Tensor) -> Tensor:
        """(B, T, F) to (B, dim, 1, T // 4)."""
        return self.patch_embed["proj"](features.transpose(1, 2).unsqueeze(1))

    def _attend(self, patches: Tensor) -> Tensor:
        """(B, dim, 1, N) to (B, N, dim)."""
        patches = patches + self.time_pos_embed[..., : patches.shape[3]]
        return self.norm(self.blocks(patches.flatten(2).transpose(1, 2)))

    def _check_frames(self, frames: int) -> None:
        if frames < FRAMES_PER_TOKEN:
            raise ValueError(
                f"{type(self).__name__} needs {FRAMES_PER_TOKEN} frames for its first token, got "
                f"{frames}"
            )

    def _start(self, draw: Callable[[Tensor], object], *kinds: type[nn.Module]) -> None:
        """Draw the weights of all layers of these kinds; their biases are 0."""
        for module in self.modules():
            if isinstance(module, kinds):
                draw(module.get_parameter("weight"))
                if module.bias is not None:
                    nn.init.zeros_(module.get_parameter("bias"))

    @abstractmethod
    def _head_norm(self) -> nn.Module:
        """What precedes the linear layer of the clip head."""

    @abstractmethod
    def _own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Entries of a released file under this model's names."""

    @property
    def published_parameters(self) -> int:
        """Parameters as the authors' class counts them."""
        return sum(parameter.numel() for parameter in self.parameters())

    def load_official(self, path: str | Path, *, new_classes: bool = False) -> KeyReport:
        """Load a file released by the authors, or by those of PretrainedSED.

        Args:
            new_classes: keep the fresh heads, for other classes than the file's.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: the file is of another size or has other heads, or an entry is missing,
                surplus or misshaped.
        """
        state = self._own_names(read_state_dict(path))
        check_size(path, state, self.architecture.dim, self.architecture.depth)
        if new_classes:
            return load_checked(self, state, ignore=ANY_HEAD, fresh=ANY_HEAD, source=path)
        held = {name.partition(".")[0] for name in state}
        heads = "frames" if "strong_head" in held else "clips" if "clip_head" in held else ""
        if not heads:
            raise CheckpointError(
                f"{path}: holds an encoder alone, without classes: start a training from it "
                "(recipe: init: pretrained:NAME)"
            )
        if heads != self.heads_for:
            raise CheckpointError(f"{path}: has heads for {heads}: set `heads_for` to {heads}")
        return load_checked(self, state, source=path)

    def load_pretrained(self, path: str | Path) -> KeyReport:
        """Start from an encoder, self-supervised or with heads for other classes.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: the file is of another size, or its entries do not fit.
        """
        return self.load_official(path, new_classes=True)


class ATSTFrame(FrameTransformer):
    """ATST-Frame: no bias in its queries, keys and values, and at most 250 tokens (1003 frames).

    Args:
        lowest: smallest feature value, which lower ones take; None leaves them. PretrainedSED's
            is -0.545, which is -50 dB.

    The others are the trunk's.
    """

    positions = 250
    qkv_bias = False

    def __init__(
        self, classes: int = 527, *, lowest: float | None = None, **arguments: Any
    ) -> None:
        super().__init__(classes, **arguments)
        self.lowest = lowest
        self._start(partial(nn.init.trunc_normal_, std=0.02), nn.Linear, nn.Conv2d)
        if self.heads_for == "clips":
            nn.init.normal_(self.get_parameter("clip_head.1.weight"), std=0.01)

    def encode(self, features: Tensor) -> Tensor:
        return super().encode(features if self.lowest is None else features.clamp(self.lowest))

    def _check_frames(self, frames: int) -> None:
        super()._check_frames(frames)
        if frames // FRAMES_PER_TOKEN > self.positions:
            longest = FRAMES_PER_TOKEN * (self.positions + 1) - 1
            raise ValueError(
                f"ATST-Frame's position table holds {self.positions} tokens, so at most {longest} "
                f"frames, got {frames}; longer clips are scored in windows if the front end "
                "says frames: 1001"
            )

    @property
    def published_parameters(self) -> int:
        """Parameters as the authors' class counts them, including a mask token for pretraining and
        an unused first position."""
        return super().published_parameters + 2 * self.architecture.dim

    def _head_norm(self) -> nn.Module:
        return nn.BatchNorm1d(self.architecture.dim, affine=False)

    def _own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The teacher in audiossl's self-supervised files, else all entries; without those used
        only in pretraining: the mask token, an unused first position, projectors, mel matrices."""
        encoder = re.compile(r"(model\.teacher\.encoder|encoder\.encoder|model\.atst)\.")
        heads = {"head.norm.": "clip_head.0.", "head.linear.": "clip_head.1."}
        own = {}
        for name, value in state.items():
            if found := encoder.match(name):
                name = name[found.end() :].replace("norm_frame.", "norm.")
            elif name.startswith("model."):  # student, projectors, mel matrices
                continue
            for theirs, ours in heads.items():
                name = name.replace(theirs, ours) if name.startswith(theirs) else name
            own[name.replace("patch_embed.patch_embed.", "patch_embed.proj.")] = value
        own.pop("mask_embed", None)
        if "patch_embed.proj.weight" in own:  # (dim, F x 4) of a linear layer
            kernels = own["patch_embed.proj.weight"]
            if kernels.shape[1:] == (FRAMES_PER_TOKEN * self.mels,):
                patch = (1, self.mels, FRAMES_PER_TOKEN)
                own["patch_embed.proj.weight"] = kernels.unflatten(1, patch)
        if "pos_embed" in own:
            own["time_pos_embed"] = own.pop("pos_embed")[:, 1:].transpose(1, 2).unsqueeze(2)
        return own


class Dasheng(FrameTransformer):
    """Dasheng: normalises each band, and encodes pieces of 252 tokens (10.08 s) separately.

    Args:
        momentum: of the batch norm over the bands; None is 0.01 in the "paper" preset, which takes
            hundreds of steps to forget its start, and 0.1 in "tiny".

    The others are the trunk's.
    """

    positions = 252
    qkv_bias = True

    def __init__(
        self, classes: int = 527, *, momentum: float | None = None, **arguments: Any
    ) -> None:
        super().__init__(classes, **arguments)
        usual = 0.1 if arguments.get("preset") == "tiny" else 0.01
        self.init_bn = nn.BatchNorm1d(self.mels, momentum=usual if momentum is None else momentum)
        self.freq_pos_embed = nn.Parameter(0.02 * torch.randn(1, self.architecture.dim, 1, 1))
        self._start(nn.init.xavier_uniform_, nn.Linear)

    def encode(self, features: Tensor) -> Tensor:
        features = self.init_bn(features.transpose(1, 2)).transpose(1, 2)
        pieces = self._patches(features).split(self.positions, dim=3)
        return torch.cat([self._attend(piece + self.freq_pos_embed) for piece in pieces], 1)

    def _head_norm(self) -> nn.Module:
        return nn.LayerNorm(self.architecture.dim)

    def _own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Without the front end's window and mel matrix."""
        own = {name: value for name, value in state.items() if not name.startswith("front_end.")}
        own = {name.replace("init_bn.1.", "init_bn."): value for name, value in own.items()}
        return {name.replace("outputlayer.", "clip_head."): value for name, value in own.items()}
