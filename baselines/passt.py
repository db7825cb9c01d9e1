"""PaSST, the patchout spectrogram transformer: AST trained on random subsets of its patches.

Koutini, Schlüter, Eghbal-zadeh, Widmer, "Efficient Training of Audio Transformers with Patchout",
Interspeech 2022 (arXiv 2110.05069), as in the authors' code (kkoutini/PaSST, models/passt.py). Time
and frequency have position tables of their own, so that patches may be left out in training
("patchout") and clips may be shorter. It classifies from its class and distillation tokens, so it
labels clips but locates nothing in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.ast import SPECIAL_TOKENS, patch_grid
from baselines.presets import resolve
from baselines.transformer import PATCHES, blocks, check_size
from modelkit.augment import Augment
from modelkit.checkpoint import CheckpointError, KeyReport, load_checked, read_state_dict
from modelkit.output import ModelOutput

TIME, FREQUENCY, SPECIAL = "time_new_pos_embed", "freq_new_pos_embed", "new_pos_embed"
DEAD_HEAD = ("head_dist.*",)  # in every released file, read by nothing
CLASSIFIER = ("head.*",)


@dataclass(frozen=True)
class Architecture:
    """What preset and arguments fix: token width, blocks, attention heads, patch side and stride,
    and what a training step leaves out."""

    dim: int
    depth: int
    heads: int
    patch: int
    stride: int
    patchout_time: int = 0
    patchout_frequency: int = 0
    patchout: int = 0


PRESETS = {
    "paper": Architecture(dim=768, depth=12, heads=12, patch=16, stride=10),
    "tiny": Architecture(dim=96, depth=4, heads=3, patch=16, stride=16),
}


class PaSST(nn.Module):
    """Features to clip logits.

    Args:
        classes: C.
        preset: "paper" (PaSST-S: 86M parameters) or "tiny" (0.5M, for a CPU).
        frames, mels: T and F; shorter clips are accepted when called.
        seconds: time spanned by the features; no output of PaSST depends on it.
        stride: patch step in both axes: 10, 12, 14 or 16 in the released files.
        dim, depth, heads, patch: override the preset; PaSST-L is the first 7 blocks.
        patchout_time, patchout_frequency: columns and rows of patches that a training step leaves
            out, drawn once for the batch ("structured"; 40 and 4 on AudioSet).
        patchout: single patches that it leaves out of the rest ("unstructured").
        mask_value: what SpecAugment's stripes take: 0 before the normalisation (x + 4.5) / 5.

    Attributes:
        architecture: the preset with what overrode it, and the patchout.
        grid: (frequency, time) numbers of patches of the longest clip; tokens are frequency-major.
        classifier_entries: patterns of what is new with other classes.
        The other names are those of the authors' files.

    Raises:
        ValueError: the preset is unknown, the features are smaller than one patch, the heads do not
            divide the width, or patchout would leave nothing.
    """

    classifier_entries = CLASSIFIER

    def __init__(
        self,
        classes: int = 527,
        *,
        preset: str = "paper",
        frames: int = 1000,
        mels: int = 128,
        seconds: float = 10.0,
        stride: int | None = None,
        dim: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        patch: int | None = None,
        patchout_time: int = 0,
        patchout_frequency: int = 0,
        patchout: int = 0,
        mask_value: float = 0.9,
    ) -> None:
        super().__init__()
        size = resolve(
            PRESETS,
            preset,
            "PaSST",
            dim=dim,
            depth=depth,
            heads=heads,
            patch=patch,
            stride=stride,
            patchout_time=patchout_time,
            patchout_frequency=patchout_frequency,
            patchout=patchout,
        )
        if min(frames, mels) < size.patch:
            raise ValueError(
                f"features of {frames} frames x {mels} mels are smaller than PaSST's patch of "
                f"{size.patch}; use more frames and mels, or a smaller patch"
            )
        self.architecture = size
        self.frames, self.mels, self.mask_value = frames, mels, mask_value
        self.grid = rows, columns = patch_grid(frames, mels, size.patch, size.stride)
        left = (rows - patchout_frequency) * (columns - patchout_time) - patchout
        if min(rows - patchout_frequency, columns - patchout_time, left) < 1:
            raise ValueError(
                f"patchout leaves nothing of {rows} rows x {columns} columns of patches: lower "
                "patchout_frequency, patchout_time or patchout"
            )
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, size.dim, size.patch, size.stride)})
        self.cls_token = _table(1, 1, size.dim)
        self.dist_token = _table(1, 1, size.dim)
        self.new_pos_embed = _table(1, SPECIAL_TOKENS, size.dim)
        self.freq_new_pos_embed = _table(1, size.dim, rows, 1)
        self.time_new_pos_embed = _table(1, size.dim, 1, columns)
        self.blocks = blocks(size.dim, size.depth, size.heads)
        self.norm = nn.LayerNorm(size.dim, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(size.dim), nn.Linear(size.dim, classes))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor, augment: Augment | None = None) -> ModelOutput:
        """(B, T, F) to logits (B, C).

        `augment` masks, then mixes the features, as the authors' front end and loop do.

        Raises:
            ValueError: the features have other mels than the model was built for, or more frames.
        """
        if features.ndim != 3 or features.shape[2] != self.mels:
            raise ValueError(
                f"PaSST was built for features (B, T, {self.mels}), got {tuple(features.shape)}"
            )
        if not self.architecture.patch <= features.shape[1] <= self.frames:
            raise ValueError(
                f"PaSST's position table holds clips of {self.architecture.patch} to {self.frames} "
                f"frames, got {features.shape[1]}; longer clips are scored in windows if the "
                f"front end says frames: {self.frames}"
            )
        if augment is not None:
            features = augment.mix(augment.mask(features, fill=self.mask_value))
        patches = self.patch_embed["proj"](features.transpose(1, 2).unsqueeze(1))
        patches = patches + self.time_new_pos_embed[..., : patches.shape[3]]
        patches = patches + self.freq_new_pos_embed
        special = torch.cat([self.cls_token, self.dist_token], 1) + self.new_pos_embed
        tokens = torch.cat([special.expand(len(patches), -1, -1), self._some(patches)], 1)
        tokens = self.norm(self.blocks(tokens))
        logits = self.head((tokens[:, 0] + tokens[:, 1]) / 2)
        return ModelOutput(clip_logits=logits, frame_logits=None, seconds_per_frame=0.0)

    def _some(self, patches: Tensor) -> Tensor:
        """(B, dim, rows, columns) to (B, N, dim), in training without what patchout leaves out."""
        out = self.architecture
        if self.training and out.patchout_time:
            patches = patches[:, :, :, _kept(patches, 3, out.patchout_time)]
        if self.training and out.patchout_frequency:
            patches = patches[:, :, _kept(patches, 2, out.patchout_frequency)]
        tokens = patches.flatten(2).transpose(1, 2)
        if self.training and out.patchout:
            tokens = tokens[:, _kept(tokens, 1, out.patchout)]
        return tokens

    @property
    def published_parameters(self) -> int:
        """Parameters as the authors' class counts them, including an unused second classifier."""
        classes, dim = self.get_parameter("head.1.weight").shape
        return sum(parameter.numel() for parameter in self.parameters()) + classes * (dim + 1)

    def load_official(self, path: str | Path, *, new_classes: bool = False) -> KeyReport:
        """Load a file released by the authors (`passt-s-f128-p16-s10-ap.476-swa.pt` and the like).

        A model for shorter clips takes the beginning of its time table.

        Args:
            new_classes: keep the fresh classifier, for other classes than the file's.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: the file is of another size, stride or clip length, or an entry is
                missing, surplus or misshaped.
        """
        size, state = self.architecture, read_state_dict(path)
        check_size(path, state, size.dim, size.depth)
        if FREQUENCY in state and (found := state[FREQUENCY].shape[2]) != self.grid[0]:
            raise CheckpointError(
                f"{path}: its patches lie in {found} rows of frequency, those of this model in "
                f"{self.grid[0]}; build PaSST with the file's stride and mels (at 128 mels 12 rows "
                "are stride 10, 10 are 12, 9 are 14, 8 are 16)"
            )
        if TIME in state and (found := state[TIME].shape[3]) < self.grid[1]:
            raise CheckpointError(
                f"{path}: its position table spans {found} columns of patches, this model "
                f"{self.grid[1]}: it was trained on shorter clips; use windows of its length"
            )
        fresh = CLASSIFIER if new_classes else ()
        self._cut_time(state)
        return load_checked(self, state, ignore=DEAD_HEAD, fresh=fresh, source=path)

    def load_imagenet(self, path: str | Path) -> KeyReport:
        """Start from DeiT (`deit_base_distilled_patch16_384`, authors' or timm's file).

        The patch kernels of the three colours are summed; the square position table is resized to
        this grid and averaged over either axis; the classifier stays fresh.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: an entry is missing, surplus or misshaped; the message names each.
        """
        state = read_state_dict(path)
        check_size(path, state, self.architecture.dim, self.architecture.depth)
        if PATCHES in state:
            state[PATCHES] = state[PATCHES].sum(dim=1, keepdim=True)
        if "pos_embed" in state:
            table = state.pop("pos_embed")
            state[SPECIAL], square = table[:, :SPECIAL_TOKENS], table[:, SPECIAL_TOKENS:]
            side = round(square.shape[1] ** 0.5)
            if side * side != square.shape[1]:
                raise CheckpointError(
                    f"{path}: pos_embed is {tuple(table.shape)}, no square grid after the class "
                    "and distillation tokens; use a distilled DeiT"
                )
            image = square.transpose(1, 2).unflatten(2, (side, side))
            image = F.interpolate(image, self.grid, mode="bicubic", align_corners=False)
            state[FREQUENCY], state[TIME] = image.mean(3, keepdim=True), image.mean(2, keepdim=True)
        return load_checked(self, state, ignore=DEAD_HEAD, fresh=CLASSIFIER, source=path)

    def adapt_state(self, other: PaSST) -> dict[str, Tensor]:
        """The state dict of a PaSST for longer clips, with the beginning of its time table."""
        state = other.state_dict()
        self._cut_time(state)
        return state

    def _cut_time(self, state: dict[str, Tensor]) -> None:
        if TIME in state:
            state[TIME] = state[TIME][..., : self.grid[1]]


def _table(*shape: int) -> nn.Parameter:
    """Learned tokens or positions at their random start."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))


def _kept(x: Tensor, axis: int, dropped: int) -> Tensor:
    """Sorted random positions along an axis of `x`, all but `dropped` of them."""
    count = x.shape[axis]
    return torch.randperm(count, device=x.device)[: count - dropped].sort().values
