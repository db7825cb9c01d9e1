"""Every paired comparison with what is needed to judge it: the decision, the interval for new
clips, the effect size, and what this number of pairs can show at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.metrics.resampling import interval_of
from bench.metrics.statistics import Interval, cohens_d
from bench.results.decisions import Decision, decide, paired
from bench.results.effects import Effect
from bench.results.groups import Group, why_not_comparable
from bench.results.intervals import Drawn, gains
from bench.results.leaders import contrasts
from bench.results.load import Results
from bench.results.names import (
    METRICS,
    model_name,
    short_dataset_name,
    study_place,
    variant_words,
)
from bench.results.summary import Summary
from bench.results.trained import models_by_training


@dataclass(frozen=True)
class Paired:
    """first - second in one metric; `family` is what Holm's correction runs over.

    `new_clips` is the interval for new seeds and new recordings, at the level of the decision; None
    where clips cannot be resampled.
    """

    family: str
    label: str
    metric: str
    groups: tuple[Group, Group]
    decision: Decision
    new_clips: Interval | None = None

    @property
    def difference(self) -> Summary:
        return self.decision.difference

    @property
    def effect_size(self) -> float:
        return cohens_d(self.difference.units)

    @property
    def conclusion(self) -> str:
        """What the data say about the difference, in words: of new seeds, then of new clips."""
        said = self.decision.verdict
        if self.decision.differs and self.new_clips:
            spans = self.new_clips.low <= 0 <= self.new_clips.high
            said += "; on these clips: not shown for new ones" if spans else "; on new clips too"
        return said


def comparisons(
    results: Results, effects: Sequence[Effect], drawn: Mapping[str, Drawn]
) -> Iterator[Paired]:
    """The declared contrasts of models trained alike, then each ablation as `effects` decided."""
    config = results.config
    for dataset, settings in config.datasets.items():
        if dataset in results.mixed:
            continue
        alike = models_by_training(results, dataset)
        name, metric = short_dataset_name(config, dataset), settings.metric
        for training, groups in alike.items():
            family = f"Models on {name}" + (f", {training}" if len(alike) > 1 else "")
            pairs = contrasts(groups, config.statistics.contrasts)
            known = [
                (one, other, gap)
                for one, other in pairs
                if not why_not_comparable([one, other]) and (gap := paired(one, other, metric))
            ]
            decisions = decide([gap for *_, gap in known], config.statistics.margins.get(metric))
            for (one, other, _), decision in zip(known, decisions, strict=True):
                label = " minus ".join(model_name(config, g.model) for g in (one, other))
                title = f"{family}, {METRICS[metric]}"
                yield _paired(title, label, metric, (one, other), decision, drawn)
    yield from _ablations(results, effects, drawn)


def _ablations(
    results: Results, effects: Iterable[Effect], drawn: Mapping[str, Drawn]
) -> Iterator[Paired]:
    config = results.config
    for effect in sorted(effects, key=lambda one: bool(one.control)):
        if effect.group is None or effect.reference is None or effect.decision is None:
            continue
        what = "Controls" if effect.control else "Ablations"
        place = study_place(config, effect.study, effect.model, effect.dataset)
        family = f"{what}, {place}, {METRICS[effect.metric]}"
        label = " minus ".join(map(variant_words, (effect.variant, effect.against)))
        pair = (effect.group, effect.reference)
        yield _paired(family, label, effect.metric, pair, effect.decision, drawn)


def _paired(
    family: str,
    label: str,
    metric: str,
    groups: tuple[Group, Group],
    decision: Decision,
    drawn: Mapping[str, Drawn],
) -> Paired:
    first, second = (drawn.get(group.name) for group in groups)
    figures = gains(first, second, metric)
    interval = None
    if figures:
        interval = interval_of(figures, decision.level, decision.difference.test_share)
    if interval and not np.isfinite([interval.low, interval.high]).all():
        interval = None
    return Paired(family, label, metric, groups, decision, interval)
