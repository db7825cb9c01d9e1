"""AST, the audio spectrogram transformer: distilled DeiT over overlapping patches.

Gong, Chung, Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021 (arXiv 2104.01778), as in
the authors' code (YuanGongND/ast, src/models/ast_models.py). It classifies from its class and
distillation tokens, so it labels clips but locates nothing in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.attention import SelfAttention
from baselines.presets import resolve
from baselines.transformer import check_size
from modelkit.augment import Augment
from modelkit.checkpoint import CheckpointError, KeyReport, load_checked, read_state_dict
from modelkit.output import ModelOutput
from modelkit.renaming import Renaming, authors_names
from modelkit.vision import VisionTransformerDistilled

SPECIAL_TOKENS = 2  # class and distillation token, in this order
IMAGENET_CLASSES = 1000
POSITIONS = "v.pos_embed"
DEAD_HEADS = ("v.head.*", "v.head_dist.*")  # DeiT's ImageNet classifiers, unused in the release
CLASSIFIER = ("mlp_head.*",)
TRANSFORMERS: Renaming = (  # names of its AST and DeiT, bare or within a classifier
    (r"^(?:audio_spectrogram_transformer|deit)\.", ""),
    (r"^embeddings\.cls_token$", "v.cls_token"),
    (r"^embeddings\.distillation_token$", "v.dist_token"),
    (r"^embeddings\.position_embeddings$", POSITIONS),
    (r"^embeddings\.patch_embeddings\.projection\.", "v.patch_embed.proj."),
    (r"^(?:encoder\.layer|layers)\.", "v.blocks."),
    (r"^layernorm\.", "v.norm."),
    (r"^classifier\.layernorm\.", "mlp_head.0."),
    (r"^classifier\.dense\.", "mlp_head.1."),
    (r"^cls_classifier\.", "v.head."),
    (r"^distillation_classifier\.", "v.head_dist."),
)


@dataclass(frozen=True)
class Size:
    """What a preset fixes: token width, blocks, attention heads, patch side and stride."""

    dim: int
    depth: int
    heads: int
    patch: int
    stride: int


PRESETS = {
    "paper": Size(dim=768, depth=12, heads=12, patch=16, stride=10),
    "tiny": Size(dim=96, depth=4, heads=3, patch=16, stride=16),
}


def patch_grid(frames: int, mels: int, patch: int, stride: int) -> tuple[int, int]:
    """(frequency, time) numbers of patches of a features array."""
    return (mels - patch) // stride + 1, (frames - patch) // stride + 1


# Grids of the released files by their number of patches: AudioSet at strides 10, 12, 14 and 16, and
# Speech Commands (128 frames) at stride 10. A state dict does not state its grid.
_RELEASED = ((1024, 10), (1024, 12), (1024, 14), (1024, 16), (128, 10))
RELEASED_GRIDS = {
    rows * columns: (rows, columns)
    for rows, columns in (patch_grid(frames, 128, 16, stride) for frames, stride in _RELEASED)
}


class AST(nn.Module):
    """Features to clip logits.

    Args:
        classes: C.
        preset: "paper" (87M parameters) or "tiny" (0.5M, for a CPU).
        frames, mels: T and F. AST's position table fits one size of features only.
        seconds: time spanned by the features; no output of AST depends on it.
        stride: patch step in both axes (the paper's 10, or 12, 14, 16); smaller steps overlap.
        dim, depth, heads, patch: override the preset.
        silence: value that SpecAugment's stripes take. The authors zero stripes (and padding)
            before they normalise, so both sit at -mean / (2 std): 0.467 with AudioSet's
            statistics, 0.618 with ESC-50's, 0.615 with those of Speech Commands.

    Attributes:
        v: timm's distilled vision transformer; `mlp_head`: the classifier. Names of entries equal
            those of the authors' checkpoints.
        architecture: the preset with what overrode it.
        grid: (frequency, time) numbers of patches; tokens are frequency-major.
        classifier_entries: patterns of what is new with other classes.

    Raises:
        ValueError: the preset is unknown, the features are smaller than one patch, or the heads do
            not divide the width.
    """

    classifier_entries = CLASSIFIER

    def __init__(
        self,
        classes: int = 527,
        *,
        preset: str = "paper",
        frames: int = 1024,
        mels: int = 128,
        seconds: float = 10.24,
        stride: int | None = None,
        dim: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        patch: int | None = None,
        silence: float = 0.467,
    ) -> None:
        super().__init__()
        given = {"dim": dim, "depth": depth, "heads": heads, "patch": patch, "stride": stride}
        size = resolve(PRESETS, preset, "AST", **given)
        if min(frames, mels) < size.patch:
            raise ValueError(
                f"features of {frames} frames x {mels} mels are smaller than AST's patch of "
                f"{size.patch}; use more frames and mels, or a smaller patch"
            )
        if size.dim % size.heads:
            raise ValueError(f"AST's {size.heads} heads do not divide its width of {size.dim}")
        self.architecture = size
        self.frames, self.mels, self.silence = frames, mels, silence
        self.grid = patch_grid(frames, mels, size.patch, size.stride)
        self.v = VisionTransformerDistilled(
            img_size=(mels, frames),
            patch_size=size.patch,
            in_chans=1,
            num_classes=0,
            embed_dim=size.dim,
            depth=size.depth,
            num_heads=size.heads,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            embed_layer=partial(Patches, stride=size.stride),
            attn_layer=SelfAttention,
        )
        # timm 0.4.5, on which AST was built, starts the class token like all other weights;
        # later versions start it near zero.
        nn.init.trunc_normal_(self.v.get_parameter("cls_token"), std=0.02)
        self.mlp_head = nn.Sequential(nn.LayerNorm(size.dim), nn.Linear(size.dim, classes))

    def forward(self, features: Tensor, augment: Augment | None = None) -> ModelOutput:
        """(B, T, F) normalised fbank to logits (B, C); `augment` mixes and masks the features.

        Raises:
            ValueError: the features have another size than the model was built for.
        """
        if features.shape[1:] != (self.frames, self.mels):
            raise ValueError(
                f"AST was built for features (B, {self.frames}, {self.mels}), got "
                f"{tuple(features.shape)}; pad or cut them, or build AST with their size"
            )
        if augment is not None:
            features = augment.mask(augment.mix(features), fill=self.silence, mixed=True)
        tokens = self.v.forward_features(features.transpose(1, 2).unsqueeze(1))
        logits = self.mlp_head((tokens[:, 0] + tokens[:, 1]) / 2)
        return ModelOutput(clip_logits=logits, frame_logits=None, seconds_per_frame=0.0)

    @property
    def published_parameters(self) -> int:
        """Parameters as the authors' class counts them: with DeiT's two unused classifiers."""
        unused = 2 * IMAGENET_CLASSES * (self.v.embed_dim + 1)
        return sum(parameter.numel() for parameter in self.parameters()) + unused

    def load_official(self, path: str | Path, *, new_classes: bool = False) -> KeyReport:
        """Load a file released by AST's authors (`audioset_10_10_0.4593.pth` and the like), or the
        same weights as transformers keeps them (`MIT/ast-finetuned-audioset-10-10-0.4593`).

        Its position table is cut or stretched in time if this model takes other lengths (the
        authors' AudioSet start for ESC-50 and Speech Commands).

        Args:
            new_classes: keep the fresh classifier, for other classes than the file's.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: the file is of another size, or an entry is missing, surplus or
                misshaped; the message names each.
        """
        state = authors_names(read_state_dict(path), TRANSFORMERS)
        trunk = {name.removeprefix("v."): v for name, v in state.items() if name.startswith("v.")}
        check_size(path, trunk, self.architecture.dim, self.architecture.depth)
        if POSITIONS in state:
            rows, patches = self.grid[0], state[POSITIONS].shape[1] - SPECIAL_TOKENS
            released = RELEASED_GRIDS.get(patches, (rows, patches // rows))
            if released[0] != rows:
                raise CheckpointError(
                    f"{path}: its patches lie in {released[0]} rows of frequency, those of this "
                    f"model in {rows}; build AST with the file's stride and 128 mels"
                )
            if patches % rows == 0:
                state[POSITIONS] = resize_positions(state[POSITIONS], released, self.grid)
        fresh = CLASSIFIER if new_classes else ()
        return load_checked(self, state, ignore=DEAD_HEADS, fresh=fresh, source=path)

    def load_pretrained(self, path: str | Path) -> KeyReport:
        """Start from a file of `load_official` whose classifier is another or missing, such as
        transformers' bare `ASTModel`.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: see `load_official`.
        """
        return self.load_official(path, new_classes=True)

    def load_imagenet(self, path: str | Path) -> KeyReport:
        """Start from DeiT (`deit_base_distilled_patch16_384`, authors', timm's or transformers').

        The patch kernels of the three colours are summed, as in the authors' code; each axis of the
        square position table is cut or stretched; the classifier stays fresh.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: an entry is missing, surplus or misshaped; the message names each.
        """
        named = authors_names(read_state_dict(path), TRANSFORMERS)
        state = {f"v.{name.removeprefix('v.')}": value for name, value in named.items()}
        kernels = "v.patch_embed.proj.weight"
        if kernels in state:
            state[kernels] = state[kernels].sum(dim=1, keepdim=True)
        if POSITIONS in state:
            table = state[POSITIONS]
            side = round((table.shape[1] - SPECIAL_TOKENS) ** 0.5)
            if side * side != table.shape[1] - SPECIAL_TOKENS:
                raise CheckpointError(
                    f"{path}: {POSITIONS} is {tuple(table.shape)}, no square grid after the class "
                    "and distillation tokens; use a distilled DeiT"
                )
            state[POSITIONS] = resize_positions(table, (side, side), self.grid)
        return load_checked(self, state, ignore=DEAD_HEADS, fresh=CLASSIFIER, source=path)

    def adapt_state(self, other: AST) -> dict[str, Tensor]:
        """The state dict of another AST, its position table fitted to this one's grid."""
        state = other.state_dict()
        state[POSITIONS] = resize_positions(state[POSITIONS], other.grid, self.grid)
        return state


class Patches(nn.Module):
    """Patch embedding whose stride may be smaller than the patch, as timm's cannot."""

    def __init__(
        self,
        *,
        img_size: tuple[int, int],
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        stride: int,
        **_: object,
    ) -> None:
        super().__init__()
        self.grid_size = patch_grid(img_size[1], img_size[0], patch_size, stride)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, stride)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, F, T) to (B, patches, dim), frequency-major."""
        return self.proj(image).flatten(2).transpose(1, 2)


def resize_positions(table: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Fit a position table to another (frequency, time) grid as AST does.

    An axis that shrinks is cut from its middle, one that grows is interpolated linearly; the
    special tokens stay apart. (1, 2 + f t, D) to (1, 2 + f' t', D).
    """
    special, patches = table[:, :SPECIAL_TOKENS], table[:, SPECIAL_TOKENS:]
    image = patches.transpose(1, 2).unflatten(2, source)
    for axis, size in ((2, target[0]), (3, target[1])):
        if size <= image.shape[axis]:
            start = image.shape[axis] // 2 - size // 2
            image = image.narrow(axis, start, size)
    image = F.interpolate(image, target, mode="bilinear", align_corners=False)
    return torch.cat([special, image.flatten(2).transpose(1, 2)], dim=1)
