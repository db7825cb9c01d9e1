"""The table of ablations: paired differences, never bare means."""

from __future__ import annotations

from bench.experiment.ablations import BASE
from bench.reporting import context
from bench.reporting.tables import DIFFERENCE, Column, Entry, Row, Table, p_values
from bench.results.analysis import Analysis
from bench.results.columns import p_column
from bench.results.decisions import POWER
from bench.results.detectable import Detectable
from bench.results.effects import Effect
from bench.results.names import METRICS, model_name, short_dataset_name, study_place
from bench.results.words import sentence

VALUE = Column("value_percent", "value (%)", 1, 100.0)
REFERENCE = Column("reference_percent", "reference (%)", 1, 100.0, short="ref. (%)")


def ablation_table(analysis: Analysis) -> Table:
    """All effects; a section per study and metric."""
    columns = [
        Column("variant", "variant", words=True, csv_only=True),
        Column("against", "against", words=True, in_latex=False),
        VALUE,
        REFERENCE,
        DIFFERENCE,
        Column("interval", "95 % interval", words=True),
        p_column("p", "p", in_latex=False),
        p_column("p_holm", "p (Holm)"),
        p_column("p_sign_flip", "sign-flip p", in_latex=False),
        Column("pairs", "pairs", 0, spread=False, in_latex=False),
    ]
    return Table(
        name="ablations",
        title="Ablations",
        caption="Each variant against its reference, paired by seed and fold.",
        data=context.data_words(analysis.config, _datasets(analysis)),
        columns=columns,
        rows=[_row(analysis, effect) for effect in analysis.effects],
        head="Change",
        notes=[
            "Reference: the unchanged model unless “against” names another variant. Both means are "
            "over the runs that both have, so that value minus reference is the difference. "
            "p: two-sided paired t-test, corrected by Holm over the changes of a section, and over "
            "its controls; the interval excludes 0 exactly where the corrected p is below 0.05. "
            "Sign-flip p: the exact sign-flip test, which does not assume normal differences; "
            "shown for sensitivity only.",
            *(note for d in _datasets(analysis) for note in context.notes(analysis, d)),
        ],
        reading=context.reading(),
    )


def _datasets(analysis: Analysis) -> list[str]:
    return list(dict.fromkeys(d for s in analysis.config.ablations.values() for d in s.datasets))


def reference_words(analysis: Analysis, effect: Effect) -> str:
    """What a change is compared with, in words: that of another variant, or the unchanged model."""
    found = (
        other.why
        for other in analysis.effects
        if (other.study, other.variant) == (effect.study, effect.against)
    )
    return "the unchanged model" if effect.against == BASE else next(found, effect.against)


def _row(analysis: Analysis, effect: Effect) -> Row:
    config = analysis.config
    if len(config.ablations) > 1:
        place = study_place(config, effect.study, effect.model, effect.dataset)
    else:
        model = model_name(config, effect.model)
        place = f"{model} on {short_dataset_name(config, effect.dataset)}"
    control = {"positive": "positive control: ", "aa": "A/A control: ", None: ""}[effect.control]
    entries = {
        "variant": Entry(words=effect.variant),
        "against": Entry(words=reference_words(analysis, effect)),
    }
    for column, group in zip((VALUE, REFERENCE), effect.compared, strict=True):
        if group is not None:
            entries[column.key] = Entry.of(group.summary(effect.metric))
    if effect.difference is None or effect.decision is None:
        entries["interval"] = Entry(words=effect.problem)
    else:
        entries |= {
            DIFFERENCE.key: Entry.of(effect.difference),
            "interval": Entry(words=DIFFERENCE.interval(effect.difference)),
            **p_values(effect.decision),
            "pairs": Entry(float(effect.decision.pairs)),
        }
    return Row(
        sentence(control + effect.why),
        entries,
        effect.records,
        effect.group.name if effect.group else "",
        f"{sentence(place)}, {METRICS[effect.metric]}",
    )


def detectable_table(analysis: Analysis) -> Table:
    """What each study can detect at all; a row per model, data set and metric."""
    return Table(
        name="detectable",
        title="What the ablations can detect",
        caption=(
            f"The smallest mean difference that each study finds with {100 * POWER:g} % power."
        ),
        data=context.data_words(analysis.config, _datasets(analysis)),
        columns=[
            Column("metric", "metric", words=True),
            Column("changes", "changes", 0),
            Column("pairs", "pairs", 0),
            Column("detectable_points", "detectable (points)", 1, 100.0, short="det. (points)"),
            Column("positive", "positive control", words=True),
            Column("aa", "A/A control", words=True),
        ],
        rows=[_detectable_row(analysis, one) for one in analysis.detectable],
        head="Study",
        notes=[
            "Paired t-test at this number of pairs, the root mean square spread of the study's "
            "differences, and the strictest level of Holm's correction. A positive control is a "
            "change that must be found, an A/A control the same variant under other random "
            "streams, which must not be."
        ],
    )


def _detectable_row(analysis: Analysis, one: Detectable) -> Row:
    detectable = Entry(words="none") if one.effect is None else Entry(one.effect)
    return Row(
        study_place(analysis.config, one.study, one.model, one.dataset),
        {
            "metric": Entry(words=METRICS[one.metric]),
            "changes": Entry(float(len(one.changes))),
            "pairs": Entry(float(one.pairs)),
            "detectable_points": detectable,
            "positive": Entry(words=one.control("positive")),
            "aa": Entry(words=one.control("aa")),
        },
        tuple(dict.fromkeys(key for effect in one.family for key in effect.records)),
        one.family[0].group.name if one.family[0].group else "",
    )
