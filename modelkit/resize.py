"""Resizing one axis as a product with a fixed matrix.

CUDA's backward pass of bicubic interpolation adds atomically, so it is not deterministic and raises
under `torch.use_deterministic_algorithms(True)`. Interpolation is linear: applied to the identity,
it gives its matrix, and a matrix product is deterministic in both directions.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Mode = Literal["bicubic", "bilinear"]


@lru_cache(maxsize=64)
def resize_matrix(
    source: int,
    target: int,
    mode: Mode = "bicubic",
    align_corners: bool = True,
    antialias: bool = False,
) -> Tensor:
    """The (target, source) float32 matrix by which torch interpolates an axis; rows sum to one.

    The arguments are those of `F.interpolate`, which is applied along one axis. The matrix is
    cached: do not change it in place.

    Raises:
        ValueError: a size is below one.
    """
    if source < 1 or target < 1:
        raise ValueError(f"cannot resize {source} values to {target}; both must be at least 1")
    with torch.inference_mode(False), torch.no_grad():  # cached: the next caller may train
        identity = torch.eye(source)[None, None]
        return F.interpolate(
            identity, (target, source), mode=mode, align_corners=align_corners, antialias=antialias
        )[0, 0]


def resize_time(
    x: Tensor,
    target: int,
    mode: Mode = "bicubic",
    align_corners: bool = True,
    antialias: bool = False,
) -> Tensor:
    """Resize the second-to-last axis of `x` (..., T, F) to (..., target, F).

    An `x` that already has the size is returned unchanged.
    """
    source = x.shape[-2]
    if source == target:
        return x
    matrix = _on_device(x.device, source, target, mode, align_corners, antialias)
    return matrix.to(x.dtype) @ x


def _on_device(device: torch.device, *resizing: Any) -> Tensor:
    """The matrix on the device that uses it, copied once: each copy would wait for the device."""
    return _copied(device, *resizing)


# As torch.compiler.assume_constant_result does, which loads the compiler: a compiled graph holds
# the matrix and does not make it.
_on_device._dynamo_marked_constant = True  # type: ignore[attr-defined]


@lru_cache(maxsize=64)
def _copied(device: torch.device, *resizing: Any) -> Tensor:
    with torch.inference_mode(False):
        return resize_matrix(*resizing).to(device)
