"""What the numbers show, in words: the few findings of the first screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.metrics.statistics import ENOUGH_SEEDS
from bench.reporting import context
from bench.reporting.context import incomplete
from bench.reporting.leads import Finding, aside, bracket, cannot, certainty
from bench.reporting.training_times import undecided_by_task
from bench.results.analysis import Analysis
from bench.results.checks import TRIVIAL, ChanceCheck, TrivialCheck
from bench.results.columns import significant
from bench.results.detectable import Detectable
from bench.results.effects import Effect
from bench.results.full_size import cost_name, is_full_size
from bench.results.leaders import UNRANKED, Standing, ranks
from bench.results.names import model_name, short_dataset_name, study_name
from bench.results.published import few_seeds
from bench.results.summary import Summary
from bench.results.words import (
    counted,
    listed,
    points,
    sentence,
    value_words,
)

VERDICTS = {
    "better": "better than",
    "worse": "worse than",
    "not significantly different": "not significantly different from",
    "higher": "above",
    "lower": "not above",
}
DETECTABLE = (
    "in square brackets, where not significant: the smallest difference, in points, that this "
    "number of runs detects with 80 % power"
)
SHOWN = 2
"""Changes of the ablations that the first screen names."""


def findings(analysis: Analysis) -> list[Finding]:
    """Three to five findings over all tasks."""
    found = [_ranking(analysis), _localization(analysis), _ablations(analysis)]
    found += [_cost(analysis), _chance(analysis)]
    return [finding for finding in found if finding is not None]


def _ranking(analysis: Analysis) -> Finding | None:
    """Which model is best on how many tasks, a line for each; where models were trained in several
    ways, a line for each way."""
    config = analysis.config
    tasks = {d: analysis.standings[d, config.datasets[d].metric] for d in config.datasets}
    shown = [
        (dataset, one, short_dataset_name(config, dataset) + way)
        for dataset, standings in tasks.items()
        if dataset not in analysis.mixed and any(one.rivals for one in standings)
        for one in standings
        for way in [f" ({one.training})" if len(standings) > 1 else ""]
    ]
    found = [(one, place) for _, one, place in shown if one.rivals]
    if not found:
        return None
    alike = len({dataset for dataset, *_ in shown}) == len(shown)
    above = [place for one, place in found if one.above]
    not_below = f"A baseline is not below any model on {listed(above)}." if above else ""
    groups = tuple(one.best.name for _, one, _ in shown)
    if not ranks(config):
        return Finding(sentence(UNRANKED), not_below, groups=groups, warning=bool(above))
    of = f"of {len(found)} {'tasks' if alike else 'rankings of models trained alike'}"
    title = f"Models share the highest mean on {len(found)} {of}"
    for best, wins in Counter(one.best.model for one, _ in found if not one.level).most_common(1):
        title = f"{model_name(config, best)} has the highest mean on {wins} {of}"
    leads = [place for one, place in found if one.leads and not one.above]
    lines = tuple(_task_line(analysis, *one) for one in shown)
    said = f"Significant on {listed(leads)}" if leads else "No lead is significant"
    said += _bracketed(lines)
    said += "".join(f" {words}" for words in undecided_by_task(analysis))
    return Finding(
        title,
        f"{said} {not_below}".rstrip(),
        groups=groups,
        warning=bool(above),
        lines=lines,
    )


def _bracketed(lines: Sequence[str]) -> str:
    """What the brackets at the ends of these lines mean; a full stop where there are none."""
    return f"; {DETECTABLE}." if any(line.endswith("]") for line in lines) else "."


def _task_line(analysis: Analysis, dataset: str, found: Standing, place: str) -> str:
    """AudioSet-like: HTS-AT tiny, 3.1 points above AST tiny [4.2]."""
    config, metric = analysis.config, analysis.config.datasets[dataset].metric
    said = f"{place}: {model_name(config, found.best.model)}"
    if not found.rivals:
        return f"{said} {value_words(found.ranked[0][1].mean, metric)}, alone"
    rival = found.rivals[0]
    if found.level:
        said += f", level with {listed([model_name(config, g.model) for g in found.level])}"
    elif rival.difference is not None:
        said += f", {points(rival.difference.mean, metric).removeprefix('+')} above "
        said += model_name(config, rival.group.model)
    if rival.flips:
        return f"{said} (undecided)"
    return f"{said} {bracket(rival.difference, rival.decision, metric)}"


def _localization(analysis: Analysis) -> Finding | None:
    chosen = [check for check in analysis.trivial if check.metric == "intersection_f1"]
    if not chosen:
        return None
    config, lines = analysis.config, []
    located = [name for name, values in config.datasets.items() if values.localize]
    for name in dict.fromkeys(check.group.name for check in chosen):
        own = [check for check in chosen if check.group.name == name]
        beside = ", ".join(
            f"{VERDICTS[c.verdict]} {TRIVIAL[c.baseline]} ({value_words(c.trivial.mean, c.metric)})"
            for c in own
        )
        model = model_name(config, own[0].group.model)
        if len(located) > 1:
            model += f" on {short_dataset_name(config, own[0].group.dataset)}"
        lines.append(f"{model} {value_words(own[0].figure.mean, own[0].metric)}: {beside}")
    lacking = [words for name in located for words in incomplete(analysis, name, "intersection_f1")]
    silent = [words for name in located for words in cannot(analysis, name)]
    least = min(chosen, key=lambda check: check.difference.mean)
    return Finding(
        _locate_title(chosen) + aside(lacking),
        " ".join(f"{words}." for words in silent),
        f"closest comparison {certainty(least.difference, least.decision, least.metric)}",
        tuple(dict.fromkeys(check.group.name for check in chosen)),
        bool(lacking),
        tuple(lines),
    )


def _locate_title(checks: Sequence[TrivialCheck]) -> str:
    """Predicted event times beside time-free baselines, as the tests decide."""
    tested = [check for check in checks if not check.decision.limit]
    better = sum(check.verdict == "better" for check in checks)
    if tested:
        share = "" if better == len(checks) else f" in {better} of {len(checks)} comparisons"
        return f"Predicted event times are better than time-free baselines{share}"
    higher = sum(check.verdict == "higher" for check in checks)
    return (
        f"Predicted event times have the higher mean in {higher} of {len(checks)} comparisons with "
        "time-free baselines"
    )


def _ablations(analysis: Analysis) -> Finding | None:
    """How many changes differ, and the effect of the largest."""
    config = analysis.config
    leading = [e for e in analysis.effects if e.metric == config.datasets[e.dataset].metric]
    known = [
        (e, e.difference, e.decision)
        for e in leading
        if e.difference and e.decision and not e.control
    ]
    if not known:
        return None
    told = sum(decision.differs for *_, decision in known)
    equal = sum(decision.equivalent and not decision.differs for *_, decision in known)
    title = f"Ablations: {told} of {counted(len(known), 'change')} differ from the reference"
    title += f", {equal} {'is' if equal == 1 else 'are'} equivalent" if equal else ""
    if all(decision.limit for *_, decision in known):
        title = f"Ablations: too few seeds to test any of {counted(len(known), 'change')}"
    lacking = [f"{sentence(e.why)}: {e.problem}." for e in leading if e.problem]
    known.sort(key=lambda one: (not one[2].differs, -abs(one[1].mean)))
    several = len({e.model for e, *_ in known}) > 1
    lines = tuple(
        f"{f'{model_name(config, effect.model)}, ' if several else ''}{effect.why}: "
        f"{_pairs(effect, gap)} {bracket(gap, decision, effect.metric)}"
        for effect, gap, decision in known[:SHOWN]
    )
    return Finding(
        title + (f" ({len(lacking)} not compared)" if lacking else ""),
        " ".join(
            [
                f"The largest differences{_bracketed(lines)}",
                *(said for one in analysis.detectable if (said := _controls(analysis, one))),
                *lacking,
            ]
        ),
        groups=tuple(dict.fromkeys(e.group.name for e in leading if e.group)),
        warning=bool(lacking),
        lines=lines,
    )


def _controls(analysis: Analysis, one: Detectable) -> str:
    """The results of a study's controls, in its data set's metric; empty if it has none."""
    if one.metric != analysis.config.datasets[one.dataset].metric:
        return ""
    controls = {"positive control": one.control("positive"), "A/A control": one.control("aa")}
    found = "; ".join(f"{name} {said}" for name, said in controls.items() if said != "none")
    return f"{sentence(study_name(analysis.config, one.study))}: {found}." if found else ""


def _pairs(effect: Effect, gap: Summary) -> str:
    """The difference, and the number of pairs if some are missing."""
    expected = effect.group.expected if effect.group else gap.n
    some = f", {gap.n} of {expected} pairs" if gap.n < expected else ""
    return f"{points(gap.mean, effect.metric)}{some}"


def _cost(analysis: Analysis) -> Finding | None:
    if len(analysis.costs) < 2:
        return None
    costs = sorted(analysis.costs.items(), key=lambda item: item[1].activation_bytes_per_clip)
    named = [
        f"{cost_name(analysis, model)} {significant(cost.activation_bytes_per_clip / 1e6)} MB, "
        f"{significant(cost.parameters / 1e6)} M parameters"
        for model, cost in costs
    ]
    absent = [m for m in analysis.config.cost.models if m not in analysis.costs]
    lacking = [f"{cost_name(analysis, model)}: not measured" for model in absent]
    full = all(is_full_size(analysis, model) for model in analysis.costs)
    among = "At full size" if full else "Of the measured networks"
    return Finding(
        f"{among} {cost_name(analysis, costs[0][0])} needs the least activation memory per clip"
        + aside(lacking),
        f"{'; '.join(named)}.",
        "counted, without spread",
        tuple(f"cost/{model}" for model, _ in costs),
        bool(lacking),
    )


def _chance(analysis: Analysis) -> Finding | None:
    if not analysis.chance:
        return None
    models = [check for check in analysis.chance if not analysis.is_baseline(check.group.model)]
    passed = sum(check.passed for check in models)
    planned = [(d, m) for d in analysis.config.datasets for m in analysis.config.models_on(d)]
    absent = [
        f"{model_name(analysis.config, m)} on {short_dataset_name(analysis.config, d)}"
        for d, m in planned
        if analysis.group(d, m) is None and not analysis.is_baseline(m)
    ]
    without = f" No figure for {', '.join(absent)}." if absent else ""
    return Finding(
        f"{passed} of {len(models) + len(absent)} results are clearly above chance",
        _chance_sentence(analysis, models) + without,
        _few(analysis),
        tuple(check.group.name for check in models),
        passed < len(models) or bool(absent),
    )


def _chance_sentence(analysis: Analysis, models: Sequence[ChanceCheck]) -> str:
    """The checks of the models (baselines are left out) in one or two sentences."""
    failed = [check for check in models if not check.passed]
    bounds = " or ".join(dict.fromkeys(check.bound_words for check in analysis.chance))
    text = f"The lower end of the 95 % interval is at least {bounds}."
    if not failed:
        return text
    by_task: dict[str, list[str]] = {}
    for check in failed:
        task = short_dataset_name(analysis.config, check.group.dataset)
        by_task.setdefault(task, []).append(model_name(analysis.config, check.group.model))
    named = "; ".join(f"{', '.join(models)} on {task}" for task, models in by_task.items())
    return f"{text} Not shown for {named}."


def _few(analysis: Analysis) -> str:
    """A warning if seeds are few."""
    fewest = context.fewest_seeds(analysis)
    return few_seeds(fewest) if 0 < fewest < ENOUGH_SEEDS else ""
