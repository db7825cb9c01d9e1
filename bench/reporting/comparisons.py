"""Every paired comparison with all that is needed to judge it: effect size, exact tests, Holm,
what this number of seeds can show at all, and whether the two are equivalent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.metrics.statistics import (
    Comparison,
    compare,
    equivalence,
    holm,
    limit_of,
)
from bench.reporting import context
from bench.reporting.ablations import DIFFERENCE, Effect, paired
from bench.reporting.leaders import ALPHA
from bench.reporting.names import METRICS, model_name, short_dataset_name, variant_words
from bench.reporting.published import MARGINS
from bench.reporting.results import Group, Results, why_not_comparable
from bench.reporting.summary import Summary
from bench.reporting.tables import Column, Entry, Row, Table
from bench.reporting.trained import models_by_training, training_notes


@dataclass(frozen=True)
class Paired:
    """first - second in one metric; `family` is what Holm's correction runs over."""

    family: str
    label: str
    metric: str
    difference: Summary
    groups: tuple[Group, Group]
    tests: Comparison


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
    return found


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


def comparison_table(results: Results, found: Sequence[Paired]) -> Table:
    """A row per comparison, a section per family."""
    families = {one.family: [c for c in found if c.family == one.family] for one in found}
    rows = []
    for family, members in families.items():
        corrected = holm([one.tests.sign_flip_p for one in members])
        rows += [
            _row(family, one, len(members), float(p))
            for one, p in zip(members, corrected, strict=True)
        ]
    return Table(
        name="comparisons",
        title=f"Paired comparisons ({context.data_words(results)})",
        caption=(
            f"Differences paired by seed and fold, on {context.data_words(results)}; mAP, accuracy "
            "and F1 in points of 100. p: two-sided exact sign-flip test; p (Holm): corrected over "
            "the section; Wilcoxon: signed-rank test; smallest p: the least that so many pairs can "
            "give; d: mean difference over its standard deviation; detectable d: what a paired "
            f"t-test finds with 80 % power. Equivalence is tested pair by "
            f"pair, uncorrected. {context.seeds_sentence(results)} {context.SPREAD}"
        ),
        columns=[
            DIFFERENCE,
            Column("interval", "95 % interval", words=True),
            Column("effect_size_d", "d", 2, signed=True),
            Column("p", "p", 3),
            Column("p_holm", "p (Holm)", 3),
            Column("p_wilcoxon", "Wilcoxon", 3, in_latex=False),
            Column("smallest_p", "smallest p", 3, short="least p"),
            Column("detectable_d", "detectable d", 2, short="det. d"),
            Column("pairs", "pairs", 0, in_latex=False),
            Column("conclusion", "conclusion", words=True),
        ],
        rows=rows,
        head="Comparison",
        notes=[note for d in results.config.datasets for note in training_notes(results, d)],
    )


def _row(family: str, one: Paired, comparisons: int, p_holm: float) -> Row:
    tests = one.tests

    def finite(value: float) -> Entry:
        return Entry(value) if abs(value) < float("inf") else Entry(words="not defined")

    return Row(
        one.label,
        {
            DIFFERENCE.key: Entry.of(one.difference),
            "interval": Entry(words=DIFFERENCE.interval(one.difference)),
            "effect_size_d": finite(tests.cohens_d),
            "p": Entry(tests.sign_flip_p),
            "p_holm": Entry(p_holm),
            "p_wilcoxon": Entry(tests.wilcoxon_p),
            "smallest_p": Entry(tests.smallest_p),
            "detectable_d": finite(tests.detectable_effect),
            "pairs": Entry(float(tests.n)),
            "conclusion": Entry(words=conclusion(one, comparisons, p_holm)),
        },
        tuple(key for group in one.groups for key in group.record_keys),
        one.groups[0].name,
        family,
    )
