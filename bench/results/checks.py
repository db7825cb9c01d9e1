"""Checks of every model and task: is it above chance, and better than a baseline without times?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from bench.results.columns import p_words
from bench.results.decisions import Decision, decide
from bench.results.groups import Group, Run
from bench.results.load import Results
from bench.results.summary import Summary

TIMES_CHANCE = 3
LARGE_CHANCE = 0.2
"""Above it, half-way to 1 is less than `TIMES_CHANCE` times chance, which no figure may reach."""
HALF_WAY = "half-way from chance to 100 %"
TRIVIAL = {
    "clip_label": "its clip labels over the whole clip",
    "always_active": "every class always active",
}


@dataclass(frozen=True)
class ChanceCheck:
    """Whether the lower 95 % bound of a clip-level figure is clearly above chance: three times as
    high or, where chance is large, half-way from chance to 1."""

    group: Group
    metric: str
    figure: Summary
    chance: float

    @property
    def bound(self) -> float:
        """What the lower bound must reach."""
        return (1 + self.chance) / 2 if self.chance > LARGE_CHANCE else TIMES_CHANCE * self.chance

    @property
    def bound_words(self) -> str:
        return HALF_WAY if self.chance > LARGE_CHANCE else f"{TIMES_CHANCE} times chance"

    @property
    def passed(self) -> bool:
        return self.figure.low is not None and self.figure.low >= self.bound

    @property
    def verdict(self) -> str:
        """The answer, with the reason if it is no."""
        if self.passed:
            return f"yes: at least {self.bound_words}"
        if self.figure.low is None:
            return "not known: one run has no interval"
        if self.figure.mean >= self.bound:
            return f"not shown: the mean reaches {self.bound_words}, its lower bound does not"
        if self.figure.low > self.chance:
            return f"no: above chance, but below {self.bound_words}"
        return "no: not above chance"


def chance_checks(results: Results) -> list[ChanceCheck]:
    """Every model (baselines included) on every task, by a clip-level figure that has a chance."""
    found = []
    for dataset, settings in results.config.datasets.items():
        metric = "mAP" if settings.loss == "bce" else "accuracy"
        for group in results.base_groups(dataset):
            figure, chance = group.summary(metric), group.chance(metric)
            if figure is not None and chance is not None:
                found.append(ChanceCheck(group, metric, figure, chance))
    return found


@dataclass(frozen=True)
class TrivialCheck:
    """A localizing model beside a baseline without times, paired by run."""

    group: Group
    metric: str
    baseline: str
    figure: Summary
    trivial: Summary
    difference: Summary
    decision: Decision

    @property
    def verdict(self) -> str:
        """What the corrected test says; if no test is possible, only which mean is higher."""
        above = self.difference.mean > 0
        if self.decision.differs:
            return "better" if above else "worse"
        if self.decision.limit:
            return "higher" if above else "lower"
        return "not significantly different"

    @property
    def answer(self) -> str:
        """The verdict with its p-value, or with the reason why there is no test."""
        if self.decision.limit:
            return f"{self.verdict} mean; {self.decision.limit}"
        return f"{self.verdict} ({p_words(self.decision.p_holm)} after Holm)"


def trivial_checks(results: Results) -> list[TrivialCheck]:
    """Each localizing model against both trivial baselines, by intersection and by collars.

    The checks of one data set in one metric are a family.
    """
    found = []
    for dataset, settings in results.config.datasets.items():
        for metric in ("intersection_f1", "event_based_f1") if settings.localize else ():
            pairs = product(results.base_groups(dataset), TRIVIAL)
            known = [one for one in (_beside(*pair, metric) for pair in pairs) if one]
            decisions = decide([difference for *_, difference in known])
            for one, decision in zip(known, decisions, strict=True):
                group, baseline, figure, trivial, _ = one
                gap = decision.difference
                found.append(TrivialCheck(group, metric, baseline, figure, trivial, gap, decision))
    return found


def _beside(
    group: Group, baseline: str, metric: str
) -> tuple[Group, str, Summary, Summary, Summary] | None:
    """A group's figures, the baseline's, and their differences; None without figures."""

    def gap(run: Run) -> float | None:
        own, other = run.figure(metric), run.trivial(baseline, metric)
        return None if own is None or other is None else own - other

    figure, difference = group.summary(metric), group.over_runs(gap)
    other = group.over_runs(lambda run: run.trivial(baseline, metric))
    return (group, baseline, figure, other, difference) if figure and other and difference else None
