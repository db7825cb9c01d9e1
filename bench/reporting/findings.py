"""The headline findings: sentences made from the numbers, with the runs behind each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.experiment.ablations import BASE
from bench.metrics.statistics import ENOUGH_SEEDS, smallest_p
from bench.reporting import context
from bench.reporting.ablations import Effect
from bench.reporting.checks import TRIVIAL, ChanceCheck, TrivialCheck, chance_sentence
from bench.reporting.context import incomplete
from bench.reporting.cost_table import cost_name, is_full_size
from bench.reporting.leaders import ALPHA, Standing, standings
from bench.reporting.names import METRICS, model_name, short_dataset_name, variant_words
from bench.reporting.results import Results, is_baseline
from bench.reporting.summary import Summary
from bench.reporting.tables import significant
from bench.reporting.words import figure_words, gap_words, sentence, value_words

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


def findings(
    results: Results,
    effects: list[Effect],
    chance: list[ChanceCheck],
    trivial: list[TrivialCheck],
) -> list[Finding]:
    """All findings, the leading figure of each task first."""
    leaders = [one for dataset in results.config.datasets for one in _leaders(results, dataset)]
    others = [_localization(results, trivial), _ablations(results, effects), _cost(results)]
    others += [_chance(results, chance), _few_seeds(results)]
    return [*leaders, *(finding for finding in others if finding is not None)]


def _leaders(results: Results, dataset: str) -> Iterator[Finding]:
    """Who leads among the models of a data set: one finding for all that were trained alike."""
    metric = results.config.datasets[dataset].metric
    found = standings(results, dataset, metric)
    for one in found:
        task = short_dataset_name(results.config, dataset)
        task += f", {one.training}" if len(found) > 1 else ""
        yield _leader(results, dataset, metric, one, task)


def _leader(results: Results, dataset: str, metric: str, found: Standing, task: str) -> Finding:
    config, lacking = results.config, incomplete(results, dataset, metric)
    listed = ", ".join(
        f"{model_name(config, g.model)} {figure_words(s, metric)}" for g, s in found.ranked
    )
    text = f"{sentence(METRICS[metric])}: {listed}.{_beside(results, dataset, metric)}"
    text += "".join(f" {words}." for words in (*lacking, *_cannot(results, dataset)))
    names = tuple(group.name for group, _ in found.ranked)
    best = model_name(config, found.best.model)
    if dataset in results.mixed:
        return Finding(f"{task}: the models cannot be compared", text, names, warning=True)
    if not found.rivals:
        title = f"{task}: {best} {figure_words(found.ranked[0][1], metric)}"
    else:
        title = f"{task}: {_rank(results, found)}"
        text += _gap(results, found, metric)
    if found.above:
        above = " and ".join(model_name(config, model) for model in found.above)
        title += f", not above {above}"
    return Finding(title + _aside(lacking), text, names, warning=bool(found.above or lacking))


def _rank(results: Results, found: Standing) -> str:
    """Who is first, and how far that may be stated."""
    best = model_name(results.config, found.best.model)
    tied = [g for g, s in found.ranked if s.mean == found.ranked[0][1].mean]
    if len(tied) > 1:
        named = " and ".join(model_name(results.config, group.model) for group in tied)
        return f"{named} share the highest mean"
    open_ones = [rival for rival in found.rivals if not rival.beaten]
    if not open_ones:
        return f"{best} leads"
    if any(rival.limit or rival.difference is None for rival in open_ones):
        return f"{best} has the highest mean"
    named = " and ".join(model_name(results.config, rival.group.model) for rival in open_ones)
    return f"{best} has the highest mean, not told apart from {named}"


def _gap(results: Results, found: Standing, metric: str) -> str:
    """The best model less the next one, with its interval and what the test says."""
    best, rival = model_name(results.config, found.best.model), found.rivals[0]
    second = model_name(results.config, rival.group.model)
    if rival.difference is None:
        return f" {best} and {second} have no common seeds."
    tested = f"p = {rival.p:.2g} after Holm"
    if rival.limit:
        tested = f"{rival.difference.n} seeds are too few for the test to decide"
    return (
        f" {best} minus {second}, paired by seed: {gap_words(rival.difference, metric)} ({tested})."
    )


def _beside(results: Results, dataset: str, metric: str) -> str:
    """The baselines that have this metric."""
    parts = []
    for group in results.base_groups(dataset):
        summary = group.summary(metric)
        if is_baseline(results, group.model) and summary:
            parts.append(
                f"{model_name(results.config, group.model)}: {figure_words(summary, metric)}"
            )
    some = results.any_group(dataset)
    chance = some.chance(metric) if some else None
    if chance is not None:
        parts.append(f"chance: {value_words(chance, metric)}")
    return f" {'; '.join(parts)}." if parts else ""


def _localization(results: Results, checks: list[TrivialCheck]) -> Finding | None:
    chosen = [check for check in checks if check.metric == "intersection_f1"]
    if not chosen:
        return None
    config, sentences = results.config, []
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
    lacking = [words for name in located for words in incomplete(results, name, "intersection_f1")]
    silent = [words for name in located for words in _cannot(results, name)]
    return Finding(
        _locate_title(chosen) + _aside(lacking),
        "Intersection F1: " + " ".join((*sentences, *(f"{words}." for words in lacking + silent))),
        tuple(dict.fromkeys(check.group.name for check in chosen)),
        warning=bool(lacking),
    )


def _aside(words: Sequence[str]) -> str:
    """(HTS-AT: no records; AST: 2 of 3 runs), for the end of a headline."""
    return f" ({'; '.join(words)})" if words else ""


def _cannot(results: Results, dataset: str) -> list[str]:
    """Which models have no times for a data set that asks for them."""
    names = [
        model_name(results.config, group.model)
        for group in results.base_groups(dataset)
        if not group.can_localize and not is_baseline(results, group.model)
    ]
    asked = results.config.datasets[dataset].localize
    return [f"{' and '.join(names)} cannot localize"] if names and asked else []


def _locate_title(checks: Sequence[TrivialCheck]) -> str:
    """Event maps beside baselines without times, as far as the tests go."""
    tested = [check for check in checks if not check.limit]
    better = sum(check.verdict == "better" for check in checks)
    if tested:
        share = "" if better == len(checks) else f" in {better} of {len(checks)} comparisons"
        return f"Event maps locate better than baselines without times{share}"
    higher = sum(check.verdict == "higher" for check in checks)
    return (
        f"Event maps have the higher mean in {higher} of {len(checks)} comparisons with baselines "
        "without times"
    )


def _ablations(results: Results, effects: Sequence[Effect]) -> Finding | None:
    config = results.config
    leading = [e for e in effects if e.metric == config.datasets[e.dataset].metric]
    known = [(effect, effect.difference) for effect in leading if effect.difference]
    if not known:
        return None
    rows: dict[str, list[tuple[str, ...]]] = {}
    for effect, gap in known:
        place = short_dataset_name(config, effect.dataset)
        where = f"{model_name(config, effect.model)} on {place}"
        against = "" if effect.against == BASE else f" (against {variant_words(effect.against)})"
        line = (f"{effect.why}{against}", _pairs(effect, gap), f"{effect.p_holm:.2g}")
        rows.setdefault(where, []).append(line)
    told = sum(effect.p_holm is not None and effect.p_holm <= ALPHA for effect, _ in known)
    title = f"Ablations: {told} of {len(known)} changes differ from their reference"
    if all(effect.limit for effect, _ in known):
        title = f"Ablations: too few seeds to tell any of {len(known)} changes from its reference"
    lacking = [f"{variant_words(e.variant)}: {e.problem}" for e in leading if e.problem]
    return Finding(
        title + (f" ({len(lacking)} not compared)" if lacking else ""),
        "Differences in the leading metric, paired by seed, from the unchanged model unless said "
        "otherwise, with 95 % t-intervals; p of the exact paired test, corrected by Holm over the "
        "changes of a study." + "".join(f" {words}." for words in lacking),
        tuple(dict.fromkeys(effect.group.name for effect in leading if effect.group)),
        warning=bool(lacking),
        head=("change", "difference, 95 % interval", "p (Holm)"),
        rows=tuple((where, tuple(lines)) for where, lines in rows.items()),
    )


def _pairs(effect: Effect, gap: Summary) -> str:
    """The difference, and how many pairs it lacks."""
    expected = effect.group.expected if effect.group else gap.n
    some = f" ({gap.n} of {expected} pairs)" if gap.n < expected else ""
    return f"{gap_words(gap, effect.metric)}{some}"


def _cost(results: Results) -> Finding | None:
    if len(results.costs) < 2:
        return None
    costs = sorted(results.costs.items(), key=lambda item: item[1]["activation_bytes_per_clip"])
    named = [
        f"{cost_name(results, model)} {significant(cost['parameters'] / 1e6)} M parameters and "
        f"{significant(cost['activation_bytes_per_clip'] / 1e6)} MB of activations per clip"
        for model, cost in costs
    ]
    absent = [m for m in results.config.cost.models if m not in results.costs]
    lacking = [f"{cost_name(results, model)}: not measured" for model in absent]
    full = all(is_full_size(results, model) for model in results.costs)
    among = "At full size" if full else "Of the measured networks"
    return Finding(
        f"{among} {cost_name(results, costs[0][0])} needs the least activation memory per clip"
        + _aside(lacking),
        f"{'; '.join(named)}.",
        tuple(f"cost/{model}" for model, _ in costs),
        warning=bool(lacking),
    )


def _chance(results: Results, checks: list[ChanceCheck]) -> Finding | None:
    if not checks:
        return None
    models = [check for check in checks if not is_baseline(results, check.group.model)]
    passed = sum(check.passed for check in models)
    planned = [(d, m) for d in results.config.datasets for m in results.config.models_on(d)]
    absent = [
        f"{model_name(results.config, m)} on {short_dataset_name(results.config, d)}"
        for d, m in planned
        if results.group(d, m) is None and not is_baseline(results, m)
    ]
    without = f" No figure for {', '.join(absent)}." if absent else ""
    return Finding(
        f"{passed} of {len(models) + len(absent)} results are clearly above chance",
        chance_sentence(results, checks) + without,
        tuple(check.group.name for check in models),
        warning=passed < len(models) or bool(absent),
    )


def _few_seeds(results: Results) -> Finding | None:
    found, fewest = context.seeds_by_dataset(results), context.fewest_seeds(results)
    if not 0 < fewest < ENOUGH_SEEDS:
        return None
    unable = [d for d, seeds in found.items() if smallest_p(len(seeds)) > ALPHA]
    places = ", ".join(short_dataset_name(results.config, dataset) for dataset in unable)
    where = f"on {places} " if len(unable) < len(found) else ""
    return Finding(
        f"{fewest} seeds are few",
        f"{context.seeds_sentence(results)} With {fewest} pairs the smallest p of an exact paired "
        f"test is {significant(smallest_p(fewest), 2)}"
        + (
            f": {where}no paired difference can reach {ALPHA:g}, so no model is said to lead, no "
            "change to differ, and no figure is bold."
            if unable
            else "."
        ),
        warning=True,
    )
