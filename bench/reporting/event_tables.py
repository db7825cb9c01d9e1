"""The tables of a data set with events: a row per model, and F1 by class in each family.

Baselines without audio are listed beside the models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bench.reporting import context
from bench.reporting.listed import summary_name
from bench.reporting.score_tables import BASELINES, TRAINING, VARIANTS
from bench.reporting.tables import Column, Entry, Row, Table
from bench.results.analysis import Analysis
from bench.results.columns import metric_column
from bench.results.groups import Group
from bench.results.leaders import rule
from bench.results.names import CANNOT, class_name, model_name, variant_name
from bench.results.record import threshold_grid
from bench.results.trained import training_notes, training_of
from bench.results.words import counted

FAMILIES = {
    "intersection_f1": "Intersection-based F1 (%): psds_eval's rule, detection tolerance (DTC) = "
    "ground-truth intersection (GTC) = 0.5",
    "event_based_f1": "Event-based F1 (%): onsets within 200 ms, offsets within 200 ms or 20 %",
    "segment_based_f1": "Segment-based F1 (%): segments of 1 s",
}
THRESHOLD_FREE = {
    "psds1": "PSDS1 (%), threshold-free: DTC = GTC = 0.7",
    "psds2": "PSDS2 (%), threshold-free: DTC = GTC = 0.1, cross-trigger weight alpha_ct = 0.5",
}
OWN = {
    "psds1_macro": "Mean PSDS1 of the classes (%), without the weight on their spread: clips with "
    "events, median filter over 0.36 s",
}
"""Figures of data sets whose main metric they are."""
MACRO = Column("macro_percent", "average", 1, 100.0)
SHORT = {
    "Alarm_bell_ringing": "Alarm",
    "Blender": "Blend.",
    "Dishes": "Dish",
    "Electric_shaver_toothbrush": "Shaver",
    "Frying": "Fry",
    "Running_water": "Water",
    "Vacuum_cleaner": "Cleaner",
}
"""The paper's abbreviations (HTS-AT, Table 3)."""


def localization_table(analysis: Analysis, dataset: str) -> Table:
    """F1 by class and macro in the three families, then clip-level average precision."""
    group = analysis.any_group(dataset)
    classes = group.classes if group else ()
    columns = [*class_columns(classes), MACRO, TRAINING]
    rows = [
        row
        for family in _scored(analysis, dataset)
        for row in _family_rows(analysis, dataset, family, classes)
    ]
    for family in list(FAMILIES)[:2]:
        rows += _variant_rows(analysis, dataset, family, classes)
    rows += _tagging_rows(analysis, dataset, classes)
    return Table(
        name=dataset,
        title=f"{context.task_name(analysis.config, dataset)}: sound event localization by class",
        data=context.data_words(analysis.config, [dataset]),
        caption=context.caption(analysis, dataset, "Sound event localization by class"),
        columns=columns,
        rows=rows,
        notes=[
            "By class: means over runs; a class that is never found counts as zero. PSDS1 and "
            "PSDS2 subtract the standard deviation over classes from the mean, so their last "
            "column is not an average.",
            *_notes(analysis, dataset),
        ],
        reading=context.reading(rule(analysis.config)),
    )


def _scored(analysis: Analysis, dataset: str) -> dict[str, str]:
    """Every way in which a data set's events are scored, in words."""
    main = analysis.config.datasets[dataset].metric
    return FAMILIES | THRESHOLD_FREE | {m: words for m, words in OWN.items() if m == main}


def class_columns(classes: Sequence[str]) -> list[Column]:
    """A column of percentages for each class."""
    return [
        Column(
            f"{name}_percent", class_name(name), 1, 100.0, spread=False, short=SHORT.get(name, name)
        )
        for name in classes
    ]


def localization_summary(analysis: Analysis, dataset: str) -> Table:
    """A row per model: every way of scoring its events, and its clip tagging."""
    metrics = [*_scored(analysis, dataset), "mAP"]
    best = {metric: analysis.bold(dataset, metric) for metric in metrics}
    return Table(
        name=summary_name(dataset),
        title=f"{context.task_name(analysis.config, dataset)}: sound event localization by model",
        data=context.data_words(analysis.config, [dataset]),
        caption=context.caption(analysis, dataset, "Sound event localization, averages of classes"),
        columns=[*map(metric_column, metrics), TRAINING],
        rows=[
            *(_summary_rows(analysis, dataset, best)),
            *(_summary_baselines(analysis, dataset)),
            *(
                _summary_row(analysis, group, "", VARIANTS, {})
                for group in analysis.variant_groups(dataset)
            ),
        ],
        notes=[
            *_scored(analysis, dataset).values(),
            "mAP: of clip labels, without times.",
            *_notes(analysis, dataset),
        ],
        reading=context.reading(rule(analysis.config)),
    )


def _notes(analysis: Analysis, dataset: str) -> list[str]:
    return [
        "Clip labels only: the model's decisions on clips, each spread over its whole clip. Always "
        "active: every class in every clip from start to end. Hand-set thresholds: the list of the "
        "HTS-AT authors' evaluation code instead of a choice on validation data.",
        *at_edges(analysis, dataset),
        *context.notes(analysis, dataset),
        *training_notes(analysis, dataset),
    ]


def at_edges(analysis: Analysis, dataset: str) -> Iterator[str]:
    """How many chosen thresholds and filters are the last of those tried, over runs and classes:
    what lies beyond might have been better."""
    settings = analysis.config.localization
    grid, longest = threshold_grid(settings.thresholds), max(settings.median_filters)
    runs = [run for g in analysis.groups.values() if g.dataset == dataset for run in g.runs]
    points = [run.record.localization.operating_point for run in runs if run.record.localization]
    chosen = [
        (threshold, length)
        for point in points
        if point
        for threshold, length, f1 in zip(
            point.thresholds, point.median_filters, point.validation_f1, strict=False
        )
        if f1 is not None  # without events to choose on, the middle of the grid is taken
    ]
    if chosen:
        edge = sum(threshold in (grid[0], grid[-1]) for threshold, _ in chosen)
        long = sum(length == longest for _, length in chosen)
        yield (
            f"Operating points of all runs: {edge:,} of {len(chosen):,} thresholds are at an edge "
            f"of the grid, {long:,} of {len(chosen):,} median filters have the longest length, "
            f"{counted(longest, 'frame')}."
        )


def _summary_rows(
    analysis: Analysis, dataset: str, best: Mapping[str, frozenset[str]]
) -> Iterator[Row]:
    for model in analysis.config.models_on(dataset):
        group, label = analysis.group(dataset, model), model_name(analysis.config, model)
        if analysis.is_baseline(model):
            continue
        if group is None:
            absent = {metric_column("mAP").key: Entry(words=analysis.absent(dataset, model))}
            yield Row(label, absent)
            continue
        yield _summary_row(analysis, group, label, "", best)
        if group.at_hand_set is not None:
            shown = _summary_row(
                analysis, group.at_hand_set, f"{label}, hand-set thresholds", "", {}
            )
            events = {metric_column(f).key for f in FAMILIES}
            yield replace(shown, entries={k: e for k, e in shown.entries.items() if k in events})


def _summary_baselines(analysis: Analysis, dataset: str) -> Iterator[Row]:
    for group in analysis.base_groups(dataset):
        if analysis.is_baseline(group.model):
            label = model_name(analysis.config, group.model)
            yield _summary_row(analysis, group, label, BASELINES, {})
    for group, kind, label in _trivial(analysis, dataset):
        entries = {metric_column(f).key: _trivial_entry(group, kind, f) for f in FAMILIES}
        if any(entry.value is not None for entry in entries.values()):
            yield Row(label, entries, group.record_keys, group.name, BASELINES)
    some = analysis.any_group(dataset)
    if some is not None:
        entry = {metric_column("mAP").key: Entry(some.chance("mAP"))}
        yield Row("Chance", entry, some.record_keys, some.name, BASELINES)


def _summary_row(
    analysis: Analysis,
    group: Group,
    label: str,
    section: str,
    best: Mapping[str, frozenset[str]],
) -> Row:
    """A group's row; without a label, that of its variant."""
    entries = {
        metric_column(metric).key: Entry.of(
            group.summary(metric), best=group.name in best.get(metric, ())
        )
        for metric in (*_scored(analysis, group.dataset), "mAP")
    }
    if not group.can_localize:
        entries[metric_column("intersection_f1").key] = Entry(words=CANNOT)
    label = label or variant_name(analysis.config, group.model, group.variant)
    return _row(analysis, group, label, entries, section)


def _family_rows(
    analysis: Analysis, dataset: str, family: str, classes: tuple[str, ...]
) -> Iterator[Row]:
    section = _scored(analysis, dataset)[family]
    best = analysis.bold(dataset, family)
    for model in analysis.config.models_on(dataset):
        label, group = model_name(analysis.config, model), analysis.group(dataset, model)
        if group is None:
            words = Entry(words=analysis.absent(dataset, model))
            yield Row(label, {MACRO.key: words}, section=section)
        elif not group.can_localize:
            yield _row(analysis, group, label, {MACRO.key: Entry(words=CANNOT)}, section)
        else:
            entries = by_class(group, family, classes)
            summary = group.summary(family)
            entries[MACRO.key] = Entry.of(summary, best=group.name in best)
            yield _row(analysis, group, label, entries, section)
    for group in analysis.base_groups(dataset):
        listed = group.at_hand_set
        if listed is not None and family in FAMILIES:
            label = f"{model_name(analysis.config, group.model)}, hand-set thresholds"
            yield _row(analysis, group, label, by_class(listed, family, classes), section)
    for group, kind, label in _trivial(analysis, dataset):
        entry = _trivial_entry(group, kind, family)
        if entry.value is not None:
            yield Row(label, {MACRO.key: entry}, group.record_keys, group.name, section)


def _variant_rows(
    analysis: Analysis, dataset: str, family: str, classes: tuple[str, ...]
) -> Iterator[Row]:
    section = f"Variants (see the ablations): {FAMILIES[family].partition(':')[0]}"
    for group in analysis.variant_groups(dataset):
        label = variant_name(analysis.config, group.model, group.variant)
        if group.can_localize:
            entries = by_class(group, family, classes)
        else:
            entries = {MACRO.key: Entry(words=CANNOT)}
        yield _row(analysis, group, label, entries, section)


def _row(
    analysis: Analysis, group: Group, label: str, entries: dict[str, Entry], section: str
) -> Row:
    """A group's row, with the labels that the model was trained on."""
    if not analysis.is_baseline(group.model):
        entries = entries | {TRAINING.key: Entry(words=training_of(analysis, group))}
    return Row(label, entries, group.record_keys, group.name, section)


def by_class(group: Group, metric: str, classes: Sequence[str]) -> dict[str, Entry]:
    """A group's figure of each class, and their average."""
    entries = {f"{c}_percent": Entry.of(group.summary(metric, c)) for c in classes}
    return entries | {MACRO.key: Entry.of(group.summary(metric))}


def _trivial(analysis: Analysis, dataset: str) -> Iterator[tuple[Group, str, str]]:
    """(group, baseline without times, label) of all rows."""
    groups = analysis.base_groups(dataset)
    for group in groups:
        if not analysis.is_baseline(group.model):
            yield (
                group,
                "clip_label",
                f"{model_name(analysis.config, group.model)}, clip labels only",
            )
    for group in groups[:1]:
        yield group, "always_active", "Always active"


def _trivial_entry(group: Group, baseline: str, family: str) -> Entry:
    """Its figure over the runs, without a spread if it does not depend on the run."""
    values = group.trivial(baseline, family)
    if len(set(values)) == 1:
        return Entry(values[0])
    return Entry.of(group.over_runs(lambda run: run.trivial(baseline, family)))


def _tagging_rows(analysis: Analysis, dataset: str, classes: tuple[str, ...]) -> Iterator[Row]:
    """Tagging of clips, without times: every model has it."""
    section = "Clip tagging: average precision (%), no times needed"
    for group in analysis.base_groups(dataset):
        label = model_name(analysis.config, group.model)
        yield _row(analysis, group, label, by_class(group, "mAP", classes), section)
    some = analysis.any_group(dataset)
    if some is not None:
        entry = {MACRO.key: Entry(some.chance("mAP"))}
        yield Row("Chance", entry, some.record_keys, some.name, section)
