"""The batches of an epoch: read from the feature store, augmented, shared among processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from bench.data.task import Task
from bench.data.windows import drawn_windows
from bench.experiment.config import Recipe
from bench.files import UserError
from bench.models.team import Team
from bench.training.loading import read_ahead
from bench.training.losses import Objective, Targets
from bench.training.sampling import epoch_batches, with_partners
from bench.training.streams import generator
from modelkit.augment import Augment
from modelkit.draws import Share


class Batch(NamedTuple):
    """One process's part of a batch, as a training step takes it.

    Attributes:
        features: (B, T, F).
        targets: what the model's output is compared with, before mixup.
        augment: its SpecAugment and mixup, or None.
        share: clips of the whole mixed batch and which of them these are, or None: all.
        rows: (B,), which clips these are.
        starts: (B,), the frame of each clip that its features begin at.
    """

    features: torch.Tensor
    targets: Targets
    augment: Augment | None
    share: Share | None
    rows: np.ndarray
    starts: np.ndarray

    def each(self, do: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """The same with `do` applied to every tensor, such as copying it to another device."""
        targets = self.targets.of_clips(do)
        return self._replace(
            features=do(self.features),
            targets=targets._replace(weights=do(targets.weights)),
            augment=None if self.augment is None else self.augment.each(do),
            share=None if self.share is None else (self.share[0], do(self.share[1])),
        )

    def beginning(self, clips: int) -> Batch:
        """Its first clips as a separate batch, neither mixed nor masked."""
        targets = self.targets.of_clips(lambda part: part[:clips])
        rows, starts = self.rows[:clips], self.starts[:clips]
        return Batch(self.features[:clips], targets, None, None, rows, starts)


def read_batches(
    task: Task,
    recipe: Recipe,
    objective: Objective,
    seed: int,
    epoch: int,
    steps: Sequence[int],
    team: Team,
    workers: int,
    *,
    pinned: bool = False,
) -> Iterator[Batch]:
    """This process's part of an epoch's batches of these numbers.

    Of a clip that is longer than the model's input, each epoch sees one random window.

    Args:
        workers: threads that read ahead; 0: none.
        pinned: in memory from which a GPU copies asynchronously.
    """
    order = epoch_batches(task, recipe, seed, epoch)

    def read(step: int) -> Batch:
        rows = with_partners(task, recipe, order[step], generator(seed, "partners", epoch, step))
        weights, share = (1.0, 1.0), None
        lengths, length = task.lengths(rows), task.front_end.frames
        starts = drawn_windows(lengths, length, generator(seed, "window", epoch, step))
        rng = generator(seed, "augment", epoch, step)
        augment = draw_augment(recipe, len(rows), rng)
        if team.world_size > 1:
            whole = augment or Augment.draw(len(rows), rng)
            mine, needed, augment = whole.part(team.rank, team.world_size)
            time = objective.labelled_time(rows, starts, whole)
            rows, starts = rows[needed], starts[needed]
            my_time = objective.labelled_time(rows, starts, augment)
            weights = (
                len(mine) * team.world_size / whole.size,
                my_time * team.world_size / max(time, 1e-6),  # its mean is over labelled time
            )
            share = whole.size, torch.from_numpy(mine)
        features = torch.from_numpy(task.features(rows, starts))
        targets = objective.targets(rows, starts, weights)
        batch = Batch(features, targets, augment, share, rows, starts)
        return batch.each(torch.Tensor.pin_memory) if pinned else batch

    return read_ahead(read, steps, workers)


def on_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on a device. A GPU copies each one while it computes with the previous one."""
    if device.type != "cuda":
        yield from batches
        return
    copying = torch.cuda.Stream(device)
    copies: deque[tuple[Batch, torch.cuda.Event]] = deque()
    for batch in batches:
        with torch.cuda.stream(copying):
            copied = batch.each(lambda tensor: tensor.to(device, non_blocking=True))
            copies.append((copied, copying.record_event()))
        if len(copies) > 1:
            yield _arrived(*copies.popleft())
    for copied, done in copies:
        yield _arrived(copied, done)


def _arrived(batch: Batch, done: torch.cuda.Event) -> Batch:
    """The batch, which the current stream uses once its copies are done."""
    stream = torch.cuda.current_stream(batch.features.device)
    stream.wait_event(done)

    def noted(tensor: torch.Tensor) -> torch.Tensor:
        tensor.record_stream(stream)  # its memory is reused only when this stream is done with it
        return tensor

    return batch.each(noted)


def draw_augment(recipe: Recipe, batch: int, rng: np.random.Generator) -> Augment | None:
    """The batch's SpecAugment and mixup numbers, or None where the recipe has neither."""
    if recipe.specaugment is None and recipe.mixup is None:
        return None
    return Augment.draw(batch, rng, stripes=recipe.specaugment, mixup=recipe.mixup)


def check_shares(recipe: Recipe, team: Team) -> None:
    """Refuse batches that would leave some process without clips.

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
