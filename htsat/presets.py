"""Named architectures of HTS-AT, and the switches of its ablations."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

from htsat.fold import TokenOrder


def one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} {value!r} is not one of {', '.join(choices)}")


@dataclass(frozen=True)
class Architecture:
    """Everything that fixes the network, apart from its classes and its front end.

    Attributes:
        image_size: side of the square whose area the folded spectrogram has, so that it holds
            image_size^2 / mels frames.
        patch_size: side of a patch (frames and mels).
        embed_dim: width of the first stage; each stage doubles it.
        depths: blocks per stage; every stage but the last halves the grid in both directions.
        heads: attention heads per stage.
        window_size: side of the attention windows in tokens. A stage whose grid is smaller attends
            over its whole grid, without shifts.
        mlp_ratio: hidden width of the MLPs over their input's.
        drop_path: stochastic depth of the last block; it grows linearly from 0.
        token_order: how patches are laid into the trunk's grid, see `htsat.fold`.
        order_seed: of the "random" token order.
        fold_frames: length of the fold's windows in frames, which is the image's width; None means
            image_size. Other lengths give an oblong image with the same number of tokens.
        token_semantic: classify by the token-semantic convolution (rows HC and HCP of the paper's
            Table 1), or by mean pooling and a linear layer (row H).
        padding: how features shorter than the image fill it: "stretch" (bicubic, the released
            code) or "zeros" (after batch norm, the paper's 24 zero frames).
    """

    image_size: int = 256
    patch_size: int = 4
    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window_size: int = 8
    mlp_ratio: float = 4.0
    drop_path: float = 0.1
    token_order: TokenOrder = "time_frequency_window"
    order_seed: int = 0
    fold_frames: int | None = None
    token_semantic: bool = True
    padding: str = "stretch"

    def __post_init__(self) -> None:
        # Configuration files hold lists.
        object.__setattr__(self, "depths", tuple(self.depths))
        object.__setattr__(self, "heads", tuple(self.heads))
        one_of("token_order", self.token_order, get_args(TokenOrder))
        one_of("padding", self.padding, ("stretch", "zeros"))
        if len(self.heads) != len(self.depths):
            raise ValueError(
                f"heads {self.heads} and depths {self.depths} must name the same number of stages"
            )
        for stage, heads in enumerate(self.heads):
            if self.embed_dim * 2**stage % heads:
                raise ValueError(
                    f"{heads} heads do not divide the {self.embed_dim * 2**stage} channels of "
                    f"stage {stage + 1}; change heads or embed_dim"
                )
        if self.token_order == "no_windows":
            if self.fold_frames is not None:
                raise ValueError("token_order no_windows folds nothing: leave out fold_frames")
            if self.padding == "zeros":
                raise ValueError("token_order no_windows resizes: padding must be stretch")

    @property
    def merge(self) -> int:
        """Patches per side of one token of the last stage."""
        return 2 ** (len(self.depths) - 1)


PRESETS = {
    # The paper's: 10 s, 64 mels, four windows of 256 frames; 32 frame outputs.
    "paper": Architecture(),
    # 32 mels, four windows of 128 frames; 32 frame outputs.
    "small": Architecture(
        image_size=128, embed_dim=48, depths=(2, 2, 2), heads=(2, 4, 8), window_size=8
    ),
    # 32 mels, two windows of 64 frames; 16 frame outputs. Sized for minutes on one CPU core.
    "tiny": Architecture(image_size=64, embed_dim=32, depths=(2, 2), heads=(2, 4), window_size=4),
}


def architecture(preset: str, **overrides: Any) -> Architecture:
    """The preset with single entries replaced.

    Raises:
        ValueError: unknown preset or entry (the nearest valid one is named), or an entry that does
            not fit the others.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; one of {', '.join(PRESETS)}")
    valid = [field.name for field in fields(Architecture)]
    for name in overrides:
        if name not in valid:
            nearest = difflib.get_close_matches(name, valid, 1, 0.0)[0]
            raise ValueError(f"HTSAT has no argument {name!r}; did you mean {nearest!r}?")
    return replace(PRESETS[preset], **overrides)
