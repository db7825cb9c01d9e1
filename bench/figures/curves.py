"""Learning curves as a picture."""

from __future__ import annotations

from collections.abc import Mapping

from bench.experiment.config import Config
from bench.figures.drawing import WIDTH, Picture, colour, legend_above, new_figure, picture
from bench.results.columns import metric_column
from bench.results.curves import Curve
from bench.results.names import model_name, short_dataset_name


def learning_curves(config: Config, dataset: str, curves: Mapping[str, Curve]) -> Picture | None:
    """The selection metric on validation data by epoch: mean over runs, band of ± one sd."""
    metric = metric_column(config.datasets[dataset].selection)
    if not curves:
        return None
    figure, axes = new_figure(WIDTH, 3.0)
    ends = []
    for group, curve in curves.items():
        if not len(curve.epochs):
            continue
        model = group.split("/")[1]
        name, shade = model_name(config, model), colour(config, model)
        mean, spread = metric.scale * curve.mean, metric.scale * curve.std
        low, high = mean - spread, mean + spread
        axes.plot(curve.epochs, mean, color=shade, label=name, linewidth=1.8)
        axes.fill_between(curve.epochs, low, high, color=shade, alpha=0.18, linewidth=0)
        ends.append(f"{name} ends at {metric.text(curve.mean[-1])}")
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel(f"validation {metric.title}")
    axes.set_ylim(0, metric.scale)
    axes.margins(x=0.01)
    legend_above(figure)
    name = short_dataset_name(config, dataset)
    return picture(
        figure,
        f"Learning curves on {name}: {'; '.join(ends)}.",
        f"Learning: validation {metric.title} by epoch, mean over runs; band: ± one standard "
        "deviation.",
    )
