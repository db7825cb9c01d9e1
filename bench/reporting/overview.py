"""The first screen: what was compared on what, what was trained, and one table of all tasks."""

from __future__ import annotations

from collections.abc import Iterator

from bench.experiment.config import DataKind
from bench.reporting import context
from bench.reporting.listed import OVERVIEW
from bench.reporting.score_tables import BASELINES, PARAMETERS
from bench.reporting.tables import Column, Entry, Row, Table
from bench.results.analysis import Analysis
from bench.results.checks import TRIVIAL
from bench.results.columns import metric_column, time_column
from bench.results.groups import Group
from bench.results.leaders import rule
from bench.results.names import (
    ARCHITECTURES,
    CANNOT,
    PUBLISHED_SIZE,
    model_name,
    short_dataset_name,
)
from bench.results.words import counted, duration_words, listed

MOST_NAMES, MOST_TASKS = 6, 4
"""Models, and data sets, that a title names."""
SOUND: dict[DataKind, str] = {
    "synthetic": "synthetic sound",
    "recordings": "substitute recordings",
    "real": "",
}


def models_of(analysis: Analysis) -> list[str]:
    """The compared models, without baselines unless there is nothing else."""
    models = list(analysis.config.models)
    return [model for model in models if not analysis.is_baseline(model)] or models


def headline(analysis: Analysis) -> str:
    """HTS-AT, AST and PANN-CNN on ESC-50-like: small models, synthetic sound."""
    config, models = analysis.config, models_of(analysis)
    names = [_family(analysis, model) for model in models]
    subject = listed(names) if len(names) <= MOST_NAMES else f"{len(names)} models"
    tasks = listed([short_dataset_name(config, dataset) for dataset in config.datasets])
    if len(config.datasets) > MOST_TASKS:
        tasks = f"{len(config.datasets)} data sets"
    small = [_is_small(analysis, model) for model in models]
    sizes = "small models" if all(small) else "some models small" if any(small) else ""
    aside = ", ".join(part for part in (sizes, context.data_words(config, words=SOUND)) if part)
    return f"{subject} on {tasks}{f': {aside}' if aside else ''}"


def _family(analysis: Analysis, model: str) -> str:
    """The model's name without its size."""
    chosen = analysis.config.models[model]
    known = ARCHITECTURES.get(model) if model == chosen.architecture else None
    return chosen.title or known or model


def _is_small(analysis: Analysis, model: str) -> bool:
    return analysis.config.models[model].arguments.get("preset", PUBLISHED_SIZE) != PUBLISHED_SIZE


def facts(analysis: Analysis) -> list[tuple[str, str]]:
    """What was trained: sizes, data, time, seeds."""
    return [
        ("Models", "; ".join(_sizes(analysis))),
        ("Clips (train, test)", "; ".join(_clips(analysis))),
        ("Training", _time(analysis)),
        ("Runs", context.seeds_sentence(analysis)),
    ]


def _sizes(analysis: Analysis) -> Iterator[str]:
    for model in models_of(analysis):
        name, size = model_name(analysis.config, model), parameters(analysis, model)
        yield f"{name} {PARAMETERS.text(size)} M parameters" if size else name


def _clips(analysis: Analysis) -> Iterator[str]:
    """Of every data set, or of all together where they are many: the table's notes have each."""
    found = {dataset: analysis.any_group(dataset) for dataset in analysis.config.datasets}
    sizes = {
        short_dataset_name(analysis.config, dataset): [
            group.first.splits.get(split, 0) for split in ("train", "test")
        ]
        for dataset, group in found.items()
        if group is not None
    }
    if len(sizes) > MOST_TASKS:
        sizes = {
            f"{len(sizes)} data sets": [sum(split) for split in zip(*sizes.values(), strict=True)]
        }
    for name, (train, test) in sizes.items():
        yield f"{name} {train:,}, {test:,}"
    for dataset, group in found.items():
        if group is None:
            yield f"{short_dataset_name(analysis.config, dataset)}: no records"


def _time(analysis: Analysis) -> str:
    """How long all runs took together, and on which hardware."""
    runs = [run for group in analysis.groups.values() for run in group.runs]
    hours = [run.record.cost.train_hours or 0.0 for run in runs]
    if not hours:
        return "no run"
    where = dict.fromkeys(
        run.record.provenance.cpu
        if run.record.provenance.device == "cpu"
        else run.record.provenance.device
        for run in runs
    )
    return (
        f"{counted(len(runs), 'run')}, {duration_words(sum(hours))} in all, the longest "
        f"{duration_words(max(hours))}, on {listed(list(where))}"
    )


def groups_by_task(analysis: Analysis, model: str) -> dict[str, Group]:
    """The unchanged model's groups by data set, where it has records."""
    found = ((dataset, analysis.group(dataset, model)) for dataset in analysis.config.datasets)
    return {dataset: group for dataset, group in found if group is not None}


def parameters(analysis: Analysis, model: str) -> float | None:
    """Those of the largest of a model's networks: the number of outputs differs by task."""
    groups = groups_by_task(analysis, model).values()
    return max((group.parameters for group in groups if group.parameters), default=None)


def without_information(analysis: Analysis, dataset: str) -> float | None:
    """What a baseline without audio reaches in the main metric: chance, or every class always
    active."""
    metric, group = analysis.config.datasets[dataset].metric, analysis.any_group(dataset)
    if group is None:
        return None
    always = group.trivial("always_active", metric)
    return sum(always) / len(always) if always else group.chance(metric)


def overview_table(analysis: Analysis) -> Table:
    """Models by tasks in the main metric of each, with parameters and training time."""
    config = analysis.config
    hours = {model: _hours(analysis, model) for model in config.models}
    time = time_column(
        "training",
        "training, one run per task",
        [value for value in hours.values() if value],
        "train",
    )
    columns = [column(analysis, dataset) for dataset in config.datasets]
    models = sorted(config.models, key=analysis.is_baseline)
    rows = [_row(analysis, model, time, hours[model]) for model in models]
    located = [d for d, settings in config.datasets.items() if settings.localize]
    always = f"; of events: {TRIVIAL['always_active']}" if located else ""
    return Table(
        name=OVERVIEW,
        title="Overview",
        caption=(
            f"Main test figure of every task, n = {_seed_range(analysis)}; ± standard deviation "
            "between runs."
        ),
        data=context.data_words(config),
        columns=[PARAMETERS, *columns, time],
        rows=[*rows, _chance_row(analysis)],
        notes=[
            "Training: one run of every task that the model is trained on. Chance: the score of a "
            f"predictor that ignores the audio{always}. Parameters: of the largest of a model's "
            "networks.",
            *(context.data_sentence(analysis, dataset) for dataset in config.datasets),
            context.seeds_sentence(analysis),
        ],
        reading=context.reading(rule(analysis.config)),
    )


def column(analysis: Analysis, dataset: str) -> Column:
    """The column of a task's main metric."""
    metric = metric_column(analysis.config.datasets[dataset].metric)
    name = short_dataset_name(analysis.config, dataset)
    return Column(f"{dataset}_{metric.key}", f"{name} {metric.title}", metric.digits, metric.scale)


def _seed_range(analysis: Analysis) -> str:
    counts = {len(seeds) for seeds in context.seeds_by_dataset(analysis).values()} or {0}
    few, many = min(counts), max(counts)
    return counted(many, "seed") if few == many else f"{few} to {many} seeds"


def _hours(analysis: Analysis, model: str) -> float | None:
    """Of one run of every task that the model is trained on; None where one has no figure."""
    config = analysis.config
    tasks = sum(model in config.models_on(dataset) for dataset in config.datasets)
    costs = [g.cost("train_hours") for g in groups_by_task(analysis, model).values()]
    known = [cost.mean for cost in costs if cost is not None]
    return sum(known) if known and len(known) == tasks else None


def _row(analysis: Analysis, model: str, time: Column, hours: float | None) -> Row:
    entries = {PARAMETERS.key: Entry(parameters(analysis, model)), time.key: Entry(hours)}
    groups = groups_by_task(analysis, model)
    for dataset in analysis.config.datasets:
        key, metric = column(analysis, dataset).key, analysis.config.datasets[dataset].metric
        group = groups.get(dataset)
        if group is None:
            here = model in analysis.config.models_on(dataset)
            entries[key] = Entry(words=analysis.absent(dataset, model) if here else "")
        elif (summary := group.summary(metric)) is not None:
            best = group.name in analysis.bold(dataset, metric)
            entries[key] = Entry.of(summary, best=best)
        elif analysis.config.datasets[dataset].localize and not group.can_localize:
            entries[key] = Entry(words=CANNOT)
    records = tuple(key for group in groups.values() for key in group.record_keys)
    section = BASELINES if analysis.is_baseline(model) else ""
    origin = {column(analysis, dataset).key: group.name for dataset, group in groups.items()}
    return Row(model_name(analysis.config, model), entries, records, "", section, origin)


def _chance_row(analysis: Analysis) -> Row:
    entries: dict[str, Entry] = {}
    records: list[str] = []
    for dataset in analysis.config.datasets:
        group = analysis.any_group(dataset)
        entries[column(analysis, dataset).key] = Entry(without_information(analysis, dataset))
        records += group.record_keys if group else ()
    return Row("Chance", entries, tuple(records), section=BASELINES)
