"""The table of a data set with events: F1 by class in each family, beside what needs no audio."""

from __future__ import annotations

from collections.abc import Iterator

from bench.reporting import context
from bench.reporting.score_tables import TRAINING, source_notes
from bench.reporting.tables import Column, Entry, Row, Table
from bench.results import published
from bench.results.analysis import Analysis
from bench.results.groups import Group
from bench.results.leaders import RULE
from bench.results.names import CANNOT, class_name, dataset_name, model_name, variant_name
from bench.results.summary import summarise
from bench.results.trained import training_notes, training_of

FAMILIES = {
    "intersection_f1": "Intersection-based F1 (%): psds_eval's rule, DTC = GTC = 0.5",
    "event_based_f1": "Event-based F1 (%): onsets within 200 ms, offsets within 200 ms or 20 %",
    "segment_based_f1": "Segment-based F1 (%): segments of 1 s",
}
THRESHOLD_FREE = {
    "psds1": "PSDS1 (%), threshold-free: DTC = GTC = 0.7",
    "psds2": "PSDS2 (%), threshold-free: DTC = GTC = 0.1, cross-triggers weigh 0.5",
}
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
    columns = [
        Column(
            f"{name}_percent", class_name(name), 1, 100.0, spread=False, short=SHORT.get(name, name)
        )
        for name in classes
    ]
    columns += [MACRO, TRAINING]
    rows = [
        row
        for family in (*FAMILIES, *THRESHOLD_FREE)
        for row in _family_rows(analysis, dataset, family, classes)
    ]
    for family in list(FAMILIES)[:2]:
        rows += _variant_rows(analysis, dataset, family, classes)
    rows += _tagging_rows(analysis, dataset, classes)
    name = dataset_name(analysis.config, dataset)
    what = "Sound event localization by class"
    return Table(
        name=dataset,
        title=f"{name}: {what[0].lower()}{what[1:]}",
        caption=context.caption(analysis, dataset, what)
        + " By class: means over runs; a class that is never found counts as zero. PSDS takes off "
        "the spread over classes, so its last column is no average. Clip labels only: the model's "
        "decisions on clips, each spread over its whole clip. Always active: every class in every "
        "clip from start to end. Hand-set thresholds: the list of the HTS-AT "
        "authors' evaluation code instead of a choice on validation data. " + RULE,
        columns=columns,
        rows=rows,
        notes=[
            *context.notes(analysis, dataset),
            *training_notes(analysis, dataset),
            *source_notes(analysis, dataset, "intersection_f1"),
        ],
    )


def _family_rows(
    analysis: Analysis, dataset: str, family: str, classes: tuple[str, ...]
) -> Iterator[Row]:
    section = (FAMILIES | THRESHOLD_FREE)[family]
    best = analysis.bold(dataset, family)
    for model in analysis.config.models_on(dataset):
        label, group = model_name(analysis.config, model), analysis.group(dataset, model)
        if group is None:
            words = Entry(words=analysis.absent(dataset, model))
            yield Row(label, {MACRO.key: words}, section=section)
        elif not group.can_localize:
            yield _row(analysis, group, label, {MACRO.key: Entry(words=CANNOT)}, section)
        else:
            entries = _by_class(group, family, classes)
            summary = group.summary(family)
            entries[MACRO.key] = Entry.of(summary, best=group.name in best)
            yield _row(analysis, group, label, entries, section)
            if family == "intersection_f1":
                yield from _published_row(analysis, group, classes, section)
    for group in analysis.base_groups(dataset):
        listed = group.at_hand_set
        if listed is not None and family in FAMILIES:
            label = f"{model_name(analysis.config, group.model)}, hand-set thresholds"
            yield _row(analysis, group, label, _by_class(listed, family, classes), section)
    for group in analysis.base_groups(dataset):
        if not analysis.is_baseline(group.model):
            label = f"{model_name(analysis.config, group.model)}, clip labels only"
            yield from _trivial_row(group, "clip_label", family, label)
    for group in analysis.base_groups(dataset)[:1]:
        yield from _trivial_row(group, "always_active", family, "Always active")


def _published_row(
    analysis: Analysis, group: Group, classes: tuple[str, ...], section: str
) -> Iterator[Row]:
    """The figures of the paper's Table 3, class by class, below the measured ones."""
    entry = published.beside(group)
    if entry is None:
        return
    figures = {f"{c}_percent": entry.figure("intersection_f1", c) for c in classes}
    figures[MACRO.key] = entry.figure("intersection_f1")
    known = {key: Entry(value) for key, value in figures.items() if value is not None}
    yield Row(f"{model_name(analysis.config, group.model)}, published", known, section=section)


def _variant_rows(
    analysis: Analysis, dataset: str, family: str, classes: tuple[str, ...]
) -> Iterator[Row]:
    section = f"Variants (see the ablations): {FAMILIES[family]}"
    for group in analysis.variant_groups(dataset):
        label = variant_name(analysis.config, group.model, group.variant)
        if group.can_localize:
            entries = _by_class(group, family, classes)
        else:
            entries = {MACRO.key: Entry(words=CANNOT)}
        yield _row(analysis, group, label, entries, section)


def _row(
    analysis: Analysis, group: Group, label: str, entries: dict[str, Entry], section: str
) -> Row:
    """A group's line, with what a model was trained on."""
    if not analysis.is_baseline(group.model):
        entries = entries | {TRAINING.key: Entry(words=training_of(analysis, group))}
    return Row(label, entries, group.record_keys, group.name, section)


def _by_class(group: Group, metric: str, classes: tuple[str, ...]) -> dict[str, Entry]:
    entries = {f"{c}_percent": Entry.of(group.summary(metric, c)) for c in classes}
    return entries | {MACRO.key: Entry.of(group.summary(metric))}


def _trivial_row(group: Group, baseline: str, family: str, label: str) -> Iterator[Row]:
    values = group.trivial(baseline, family)
    if not values:
        return
    summary = summarise(values)
    constant = len(set(values)) == 1
    entry = Entry(values[0]) if constant else Entry.of(summary)
    yield Row(label, {MACRO.key: entry}, group.record_keys, group.name, FAMILIES[family])


def _tagging_rows(analysis: Analysis, dataset: str, classes: tuple[str, ...]) -> Iterator[Row]:
    """Which sounds, not when: every model can do this one."""
    section = "Clip tagging: average precision (%), no times needed"
    for group in analysis.base_groups(dataset):
        label = model_name(analysis.config, group.model)
        yield _row(analysis, group, label, _by_class(group, "mAP", classes), section)
    some = analysis.any_group(dataset)
    if some is not None:
        entry = {MACRO.key: Entry(some.chance("mAP"))}
        yield Row("Chance", entry, some.record_keys, some.name, section)
