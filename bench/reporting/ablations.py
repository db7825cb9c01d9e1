"""The table of ablations: paired differences, never bare means."""

from __future__ import annotations

from bench.metrics.statistics import smallest_p
from bench.reporting import context
from bench.reporting.tables import DIFFERENCE, Column, Entry, Row, Table
from bench.results.analysis import Analysis
from bench.results.effects import Effect
from bench.results.names import METRICS, model_name, short_dataset_name

VALUE = Column("value_percent", "value (%)", 1, 100.0)
REFERENCE = Column("reference_percent", "reference (%)", 1, 100.0, short="ref. (%)")


def ablation_table(analysis: Analysis) -> Table:
    """All effects; a section per study and metric."""
    columns = [
        Column("change", "change", words=True),
        Column("against", "against", words=True),
        VALUE,
        REFERENCE,
        DIFFERENCE,
        Column("interval", "95 % interval", words=True),
        Column("p", "p", 3, spread=False),
        Column("p_holm", "p (Holm)", 3, spread=False),
        Column("smallest_p", "smallest p", 3, spread=False, short="least p"),
        Column("pairs", "pairs", 0, spread=False, in_latex=False),
    ]
    return Table(
        name="ablations",
        title=f"Ablations ({context.data_words(analysis)})",
        caption=(
            "Each variant against its reference, paired by seed and fold; mAP, accuracy and F1 in "
            f"percent, differences and their intervals in points. {_datasets_sentence(analysis)} "
            f"{context.seeds_sentence(analysis, *_datasets(analysis))} {context.SPREAD} "
            "p: two-sided exact sign-flip test, corrected by Holm within a section; smallest p: "
            "the least that this number of pairs can reach."
        ),
        columns=columns,
        rows=[_row(analysis, effect) for effect in analysis.effects],
        head="Variant",
        notes=[note for d in _datasets(analysis) for note in context.notes(analysis, d)],
    )


def _datasets(analysis: Analysis) -> list[str]:
    return list(dict.fromkeys(d for s in analysis.config.ablations.values() for d in s.datasets))


def _datasets_sentence(analysis: Analysis) -> str:
    return " ".join(f"Data: {context.data_sentence(analysis, d)}" for d in _datasets(analysis))


def _row(analysis: Analysis, effect: Effect) -> Row:
    config = analysis.config
    section = (
        f"{model_name(config, effect.model)} on {short_dataset_name(config, effect.dataset)}, "
        f"{METRICS[effect.metric]}"
    )
    if len(config.ablations) > 1:
        section = f"{effect.study.replace('_', ' ')}: {section}"
    entries = {"change": Entry(words=effect.why), "against": Entry(words=effect.against)}
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
        effect.variant,
        entries,
        effect.records,
        effect.group.name if effect.group else "",
        section,
    )
