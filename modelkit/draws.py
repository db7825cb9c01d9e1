"""Random masks of clips that do not depend on how many processes share a batch.

Each process draws the masks of the whole batch and uses those of its own clips, so that dropout and
stochastic depth are the same for one process and for several.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.nn import functional as F

Share = tuple[int, Tensor]
"""Clips of the whole batch, and which of them this process computes: int64, on its device."""

_share: Share | None = None


@contextmanager
def share_of_batch(share: Share | None) -> Iterator[None]:
    """Draw for the whole batch during the block; None: this process computes the whole batch.

    It applies to all threads: on GPUs the backward pass, which may recompute parts, has its own.
    """
    global _share
    _share = share
    try:
        yield
    finally:
        _share = None


def kept(x: Tensor, keep: float) -> Tensor:
    """(B,) of `x` (B, ...): 1 with probability `keep`, else 0."""
    if _share is None:
        return x.new_empty(len(x)).bernoulli_(keep)
    clips, mine = _share
    return x.new_empty(clips).bernoulli_(keep)[mine]


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """`torch.nn.functional.dropout` of `x` (B, ...)."""
    if _share is None or not training:
        return F.dropout(x, rate, training)
    clips, mine = _share
    shape = (clips, *x.shape[1:])
    order = sorted(range(x.ndim), key=x.stride, reverse=True)  # masks are drawn in memory order
    ones = x.new_ones([shape[axis] for axis in order])
    return x * F.dropout(ones.permute([order.index(axis) for axis in range(x.ndim)]), rate)[mine]
