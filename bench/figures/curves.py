"""Learning curves as a picture."""

from __future__ import annotations

from collections.abc import Mapping

from bench.experiment.config import Config
from bench.figures.drawing import WIDTH, Picture, colour, legend_above, new_figure, picture
from bench.results.curves import Curve
from bench.results.names import METRICS, dataset_name, model_name


def learning_curves(config: Config, dataset: str, curves: Mapping[str, Curve]) -> Picture | None:
    """The selection metric on validation data by epoch: mean over runs, band of ± one sd."""
    metric = config.datasets[dataset].selection
    if not curves:
        return None
    figure, axes = new_figure(WIDTH, 3.1)
    ends = []
    for group, curve in curves.items():
        if not len(curve.epochs):
            continue
        model = group.split("/")[1]
        name, shade = model_name(config, model), colour(config, model)
        low, high = curve.mean - curve.std, curve.mean + curve.std
        axes.plot(curve.epochs, curve.mean, color=shade, label=name, linewidth=1.8)
        axes.fill_between(curve.epochs, low, high, color=shade, alpha=0.18, linewidth=0)
        ends.append(f"{name} ends at {curve.mean[-1]:.3f}")
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel(f"validation {METRICS[metric]}")
    axes.set_ylim(0, 1)
    axes.margins(x=0.01)
    legend_above(axes)
    name = dataset_name(config, dataset)
    return picture(
        figure,
        f"Learning curves on {name}: {'; '.join(ends)}.",
        f"{name}: validation {METRICS[metric]} by epoch, mean over runs; band: ± one standard "
        "deviation.",
    )
