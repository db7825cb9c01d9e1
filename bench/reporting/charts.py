"""Learning curves, accuracy against cost, the ablation forest and F1 by class, as pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from bench.reporting.ablations import DIFFERENCE, Effect
from bench.reporting.context import data_words
from bench.reporting.drawing import (
    COLOURS,
    INK,
    MARKERS,
    Picture,
    legend_above,
    new_figure,
    picture,
)
from bench.reporting.event_tables import FAMILIES
from bench.reporting.names import METRICS, class_name, dataset_name, model_name, short_dataset_name
from bench.reporting.results import Group, Results, is_baseline
from bench.reporting.score_tables import metric_column
from bench.reporting.summary import Summary
from bench.reporting.tables import significant

WIDTH = 4.4
COSTS = {
    "activation_bytes_per_clip": ("activations in MB per clip", 1e-6),
    "train_hours": ("training minutes of one run", 60.0),
    "parameters": ("parameters in millions", 1e-6),
}


def colour(results: Results, model: str) -> str:
    """A model's colour, the same in every figure."""
    return COLOURS[list(results.config.models).index(model) % len(COLOURS)]


def _marker(results: Results, model: str) -> str:
    return MARKERS[list(results.config.models).index(model) % len(MARKERS)]


def learning_curves(results: Results, dataset: str) -> Picture | None:
    """The selection metric on validation data by epoch: mean over runs, band of ± one sd."""
    metric = results.config.datasets[dataset].selection
    groups = [g for g in results.base_groups(dataset) if not is_baseline(results, g.model)]
    if not groups:
        return None
    figure, axes = new_figure(WIDTH, 3.1)
    ends = []
    for group in groups:
        epochs, mean, sd = mean_curve(group, f"validation_{metric}")
        if not len(epochs):
            continue
        name, shade = model_name(results.config, group.model), colour(results, group.model)
        axes.plot(epochs, mean, color=shade, label=name, linewidth=1.8)
        axes.fill_between(epochs, mean - sd, mean + sd, color=shade, alpha=0.18, linewidth=0)
        ends.append(f"{name} ends at {mean[-1]:.3f}")
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel(f"validation {METRICS[metric]}")
    axes.set_ylim(0, 1)
    axes.margins(x=0.01)
    legend_above(axes)
    name = dataset_name(results.config, dataset)
    return picture(
        figure,
        f"Learning curves on {name}: {'; '.join(ends)}.",
        f"{name}: validation {METRICS[metric]} by epoch, mean over runs; band: ± one standard "
        "deviation.",
    )


def mean_curve(group: Group, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Epochs that every run has reached, and mean and sd (0 for one run) of a curve over runs."""
    by_epoch: dict[int, list[float]] = defaultdict(list)
    for run in group.runs:
        for point in run.curve:
            if point.get(name) is not None:
                by_epoch[point["epoch"]].append(point[name])
    epochs = sorted(e for e, values in by_epoch.items() if len(values) == len(group.runs))
    values = np.array([by_epoch[e] for e in epochs]).reshape(len(epochs), len(group.runs))
    sd = values.std(axis=1, ddof=1) if len(group.runs) > 1 else np.zeros(len(epochs))
    return np.array(epochs), values.mean(axis=1), sd


def accuracy_against_cost(results: Results, cost: str) -> Picture | None:
    """The leading metric of every task against one cost; bars: 95 % t-intervals."""
    label, scale = COSTS[cost]
    datasets = list(results.config.datasets)
    columns = 2 if len(datasets) > 1 else 1
    rows = -(-len(datasets) // columns)
    figure, panels = new_figure(WIDTH, 0.5 + 2.0 * rows, rows, columns, squeeze=False)
    said = []
    for axes, dataset in zip(panels.flat, datasets, strict=False):
        metric = metric_column(results.config.datasets[dataset].metric)
        for group in results.base_groups(dataset):
            x = _cost(group, cost)
            y = group.summary(results.config.datasets[dataset].metric)
            if x is None or y is None or is_baseline(results, group.model):
                continue
            name = model_name(results.config, group.model)
            axes.errorbar(
                [x * scale],
                [y.mean * metric.scale],
                yerr=_bars([y], metric.scale),
                color=colour(results, group.model),
                marker=_marker(results, group.model),
                markersize=6,
                capsize=3,
                linestyle="none",
                label=name,
            )
            said.append(f"{name} on {dataset} {metric.text(y.mean)} at {significant(x * scale)}")
        axes.set_title(short_dataset_name(results.config, dataset), fontsize=9, loc="left")
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
        f"Test result against {label} ({data_words(results)}), models as trained here; "
        "bars: 95 % t-intervals over runs.",
    )


def _cost(group: Group, cost: str) -> float | None:
    if cost == "parameters":
        return float(group.first["parameters"])
    summary = group.cost(cost)
    return summary.mean if summary else None


def _bars(summaries: Sequence[Summary], scale: float) -> np.ndarray:
    """Distances (2, n) from mean to interval ends; nothing where there is no interval."""
    low = [scale * (s.mean - s.low) if s.low is not None else 0.0 for s in summaries]
    high = [scale * (s.high - s.mean) if s.high is not None else 0.0 for s in summaries]
    return np.array([low, high])


def forests(results: Results, effects: Sequence[Effect]) -> list[Picture]:
    """One forest plot per metric of the ablations."""
    found = [effect for effect in effects if effect.difference is not None]
    metrics = dict.fromkeys(effect.metric for effect in found)
    return [_forest(results, [e for e in found if e.metric == m], m) for m in metrics]


def _forest(results: Results, shown: Sequence[Effect], metric: str) -> Picture:
    """Differences with 95 % t-intervals, in points of 100."""
    figure, axes = new_figure(WIDTH, 0.9 + 0.5 * len(shown))
    said = []
    for place, effect in enumerate(shown):
        gap = effect.difference
        assert gap is not None
        axes.errorbar(
            [100 * gap.mean], [-place], xerr=_bars([gap], 100), color=colour(results, effect.model),
            marker="o", markersize=6, capsize=3,
        )  # fmt: skip
        said.append(f"{effect.variant} against {effect.against} {DIFFERENCE.text(gap.mean)}")
    axes.axvline(0, color=INK, linewidth=1)
    several = len({e.model for e in shown}) > 1
    labels = [
        f"{model_name(results.config, e.model) + ': ' if several else ''}{e.variant}\n− {e.against}"
        for e in shown
    ]
    axes.set_yticks([-i for i in range(len(shown))], labels, fontsize=8.5)
    axes.set_ylim(-len(shown) + 0.5, 0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{METRICS[metric]}: difference in points")
    return picture(
        figure,
        f"Ablations, differences in {METRICS[metric]} in points: {'; '.join(said)}.",
        f"Ablations in {METRICS[metric]} ({data_words(results)}): paired differences; bars: 95 % "
        "t-intervals, before correction for several comparisons.",
    )


def f1_by_class(results: Results, dataset: str, metric: str) -> Picture | None:
    """F1 by class of every localizing model."""
    groups = [g for g in results.base_groups(dataset) if g.can_localize]
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
        name = model_name(results.config, group.model)
        axes.barh(
            places, means, height=height * 0.92, color=colour(results, group.model), label=name,
            xerr=deviations, error_kw={"elinewidth": 0.9, "ecolor": INK},
        )  # fmt: skip
        said.append(f"{name} is best at {class_name(classes[int(np.argmax(means))])}")
    axes.set_yticks(range(len(classes)), [class_name(name) for name in classes], fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{METRICS[metric]} in %")
    legend_above(axes)
    task = dataset_name(results.config, dataset)
    return picture(
        figure,
        f"{METRICS[metric]} by class on {task}: {'; '.join(said)}.",
        f"{task}. {FAMILIES[metric]}; bars: ± one standard deviation between runs.",
    )
