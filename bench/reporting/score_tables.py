"""Tables of clip-level tasks: mAP, mAUC and d', or accuracy, by fold where there are folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.reporting import context
from bench.reporting.listed import classes_name
from bench.reporting.tables import Column, Entry, Row, Table
from bench.results.analysis import Analysis
from bench.results.columns import metric_column
from bench.results.groups import Group
from bench.results.leaders import rule
from bench.results.names import METRICS, class_name, model_name, variant_name
from bench.results.summary import summarise
from bench.results.trained import training_notes, training_of

BASELINES = "Baselines"
VARIANTS = "Variants (see the ablations)"
CHANCE_BY_DEFINITION = {"mAUC": 0.5, "d_prime": 0.0}
TRAINING = Column("training", "trained on", words=True, csv_only=True)
PARAMETERS = Column(
    "parameters_M", "params (M)", digits=3, scale=1e-6, significant=True, spread=False
)


def leading_metrics(analysis: Analysis, dataset: str) -> list[str]:
    """The clip-level metrics of a data set, the usual one first."""
    several = analysis.config.datasets[dataset].loss == "bce"
    return ["mAP", "mAUC", "d_prime"] if several else ["accuracy", "mAP"]


def classification_table(analysis: Analysis, dataset: str) -> Table:
    """The table of a data set without events."""
    settings = analysis.config.datasets[dataset]
    metrics = leading_metrics(analysis, dataset)
    folds = _folds(analysis, dataset)
    best = {metric: analysis.bold(dataset, metric) for metric in metrics}
    columns = [Column(f"fold_{f}_percent", f"fold {f + 1}", 1, 100.0, spread=False) for f in folds]
    columns = [PARAMETERS, *map(metric_column, metrics), *columns, TRAINING]
    rows = [
        _model_row(analysis, dataset, model, metrics, folds, best)
        for model in analysis.config.models_on(dataset)
    ]
    rows.sort(key=lambda row: row.section == BASELINES)
    rows += _variant_rows(analysis, dataset, metrics, folds)
    rows += _chance_row(analysis, dataset, metrics)
    name = context.task_name(analysis.config, dataset)
    what = "mAP, mAUC and d'" if settings.loss == "bce" else "Accuracy"
    what += " by fold and over all runs" if folds else ""
    return Table(
        name=dataset,
        title=f"{name}: {what}",
        data=context.data_words(analysis.config, [dataset]),
        caption=context.caption(analysis, dataset, what),
        columns=columns,
        rows=rows,
        notes=[
            *context.notes(analysis, dataset),
            *_undefined_notes(analysis, dataset, metrics),
            *training_notes(analysis, dataset),
        ],
        reading=context.reading(rule(analysis.config)),
    )


def class_table(analysis: Analysis, dataset: str) -> Table:
    """The main metric of every model by class, of a data set without events."""
    measured = analysis.config.datasets[dataset].metric
    metric = metric_column(measured)
    groups = [g for g in analysis.base_groups(dataset) if not analysis.is_baseline(g.model)]
    columns = [
        replace(
            metric,
            key=f"{group.model}_{metric.key}",
            title=model_name(analysis.config, group.model),
            spread=False,
        )
        for group in groups
    ]
    origins = {c.key: group.name for c, group in zip(columns, groups, strict=True)}
    records = tuple(key for group in groups for key in group.record_keys)
    what = f"{metric.title} by class"
    return Table(
        name=classes_name(dataset),
        title=f"{context.task_name(analysis.config, dataset)}: {what}",
        data=context.data_words(analysis.config, [dataset]),
        caption=context.caption(analysis, dataset, what),
        columns=columns,
        rows=[
            Row(
                class_name(name),
                {
                    column.key: Entry.of(group.summary(measured, name))
                    for group, column in zip(groups, columns, strict=True)
                },
                records,
                groups=origins,
            )
            for name in (groups[0].classes if groups else ())
        ],
        head="Class",
        reading=context.reading(),
    )


def _folds(analysis: Analysis, dataset: str) -> list[int]:
    """The folds that some run tested."""
    groups = analysis.base_groups(dataset)
    return sorted({run.fold for group in groups for run in group.runs if run.fold >= 0})


def _model_row(
    analysis: Analysis,
    dataset: str,
    model: str,
    metrics: Sequence[str],
    folds: Sequence[int],
    best: Mapping[str, frozenset[str]],
) -> Row:
    group = analysis.group(dataset, model)
    section = BASELINES if analysis.is_baseline(model) else ""
    label = model_name(analysis.config, model)
    if group is None:
        words = Entry(words=analysis.absent(dataset, model))
        return Row(label, {metric_column(metrics[0]).key: words}, section=section)
    entries = _figures(group, metrics, folds, best)
    if not section:
        entries[TRAINING.key] = Entry(words=training_of(analysis, group))
    return Row(label, entries, group.record_keys, group.name, section)


def _variant_rows(
    analysis: Analysis, dataset: str, metrics: Sequence[str], folds: Sequence[int]
) -> list[Row]:
    return [
        Row(
            variant_name(analysis.config, group.model, group.variant),
            _figures(group, metrics, folds, {})
            | {TRAINING.key: Entry(words=training_of(analysis, group))},
            group.record_keys,
            group.name,
            VARIANTS,
        )
        for group in analysis.variant_groups(dataset)
    ]


def _figures(
    group: Group,
    metrics: Sequence[str],
    folds: Sequence[int],
    best: Mapping[str, frozenset[str]],
) -> dict[str, Entry]:
    """Parameters, and each metric over all runs, the first also by fold; `best` ones are bold."""
    entries = {
        metric_column(m).key: Entry.of(group.summary(m), best=group.name in best.get(m, ()))
        for m in metrics
    }
    for fold in folds:
        tested = [r.figure(metrics[0]) for r in group.runs if r.fold == fold]
        known = [value for value in tested if value is not None]
        entries[f"fold_{fold}_percent"] = Entry.of(summarise(known))
    return entries | {PARAMETERS.key: Entry(group.parameters)}


def _undefined_notes(analysis: Analysis, dataset: str, metrics: Sequence[str]) -> list[str]:
    """Runs that a mean leaves out because they have no finite value (d' at an AUC of 1)."""
    said = []
    for group in analysis.base_groups(dataset):
        for metric in metrics:
            lacking = len(group.runs) - len(group.figures(metric))
            if lacking:
                name = model_name(analysis.config, group.model)
                said.append(
                    f"{name}: {METRICS[metric]} has no finite value in {lacking} of "
                    f"{len(group.runs)} runs, which its mean leaves out."
                )
    return said


def _chance_row(analysis: Analysis, dataset: str, metrics: Sequence[str]) -> list[Row]:
    group = analysis.any_group(dataset)
    if group is None:
        return []
    entries = {}
    for metric in metrics:
        value = CHANCE_BY_DEFINITION.get(metric, group.chance(metric))
        entries[metric_column(metric).key] = Entry(value)
    return [Row("Chance", entries, group.record_keys, group.name, BASELINES)]
