"""Every paired comparison with all that is needed to judge it: effect size, exact tests, Holm,
what this number of seeds can show at all, and whether the two are equivalent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from bench.metrics.statistics import (
    Comparison,
    compare,
    equivalence,
    holm,
    limit_of,
)
from bench.results.effects import Effect, paired
from bench.results.groups import Group, why_not_comparable
from bench.results.leaders import ALPHA
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
    difference: Summary
    groups: tuple[Group, Group]
    tests: Comparison
    p_holm: float = 1.0
    conclusion: str = ""


def comparisons(results: Results, effects: Sequence[Effect]) -> list[Paired]:
    """Models trained alike against one another, then each ablation against its reference."""
    found = []
    for dataset, settings in results.config.datasets.items():
        if dataset in results.mixed:
            continue
        alike = models_by_training(results, dataset)
        name = short_dataset_name(results.config, dataset)
        for training, groups in alike.items():
            family = f"Models on {name}" + (f", {training}" if len(alike) > 1 else "")
            for one, other in combinations(groups, 2):
                label = " minus ".join(model_name(results.config, g.model) for g in (one, other))
                found += _paired(family, label, settings.metric, one, other)
    for effect in effects:
        if effect.group is not None and effect.reference is not None and not effect.problem:
            model = model_name(results.config, effect.model)
            place = short_dataset_name(results.config, effect.dataset)
            family = f"Ablations of {model} on {place} ({effect.study})"
            label = " minus ".join(map(variant_words, (effect.variant, effect.against)))
            found += _paired(family, label, effect.metric, effect.group, effect.reference)
    return [one for family in _families(found) for one in _corrected(family)]


def _families(found: Sequence[Paired]) -> list[list[Paired]]:
    families: dict[str, list[Paired]] = {}
    for one in found:
        families.setdefault(one.family, []).append(one)
    return list(families.values())


def _corrected(family: Sequence[Paired]) -> Iterator[Paired]:
    """The comparisons of a family with their corrected p and what they show."""
    corrected = holm([one.tests.sign_flip_p for one in family]).tolist()
    for one, p in zip(family, corrected, strict=True):
        yield replace(one, p_holm=p, conclusion=conclusion(one, len(family), p))


def _paired(family: str, label: str, metric: str, one: Group, other: Group) -> list[Paired]:
    difference = paired(one, other, metric)
    if difference is None or why_not_comparable([one, other]):
        return []
    tests = compare(difference.values, [0.0] * difference.n)
    return [Paired(f"{family}, {METRICS[metric]}", label, metric, difference, (one, other), tests)]


def conclusion(one: Paired, comparisons: int, p_holm: float) -> str:
    """What the data say about the difference, in words."""
    parts = []
    limit = limit_of(one.tests.n, comparisons)
    if limit:
        parts.append(limit)
    elif p_holm <= ALPHA:
        parts.append(f"differs (p = {p_holm:.2g} after Holm)")
    else:
        parts.append("no difference shown")
    margin = MARGINS.get(one.metric)
    if margin and one.tests.n > 1:
        same = equivalence(one.difference.values, -margin, margin)
        parts.append(
            f"{'equivalent' if same.equivalent else 'not shown equivalent'} within "
            f"±{100 * margin:g} points (two one-sided tests, p = {same.p:.2g})"
        )
    return "; ".join(parts)
