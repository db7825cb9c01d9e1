"""The main figure by training time: a picture per data set, one table, and what stays undecided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.figures.drawing import INK, WIDTH, Picture, colour, legend_above, new_figure, picture
from bench.reporting import context
from bench.reporting.dots import bars, marker, references
from bench.reporting.tables import Column, Entry, Row, Table
from bench.results.analysis import Analysis
from bench.results.columns import metric_column, time_column
from bench.results.leaders import ranks
from bench.results.names import model_name, short_dataset_name
from bench.results.training_times import Trained
from bench.results.words import listed, points

TIMES = Column("times", "epochs (× the recipe's)", 3, significant=True, short="× epochs")
EPOCHS = Column("epochs", "epochs", 0)
MEAN = Column("mean", "mean", 1)
RULE = (
    "The order of two contrasted models is undecided where one has the higher mean at one training "
    "time and the other at another."
)


def undecided(analysis: Analysis, dataset: str) -> list[str]:
    """A sentence for each contrasted pair of models whose order changes with the training time."""
    config, metric = analysis.config, analysis.config.datasets[dataset].metric
    said = []
    for one in analysis.training_times[dataset].undecided:
        names = listed([model_name(config, model) for model in one.models])
        gaps = ", ".join(f"{points(gap, metric)} at {_times(times)}" for times, gap in one.gaps)
        said.append(f"{names} are undecided: their order changes with training time ({gaps}).")
    return said


def undecided_by_task(analysis: Analysis) -> list[str]:
    """The same for all data sets, each sentence with its data set."""
    return [
        f"{short_dataset_name(analysis.config, dataset)}: {words}"
        for dataset in analysis.training_times
        for words in undecided(analysis, dataset)
    ]


def _times(times: float) -> str:
    """3×, or 2.57× where epochs were rounded."""
    return f"{times:.3g}×"


def training_time_table(analysis: Analysis) -> Table:
    """A row per model and training time, a section per data set."""
    every = [
        (d, own) for d, found in analysis.training_times.items() for own in found.lines.items()
    ]
    hours = time_column("training", "training of a run", [
        one.hours for _, (_, line) in every for one in line if one.hours is not None
    ], "run")  # fmt: skip
    return Table(
        name="training_time",
        title="Figures by training time",
        data=context.data_words(analysis.config, [dataset for dataset, _ in every]),
        caption="Models that were also trained for other numbers of epochs, nothing else changed.",
        columns=[
            TIMES,
            EPOCHS,
            hours,
            MEAN,
            Column("interval", "95 % interval", words=True),
            Column("runs", "runs", 0),
        ],
        rows=[_row(analysis, dataset, one, hours) for dataset, (_, line) in every for one in line],
        notes=[*([RULE] if ranks(analysis.config) else []), *undecided_by_task(analysis)],
        reading=context.reading(),
    )


def _row(analysis: Analysis, dataset: str, one: Trained, hours: Column) -> Row:
    unit = metric_column(analysis.config.datasets[dataset].metric)
    entries = {
        TIMES.key: Entry(one.times),
        EPOCHS.key: Entry(float(one.epochs)),
        hours.key: Entry.of(one.group.cost("train_hours")),
        MEAN.key: Entry.of(one.figure, unit=unit),
        "interval": Entry(words=unit.interval(one.figure)),
        "runs": Entry(float(one.figure.n)),
    }
    label = model_name(analysis.config, one.group.model)
    section = f"{short_dataset_name(analysis.config, dataset)}, {unit.title}"
    return Row(label, entries, one.group.record_keys, one.group.name, section)


def pictures(analysis: Analysis) -> list[Picture]:
    """One picture per data set whose models were also trained for another time."""
    return [_draw(analysis, name) for name, found in analysis.training_times.items() if found.lines]


def _draw(analysis: Analysis, dataset: str) -> Picture:
    """The figure against epochs, and against minutes where every run states its time."""
    config, lines = analysis.config, analysis.training_times[dataset].lines
    metric = metric_column(config.datasets[dataset].metric)
    every = [one for line in lines.values() for one in line]
    hours = [one.hours for one in every if one.hours is not None]
    time = time_column("training", "training of a run", hours)
    panels = 2 if len(hours) == len(every) else 1
    figure, axes = new_figure(WIDTH, 3.0, 1, panels, sharey=True, squeeze=False)
    said = []
    for model, line in lines.items():
        places = [[one.times for one in line], [time.scale * (one.hours or 0) for one in line]]
        figures, name = [one.figure for one in line], model_name(config, model)
        for panel, place in zip(axes.flat, places, strict=False):
            panel.errorbar(
                place,
                [metric.scale * summary.mean for summary in figures],
                yerr=bars(figures, metric.scale),
                color=colour(config, model),
                marker=marker(analysis, model),
                markersize=5,
                capsize=2.5,
                linewidth=1.6,
                label=name,
            )
        shown = (f"{metric.text(one.figure.mean)} at {_times(one.times)}" for one in line)
        said.append(f"{name} {', '.join(shown)}")
    for value, words, style in references(analysis, dataset):
        for panel in axes.flat:
            panel.axhline(
                metric.scale * value, color=INK, linewidth=0.9, linestyle=style, label=words
            )
        said.append(f"{words} {metric.text(value)}")
    axes[0, 0].set_ylabel(metric.title)
    axes[0, 0].set_ylim(0, 1.06 * metric.scale)
    _mark_times(list(axes.flat), sorted({one.times for one in every}), time)
    legend_above(figure)
    title = f"{metric.title} by training time on {short_dataset_name(config, dataset)}"
    read = f"{title}, mean over runs; bars: 95 % t-intervals."
    caption = " ".join([read, *undecided(analysis, dataset)])
    return picture(figure, f"{title}: {'; '.join(said)}.", caption)


def _mark_times(panels: Sequence[Any], times: Sequence[float], column: Column) -> None:
    """Logarithmic axes: of the first panel by epochs, of a second by the time of `column`."""
    from matplotlib.ticker import LogLocator

    for panel in panels:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        panel.minorticks_off()
        panel.tick_params(labelsize=8.5)
        panel.set_xlabel(column.title, fontsize=8.5)
    first = panels[0]
    apart = [one for before, one in zip([0.0, *times], times, strict=False) if one > 1.2 * before]
    first.set_xticks(apart, [_times(one) for one in apart])
    first.set_xlabel("epochs (× the recipe's)", fontsize=8.5)
