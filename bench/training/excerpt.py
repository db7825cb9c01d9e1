"""How much of a recipe's schedule is trained: all of it, except in a rehearsal."""

from __future__ import annotations

from collections.abc import Sequence

from bench.experiment.config import Recipe


class Excerpt:
    """All of it. The schedule stays that of the whole training, whichever steps are taken."""

    def recipe(self, declared: Recipe) -> Recipe:
        return declared

    def taken(self, count: int) -> Sequence[int]:
        """Which of this many epochs, or of an epoch's steps, are taken, in order."""
        return range(count)

    def stepped(self, epoch: int, step: int) -> None:
        """Called after each step, both counted from 0; an exception ends the training."""


WHOLE = Excerpt()
