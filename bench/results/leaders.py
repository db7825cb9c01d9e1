"""Which figure may be called better: one rule for bold figures, headlines and counts.

Better is what the exact paired test says after Holm's correction over the family. Where no test
decides, a figure is the highest mean and no more. Models that were trained on other labels, or
began from other weights, are ranked apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.metrics.statistics import holm, limit_of, sign_flip_p
from bench.results.effects import paired
from bench.results.groups import Group
from bench.results.load import Results
from bench.results.summary import Summary
from bench.results.trained import models_by_training

ALPHA = 0.05
TEST = f"exact paired test, Holm, p ≤ {ALPHA:g}"
RULE = (
    f"Bold: the best of the models trained alike, where it beats every other ({TEST}) and no "
    "baseline is above it."
)


@dataclass(frozen=True)
class Rival:
    """A group beside the one with the highest mean.

    `difference` is the best less this one, paired by seed and fold, None without common ones;
    `p` is corrected over all pairs of the family; `limit` says that no test could have decided.
    """

    group: Group
    difference: Summary | None
    p: float
    limit: str | None

    @property
    def beaten(self) -> bool:
        return self.difference is not None and self.difference.mean > 0 and self.p <= ALPHA


@dataclass(frozen=True)
class Standing:
    """Models of a data set that were trained alike and have a figure, the highest mean first.

    `training` says how; `above` are the baselines whose mean is not below the best model's.
    """

    training: str
    ranked: tuple[tuple[Group, Summary], ...]
    rivals: tuple[Rival, ...]
    above: tuple[str, ...]

    @property
    def best(self) -> Group:
        return self.ranked[0][0]

    @property
    def leads(self) -> bool:
        return bool(self.rivals) and all(rival.beaten for rival in self.rivals)


def ranked(groups: Sequence[Group], metric: str) -> tuple[tuple[Group, Summary], ...]:
    """The groups that have a figure, the highest mean first."""
    known = [(group, summary) for group in groups if (summary := group.summary(metric))]
    return tuple(sorted(known, key=lambda pair: -pair[1].mean))


def rivals(groups: Sequence[Group], metric: str) -> tuple[Rival, ...]:
    """Every group beside the best of them, in the order of means.

    Two-sided exact sign-flip tests on differences paired by seed and fold, corrected by Holm over
    all pairs of groups, as in the table of paired comparisons.
    """
    order = [group for group, _ in ranked(groups, metric)]
    pairs = [(*pair, paired(*pair, metric)) for pair in combinations(order, 2)]
    tested = [(one, other, gap) for one, other, gap in pairs if gap is not None]
    raw = [sign_flip_p(gap.values) for *_, gap in tested]
    against_best = {
        other.name: (gap, float(p), limit_of(gap.n, len(tested), ALPHA))
        for (one, other, gap), p in zip(tested, holm(raw) if raw else (), strict=True)
        if one is order[0]
    }
    untested = (None, 1.0, None)
    return tuple(Rival(group, *against_best.get(group.name, untested)) for group in order[1:])


def standings(results: Results, dataset: str, metric: str) -> list[Standing]:
    """How the models of a data set stand, those that were trained alike together."""
    groups = results.base_groups(dataset)
    baselines = ranked([group for group in groups if results.is_baseline(group.model)], metric)
    found = []
    for training, models in models_by_training(results, dataset).items():
        order = ranked(models, metric)
        if order:
            above = tuple(g.model for g, s in baselines if s.mean >= order[0][1].mean)
            found.append(Standing(training, order, rivals(models, metric), above))
    return found
