"""The headline findings: sentences made from the numbers, with the runs behind each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.experiment.ablations import BASE
from bench.metrics.statistics import ENOUGH_SEEDS
from bench.reporting import context
from bench.reporting.context import incomplete
from bench.results.analysis import Analysis
from bench.results.checks import TIMES_CHANCE, TRIVIAL, ChanceCheck, TrivialCheck
from bench.results.columns import significant
from bench.results.detectable import Detectable
from bench.results.effects import Effect
from bench.results.full_size import cost_name, is_full_size
from bench.results.leaders import Standing
from bench.results.names import METRICS, model_name, short_dataset_name, variant_words
from bench.results.published import few_seeds
from bench.results.summary import Summary
from bench.results.words import figure_words, gap_words, sentence, value_words

VERDICTS = {
    "better": "better than",
    "worse": "worse than",
    "not told apart": "not told apart from",
    "higher": "above",
    "lower": "not above",
}


@dataclass(frozen=True)
class Finding:
    """A headline, the sentences under it, and the groups that they speak of.

    `rows` are lines under the names `head`, by section.
    """

    title: str
    text: str
    groups: tuple[str, ...] = ()
    warning: bool = False
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = ()


def findings(analysis: Analysis) -> list[Finding]:
    """All findings, the leading figure of each task first."""
    leaders = [one for dataset in analysis.config.datasets for one in _leaders(analysis, dataset)]
    others = [_localization(analysis), _ablations(analysis), _cost(analysis)]
    others += [_chance(analysis), _few_seeds(analysis)]
    return [*leaders, *(finding for finding in others if finding is not None)]


def _leaders(analysis: Analysis, dataset: str) -> Iterator[Finding]:
    """Who leads among the models of a data set: one finding for all that were trained alike."""
    metric = analysis.config.datasets[dataset].metric
    found = analysis.standings[dataset, metric]
    for one in found:
        task = short_dataset_name(analysis.config, dataset)
        task += f", {one.training}" if len(found) > 1 else ""
        yield _leader(analysis, dataset, metric, one, task)


def _leader(analysis: Analysis, dataset: str, metric: str, found: Standing, task: str) -> Finding:
    config, lacking = analysis.config, incomplete(analysis, dataset, metric)
    listed = ", ".join(
        f"{model_name(config, g.model)} {figure_words(s, metric)}" for g, s in found.ranked
    )
    text = f"{sentence(METRICS[metric])}: {listed}.{_beside(analysis, dataset, metric)}"
    text += "".join(f" {words}." for words in (*lacking, *_cannot(analysis, dataset)))
    names = tuple(group.name for group, _ in found.ranked)
    best = model_name(config, found.best.model)
    if dataset in analysis.mixed:
        return Finding(f"{task}: the models cannot be compared", text, names, warning=True)
    if not found.rivals:
        title = f"{task}: {best} {figure_words(found.ranked[0][1], metric)}"
    else:
        title = f"{task}: {_rank(analysis, found)}"
        text += _gap(analysis, found, metric)
    if found.above:
        above = " and ".join(model_name(config, model) for model in found.above)
        title += f", not above {above}"
    return Finding(title + _aside(lacking), text, names, warning=bool(found.above or lacking))


def _rank(analysis: Analysis, found: Standing) -> str:
    """Who is first, and how far that may be stated."""
    best = model_name(analysis.config, found.best.model)
    tied = [g for g, s in found.ranked if s.mean == found.ranked[0][1].mean]
    if len(tied) > 1:
        named = " and ".join(model_name(analysis.config, group.model) for group in tied)
        return f"{named} share the highest mean"
    open_ones = [rival for rival in found.rivals if not rival.beaten]
    if not open_ones:
        return f"{best} leads"
    if any(rival.decision is None or rival.decision.limit for rival in open_ones):
        return f"{best} has the highest mean"
    named = " and ".join(model_name(analysis.config, rival.group.model) for rival in open_ones)
    return f"{best} has the highest mean, not told apart from {named}"


def _gap(analysis: Analysis, found: Standing, metric: str) -> str:
    """The best model less each one that it is compared with, with what the test says."""
    best = model_name(analysis.config, found.best.model)
    said = [
        f" {best} minus {model_name(analysis.config, rival.group.model)}, paired by seed: "
        f"{gap_words(rival.difference, metric)} "
        f"({rival.decision.limit or f'p = {rival.decision.p_holm:.2g} after Holm'})."
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


def _localization(analysis: Analysis) -> Finding | None:
    chosen = [check for check in analysis.trivial if check.metric == "intersection_f1"]
    if not chosen:
        return None
    config, sentences = analysis.config, []
    located = [name for name, values in config.datasets.items() if values.localize]
    for name in dict.fromkeys(check.group.name for check in chosen):
        own = [check for check in chosen if check.group.name == name]
        beside = " and ".join(
            f"{VERDICTS[c.verdict]} {TRIVIAL[c.baseline]} ({figure_words(c.trivial, c.metric)})"
            for c in own
        )
        model = model_name(config, own[0].group.model)
        if len(located) > 1:
            model += f" on {short_dataset_name(config, own[0].group.dataset)}"
        sentences.append(f"{model} {figure_words(own[0].figure, own[0].metric)}: {beside}.")
    lacking = [words for name in located for words in incomplete(analysis, name, "intersection_f1")]
    silent = [words for name in located for words in _cannot(analysis, name)]
    return Finding(
        _locate_title(chosen) + _aside(lacking),
        "Intersection F1: " + " ".join((*sentences, *(f"{words}." for words in lacking + silent))),
        tuple(dict.fromkeys(check.group.name for check in chosen)),
        warning=bool(lacking),
    )


def _aside(words: Sequence[str]) -> str:
    """(HTS-AT: no records; AST: 2 of 3 runs), for the end of a headline."""
    return f" ({'; '.join(words)})" if words else ""


def _cannot(analysis: Analysis, dataset: str) -> list[str]:
    """Which models have no times for a data set that asks for them."""
    names = [
        model_name(analysis.config, group.model)
        for group in analysis.base_groups(dataset)
        if not group.can_localize and not analysis.is_baseline(group.model)
    ]
    asked = analysis.config.datasets[dataset].localize
    return [f"{' and '.join(names)} cannot localize"] if names and asked else []


def _locate_title(checks: Sequence[TrivialCheck]) -> str:
    """Event maps beside baselines without times, as far as the tests go."""
    tested = [check for check in checks if not check.decision.limit]
    better = sum(check.verdict == "better" for check in checks)
    if tested:
        share = "" if better == len(checks) else f" in {better} of {len(checks)} comparisons"
        return f"Event maps locate better than baselines without times{share}"
    higher = sum(check.verdict == "higher" for check in checks)
    return (
        f"Event maps have the higher mean in {higher} of {len(checks)} comparisons with baselines "
        "without times"
    )


def _ablations(analysis: Analysis) -> Finding | None:
    config = analysis.config
    leading = [e for e in analysis.effects if e.metric == config.datasets[e.dataset].metric]
    known = [
        (e, e.difference, e.decision)
        for e in leading
        if e.difference and e.decision and not e.control
    ]
    if not known:
        return None
    rows: dict[str, list[tuple[str, ...]]] = {}
    for effect, gap, decision in known:
        place = short_dataset_name(config, effect.dataset)
        where = f"{model_name(config, effect.model)} on {place}"
        against = "" if effect.against == BASE else f" (against {variant_words(effect.against)})"
        line = (f"{effect.why}{against}", _pairs(effect, gap), f"{decision.p_holm:.2g}")
        rows.setdefault(where, []).append(line)
    told = sum(decision.differs for *_, decision in known)
    title = f"Ablations: {told} of {len(known)} changes differ from their reference"
    if all(decision.limit for *_, decision in known):
        title = f"Ablations: too few seeds to tell any of {len(known)} changes from its reference"
    lacking = [f"{variant_words(e.variant)}: {e.problem}" for e in leading if e.problem]
    return Finding(
        title + (f" ({len(lacking)} not compared)" if lacking else ""),
        "Differences in the leading metric, paired by seed, from the unchanged model unless said "
        "otherwise; p of the paired t-test, corrected by Holm over the changes of a study, and "
        "intervals that exclude 0 exactly where it is below 0.05."
        + "".join(_detects(analysis, one) for one in analysis.detectable if one.effect)
        + "".join(f" {words}." for words in lacking),
        tuple(dict.fromkeys(effect.group.name for effect in leading if effect.group)),
        warning=bool(lacking),
        head=("change", "difference, 95 % interval", "p (Holm)"),
        rows=tuple((where, tuple(lines)) for where, lines in rows.items()),
    )


def _detects(analysis: Analysis, one: Detectable) -> str:
    """What a study can detect, in its data set's metric, and how its controls came out."""
    if one.effect is None or one.metric != analysis.config.datasets[one.dataset].metric:
        return ""
    controls = {"positive control": one.control("positive"), "A/A control": one.control("aa")}
    found = "".join(f"; {name}: {said}" for name, said in controls.items() if said != "none")
    return (
        f" {sentence(one.study.replace('_', ' '))} detects {100 * one.effect:.1f} points with 80 % "
        f"power ({one.pairs} pairs){found}."
    )


def _pairs(effect: Effect, gap: Summary) -> str:
    """The difference, and how many pairs it lacks."""
    expected = effect.group.expected if effect.group else gap.n
    some = f" ({gap.n} of {expected} pairs)" if gap.n < expected else ""
    return f"{gap_words(gap, effect.metric)}{some}"


def _cost(analysis: Analysis) -> Finding | None:
    if len(analysis.costs) < 2:
        return None
    costs = sorted(analysis.costs.items(), key=lambda item: item[1].activation_bytes_per_clip)
    named = [
        f"{cost_name(analysis, model)} {significant(cost.parameters / 1e6)} M parameters and "
        f"{significant(cost.activation_bytes_per_clip / 1e6)} MB of activations per clip"
        for model, cost in costs
    ]
    absent = [m for m in analysis.config.cost.models if m not in analysis.costs]
    lacking = [f"{cost_name(analysis, model)}: not measured" for model in absent]
    full = all(is_full_size(analysis, model) for model in analysis.costs)
    among = "At full size" if full else "Of the measured networks"
    return Finding(
        f"{among} {cost_name(analysis, costs[0][0])} needs the least activation memory per clip"
        + _aside(lacking),
        f"{'; '.join(named)}.",
        tuple(f"cost/{model}" for model, _ in costs),
        warning=bool(lacking),
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
        tuple(check.group.name for check in models),
        warning=passed < len(models) or bool(absent),
    )


def _chance_sentence(analysis: Analysis, models: Sequence[ChanceCheck]) -> str:
    """The checks of the models (baselines are left out) in one or two sentences."""
    failed = [check for check in models if not check.passed]
    passed = len(models) - len(failed)
    text = (
        f"The lower 95 % bound is at least {TIMES_CHANCE} times chance in {passed} of "
        f"{len(models)} pairs of model and task."
    )
    if not failed:
        return text
    by_task: dict[str, list[str]] = {}
    for check in failed:
        task = short_dataset_name(analysis.config, check.group.dataset)
        by_task.setdefault(task, []).append(model_name(analysis.config, check.group.model))
    named = "; ".join(f"{', '.join(models)} on {task}" for task, models in by_task.items())
    return f"{text} Not for {named}. Figures and bounds: table “Above chance”."


def _few_seeds(analysis: Analysis) -> Finding | None:
    fewest = context.fewest_seeds(analysis)
    if not 0 < fewest < ENOUGH_SEEDS:
        return None
    return Finding(few_seeds(fewest), context.seeds_sentence(analysis), warning=True)
