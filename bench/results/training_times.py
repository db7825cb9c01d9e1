"""Models trained for a shorter or longer time, and the rankings that this changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.experiment.ablations import BASE
from bench.results.decisions import paired
from bench.results.effects import Effect
from bench.results.groups import Group, shared_config, why_not_comparable
from bench.results.leaders import contrasts, ranked
from bench.results.load import Results
from bench.results.summary import Summary
from bench.results.trained import models_by_training


@dataclass(frozen=True)
class Trained:
    """A model's runs at one training time.

    Attributes:
        figure: the data set's metric.
        times: their epochs over those of the unchanged model, 1 for that model itself.
    """

    group: Group
    figure: Summary
    times: float

    @property
    def epochs(self) -> int:
        return _epochs(self.group)

    @property
    def hours(self) -> float | None:
        """Mean hours of training; None if no run states them."""
        cost = self.group.cost("train_hours")
        return cost.mean if cost else None

    def is_as_long(self, other: Trained) -> bool:
        """Whether two models were trained for the same multiple of their own epochs, which come in
        whole numbers: 2.5 times 7 epochs are 18."""
        rounding = sum(0.5 * one.times / one.epochs for one in (self, other))
        return abs(self.times - other.times) < rounding


@dataclass(frozen=True)
class Undecided:
    """Two models that are contrasted and whose order changes with the training time.

    `gaps` are (times, mean paired difference first - second) at every time that both have.
    """

    models: tuple[str, str]
    gaps: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class TrainingTimes:
    """A data set's models at several training times, shortest first; models with one are left out.

    `undecided` are the pairs of models whose order changes with the time.
    """

    lines: Mapping[str, Sequence[Trained]]
    undecided: Sequence[Undecided]

    @property
    def pairs(self) -> frozenset[frozenset[str]]:
        """The models of each undecided pair."""
        return frozenset(frozenset(one.models) for one in self.undecided)


def training_times(results: Results, effects: Sequence[Effect], dataset: str) -> TrainingTimes:
    """The variants of a data set that differ from the unchanged model in epochs alone, beside it.

    Records decide what differs, whatever the names of study and variant.
    """
    metric = results.config.datasets[dataset].metric
    lines: dict[str, dict[float, Trained]] = {}
    for effect in effects:
        group, base = effect.group, effect.reference
        wanted = (effect.dataset, effect.metric, effect.against) == (dataset, metric, BASE)
        if not wanted or effect.problem or group is None or base is None:
            continue
        figures = base.summary(metric), group.summary(metric)
        if figures[0] and figures[1] and _differ_in_epochs_alone(group, base):
            own = lines.setdefault(effect.model, {1.0: Trained(base, figures[0], 1.0)})
            times = _epochs(group) / _epochs(base)
            own[times] = Trained(group, figures[1], times)
    found = {model: tuple(own[times] for times in sorted(own)) for model, own in lines.items()}
    return TrainingTimes(found, tuple(_undecided(results, dataset, found)))


def _epochs(group: Group) -> int:
    return group.first.resolved.recipe.epochs


def _differ_in_epochs_alone(group: Group, base: Group) -> bool:
    same = _without_epochs(group) == _without_epochs(base)
    return same and _epochs(group) != _epochs(base)


def _without_epochs(group: Group) -> dict[str, Any]:
    values = shared_config(group.runs[0])
    del values["cell"]["variant"], values["recipe"]["epochs"]
    return values


def _undecided(
    results: Results, dataset: str, lines: Mapping[str, Sequence[Trained]]
) -> Iterator[Undecided]:
    """The contrasted models with a mean difference above 0 at one time and below 0 at another."""
    metric = results.config.datasets[dataset].metric
    for groups in models_by_training(results, dataset).values():
        order = [group for group, _ in ranked(groups, metric) if group.model in lines]
        for first, second in contrasts(order, results.config.statistics.contrasts):
            models = (first.model, second.model)
            gaps = tuple(
                (one.times, gap.mean)
                for one in lines[models[0]]
                for other in lines[models[1]]
                if one.is_as_long(other) and not why_not_comparable([one.group, other.group])
                if (gap := paired(one.group, other.group, metric))
            )
            means = [mean for _, mean in gaps]
            if means and min(means) < 0 < max(means):
                yield Undecided(models, gaps)
