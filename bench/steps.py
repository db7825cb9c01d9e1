"""The steps of an epoch, by which trainings and estimates count."""

from __future__ import annotations


def steps_per_epoch(clips: int, batch_size: int) -> int:
    """Optimisation steps of an epoch over a training split of `clips`: full batches, as many as it
    takes to hold them all."""
    return -(-clips // batch_size)
