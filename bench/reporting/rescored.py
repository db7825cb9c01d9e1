"""The table of the HTS-AT authors' own predictions, scored again, class by class."""

from __future__ import annotations

from collections.abc import Iterator

from bench.reporting.tables import Column, Entry, Row, Table
from bench.results.measured import RESCORED, Rescored, System
from bench.results.names import class_name
from bench.results.rescored import agrees, off_by, paper, printed, unlike

INTERSECTION = Column("intersection_percent", "intersection F1 (%)", 2, 100.0)
COLUMNS = (
    INTERSECTION,
    Column("published_percent", "paper (%)", 1, 100.0),
    Column("comparison", "comparison", words=True),
    Column("event_based_percent", "collar-based F1 (%)", 2, 100.0),
    Column("segment_based_percent", "segment-based F1 (%)", 2, 100.0),
)


def rescore_table(scored: Rescored) -> Table:
    """F1 by class in the three families, a section per system, beside the paper's figures."""
    rows = [row for name, scores in scored.systems.items() for row in _rows(name, scores)]
    return Table(
        name="rescore",
        title="The HTS-AT authors' own predictions, scored again (published files)",
        caption=(
            "Events that the authors published for DESED's public evaluation set, scored here by "
            "three rules; no model was run."
        ),
        columns=COLUMNS,
        rows=rows,
        head="Class",
        notes=[
            meaning(scored),
            f"From {scored.source}, by `{scored.command}`.",
            *(f"{name}: sha256 {digest}." for name, digest in scored.files.items()),
            *(
                f"{name}: {scores.files} files, {scores.reference_events} reference and "
                f"{scores.predicted_events} predicted events."
                for name, scores in scored.systems.items()
            ),
            *(w for scores in scored.systems.values() for w in scores.warnings),
        ],
    )


def meaning(scored: Rescored) -> str:
    """How the two families compare with the paper's figures, in words."""
    parts = []
    for name, scores in scored.systems.items():
        macro, wanted = scores.intersection.macro_f1, printed(name, scores)
        said = unlike(scores) or "which the paper does not print"
        if wanted is not None:
            said = "which rounds to" if agrees(macro, wanted) else "unlike"
            said += f" the paper's {100 * wanted:.1f}"
        parts.append(
            f"{name}: {100 * macro:.2f} % by intersection, {said}, and "
            f"{100 * scores.event_based.macro_f1:.2f} % by collars"
        )
    return (
        f"{'; '.join(parts)}. What the paper calls event-based F1 is psds_eval's intersection "
        "rule (half of an event covered is enough). By the collar rule that the field means by "
        "that name (onsets within 200 ms) the same events score far lower, so figures of the two "
        "kinds cannot be compared."
    )


def _rows(name: str, scores: System) -> Iterator[Row]:
    entry = paper(name)
    section = f"{entry.label}, {entry.source}" if entry else name
    for label in ("macro mean", *scores.intersection.per_class):
        macro = label == "macro mean"
        figures = {
            f"{family}_percent": (found.macro_f1 if macro else found.per_class[label])
            for family, found in (
                ("intersection", scores.intersection),
                ("event_based", scores.event_based),
                ("segment_based", scores.segment_based),
            )
        }
        wanted = printed(name, scores, None if macro else label)
        yield Row(
            label if macro else class_name(label),
            {
                **{key: Entry(value) for key, value in figures.items()},
                "published_percent": Entry(wanted),
                "comparison": Entry(words=_comparison(figures[INTERSECTION.key], wanted)),
            },
            (RESCORED,),
            RESCORED,
            section,
        )


def _comparison(measured: float | None, printed: float | None) -> str:
    if printed is None or measured is None:
        return "no published figure" if printed is None else "no events"
    if agrees(measured, printed):
        return "reproduced: equal to the printed digit"
    return f"differs by {off_by(measured, printed)}"
