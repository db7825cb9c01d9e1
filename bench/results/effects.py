"""Each variant of an ablation against its reference: paired differences, never bare means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from bench.experiment.ablations import Variant
from bench.metrics.statistics import holm, limit_of, sign_flip_p, smallest_p
from bench.results.groups import STAGE_DIGESTS, Group, why_not_comparable
from bench.results.load import Results
from bench.results.summary import Summary, summarise


@dataclass(frozen=True)
class Effect:
    """One variant against its reference in one metric, paired by seed and fold.

    `p` is the two-sided exact sign-flip test on the differences, `p_holm` corrected over the
    variants of the study, `smallest_p` what this number of pairs can reach at best, `limit` why
    no corrected test can decide. `problem` says why there is no comparison; the figures are then
    None.
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
    p: float | None = None
    p_holm: float | None = None
    smallest_p: float | None = None
    limit: str | None = None
    problem: str = ""

    @property
    def records(self) -> tuple[str, ...]:
        groups = (self.group, self.reference)
        return tuple(key for group in groups if group for key in group.record_keys)


def effects(results: Results) -> list[Effect]:
    """Every variant of every study, in each of the study's metrics."""
    found: list[Effect] = []
    for name, study in results.config.ablations.items():
        for dataset, model in product(study.datasets, study.models):
            for metric in study_metrics(results, dataset):
                family = [
                    _effect(results, name, dataset, model, variant, metric)
                    for variant in study.variants()
                ]
                found += _corrected(family)
    return found


def study_metrics(results: Results, dataset: str) -> list[str]:
    """The data set's leading metric, and clip mAP where that one is about times."""
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
            **figures,  # type: ignore[arg-type]
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
    return effect(
        difference=difference,
        p=sign_flip_p(difference.values),
        smallest_p=smallest_p(difference.n),
    )


def paired(group: Group, reference: Group, metric: str) -> Summary | None:
    """Differences (group - reference) of the runs with the same seed and fold."""
    before = {(run.fold, run.seed): run.figure(metric) for run in reference.runs}
    pairs = ((run.figure(metric), before.get((run.fold, run.seed)), run) for run in group.runs)
    known = [(a - b, run.fold) for a, b, run in pairs if a is not None and b is not None]
    return summarise([d for d, _ in known], [f for _, f in known], group.test_share)


def _corrected(family: list[Effect]) -> Iterator[Effect]:
    raw = {effect.variant: effect.p for effect in family if effect.p is not None}
    adjusted = dict(zip(raw, holm(list(raw.values())).tolist(), strict=True)) if raw else {}
    for effect in family:
        if effect.difference is not None:
            limit = limit_of(effect.difference.n, len(raw))
            effect = replace(effect, p_holm=adjusted[effect.variant], limit=limit)
        yield effect
