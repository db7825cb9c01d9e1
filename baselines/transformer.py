"""Parts of the plain vision transformers, and how the sizes of their files are recognised."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from baselines.attention import SelfAttention
from modelkit.checkpoint import CheckpointError
from modelkit.vision import Block

PATCHES = "patch_embed.proj.weight"
"""The entry whose first axis is the width of the tokens."""


def blocks(dim: int, depth: int, heads: int, *, qkv_bias: bool = True) -> nn.Sequential:
    """Pre-norm blocks with MLPs of four times the width; (B, N, dim) to the same.

    Raises:
        ValueError: the heads do not divide the width.
    """
    if dim % heads:
        raise ValueError(f"{heads} heads do not divide a width of {dim}")
    return nn.Sequential(
        *(
            Block(
                dim,
                heads,
                qkv_bias=qkv_bias,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),  # type: ignore[arg-type]
                attn_layer=SelfAttention,
            )
            for _ in range(depth)
        )
    )


def check_size(path: str | Path, state: Mapping[str, Tensor], dim: int, depth: int) -> None:
    """Refuse the weights of a transformer of another size in one line instead of naming every
    entry.

    Raises:
        CheckpointError: another width or number of blocks, naming the argument to set.
    """
    found = {int(name[1]) for name in map(re.compile(r"blocks\.(\d+)\.").match, state) if name}
    width = len(state[PATCHES]) if PATCHES in state else dim
    for argument, own, other in (("dim", dim, width), ("depth", depth, len(found) or depth)):
        if own != other:
            raise CheckpointError(
                f"{path}: holds a transformer of {argument} {other}, not {own}: set `{argument}`"
            )
