"""The batches of an epoch: read from the feature store, augmented, shared among processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from bench.data.task import Task
from bench.data.windows import drawn_windows
from bench.experiment.config import Recipe
from bench.files import UserError
from bench.models.team import Team
from bench.training.loading import read_ahead
from bench.training.sampling import epoch_batches, with_partners
from bench.training.streams import generator
from modelkit.augment import Augment
from modelkit.draws import Share


class Batch(NamedTuple):
    """One process's part of a batch, as a training step takes it.

    Attributes:
        features: (B, T, F).
        rows: (B,), which clips these are.
        augment: its SpecAugment and mixup, or None.
        weight: of its mean loss, such that the processes' average is the whole batch's mean.
        share: clips of the whole mixed batch and which of them these are, or None: all.
        starts: (B,), the frame of each clip that its features begin at, or None: its first.
    """

    features: torch.Tensor
    rows: np.ndarray
    augment: Augment | None
    weight: float
    share: Share | None = None
    starts: np.ndarray | None = None


def read_batches(
    task: Task, recipe: Recipe, seed: int, epoch: int, first: int, team: Team, workers: int
) -> Iterator[Batch]:
    """This process's part of an epoch's batches, from number `first` on.

    Of a clip that is longer than the model takes, each epoch sees one window, drawn anew.

    Args:
        workers: threads that read ahead; 0: none.
    """
    order = epoch_batches(task, recipe, seed, epoch)

    def read(step: int) -> Batch:
        rows = with_partners(task, recipe, order[step], generator(seed, "partners", epoch, step))
        weight, share = 1.0, None
        lengths, length = task.lengths(rows), task.front_end.frames
        starts = drawn_windows(lengths, length, generator(seed, "window", epoch, step))
        rng = generator(seed, "augment", epoch, step)
        augment = draw_augment(recipe, len(rows), rng)
        if team.world_size > 1:
            whole = augment or Augment.draw(len(rows), rng)
            mine, needed, augment = whole.part(team.rank, team.world_size)
            rows, starts = rows[needed], starts[needed]
            weight, share = len(mine) * team.world_size / whole.size, (whole.size, mine)
        features = torch.from_numpy(task.features(rows, starts))
        return Batch(features, rows, augment, weight, share, starts)

    return read_ahead(read, range(first, len(order)), workers)


def draw_augment(recipe: Recipe, batch: int, rng: np.random.Generator) -> Augment | None:
    """The batch's SpecAugment and mixup numbers, or None where the recipe has neither."""
    if recipe.specaugment is None and recipe.mixup is None:
        return None
    return Augment.draw(batch, rng, stripes=recipe.specaugment, mixup=recipe.mixup)


def check_shares(recipe: Recipe, team: Team) -> None:
    """Refuse batches of which some process would get nothing.

    Raises:
        UserError: naming the batch size.
    """
    pairs = recipe.mixup is not None and recipe.mixup.pairing == "pairs"
    clips = recipe.batch_size // 2 if pairs else recipe.batch_size
    if clips < team.world_size:
        raise UserError(
            f"batch_size {recipe.batch_size} leaves {clips} to train on for {team.world_size} "
            "processes; raise it, or use fewer GPUs"
        )
