"""Faster forms of operations that are slow in PyTorch on a CPU at the shapes of these models.

Every function names its plain form, which a test compares it with, and what it gains over that:
CPU seconds of one thread on the processors of docs/performance.md. Where a kernel gains only on
CPUs, other devices and compiled graphs take the plain form (`on_cpu`): its shapes are fixed, and
nothing in it waits for the device. Kernels that gained less than 5 % have been dropped, except
`embed_patches` and `convolve_time`, whose plain forms round differently from recorded figures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from modelkit import draws

NARROW = 2  # mels; see `convolve`


def on_cpu(x: Tensor) -> bool:
    """Whether `x` is on a CPU and computed with eagerly."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def window_attention(qkv: Tensor, bias: Tensor) -> Tensor:
    """softmax(q k' / sqrt(d) + bias) v within windows.

    qkv (B, windows, N, 3, heads, d) and bias (windows or 1, heads, N, N) to (B, windows, N, heads,
    d). Plain form: `fused_window_attention`, whose kernel takes 1.1 to 1.5 times as long as
    products for windows of 64 tokens, and has no gradient for the bias.
    """
    attend = WindowProducts.apply if on_cpu(qkv) else fused_window_attention
    mixed: Tensor = attend(qkv, bias)
    return mixed


def fused_window_attention(qkv: Tensor, bias: Tensor) -> Tensor:
    """`window_attention` by PyTorch's attention kernels.

    Where all windows share a bias, queries, keys and values are views of `qkv`. Shifted windows do
    not share it: a view that joins them with the clips cannot repeat their biases, nor one that
    joins them with the heads step through `qkv` evenly, so they are copied.
    """
    batch, windows = qkv.shape[:2]
    if len(bias) == 1:
        q, k, v = qkv.flatten(0, 1).permute(2, 0, 3, 1, 4)  # (B windows, heads, N, d)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return mixed.transpose(1, 2).unflatten(0, (batch, windows))
    q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)  # (B, windows heads, N, d)
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.flatten(0, 1))
    return mixed.unflatten(1, (windows, -1)).transpose(2, 3)


class WindowProducts(torch.autograd.Function):
    """`window_attention` in batched products, in place where possible to save memory."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, bias: Tensor) -> Tensor:
        batch, windows, tokens, _, heads, width = qkv.shape
        parts = qkv.permute(3, 0, 1, 4, 2, 5).reshape(3, -1, tokens, width)
        q, k, v = parts
        weights = bias.expand(batch, windows, -1, -1, -1).clone(
            memory_format=torch.contiguous_format
        )
        weights = weights.view(-1, tokens, tokens)
        weights.baddbmm_(q, k.transpose(1, 2), alpha=width**-0.5)
        torch.softmax(weights, -1, out=weights)
        ctx.save_for_backward(parts, weights)
        ctx.shapes = qkv.shape, bias.shape
        mixed = torch.bmm(weights, v).view(batch, windows, heads, tokens, width)
        return mixed.transpose(2, 3).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        parts, weights = ctx.saved_tensors
        (batch, windows, tokens, _, heads, width), bias_shape = ctx.shapes
        q, k, v = parts
        scale = width**-0.5
        gradient = gradient.transpose(2, 3).reshape_as(v)
        scores = _through_softmax(torch.bmm(gradient, v.transpose(1, 2)), weights)
        grads = torch.empty_like(parts)
        torch.baddbmm(q, scores, k, beta=0, alpha=scale, out=grads[0])
        torch.baddbmm(k, scores.transpose(1, 2), q, beta=0, alpha=scale, out=grads[1])
        torch.bmm(weights.transpose(1, 2), gradient, out=grads[2])
        grad = grads.view(3, batch, windows, heads, tokens, width).permute(1, 2, 4, 0, 3, 5)
        return grad.contiguous(), scores.view(-1, *bias_shape).sum(0)


def attention(qkv: Tensor) -> Tensor:
    """softmax(q k' / sqrt(d)) v over all tokens: (B, N, 3, heads, d) to (B, N, heads, d).

    Plain form: `fused_attention`, which in bfloat16 takes 1.4 times as long as products (1.13
    times in a whole training step of AST); in float32 it is the faster one.
    """
    products = on_cpu(qkv) and qkv.dtype == torch.bfloat16
    mixed: Tensor = (HeadwiseProducts.apply if products else fused_attention)(qkv)
    return mixed


def fused_attention(qkv: Tensor) -> Tensor:
    """`attention` by PyTorch's attention kernels."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


class HeadwiseProducts(torch.autograd.Function):
    """`attention` by matrix products, one head after the other.

    Only the N x N weights of one head exist at a time, so that they stay in the cache; the backward
    pass recomputes them instead of storing them all.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor) -> Tensor:
        parts = qkv.permute(2, 0, 3, 1, 4).flatten(1, 2).contiguous()  # (3, B heads, N, d)
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
            scores = _through_softmax(torch.mm(gradients[head], v.T), weights)
            torch.addmm(q, scores, k, beta=0, alpha=scale, out=out[0, head])
            torch.addmm(k, scores.T, q, beta=0, alpha=scale, out=out[1, head])
        return out.view(3, batch, heads, tokens, width).permute(1, 3, 0, 2, 4).contiguous()


def _weights(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k' / sqrt(d)) of one head, (N, d) twice to (N, N)."""
    scores = torch.addmm(q.new_zeros(()), q, k.T, beta=0, alpha=q.shape[1] ** -0.5)
    return torch.softmax(scores, -1, out=scores)


def _through_softmax(gradient: Tensor, weights: Tensor) -> Tensor:
    """The gradient of the softmax's input, in the memory of its output's `gradient`.

    Uses a private interface of PyTorch: its public backward pass of softmax needs autograd to have
    seen the forward pass, and writing out the formula passes over memory three times.
    """
    return torch._softmax_backward_data(gradient, weights, -1, gradient.dtype, grad_input=gradient)


def embed_patches(layer: nn.Conv2d, image: Tensor) -> Tensor:
    """Image (B, 1, H, W) to (B, H / p, W / p, D): a convolution whose kernel is its stride.

    Plain form: `layer(image)`, channels last, which takes as long.
    """
    side = layer.stride[0]
    batch, _, height, width = image.shape
    patches = image.view(batch, height // side, side, width // side, side).transpose(2, 3)
    return F.linear(patches.flatten(3), layer.weight.flatten(1), layer.bias)


def convolve_time(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """(B, D, bands, T) to (B, T, C): a convolution over all bands and three frames.

    Plain form: `layer(x)`: 1.35 times as long, 0.7 % of a training step of full size.
    """
    neighbours = F.pad(x, (1, 1)).unfold(3, 3, 1).permute(0, 3, 1, 2, 4).flatten(2)
    return F.linear(neighbours, layer.weight.flatten(1), layer.bias)


def convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """`layer(x)`, a 3 x 3 convolution without bias; of images two mels wide, as one product.

    Plain form: `layer(x)`, which reaches a quarter of a CPU's speed on them: Cnn14's training step
    takes 1.15 (fp32) to 1.32 times (bf16) as long with it.
    """
    if x.shape[3] > NARROW or not on_cpu(x):
        convolved: Tensor = layer(x)
        return convolved
    patches = F.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1)
    patches = patches.permute(0, 2, 3, 4, 5, 1).flatten(3)  # (B, T, F, rows, columns, inputs)
    return F.linear(patches, layer.weight.permute(0, 2, 3, 1).flatten(1)).permute(0, 3, 1, 2)


def add_branch(x: Tensor, branch: Callable[[Tensor], Tensor], drop: float) -> Tensor:
    """x + branch(x) with stochastic depth: each clip's branch adds nothing with probability `drop`.

    Plain form: the branch of every clip times 0 or 1 / (1 - drop), which other devices take, so
    that shapes stay fixed for compiled graphs. On a CPU a dropped branch is not computed: about 5 %
    of HTS-AT's training step at the published rate.
    """
    if not drop:
        return x + branch(x)
    keep = 1 - drop
    scale = draws.kept(x, keep).div_(keep)
    if not on_cpu(x) or scale.all():
        return torch.addcmul(x, branch(x), scale.view(-1, 1, 1))
    kept = scale.nonzero().squeeze(1)
    if not len(kept):
        return x
    return x.index_add(0, kept, branch(x.index_select(0, kept)), alpha=1 / keep)
