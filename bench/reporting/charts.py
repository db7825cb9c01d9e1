"""Accuracy against cost, the ablation forest and F1 by class, as pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.figures.drawing import (
    INK,
    MARKERS,
    WIDTH,
    Picture,
    colour,
    legend_above,
    new_figure,
    picture,
)
from bench.reporting.context import data_words
from bench.reporting.event_tables import FAMILIES
from bench.reporting.tables import DIFFERENCE
from bench.results.analysis import Analysis
from bench.results.columns import metric_column, significant
from bench.results.effects import Effect
from bench.results.groups import Group
from bench.results.names import METRICS, class_name, dataset_name, model_name, short_dataset_name
from bench.results.summary import Summary

COSTS = {
    "activation_bytes_per_clip": ("activations in MB per clip", 1e-6),
    "train_hours": ("training minutes of one run", 60.0),
    "parameters": ("parameters in millions", 1e-6),
}


def _marker(analysis: Analysis, model: str) -> str:
    return MARKERS[list(analysis.config.models).index(model) % len(MARKERS)]


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
                yerr=_bars([y], metric.scale),
                color=colour(analysis.config, group.model),
                marker=_marker(analysis, group.model),
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
        axes.locator_params(axis="x", nbins=2)  # more would run into one another
        axes.tick_params(labelsize=8.5)
    for axes in panels.flat[len(datasets) :]:
        axes.set_visible(False)
    if not said:
        return None
    figure.supxlabel(label, fontsize=9.5)
    handles = {
        name: h for p in panels.flat for h, name in zip(*p.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=4)
    return picture(
        figure,
        f"Test result against {label}: {'; '.join(said)}.",
        f"Test result against {label} ({data_words(analysis)}), models as trained here; "
        "bars: 95 % t-intervals over runs.",
    )


def _cost(group: Group, cost: str) -> float | None:
    if cost == "parameters":
        return float(group.first.parameters)
    summary = group.cost(cost)
    return summary.mean if summary else None


def _bars(summaries: Sequence[Summary], scale: float) -> np.ndarray:
    """Distances (2, n) from mean to interval ends; nothing where there is no interval."""
    low = [scale * (s.mean - s.low) if s.low is not None else 0.0 for s in summaries]
    high = [scale * (s.high - s.mean) if s.high is not None else 0.0 for s in summaries]
    return np.array([low, high])


def forests(analysis: Analysis) -> list[Picture]:
    """One forest plot per metric of the ablations."""
    found = [effect for effect in analysis.effects if effect.difference is not None]
    metrics = dict.fromkeys(effect.metric for effect in found)
    return [_forest(analysis, [e for e in found if e.metric == m], m) for m in metrics]


def _forest(analysis: Analysis, shown: Sequence[Effect], metric: str) -> Picture:
    """Differences with 95 % t-intervals, in points of 100."""
    config = analysis.config
    figure, axes = new_figure(WIDTH, 0.9 + 0.5 * len(shown))
    said = []
    for place, effect in enumerate(shown):
        gap = effect.difference
        assert gap is not None
        axes.errorbar(
            [100 * gap.mean],
            [-place],
            xerr=_bars([gap], 100),
            color=colour(config, effect.model),
            marker="o",
            markersize=6,
            capsize=3,
        )
        said.append(f"{effect.variant} against {effect.against} {DIFFERENCE.text(gap.mean)}")
    axes.axvline(0, color=INK, linewidth=1)
    several = len({e.model for e in shown}) > 1
    labels = [
        f"{model_name(config, e.model) + ': ' if several else ''}{e.variant}\n− {e.against}"
        for e in shown
    ]
    axes.set_yticks([-i for i in range(len(shown))], labels, fontsize=8.5)
    axes.set_ylim(-len(shown) + 0.5, 0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{METRICS[metric]}: difference in points")
    return picture(
        figure,
        f"Ablations, differences in {METRICS[metric]} in points: {'; '.join(said)}.",
        f"Ablations in {METRICS[metric]} ({data_words(analysis)}): paired differences; bars: 95 % "
        "t-intervals, before correction for several comparisons.",
    )


def f1_by_class(analysis: Analysis, dataset: str, metric: str) -> Picture | None:
    """F1 by class of every localizing model."""
    groups = [g for g in analysis.base_groups(dataset) if g.can_localize]
    if not groups:
        return None
    classes = groups[0].classes
    figure, axes = new_figure(WIDTH, 0.9 + 0.17 * len(classes) * (len(groups) + 1))
    height = 0.8 / len(groups)
    said = []
    for number, group in enumerate(groups):
        known = [group.summary(metric, name) for name in classes]
        summaries = [s or Summary((), 0.0, None, None, None) for s in known]
        means = [100 * s.mean for s in summaries]
        deviations = [100 * (s.sd or 0.0) for s in summaries]
        places = np.arange(len(classes)) + (number - (len(groups) - 1) / 2) * height
        name = model_name(analysis.config, group.model)
        axes.barh(
            places,
            means,
            height=height * 0.92,
            color=colour(analysis.config, group.model),
            label=name,
            xerr=deviations,
            error_kw={"elinewidth": 0.9, "ecolor": INK},
        )
        said.append(f"{name} is best at {class_name(classes[int(np.argmax(means))])}")
    axes.set_yticks(range(len(classes)), [class_name(name) for name in classes], fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{METRICS[metric]} in %")
    legend_above(axes)
    task = dataset_name(analysis.config, dataset)
    return picture(
        figure,
        f"{METRICS[metric]} by class on {task}: {'; '.join(said)}.",
        f"{task}. {FAMILIES[metric]}; bars: ± one standard deviation between runs.",
    )
