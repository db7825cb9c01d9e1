"""What to say when memory runs out: the batch size that fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from bench.files import UserError
from bench.training.batches import Batch

Figures = TypeVar("Figures")


def within_memory(step: Callable[[Batch], Figures], batch: Batch, *, alone: bool = True) -> Figures:
    """`step(batch)`, or, if memory runs out, the batch size that fits.

    Args:
        alone: try smaller batches to find one that fits. Among several processes none can step
            without the others.

    Raises:
        UserError: memory ran out; names the batch size that fits.
    """
    try:
        return step(batch)
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
    # Only here, outside the handler, are the failed step's tensors freed.
    where, size, merged = batch.features.shape[1:], len(batch.features), 1
    if batch.augment is not None:
        size = batch.augment.size  # of what the network computes, after mixing
        if batch.augment.mixup is not None and batch.augment.mixup.pairing == "pairs":
            merged = 2  # clips of batch_size in each of them
    advice = "halve batch_size"
    if alone:
        halves = (size >> n for n in range(1, size.bit_length()))
        fits = next((n for n in halves if _gets_through(step, batch, n)), 0)
        advice = f"{merged * fits} fit: set batch_size to it" if fits else "not even one fits"
    raise UserError(
        f"memory ran out in a training step on {merged * size} clips of {tuple(where)} values; "
        f"{advice} (and lower learning_rate with it), set precision to bf16, or use a larger "
        "device; the last good state is kept"
    )


def _out_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "can't allocate memory" in str(error)  # torch's CPU allocator
    )


def _gets_through(step: Callable[[Batch], object], batch: Batch, size: int) -> bool:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        step(batch.beginning(size))
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        return False
    return True
