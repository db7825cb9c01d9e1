"""Dot plots: the models on every task, and on every class of one."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

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
from bench.reporting.overview import column, models_of, without_information
from bench.results.analysis import Analysis
from bench.results.columns import metric_column
from bench.results.groups import Group
from bench.results.names import CANNOT, class_name, model_name, short_dataset_name
from bench.results.summary import Summary

MOST_CLASSES, MOST_ROWS = 40, 14
"""Classes in a figure, and up to how many as rows."""
BESIDE, ACROSS, BELOW = (4, 8.6), (7, 11.8), (2, 4.9)
"""Tasks per row and inches of width: beside the findings, across the page, on a narrow screen."""


def marker(analysis: Analysis, model: str) -> str:
    """A model's marker, the same in every figure."""
    return MARKERS[list(analysis.config.models).index(model) % len(MARKERS)]


def bars(summaries: Sequence[Summary], scale: float) -> np.ndarray:
    """Distances (2, n) from mean to interval ends; empty if there is no interval."""
    low = [scale * (s.mean - s.low) if s.low is not None else 0.0 for s in summaries]
    high = [scale * (s.high - s.mean) if s.high is not None else 0.0 for s in summaries]
    return np.array([low, high])


def models_by_tasks(analysis: Analysis) -> Picture:
    """The main figure of every model on every task, with chance and baselines."""
    datasets, models = list(analysis.config.datasets), models_of(analysis)
    wide, narrow = (
        _tasks(analysis, datasets, models, min(len(datasets), panels), width)
        for panels, width in (BESIDE if len(datasets) <= BESIDE[0] else ACROSS, BELOW)
    )
    return replace(wide, narrow=narrow.uri)


def _tasks(
    analysis: Analysis,
    datasets: Sequence[str],
    models: Sequence[str],
    columns: int,
    width: float,
) -> Picture:
    rows = -(-len(datasets) // columns)
    columns = -(-len(datasets) // rows)  # rows of one length
    height = 0.55 + rows * (0.75 + 0.27 * len(models))
    figure, panels = new_figure(width, height, rows, columns, sharey=True, squeeze=False)
    figure.get_layout_engine().set(w_pad=0.06)
    said: list[str] = []
    for axes, dataset in zip(panels.flat, datasets, strict=False):
        said += _task(analysis, axes, dataset, models)
    for axes in panels.flat[len(datasets) :]:
        axes.set_visible(False)
    labels = [model_name(analysis.config, model) for model in models]
    panels[0, 0].set_yticks(range(len(models)), labels)
    panels[0, 0].set_ylim(len(models) - 0.5, -0.5)
    handles = {
        name: handle
        for axes in panels.flat
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper right", ncols=3, fontsize=8.5
    )
    return picture(
        figure,
        f"Main test figure of every model on every task: {'; '.join(said)}.",
        "Test figures, mean over runs; bars: 95 % t-intervals.",
    )


def _task(analysis: Analysis, axes: Any, dataset: str, models: Sequence[str]) -> list[str]:
    """Draw one task; returns its content in words."""
    shown, said = column(analysis, dataset), []
    metric = analysis.config.datasets[dataset].metric
    for place, model in enumerate(models):
        group = analysis.group(dataset, model)
        summary = group.summary(metric) if group else None
        if group is None and model not in analysis.config.models_on(dataset):
            continue
        if summary is None:
            silent = group is not None and not group.can_localize
            words = CANNOT if silent else "no figure"
            axes.text(2, place, words, va="center", fontsize=8, color="#6b7682")
            continue
        axes.errorbar(
            [shown.scale * summary.mean],
            [place],
            xerr=bars([summary], shown.scale),
            color=colour(analysis.config, model),
            marker=marker(analysis, model),
            markersize=6.5,
            capsize=3,
            linestyle="none",
        )
        said.append(
            f"{model_name(analysis.config, model)}, {shown.title} {shown.text(summary.mean)}"
        )
    for value, words, style in references(analysis, dataset):
        axes.axvline(shown.scale * value, color=INK, linewidth=1.1, linestyle=style, label=words)
    name = short_dataset_name(analysis.config, dataset)
    axes.set_title("\n".join(textwrap.wrap(name, 16)), fontsize=9, loc="left")
    axes.set_xlabel(metric_column(metric).title, fontsize=8.5)
    axes.set_xlim(-0.03 * shown.scale, 1.04 * shown.scale)
    axes.tick_params(labelsize=8.5)
    return said


def references(analysis: Analysis, dataset: str) -> list[tuple[float, str, str]]:
    """Value, words and line style of chance and of the best baseline that learns."""
    metric, found = analysis.config.datasets[dataset].metric, []
    if (chance := without_information(analysis, dataset)) is not None:
        found.append((chance, "chance", ":"))
    solved = [m for m in analysis.config.models if analysis.is_baseline(m)]
    groups = [g for m in solved if (g := analysis.group(dataset, m))]
    means = [summary.mean for group in groups if (summary := group.summary(metric))]
    if means:
        one = model_name(analysis.config, solved[0]).lower()
        found.append((max(means), one if len(solved) == 1 else "best baseline", "--"))
    return found


def by_class(analysis: Analysis, dataset: str, metric: str) -> Picture | None:
    """A figure of every model by class; with many classes, those where models differ most."""
    groups = [g for g in analysis.base_groups(dataset) if not analysis.is_baseline(g.model)]
    means = {group.name: _class_means(group, metric) for group in groups}
    groups = [group for group in groups if np.isfinite(means[group.name]).any()]
    if not groups:
        return None
    every, table = groups[0].classes, np.array([means[group.name] for group in groups])
    chosen = _widest(table) if len(every) > MOST_CLASSES else np.arange(len(every))
    rows = len(chosen) <= MOST_ROWS
    figure, axes = new_figure(
        WIDTH if rows else 2 * WIDTH + 0.4, 0.9 + 0.22 * len(chosen) if rows else 3.2
    )
    said = []
    step = min(0.2, 0.7 / len(groups))  # every class keeps its models to itself
    for number, (group, values) in enumerate(zip(groups, table, strict=True)):
        name = model_name(analysis.config, group.model)
        places = np.arange(len(chosen)) + step * (number - (len(groups) - 1) / 2)
        shown = metric_column(metric).scale * values[chosen]
        axes.plot(
            *((shown, places) if rows else (places, shown)),
            color=colour(analysis.config, group.model),
            marker=marker(analysis, group.model),
            markersize=5.5,
            linestyle="none",
            label=name,
        )
        said.append(f"{name} is best at {class_name(every[int(np.nanargmax(values))])}")
    labels = [class_name(every[place]) for place in chosen]
    ends = (len(chosen) - 0.4, -0.6)
    if rows:
        axes.set(yticks=range(len(chosen)), ylim=ends, xlim=(-3, 103))
        axes.set_yticklabels(labels, fontsize=8.5)
        axes.set_xlabel(metric_column(metric).title)
    else:
        axes.set(xticks=range(len(chosen)), xlim=ends[::-1], ylim=(-3, 103))
        axes.set_xticklabels(labels, fontsize=8, rotation=90)
        axes.set_ylabel(metric_column(metric).title)
    legend_above(figure)
    task = short_dataset_name(analysis.config, dataset)
    some = (
        f", the {len(chosen)} of {len(every):,} where models differ most"
        if len(chosen) < len(every)
        else ""
    )
    return picture(
        figure,
        f"{metric_column(metric).title} by class on {task}: {'; '.join(said)}.",
        f"{metric_column(metric).title} by class{some}; means over runs.",
    )


def _class_means(group: Group, metric: str) -> np.ndarray:
    """(C,) means over the runs; NaN where a class has no figure."""
    found = [group.summary(metric, name) for name in group.classes]
    return np.array([summary.mean if summary else np.nan for summary in found])


def _widest(table: np.ndarray) -> np.ndarray:
    """The classes (columns) with the widest range of means, in their order."""
    known = np.isfinite(table).any(axis=0)
    spans = np.full(table.shape[1], -1.0)
    spans[known] = np.nanmax(table[:, known], axis=0) - np.nanmin(table[:, known], axis=0)
    return np.sort(np.argsort(-spans, kind="stable")[:MOST_CLASSES])
