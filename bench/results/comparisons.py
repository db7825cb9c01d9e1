"""Every paired comparison with all that is needed to judge it: effect size, exact tests, Holm,
what this number of seeds can show at all, and whether the two are equivalent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.metrics.statistics import Comparison, compare, equivalence
from bench.results.decisions import Decision, decide, paired
from bench.results.effects import Effect
from bench.results.groups import Group, why_not_comparable
from bench.results.load import Results
from bench.results.names import METRICS, model_name, short_dataset_name, variant_words
from bench.results.published import MARGINS
from bench.results.summary import Summary
from bench.results.trained import models_by_training


@dataclass(frozen=True)
class Paired:
    """first - second in one metric; `family` is what Holm's correction runs over."""

    family: str
    label: str
    metric: str
    groups: tuple[Group, Group]
    difference: Summary
    decision: Decision

    @property
    def tests(self) -> Comparison:
        """Effect size and the tests besides the deciding one."""
        return compare(self.difference.values, [0.0] * self.difference.n)

    @property
    def conclusion(self) -> str:
        """What the data say about the difference, in words."""
        said = self.decision.limit or "no difference shown"
        if self.decision.differs:
            said = f"differs (p = {self.decision.p_holm:.2g} after Holm)"
        margin = MARGINS.get(self.metric)
        if margin and self.difference.n > 1:
            same = equivalence(self.difference.values, -margin, margin)
            said += (
                f"; {'equivalent' if same.equivalent else 'not shown equivalent'} within "
                f"±{100 * margin:g} points (two one-sided tests, p = {same.p:.2g})"
            )
        return said


def comparisons(results: Results, effects: Sequence[Effect]) -> Iterator[Paired]:
    """Models trained alike against one another, then each ablation against its reference."""
    config, families = results.config, dict[tuple[str, str], list[tuple[str, Group, Group]]]()
    for dataset, settings in config.datasets.items():
        if dataset in results.mixed:
            continue
        alike = models_by_training(results, dataset)
        name = short_dataset_name(config, dataset)
        for training, groups in alike.items():
            family = f"Models on {name}" + (f", {training}" if len(alike) > 1 else "")
            for one, other in combinations(groups, 2):
                label = " minus ".join(model_name(config, g.model) for g in (one, other))
                families.setdefault((family, settings.metric), []).append((label, one, other))
    for effect in effects:
        if effect.group is not None and effect.reference is not None and not effect.problem:
            model, place = (
                model_name(config, effect.model),
                short_dataset_name(config, effect.dataset),
            )
            family = f"Ablations of {model} on {place} ({effect.study})"
            label = " minus ".join(map(variant_words, (effect.variant, effect.against)))
            pair = (label, effect.group, effect.reference)
            families.setdefault((family, effect.metric), []).append(pair)
    for (family, metric), pairs in families.items():
        yield from _family(f"{family}, {METRICS[metric]}", metric, pairs)


def _family(
    family: str, metric: str, pairs: Sequence[tuple[str, Group, Group]]
) -> Iterator[Paired]:
    known = [
        (label, (one, other), gap)
        for label, one, other in pairs
        if not why_not_comparable([one, other]) and (gap := paired(one, other, metric))
    ]
    decisions = decide([gap for *_, gap in known])
    for (label, groups, gap), decision in zip(known, decisions, strict=True):
        yield Paired(family, label, metric, groups, gap, decision)
