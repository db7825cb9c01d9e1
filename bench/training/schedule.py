"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math

from bench.experiment.config import Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The rate of optimisation step `step` (from 0): linear warm-up, then the recipe's schedule.

    `cosine` falls to zero over the epochs after the warm-up; `steps` multiplies by `step_factor`
    after each epoch named in `step_epochs`, or uses the entry of `step_factors` for the last of
    them that has passed.
    """
    warmup = recipe.warmup_epochs * steps_per_epoch
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "steps":
        epoch = step // steps_per_epoch
        passed = sum(epoch >= boundary for boundary in recipe.step_epochs)
        if recipe.step_factors:
            return recipe.learning_rate * (1.0, *recipe.step_factors)[passed]
        return recipe.learning_rate * recipe.step_factor**passed
    total = recipe.epochs * steps_per_epoch
    progress = (step - warmup) / max(1.0, total - warmup)
    return recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
