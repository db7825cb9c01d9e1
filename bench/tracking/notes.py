"""What MLflow's pages say of an experiment or a run, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.experiment.ablations import BASE
from bench.experiment.cells import Cell
from bench.experiment.config import Config
from bench.results.columns import metric_column
from bench.results.names import METRICS, dataset_name, model_name, variant_name
from bench.results.record import Record
from bench.results.words import counted, duration_words, points, sentence, value_words

if TYPE_CHECKING:
    from bench.tracking.views import Change


def of_experiment(settings: Config, dataset: str, links: Sequence[tuple[str, str]]) -> str:
    """What a data set's experiment holds, and its saved views as (question, address)."""
    lines = [
        f"**{dataset_name(settings, dataset)}** in the experiment `{settings.experiment}`: "
        f"{settings.title}.",
        "",
        *(f"* [{question}]({link})" for question, link in links),
        "",
        "The same views are under *Saved views*. A run that is named by model and variant has the "
        "means of its seeds and folds; below it is one run for each of them.",
        "`python -m bench track` makes all this from the records.",
    ]
    return "\n".join(lines)


def of_record(settings: Config, record: Record) -> str:
    """The main figures of a run, what it took, and the command that repeats it."""
    cell, cost, made = record.cell, record.cost, record.provenance
    figures = [
        f"{METRICS[name]} {value_words(metric.value, name)}"
        for name in _leading(settings, cell.dataset)
        if (metric := record.metrics.test.get(name)) is not None and metric.value is not None
    ]
    took = [f"trained in {duration_words(cost.train_seconds / 3600)}"]
    took += [f"{cost.peak_memory_mb:,.0f} MB at most"] if cost.peak_memory_mb else []
    took += [made.cpu if made.device == "cpu" else made.device, counted(made.threads, "thread")]
    fold = f"fold {cell.fold}, " if cell.fold >= 0 else ""
    return "\n\n".join(
        [
            f"**{_named(settings, cell)}**, {fold}seed {cell.seed}, on "
            f"{dataset_name(settings, cell.dataset)}: {', '.join(figures) or 'no test figure'}.",
            f"{sentence(', '.join(took))}.",
            f"Where it came from: `python -m bench explain {record.key}`. Again: `{made.command}`.",
        ]
    )


def of_group(
    settings: Config,
    records: Sequence[Record],
    figures: Mapping[str, float],
    change: Change | None,
) -> str:
    """The main mean figures of a model and variant, beside those that it is compared with."""
    cell = records[0].cell
    lines = [
        f"**{_named(settings, cell)}** on {dataset_name(settings, cell.dataset)}: "
        f"mean of {counted(len(records), 'run')}.",
        "",
    ]
    compared = change is not None and any(n.startswith("reference_") for n in figures)
    heads = ["test figure", "mean", "standard deviation"]
    heads += [f"{cell.model} {change.against}", "change"] if change and compared else []
    rows = []
    for metric in _leading(settings, cell.dataset):
        test = f"test_{metric}"
        if test not in figures:
            continue
        sd = figures.get(f"{test}_sd")
        spread = "" if sd is None else metric_column(metric).spread_text(figures[test], sd)
        row = [METRICS[metric], value_words(figures[test], metric), spread]
        if compared:
            reference, moved = (figures.get(f"{part}_{test}") for part in ("reference", "change"))
            row.append("" if reference is None else value_words(reference, metric))
            row.append("" if moved is None else points(moved, metric))
        rows.append(row)
    if rows:
        lines += [_line(heads), _line(["---"] * len(heads)), *map(_line, rows), ""]
    if change is not None:
        lines += [
            f"What is changed: {change.why}. Whether the difference is more than chance is in the "
            "report's table of ablations.",
            "",
        ]
    group = f"{cell.dataset}/{cell.model}/{cell.variant}"
    lines.append(f"Where it came from: `python -m bench explain {group}`.")
    return "\n".join(lines)


def _named(settings: Config, cell: Cell) -> str:
    """HTS-AT tiny, or with its variant."""
    if cell.variant == BASE:
        return model_name(settings, cell.model)
    return variant_name(settings, cell.model, cell.variant)


def _leading(settings: Config, dataset: str) -> list[str]:
    """The data set's main metric, and the one that its epochs are chosen by."""
    chosen = settings.datasets[dataset]
    return list(dict.fromkeys([chosen.metric, chosen.selection]))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
