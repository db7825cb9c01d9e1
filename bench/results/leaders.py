"""Which figure may be called better: one rule for bold figures, headlines and counts.

The decision rule (`decisions.py`) says what is better, over the family of contrasts that the
experiment declares, in the data set's metric. If no test decides, a figure is only the highest
mean. Models that were trained on other labels, or from other initial weights, are ranked
separately.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.experiment.config import Config
from bench.results.decisions import TEST, Decision, decide, paired
from bench.results.groups import Group
from bench.results.load import Results
from bench.results.summary import Summary
from bench.results.trained import models_by_training
from bench.results.words import sentence

RULE = (
    f"Bold: the best of the models trained alike, where it beats every other ({TEST}) and no "
    "baseline is above it."
)
UNRANKED = "models are not ranked, because no contrasts are declared"


def rule(config: Config) -> str:
    """When a figure is bold, or why none is."""
    return RULE if ranks(config) else f"{sentence(UNRANKED)} (`statistics.contrasts: []`)."


def ranks(config: Config) -> bool:
    """Whether the experiment compares models with one another at all."""
    return config.statistics.contrasts != ()


@dataclass(frozen=True)
class Rival:
    """A group beside the one with the highest mean.

    `difference` is the best minus this one, paired by seed and fold; None if the two have no pairs,
    or the experiment declares no contrast of them. All its contrasts are the family of `decision`.
    `flips`: the order of the two changes with the training time, so neither is better.
    """

    group: Group
    difference: Summary | None = None
    decision: Decision | None = None
    flips: bool = False

    @property
    def beaten(self) -> bool:
        if self.flips or self.difference is None or self.decision is None:
            return False
        return self.difference.mean > 0 and self.decision.differs


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
    def level(self) -> tuple[Group, ...]:
        """The other groups whose mean is the best one's as well."""
        first, *others = self.ranked
        return tuple(group for group, summary in others if summary.mean == first[1].mean)

    @property
    def leads(self) -> bool:
        return bool(self.rivals) and all(rival.beaten for rival in self.rivals)


def ranked(groups: Sequence[Group], metric: str) -> tuple[tuple[Group, Summary], ...]:
    """The groups that have a figure, the highest mean first."""
    known = [(group, summary) for group in groups if (summary := group.summary(metric))]
    return tuple(sorted(known, key=lambda pair: -pair[1].mean))


def contrasts(
    groups: Sequence[Group], declared: Sequence[tuple[str, str]] | None
) -> Iterator[tuple[Group, Group]]:
    """The declared pairs of models among these groups, the better-placed first; of None, every
    pair."""
    meant = {frozenset(pair) for pair in declared or ()}
    for one, other in combinations(groups, 2):
        if declared is None or {one.model, other.model} in meant:
            yield one, other


def rivals(
    groups: Sequence[Group],
    metric: str,
    declared: Sequence[tuple[str, str]] | None = None,
    undecided: Collection[frozenset[str]] = (),
) -> tuple[Rival, ...]:
    """Every group beside the best of them, in the order of means, as in the table of paired
    comparisons. `undecided` are the pairs of models whose order changes with the training time."""
    order = [group for group, _ in ranked(groups, metric)]
    pairs = [(*pair, paired(*pair, metric)) for pair in contrasts(order, declared)]
    tested = [(one, other, gap) for one, other, gap in pairs if gap is not None]
    decisions = decide([gap for *_, gap in tested])
    against_best = {
        other.name: decision
        for (one, other, _), decision in zip(tested, decisions, strict=True)
        if one is order[0]
    }
    return tuple(
        Rival(
            group,
            decision.difference if (decision := against_best.get(group.name)) else None,
            decision,
            frozenset((order[0].model, group.model)) in undecided,
        )
        for group in order[1:]
    )


def standings(
    results: Results, dataset: str, metric: str, undecided: Collection[frozenset[str]] = ()
) -> list[Standing]:
    """The ranking of the models of a data set, one for each way of training.

    `undecided` are the pairs of models whose order changes with the training time.
    """
    groups, declared = results.base_groups(dataset), results.config.statistics.contrasts
    baselines = ranked([group for group in groups if results.is_baseline(group.model)], metric)
    found = []
    for training, models in models_by_training(results, dataset).items():
        order = ranked(models, metric)
        if order:
            above = tuple(g.model for g, s in baselines if s.mean >= order[0][1].mean)
            others = rivals(models, metric, declared, undecided)
            found.append(Standing(training, order, others, above))
    return found
