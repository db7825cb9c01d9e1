"""The headline findings: sentences made from the numbers, with the runs behind each."""

from __future__ import annotations

from dataclasses import dataclass

from bench.metrics.statistics import ENOUGH_SEEDS, smallest_p
from reports import context
from reports.ablations import Effect, paired
from reports.checks import TRIVIAL, ChanceCheck, TrivialCheck, chance_sentence
from reports.cost_table import cost_name, is_full_size
from reports.names import METRICS, model_name, short_dataset_name
from reports.results import Group, Results, is_baseline
from reports.score_tables import metric_column
from reports.summary import Summary
from reports.tables import significant

THAN = {"better": "than", "worse": "than", "not told apart": "from", "not known": "beside"}


@dataclass(frozen=True)
class Finding:
    """A headline, the sentences under it, and the groups that they speak of."""

    title: str
    text: str
    groups: tuple[str, ...] = ()
    warning: bool = False


def findings(
    results: Results,
    effects: list[Effect],
    chance: list[ChanceCheck],
    trivial: list[TrivialCheck],
) -> list[Finding]:
    """All findings, the leading figure of each task first."""
    found = [_leader(results, dataset) for dataset in results.config.datasets]
    found += [_localization(results, trivial), _ablations(results, effects), _cost(results)]
    found += [_chance(results, chance), _few_seeds(results)]
    return [finding for finding in found if finding is not None]


def figure_words(summary: Summary, metric: str) -> str:
    """0.612 ± 0.011 or 81.2 ± 0.9 %."""
    column = metric_column(metric)
    unit = " %" if column.scale == 100 else ""
    spread = f" ± {column.spread_text(summary.mean, summary.sd)}" if summary.sd else ""
    return f"{column.text(summary.mean)}{spread}{unit}"


def sentence(text: str) -> str:
    """`text` with a capital; names such as mAP stay as they are."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def _ranked(results: Results, dataset: str, metric: str) -> list[tuple[Group, Summary]]:
    pairs = [
        (group, summary)
        for group in results.base_groups(dataset)
        if not is_baseline(results, group.model) and (summary := group.summary(metric)) is not None
    ]
    return sorted(pairs, key=lambda pair: -pair[1].mean)


def _leader(results: Results, dataset: str) -> Finding | None:
    metric = results.config.datasets[dataset].metric
    ranked = _ranked(results, dataset, metric)
    if not ranked:
        return None
    config, task = results.config, short_dataset_name(results.config, dataset)
    listed = ", ".join(
        f"{model_name(config, g.model)} {figure_words(s, metric)}" for g, s in ranked
    )
    text = f"{sentence(METRICS[metric])}: {listed}.{_beside(results, dataset, metric)}"
    names = tuple(group.name for group, _ in ranked)
    below = baselines_above(results, dataset, metric, ranked[0][1].mean)
    best = model_name(config, ranked[0][0].model)
    if dataset in results.mixed:
        return Finding(f"{task}: the models cannot be compared", text, names, warning=True)
    if len(ranked) == 1:
        return Finding(f"{task}: {best} {figure_words(ranked[0][1], metric)}", text, names)
    second = model_name(config, ranked[1][0].model)
    gap = paired(ranked[0][0], ranked[1][0], metric)
    if gap is None or gap.low is None:
        return Finding(f"{task}: {best} is ahead, from one run", text, names)
    column = metric_column(metric)
    unit = "points" if column.scale == 100 else METRICS[metric]
    text += (
        f" {best} minus {second}, paired by seed: {column.text(gap.mean)} "
        f"{column.interval(gap)} {unit}."
    )
    if gap.low > 0:
        return Finding(f"{task}: {best} leads{below}", text, names, warning=bool(below))
    told = f"{task}: {best} and {second} are not told apart{below}"
    return Finding(told, text, names, warning=bool(below))


def baselines_above(results: Results, dataset: str, metric: str, best: float) -> str:
    """ ", below Linear baseline" where a baseline has a higher mean than the best model."""
    above = [
        model_name(results.config, group.model)
        for group in results.base_groups(dataset)
        if is_baseline(results, group.model)
        and (summary := group.summary(metric)) is not None
        and summary.mean > best
    ]
    return f", below {' and '.join(above)}" if above else ""


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
        column = metric_column(metric)
        parts.append(f"chance: {column.text(chance)}{' %' if column.scale == 100 else ''}")
    return f" {'; '.join(parts)}." if parts else ""


def _localization(results: Results, checks: list[TrivialCheck]) -> Finding | None:
    chosen = [check for check in checks if check.metric == "intersection_f1"]
    if not chosen:
        return None
    config = results.config
    sentences = []
    for name in dict.fromkeys(check.group.name for check in chosen):
        own = [check for check in chosen if check.group.name == name]
        beside = " and ".join(
            f"{c.verdict} {THAN[c.verdict]} {TRIVIAL[c.baseline]} "
            f"({figure_words(c.trivial, c.metric)})"
            for c in own
        )
        model = model_name(config, own[0].group.model)
        sentences.append(f"{model} {figure_words(own[0].figure, own[0].metric)}: {beside}.")
    cannot = [
        model_name(config, group.model)
        for dataset, settings in config.datasets.items()
        if settings.localize
        for group in results.base_groups(dataset)
        if not group.can_localize and not is_baseline(results, group.model)
    ]
    if cannot:
        sentences.append(f"{' and '.join(cannot)} cannot localize.")
    better = sum(check.verdict == "better" for check in chosen)
    share = "" if better == len(chosen) else f" in {better} of {len(chosen)} comparisons"
    return Finding(
        f"Event maps locate better than baselines without times{share}",
        "Intersection F1: " + " ".join(sentences),
        tuple(dict.fromkeys(check.group.name for check in chosen)),
    )


def _ablations(results: Results, effects: list[Effect]) -> Finding | None:
    parts: dict[str, list[str]] = {}
    clear = 0
    for effect in effects:
        leading = effect.metric == results.config.datasets[effect.dataset].metric
        if effect.difference is None or not leading:
            continue
        column = metric_column(effect.metric)
        gap = effect.difference
        told = gap.low is not None and gap.high is not None and (gap.low > 0 or gap.high < 0)
        clear += told
        model = model_name(results.config, effect.model)
        where = f"{model} on {short_dataset_name(results.config, effect.dataset)}"
        parts.setdefault(where, []).append(
            f"{effect.why}: {'+' if gap.mean >= 0 else ''}{column.text(gap.mean)} "
            f"{column.interval(gap)}"
        )
    if not parts:
        return None
    groups = dict.fromkeys(e.group.name for e in effects if e.group is not None)
    count = sum(map(len, parts.values()))
    text = " ".join(f"{where}: {'; '.join(changes)}." for where, changes in parts.items())
    return Finding(
        f"Ablations: {clear} of {count} changes differ from their reference",
        f"{text} (Difference in the leading metric, points where it is a percentage, with its "
        "95 % t-interval before correction.)",
        tuple(groups),
    )


def _cost(results: Results) -> Finding | None:
    if len(results.costs) < 2:
        return None
    costs = sorted(results.costs.items(), key=lambda item: item[1]["activation_bytes_per_clip"])
    named = [
        f"{cost_name(results, model)} {significant(cost['parameters'] / 1e6)} M parameters and "
        f"{significant(cost['activation_bytes_per_clip'] / 1e6)} MB of activations per clip"
        for model, cost in costs
    ]
    full = all(is_full_size(results, model) for model in results.costs)
    among = "At full size" if full else "Among the small presets"
    return Finding(
        f"{among} {cost_name(results, costs[0][0])} keeps the least memory per clip",
        f"{'; '.join(named)}.",
        tuple(f"cost/{model}" for model, _ in costs),
    )


def _chance(results: Results, checks: list[ChanceCheck]) -> Finding | None:
    if not checks:
        return None
    models = [check for check in checks if not is_baseline(results, check.group.model)]
    passed = sum(check.passed for check in models)
    return Finding(
        f"{passed} of {len(models)} results are clearly above chance",
        chance_sentence(results, checks),
        tuple(check.group.name for check in models),
        warning=passed < len(models),
    )


def _few_seeds(results: Results) -> Finding | None:
    seeds = len(results.config.seeds)
    if seeds >= ENOUGH_SEEDS:
        return None
    return Finding(
        f"{seeds} seeds are few",
        f"{context.seeds_sentence(results)} With {seeds} pairs the smallest p of an exact paired "
        f"test is {significant(smallest_p(seeds), 2)}"
        + (": no difference can reach 0.05." if smallest_p(seeds) > 0.05 else "."),
        warning=True,
    )
