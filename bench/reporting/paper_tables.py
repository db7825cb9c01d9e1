"""Tables in the layouts of the HTS-AT paper, to be pasted: one row per model.

Its Table 1 (AudioSet, with parameters), Table 2 (ESC-50 and Speech Commands side by side) and
Table 3 (F1 by class; what the paper calls event-based is intersection-based F1). The ablations and
the overview already have that form.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.reporting import context
from bench.reporting.event_tables import MACRO, by_class, class_columns
from bench.reporting.listed import LOCALIZATION, TAGGING, layouts
from bench.reporting.overview import column, groups_by_task, parameters
from bench.reporting.score_tables import PARAMETERS
from bench.reporting.tables import Column, Entry, Row, Table
from bench.results.analysis import Analysis
from bench.results.leaders import rule
from bench.results.names import model_name, short_dataset_name
from bench.results.words import listed


def paper_tables(analysis: Analysis) -> Iterator[Table]:
    """Every layout that the experiment has data for."""
    for name, datasets in layouts(analysis.config).items():
        if name.startswith(LOCALIZATION):
            yield _located(analysis, name, datasets[0])
        else:
            yield _scored(analysis, name, datasets)


def _scored(analysis: Analysis, name: str, datasets: list[str]) -> Table:
    """Main figures side by side; with parameters if the tasks have several labels per clip."""
    shown = {dataset: column(analysis, dataset) for dataset in datasets}
    sizes = [PARAMETERS] if name == TAGGING else []
    rows = []
    for model in _models(analysis, datasets):
        groups = groups_by_task(analysis, model)
        entries = {PARAMETERS.key: Entry(parameters(analysis, model))} if sizes else {}
        for dataset, own in shown.items():
            metric, group = analysis.config.datasets[dataset].metric, groups.get(dataset)
            best = group is not None and group.name in analysis.bold(dataset, metric)
            entries[own.key] = Entry.of(group.summary(metric) if group else None, best=best)
        used = [group for dataset, group in groups.items() if dataset in shown]
        records = tuple(key for group in used for key in group.record_keys)
        rows.append(Row(model_name(analysis.config, model), entries, records))
    tasks = listed([short_dataset_name(analysis.config, dataset) for dataset in datasets])
    return _table(
        analysis, name, f"Results on {tasks}", tasks, [*sizes, *shown.values()], rows, datasets
    )


def _located(analysis: Analysis, name: str, dataset: str) -> Table:
    """One line of intersection F1 by class for every model that can localize."""
    some, rows = analysis.any_group(dataset), []
    classes = some.classes if some else ()
    best = analysis.bold(dataset, "intersection_f1")
    for model in _models(analysis, [dataset]):
        group = analysis.group(dataset, model)
        if group is None or not group.can_localize:
            continue
        entries = by_class(group, "intersection_f1", classes)
        summary = group.summary("intersection_f1")
        entries[MACRO.key] = Entry.of(summary, best=group.name in best)
        label = model_name(analysis.config, model)
        rows.append(Row(label, entries, group.record_keys, group.name))
    what = f"Intersection-based F1 (%) by class on {short_dataset_name(analysis.config, dataset)}"
    return _table(analysis, name, what, what, [*class_columns(classes), MACRO], rows, [dataset])


def _models(analysis: Analysis, datasets: list[str]) -> list[str]:
    """The models on some of the data sets, baselines last."""
    models = dict.fromkeys(m for dataset in datasets for m in analysis.config.models_on(dataset))
    return sorted(models, key=analysis.is_baseline)


def _table(
    analysis: Analysis,
    name: str,
    title: str,
    what: str,
    columns: list[Column],
    rows: list[Row],
    datasets: list[str],
) -> Table:
    return Table(
        name=name,
        title=title,
        caption=f"{what}, mean ± SD.",
        columns=columns,
        rows=rows,
        data=context.data_words(analysis.config, datasets),
        notes=[note for dataset in datasets for note in context.notes(analysis, dataset)],
        reading=context.reading(rule(analysis.config)),
    )
