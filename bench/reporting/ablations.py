"""The table of ablations: paired differences, never bare means."""

from __future__ import annotations

from bench.experiment.ablations import BASE
from bench.metrics.statistics import smallest_p
from bench.reporting import context
from bench.reporting.tables import DIFFERENCE, Column, Entry, Row, Table
from bench.results.analysis import Analysis
from bench.results.effects import Effect
from bench.results.names import METRICS, model_name, short_dataset_name
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
        Column("p", "p", 3, spread=False, in_latex=False),
        Column("p_holm", "p (Holm)", 3, spread=False),
        Column("smallest_p", "smallest p", 3, spread=False, in_latex=False),
        Column("pairs", "pairs", 0, spread=False, in_latex=False),
    ]
    return Table(
        name="ablations",
        title=f"Ablations ({context.data_words(analysis)})",
        caption=(
            "Each change against its reference, paired by seed and fold "
            f"({context.data_words(analysis)})."
        ),
        columns=columns,
        rows=[_row(analysis, effect) for effect in analysis.effects],
        head="Change",
        notes=[
            "Reference: the unchanged model unless “against” names another variant. "
            "p: two-sided exact sign-flip test, corrected by Holm within a section; smallest p: "
            "the least that this number of pairs can reach.",
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
    section = (
        f"{model_name(config, effect.model)} on {short_dataset_name(config, effect.dataset)}, "
        f"{METRICS[effect.metric]}"
    )
    if len(config.ablations) > 1:
        section = f"{effect.study.replace('_', ' ')}: {section}"
    entries = {
        "variant": Entry(words=effect.variant),
        "against": Entry(words=reference_words(analysis, effect)),
    }
    if effect.group is not None:
        entries[VALUE.key] = Entry.of(effect.group.summary(effect.metric))
    if effect.reference is not None:
        entries[REFERENCE.key] = Entry.of(effect.reference.summary(effect.metric))
    if effect.difference is None or effect.decision is None:
        entries["interval"] = Entry(words=effect.problem)
    else:
        entries |= {
            DIFFERENCE.key: Entry.of(effect.difference),
            "interval": Entry(words=DIFFERENCE.interval(effect.difference)),
            "p": Entry(effect.decision.p),
            "p_holm": Entry(effect.decision.p_holm),
            "smallest_p": Entry(smallest_p(effect.difference.n)),
            "pairs": Entry(float(effect.difference.n)),
        }
    return Row(
        sentence(effect.why),
        entries,
        effect.records,
        effect.group.name if effect.group else "",
        section,
    )
