"""Each variant of an ablation against its reference: paired differences, never bare means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from bench.experiment.ablations import Control, Variant
from bench.results.decisions import Decision, common, decide, paired
from bench.results.groups import STAGE_DIGESTS, Group, why_not_comparable
from bench.results.load import Results
from bench.results.summary import Summary


@dataclass(frozen=True)
class Effect:
    """One variant against its reference in one metric, paired by seed and fold.

    The changes of a study on one model and data set are the family of `decision`, its controls
    another: they test the experiment, not the model. `problem` says why there is no comparison;
    `difference` and `decision` are then None.
    """

    study: str
    model: str
    dataset: str
    variant: str
    against: str
    why: str
    metric: str
    group: Group | None
    reference: Group | None
    difference: Summary | None = None
    decision: Decision | None = None
    problem: str = ""
    control: Control | None = None

    @property
    def compared(self) -> tuple[Group | None, Group | None]:
        """Group and reference with the runs that `difference` is over; whole if there is none."""
        if self.group is None or self.reference is None:
            return self.group, self.reference
        both = common(self.group, self.reference, self.metric) if self.difference else None
        return both or (self.group, self.reference)

    @property
    def records(self) -> tuple[str, ...]:
        return tuple(key for group in self.compared if group for key in group.record_keys)


def effects(results: Results) -> list[Effect]:
    """Every variant of every study, in each of the study's metrics."""
    found: list[Effect] = []
    for name, study in results.config.ablations.items():
        for dataset, model in product(study.datasets, study.models):
            for metric in study_metrics(results, dataset):
                every = [
                    _effect(results, name, dataset, model, variant, metric)
                    for variant in study.variants()
                ]
                margin = results.config.statistics.margins.get(metric)
                decided = {
                    id(one): decision
                    for family in _families(every)
                    for one, decision in zip(
                        family, decide([e.difference for e in family if e.difference], margin),
                        strict=True,
                    )
                }  # fmt: skip
                found += [_decided(one, decided.get(id(one))) for one in every]
    return found


def _families(effects: Sequence[Effect]) -> Iterator[list[Effect]]:
    """The changes that have a difference, then the controls."""
    for controls in (False, True):
        yield [one for one in effects if one.difference and bool(one.control) is controls]


def _decided(effect: Effect, decision: Decision | None) -> Effect:
    if decision is None:
        return effect
    return replace(effect, decision=decision, difference=decision.difference)


def study_metrics(results: Results, dataset: str) -> list[str]:
    """The data set's leading metric, and also clip mAP if that one scores events."""
    settings = results.config.datasets[dataset]
    return [settings.metric, "mAP"] if settings.localize else [settings.metric]


def _effect(
    results: Results, study: str, dataset: str, model: str, variant: Variant, metric: str
) -> Effect:
    name, against = variant.name, variant.against
    group = results.group(dataset, model, name)
    reference = results.group(dataset, model, against)

    def effect(**figures: object) -> Effect:
        return Effect(
            study, model, dataset, name, against, variant.why, metric, group, reference,
            control=variant.control, **figures,  # type: ignore[arg-type]
        )  # fmt: skip

    if group is None or reference is None:
        lacking = name if group is None else against
        return effect(problem=f"{lacking}: {results.absent(dataset, model, lacking)}")
    unlike = why_not_comparable([group, reference], STAGE_DIGESTS)
    if unlike:
        return effect(problem=f"not compared, because {unlike}")
    difference = paired(group, reference, metric)
    if difference is None:
        return effect(problem="no common seeds")
    return effect(difference=difference)
