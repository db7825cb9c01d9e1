"""Which clips the batches of an epoch hold, and which clips they are mixed with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.data.task import Task
from bench.experiment.config import Recipe
from bench.steps import steps_per_epoch
from bench.training.streams import generator

Rows = NDArray[np.int64]
AT_ONCE = 1 << 14  # rows of the targets


def epoch_batches(task: Task, recipe: Recipe, seed: int, epoch: int) -> Rows:
    """Clip indices of one epoch's batches, (steps, batch_size): all full, as in PANNs' sampler
    (data_generator.py); in a smaller last batch, a few clips would weigh as much as a whole batch.

    `shuffle` is a permutation of the training split, continued by a new one to fill the last batch.
    `weighted` draws with replacement, with a clip's probability proportional to the sum over its
    labels of 1 / (clips of the label) (AST, src/gen_weight_file.py). The other two are rounds over
    the classes in random order, one clip of each, until the batches are full: `balanced` takes a
    random clip (HTS-AT, data_generator.py), `cycled` the next one of the class's shuffled clips,
    and continues in the next epoch where it stopped (PANNs, BalancedTrainSampler).
    """
    rows = task.rows["train"]
    clips = steps_per_epoch(len(rows), recipe.batch_size) * recipe.batch_size
    rng = generator(seed, "order", epoch)
    if recipe.sampler == "shuffle":
        order = np.resize(rng.permutation(rows), clips)
    elif recipe.sampler == "weighted":
        order = rng.choice(rows, clips, p=_rarity(task.targets, rows))
    elif recipe.sampler == "balanced":
        order = rows[_class_rounds(*_members(task.targets, rows), clips, rng)]
    else:
        order = rows[_class_cycles(*_members(task.targets, rows), clips, seed, epoch)]
    return order.reshape(-1, recipe.batch_size)


def with_partners(task: Task, recipe: Recipe, rows: Rows, rng: np.random.Generator) -> Rows:
    """The clips that a batch of `rows` (B,) is made from: for mixup with partners from the whole
    training split, (2 B,) with the partners last, drawn uniformly as by AST (src/dataloader.py)."""
    if recipe.mixup is None or recipe.mixup.pairing != "anywhere":
        return rows
    return np.concatenate([rows, rng.choice(task.rows["train"], len(rows))])


def _blocks(targets: NDArray, rows: Rows) -> Iterator[NDArray]:
    """`targets[rows]` (N, C), some rows at a time: at AudioSet's size the whole would be a copy of
    1.1 GB, and eight times that as floating-point numbers."""
    return (targets[rows[first : first + AT_ONCE]] for first in range(0, len(rows), AT_ONCE))


def _rarity(targets: NDArray, rows: Rows) -> NDArray[np.float64]:
    """The probability (N,) of each of these clips of `targets`, by how rare its labels are."""
    counts = sum(block.sum(axis=0) for block in _blocks(targets, rows))
    weights = np.concatenate([block @ (1000 / (counts + 0.01)) for block in _blocks(targets, rows)])
    return weights / weights.sum()


def _members(targets: NDArray, rows: Rows) -> tuple[Rows, Rows]:
    """Indices into `rows` of each class's clips, concatenated, and the count of each class that
    has any."""
    found = [np.nonzero(block) for block in _blocks(targets, rows)]
    labels = np.concatenate([labels for _, labels in found])
    places = np.concatenate([AT_ONCE * number + own for number, (own, _) in enumerate(found)])
    sizes = np.bincount(labels)
    return places[np.argsort(labels, kind="stable")], sizes[sizes > 0]


def _class_rounds(members: Rows, sizes: Rows, clips: int, rng: np.random.Generator) -> Rows:
    """`clips` random `members` of the classes, which have `sizes` of them, one class in turn."""
    rounds = np.tile(np.arange(len(sizes)), (-(-clips // len(sizes)), 1))
    turns = rng.permuted(rounds, axis=1).ravel()[:clips]
    first = np.cumsum(sizes) - sizes
    return members[first[turns] + rng.integers(sizes[turns])]


def _class_cycles(members: Rows, sizes: Rows, clips: int, seed: int, epoch: int) -> Rows:
    """The `clips` members of this epoch in an endless stream of rounds over the classes. Round r
    takes clip r of each class's own endless stream, so any epoch can be drawn separately."""
    begin = epoch * clips
    turns = _endless(len(sizes), begin, clips, seed, 0)
    drawn = np.empty(clips, np.int64)
    for number, (first, size) in enumerate(zip(np.cumsum(sizes) - sizes, sizes, strict=True)):
        mine = np.flatnonzero(turns == number)
        if len(mine):
            begun = (begin + int(mine[0])) // len(sizes)
            drawn[mine] = members[first + _endless(int(size), begun, len(mine), seed, 1, number)]
    return drawn


def _endless(size: int, begin: int, count: int, seed: int, *stream: int) -> Rows:
    """Items `begin` to `begin + count` of one permutation of `size` after another."""
    rows = max(1, 4096 // size)  # at a time: making a generator takes longer than drawing from it
    block = rows * size
    numbers = range(begin // block, -(-(begin + count) // block))
    ordered = np.tile(np.arange(size), (rows, 1))
    drawn = [
        generator(seed, "order", *stream, number).permuted(ordered, axis=1).ravel()
        for number in numbers
    ]
    return np.concatenate(drawn)[begin - numbers[0] * block :][:count]
