"""Accuracy against cost and the ablation forest, as pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from bench.figures.drawing import (
    INK,
    WIDTH,
    Picture,
    colour,
    legend_above,
    new_figure,
    picture,
)
from bench.reporting.ablations import reference_words
from bench.reporting.dots import bars, marker
from bench.reporting.tables import DIFFERENCE
from bench.results.analysis import Analysis
from bench.results.columns import metric_column, significant
from bench.results.effects import Effect
from bench.results.groups import Group
from bench.results.names import METRICS, model_name, short_dataset_name
from bench.results.words import sentence

COSTS = {
    "activation_bytes_per_clip": ("activations (MB per clip)", 1e-6),
    "train_hours": ("training minutes of one run", 60.0),
    "parameters": ("parameters in millions", 1e-6),
}


def accuracy_against_cost(analysis: Analysis, cost: str) -> Picture | None:
    """The leading metric of every task against one cost; bars: 95 % t-intervals."""
    label, scale = COSTS[cost]
    datasets = list(analysis.config.datasets)
    columns = 2 if len(datasets) > 1 else 1
    rows = -(-len(datasets) // columns)
    figure, panels = new_figure(WIDTH, 0.5 + 2.0 * rows, rows, columns, squeeze=False)
    said = []
    for axes, dataset in zip(panels.flat, datasets, strict=False):
        metric = metric_column(analysis.config.datasets[dataset].metric)
        for group in analysis.base_groups(dataset):
            x = _cost(group, cost)
            y = group.summary(analysis.config.datasets[dataset].metric)
            if x is None or y is None or analysis.is_baseline(group.model):
                continue
            name = model_name(analysis.config, group.model)
            axes.errorbar(
                [x * scale],
                [y.mean * metric.scale],
                yerr=bars([y], metric.scale),
                color=colour(analysis.config, group.model),
                marker=marker(analysis, group.model),
                markersize=6,
                capsize=3,
                linestyle="none",
                label=name,
            )
            said.append(f"{name} on {dataset} {metric.text(y.mean)} at {significant(x * scale)}")
        axes.set_title(short_dataset_name(analysis.config, dataset), fontsize=9, loc="left")
        axes.set_ylabel(metric.title, fontsize=8.5)
        axes.margins(x=0.25)
        axes.set_ylim(0, 1.06 * metric.scale)
        axes.locator_params(axis="x", nbins=2)  # more would overlap
        axes.tick_params(labelsize=8.5)
    for axes in panels.flat[len(datasets) :]:
        axes.set_visible(False)
    if not said:
        return None
    figure.supxlabel(label, fontsize=9.5)
    legend_above(figure)
    return picture(
        figure,
        f"Test result against {label}: {'; '.join(said)}.",
        f"Test result against {label}, models as trained here; bars: 95 % t-intervals over runs.",
    )


def _cost(group: Group, cost: str) -> float | None:
    if cost == "parameters":
        return group.parameters
    summary = group.cost(cost)
    return summary.mean if summary else None


def forests(analysis: Analysis) -> list[Picture]:
    """One forest plot per metric of the ablations."""
    found = [effect for effect in analysis.effects if effect.difference is not None]
    metrics = dict.fromkeys(effect.metric for effect in found)
    return [_forest(analysis, [e for e in found if e.metric == m], m) for m in metrics]


def _forest(analysis: Analysis, shown: Sequence[Effect], metric: str) -> Picture:
    """Differences with 95 % t-intervals, in points of 100."""
    config = analysis.config
    figure, axes = new_figure(WIDTH + 1.1, 0.8 + 0.42 * len(shown))
    said = []
    for place, effect in enumerate(shown):
        gap = effect.difference
        assert gap is not None
        axes.errorbar(
            [100 * gap.mean],
            [-place],
            xerr=bars([gap], 100),
            color=colour(config, effect.model),
            marker="o",
            markersize=6,
            capsize=3,
        )
        said.append(
            f"{effect.why}, against {reference_words(analysis, effect)}: "
            f"{DIFFERENCE.text(gap.mean)}"
        )
    axes.axvline(0, color=INK, linewidth=1)
    several = len({(e.model, e.dataset) for e in shown}) > 1
    labels = [_label(analysis, effect, several) for effect in shown]
    axes.set_yticks([-i for i in range(len(shown))], labels, fontsize=8.5)
    axes.set_ylim(-len(shown) + 0.5, 0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{METRICS[metric]}: difference in points")
    return picture(
        figure,
        f"Ablations, differences in {METRICS[metric]} in points: {'; '.join(said)}.",
        f"Differences in {METRICS[metric]} from each change's reference, paired; "
        "bars: 95 % t-intervals, before correction for several comparisons.",
    )


def _label(analysis: Analysis, effect: Effect, several: bool) -> str:
    """What was changed, in words; with the model and the data where the figure has several."""
    lines = textwrap.wrap(sentence(effect.why), 36) or [effect.variant]
    if several:
        name = model_name(analysis.config, effect.model)
        lines[0] = f"{name}: {lines[0][:1].lower()}{lines[0][1:]}"
        if len({d for study in analysis.config.ablations.values() for d in study.datasets}) > 1:
            lines.append(f"({short_dataset_name(analysis.config, effect.dataset)})")
    return "\n".join(lines)
