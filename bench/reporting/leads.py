"""What the numbers of one task show, in words, and how certain it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.reporting.context import incomplete
from bench.reporting.training_times import undecided
from bench.results.analysis import Analysis
from bench.results.columns import metric_column, p_words
from bench.results.decisions import Decision
from bench.results.leaders import Rival, Standing, ranks
from bench.results.names import METRICS, model_name, short_dataset_name
from bench.results.summary import Summary
from bench.results.words import figure_words, gap_words, listed, sentence, value_words

FLIPS = "undecided: the order changes with the training time"


@dataclass(frozen=True)
class Finding:
    """A headline, the lines under it, how certain it is, and the groups that it is about."""

    title: str
    text: str
    certainty: str = ""
    groups: tuple[str, ...] = ()
    warning: bool = False
    lines: tuple[str, ...] = ()


def certainty(gap: Summary | None, decision: Decision | None, metric: str) -> str:
    """p where significant; else how large a difference so few runs could have shown."""
    if gap is None or decision is None:
        return "not compared"
    if decision.limit:
        return "not tested: one run"
    if decision.differs:
        return f"{p_words(decision.p_holm)} after Holm, n = {decision.pairs}"
    least = detectable(decision, metric)
    return f"not significant at n = {decision.pairs}" + (
        f": smallest detectable difference {least} points" if least else ""
    )


def rival_certainty(rival: Rival, metric: str) -> str:
    """How certain the order of the best model and another is."""
    if rival.flips:
        return FLIPS
    return certainty(rival.difference, rival.decision, metric)


def bracket(gap: Summary | None, decision: Decision | None, metric: str) -> str:
    """(p = 0.020) where significant, else the smallest detectable difference as [2.1]."""
    if gap is None or decision is None:
        return "(not compared)"
    if decision.limit:
        return "(one run)"
    if decision.differs:
        return f"({p_words(decision.p_holm)})"
    return f"[{detectable(decision, metric) or '–'}]"


def detectable(decision: Decision, metric: str) -> str:
    """Points that the test finds with 80 % power; empty without a spread."""
    least = decision.detectable
    return "" if least is None else metric_column(metric).text(least)


def task_findings(analysis: Analysis, dataset: str) -> Iterator[Finding]:
    """Which model of a data set leads: one finding for all that were trained alike."""
    metric = analysis.config.datasets[dataset].metric
    found = analysis.standings[dataset, metric]
    for one in found:
        task = short_dataset_name(analysis.config, dataset)
        task += f", {one.training}" if len(found) > 1 else ""
        yield _leader(analysis, dataset, metric, one, task)


def _leader(analysis: Analysis, dataset: str, metric: str, found: Standing, task: str) -> Finding:
    config, lacking = analysis.config, incomplete(analysis, dataset, metric)
    ranked = ", ".join(
        f"{model_name(config, g.model)} {figure_words(s, metric)}" for g, s in found.ranked
    )
    text = f"{sentence(METRICS[metric])}: {ranked}.{_beside(analysis, dataset, metric)}"
    text += "".join(f" {words}." for words in (*lacking, *cannot(analysis, dataset)))
    names = tuple(group.name for group, _ in found.ranked)
    best = model_name(config, found.best.model)
    if dataset in analysis.mixed:
        title = f"{task}: the models cannot be compared"
        return Finding(title, text, groups=names, warning=True)
    certain, who = "", "but not"
    if not found.rivals:
        title = f"{task}: {best} {figure_words(found.ranked[0][1], metric)}"
    elif not ranks(config):
        title, who = f"{task}: models are not ranked", "none is"
    else:
        title = f"{task}: {_rank(analysis, found)}"
        text += _gap(analysis, found, metric)
        certain = rival_certainty(found.rivals[0], metric)
    text += "".join(f" {words}" for words in undecided(analysis, dataset))
    if found.above:
        title += f", {who} above {listed([model_name(config, model) for model in found.above])}"
    warning = bool(found.above or lacking)
    return Finding(title + aside(lacking), text, certain, names, warning)


def _rank(analysis: Analysis, found: Standing) -> str:
    """Which model is first, and how strongly that may be stated."""
    best = model_name(analysis.config, found.best.model)
    if found.level:
        tied = [model_name(analysis.config, g.model) for g in (found.best, *found.level)]
        return f"{listed(tied)} share the highest mean"
    open_ones = [rival for rival in found.rivals if not rival.beaten]
    if not open_ones:
        return f"{best} leads"
    if flipping := [rival.group.model for rival in open_ones if rival.flips]:
        named = listed([model_name(analysis.config, model) for model in flipping])
        return f"{best} has the highest mean, undecided against {named}"
    if any(rival.decision is None or rival.decision.limit for rival in open_ones):
        return f"{best} has the highest mean"
    named = listed([model_name(analysis.config, rival.group.model) for rival in open_ones])
    return f"{best} has the highest mean, not significantly different from {named}"


def _gap(analysis: Analysis, found: Standing, metric: str) -> str:
    """The best model minus each one that it is compared with, and the test's result."""
    best = model_name(analysis.config, found.best.model)
    said = [
        f" {best} minus {model_name(analysis.config, rival.group.model)}, paired by seed: "
        f"{gap_words(rival.difference, metric)} "
        f"({rival.decision.limit or f'{p_words(rival.decision.p_holm)} after Holm'})."
        for rival in found.rivals
        if rival.difference and rival.decision
    ]
    return "".join(said) or f" No contrast of {best} with common seeds is declared."


def _beside(analysis: Analysis, dataset: str, metric: str) -> str:
    """The baselines that have this metric."""
    parts = []
    for group in analysis.base_groups(dataset):
        summary = group.summary(metric)
        if analysis.is_baseline(group.model) and summary:
            parts.append(
                f"{model_name(analysis.config, group.model)}: {figure_words(summary, metric)}"
            )
    some = analysis.any_group(dataset)
    chance = some.chance(metric) if some else None
    if chance is not None:
        parts.append(f"chance: {value_words(chance, metric)}")
    return f" {'; '.join(parts)}." if parts else ""


def cannot(analysis: Analysis, dataset: str) -> list[str]:
    """Which models cannot localize on a data set that scores events."""
    names = [
        model_name(analysis.config, group.model)
        for group in analysis.base_groups(dataset)
        if not group.can_localize and not analysis.is_baseline(group.model)
    ]
    asked = analysis.config.datasets[dataset].localize
    return [f"{listed(names)} cannot localize"] if names and asked else []


def aside(words: Sequence[str]) -> str:
    """(HTS-AT: no records; AST: 2 of 3 runs), for the end of a headline."""
    return f" ({'; '.join(words)})" if words else ""
