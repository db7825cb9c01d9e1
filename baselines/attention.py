"""Attention of a plain vision transformer."""

from __future__ import annotations

from torch import Tensor

from modelkit import kernels
from modelkit.vision import Attention


class SelfAttention(Attention):
    """timm's attention without its options: (B, N, C) to the same, by the faster of two kernels."""

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """(B, N, C) to (B, N, C).

        Raises:
            ValueError: a mask is given, which AST's blocks never do.
        """
        if attn_mask is not None or is_causal:
            raise ValueError("AST attends to every token: give no mask")
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))
        return self.proj(kernels.attention(qkv).flatten(2))
