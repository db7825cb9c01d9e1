"""Attention of a plain vision transformer, which on the CPU in bfloat16 is batched products."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from modelkit.vision import Attention


class SelfAttention(Attention):
    """timm's attention without its options: (B, N, C) to the same, in whichever way is faster.

    PyTorch's fused attention on the CPU takes 1.4 times as long as plain products in bfloat16;
    in float32, and on other devices, it is the faster one.
    """

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
        products = qkv.device.type == "cpu" and qkv.dtype == torch.bfloat16
        attend = HeadwiseAttention.apply if products else fused_attention
        return self.proj(attend(qkv).flatten(2))


class HeadwiseAttention(torch.autograd.Function):
    """softmax(q k' / sqrt(d)) v by matrix products, one head after the other.

    qkv (B, N, 3, heads, d) to (B, N, heads, d). The N x N weights of one head at a time exist, so
    that they stay in the cache; the backward pass computes them again rather than keep them all.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor) -> Tensor:
        parts = _by_head(qkv)
        ctx.save_for_backward(parts)
        ctx.shape = qkv.shape
        mixed = torch.empty_like(parts[0])
        for head, (q, k, v) in enumerate(parts.unbind(1)):
            torch.mm(_weights(q, k), v, out=mixed[head])
        batch, tokens, _, heads, width = qkv.shape
        return mixed.view(batch, heads, tokens, width).transpose(1, 2).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (parts,) = ctx.saved_tensors
        batch, tokens, _, heads, width = ctx.shape
        scale = width**-0.5
        gradients = gradient.transpose(1, 2).reshape(-1, tokens, width)
        out = torch.empty_like(parts)
        for head, (q, k, v) in enumerate(parts.unbind(1)):
            weights = _weights(q, k)
            torch.mm(weights.T, gradients[head], out=out[2, head])
            scores = torch.mm(gradients[head], v.T)
            torch._softmax_backward_data(scores, weights, -1, scores.dtype, grad_input=scores)
            torch.addmm(q, scores, k, beta=0, alpha=scale, out=out[0, head])
            torch.addmm(k, scores.T, q, beta=0, alpha=scale, out=out[1, head])
        return out.view(3, batch, heads, tokens, width).permute(1, 3, 0, 2, 4).contiguous()


def _by_head(qkv: Tensor) -> Tensor:
    """(B, N, 3, heads, d) to (3, B heads, N, d), contiguous."""
    return qkv.permute(2, 0, 3, 1, 4).flatten(1, 2).contiguous()


def _weights(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k' / sqrt(d)) of one head, (N, d) twice to (N, N)."""
    scores = torch.addmm(q.new_zeros(()), q, k.T, beta=0, alpha=q.shape[1] ** -0.5)
    return torch.softmax(scores, -1, out=scores)


def fused_attention(qkv: Tensor) -> Tensor:
    """What `HeadwiseAttention` computes, by PyTorch's attention kernels."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
