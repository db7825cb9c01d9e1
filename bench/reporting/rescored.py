"""The HTS-AT authors' own predictions, scored again: beside the paper, class by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.evaluation.rescore import output
from bench.experiment.config import Config
from bench.files import read_json
from bench.reporting import published
from bench.reporting.identity import other_reference
from bench.reporting.names import class_name
from bench.reporting.tables import Column, Entry, Row, Table

FILE = "rescore.json"
PRINTED = 0.0005
"""Half a unit of the last digit that the paper prints."""
INTERSECTION = Column("intersection_percent", "intersection F1 (%)", 2, 100.0)
OFF = Column("off_points", "off by (points)", 2, 100.0, signed=True)
COLUMNS = (
    INTERSECTION,
    Column("published_percent", "paper (%)", 1, 100.0),
    Column("comparison", "comparison", words=True),
    Column("event_based_percent", "collar-based F1 (%)", 2, 100.0),
    Column("segment_based_percent", "segment-based F1 (%)", 2, 100.0),
)


def load(config: Config) -> Mapping[str, Any] | None:
    """What `python -m bench rescore` has written for this experiment; None where it has not run."""
    path = output(config)
    return read_json(path) if path.is_file() else None


def paper(system: str) -> published.Published | None:
    """The published row of a rescored system."""
    return next((entry for entry in published.load() if entry.rescored == system), None)


def unlike(scores: Mapping[str, Any]) -> str:
    """Why scores of a system are on another reference than the paper's; empty where it is that."""
    return other_reference(scores, "DESED-public-eval")


def printed(name: str, scores: Mapping[str, Any], class_name: str | None = None) -> float | None:
    """The paper's figure for a system, where it was scored against the same reference."""
    entry = paper(name)
    return None if entry is None or unlike(scores) else entry.figure("intersection_f1", class_name)


def agrees(measured: float | None, printed: float | None) -> bool:
    """Whether a figure rounds to the printed one."""
    return (
        measured is not None and printed is not None and abs(measured - printed) <= PRINTED + 1e-9
    )


def rescore_table(scored: Mapping[str, Any]) -> Table:
    """F1 by class in the three families, a section per system, beside the paper's figures."""
    rows = [row for name, scores in scored["systems"].items() for row in _rows(name, scores)]
    return Table(
        name="rescore",
        title="The HTS-AT authors' own predictions, scored again (published files)",
        caption=(
            "Events that the authors published for DESED's public evaluation set, scored here by "
            "three rules; no model was run. " + meaning(scored)
        ),
        columns=COLUMNS,
        rows=rows,
        head="Class",
        notes=[
            f"From {scored['from']}, by `{scored['command']}`.",
            *(f"{name}: sha256 {digest}." for name, digest in scored["files"].items()),
            *(
                f"{name}: {scores['files']} files, {scores['reference_events']} reference and "
                f"{scores['predicted_events']} predicted events."
                for name, scores in scored["systems"].items()
            ),
            *(w for scores in scored["systems"].values() for w in scores["warnings"]),
        ],
    )


def meaning(scored: Mapping[str, Any]) -> str:
    """What the two families say about the paper's figures, in words."""
    parts = []
    for name, scores in scored["systems"].items():
        macro, wanted = scores["intersection"]["macro_f1"], printed(name, scores)
        said = unlike(scores) or "which the paper does not print"
        if wanted is not None:
            said = "which rounds to" if agrees(macro, wanted) else "unlike"
            said += f" the paper's {100 * wanted:.1f}"
        parts.append(
            f"{name}: {100 * macro:.2f} % by intersection, {said}, and "
            f"{100 * scores['event_based']['macro_f1']:.2f} % by collars"
        )
    return (
        f"{'; '.join(parts)}. What the paper calls event-based F1 is psds_eval's intersection "
        "rule (half of an event covered is enough). By the collar rule that the field means by "
        "that name (onsets within 200 ms) the same events score far lower, so neither figure may "
        "stand beside one of the other kind."
    )


def _rows(name: str, scores: Mapping[str, Any]) -> Iterator[Row]:
    entry = paper(name)
    section = f"{entry.label}, {entry.source}" if entry else name
    for label in ("macro mean", *scores["intersection"]["per_class"]):
        macro = label == "macro mean"
        figures = {
            f"{family}_percent": (
                scores[family]["macro_f1"] if macro else scores[family]["per_class"][label]
            )
            for family in ("intersection", "event_based", "segment_based")
        }
        wanted = printed(name, scores, None if macro else label)
        yield Row(
            label if macro else class_name(label),
            {
                **{key: Entry(value) for key, value in figures.items()},
                "published_percent": Entry(wanted),
                "comparison": Entry(words=_comparison(figures[INTERSECTION.key], wanted)),
            },
            (FILE,),
            FILE,
            section,
        )


def _comparison(measured: float | None, printed: float | None) -> str:
    if printed is None or measured is None:
        return "no published figure" if printed is None else "no events"
    if agrees(measured, printed):
        return "reproduced: equal to the printed digit"
    return f"differs by {off_by(measured, printed)}"


def off_by(measured: float, printed: float) -> str:
    """+0.12 points."""
    return f"{OFF.text(measured - printed)} points"
