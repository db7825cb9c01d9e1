"""Resizing one axis as a product with a fixed matrix.

CUDA's backward pass of bicubic interpolation adds atomically, so it is not deterministic and raises
under `torch.use_deterministic_algorithms(True)`. Interpolation is linear: applied to the identity,
it gives its matrix, and a matrix product is deterministic in both directions.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


@lru_cache(maxsize=64)
def resize_matrix(source: int, target: int, antialias: bool = False) -> Tensor:
    """The (target, source) float32 matrix of `F.interpolate` along one axis, bicubic and with
    aligned corners, as the released HTS-AT stretches time (`reshape_wav2img` of its model).

    Rows sum to one. The matrix is cached: do not change it in place.

    Raises:
        ValueError: a size is below one.
    """
    if source < 1 or target < 1:
        raise ValueError(f"cannot resize {source} values to {target}; both must be at least 1")
    with torch.inference_mode(False), torch.no_grad():  # cached: the next caller may train
        return F.interpolate(
            torch.eye(source, device="cpu")[None, None],  # also within torch.device("meta")
            (target, source),
            mode="bicubic",
            align_corners=True,
            antialias=antialias,
        )[0, 0]


def resize_time(x: Tensor, target: int, antialias: bool = False) -> Tensor:
    """Resize the second-to-last axis of `x` (..., T, F) to (..., target, F).

    An `x` that already has the size is returned unchanged.
    """
    source = x.shape[-2]
    if source == target:
        return x
    return _on_device(x.device, source, target, antialias).to(x.dtype) @ x


def _on_device(device: torch.device, source: int, target: int, antialias: bool) -> Tensor:
    """The matrix on the device that uses it, copied once: each copy would wait for the device."""
    return _copied(device, source, target, antialias)


# As torch.compiler.assume_constant_result does, which loads the compiler: a compiled graph holds
# the matrix and does not make it.
_on_device._dynamo_marked_constant = True  # type: ignore[attr-defined]


@lru_cache(maxsize=64)
def _copied(device: torch.device, source: int, target: int, antialias: bool) -> Tensor:
    with torch.inference_mode(False):
        return resize_matrix(source, target, antialias).to(device)
