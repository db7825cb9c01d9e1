"""`python -m bench score`: every event metric of a prediction file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import UserError

if TYPE_CHECKING:
    import pandas as pd

BEYOND_S = 1.0  # that an event may end after its file: annotations and frames are rounded
LONG_S = 60.0  # sound events in milliseconds or samples are longer, those in seconds seldom


def add_arguments(parser: argparse.ArgumentParser) -> None:
    table = "tab-separated: filename onset offset event_label"
    parser.add_argument("--reference", type=Path, required=True, metavar="R.tsv", help=table)
    parser.add_argument("--predictions", type=Path, required=True, metavar="P.tsv", help=table)
    parser.add_argument(
        "--durations",
        type=Path,
        required=True,
        metavar="D.tsv",
        help="tab-separated: filename duration; these files are scored, event-free ones included",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Score and print.

    Raises:
        UserError: a table is malformed; the message names file, line and remedy.
    """
    scores = score_files(args.reference, args.predictions, args.durations)
    print(json.dumps(scores, indent=1, allow_nan=False) if args.json else as_table(scores))
    return 0


def score_files(reference: Path, predictions: Path, durations: Path) -> dict[str, Any]:
    """`score_tables` of two event files over the files of a durations table.

    The classes are the labels that occur in either table, in alphabetical order.

    Returns:
        The result of `score_tables`, with `files`, `reference_events`, `predicted_events` and
        `warnings` (texts) beside the three families.

    Raises:
        UserError: a table is malformed; the message names file, line and remedy.
    """
    from bench.metrics.event_scores import score_tables
    from bench.metrics.events import read_durations, read_events

    seconds = read_durations(durations)
    truth = read_events(reference, seconds)
    made = read_events(predictions, seconds)
    if truth.empty:
        raise UserError(f"{reference}: holds no events; every F1 needs some")
    classes = sorted({*truth["event_label"], *made["event_label"]})
    unknown = sorted({*made["event_label"]} - {*truth["event_label"]})
    outside = [
        *_outside(
            truth,
            seconds,
            "reference",
            "the intersection and collar rules want them found, the segment rule leaves them out",
        ),
        *_outside(
            made,
            seconds,
            "predicted",
            "the intersection and segment rules leave them out, the collar rule counts them as "
            "false",
        ),
    ]
    warnings = outside or [*_long(truth)]
    if unknown:
        warnings.append(
            f"predicted but never in the reference, so in no macro mean: {', '.join(unknown)}"
        )
    return {
        **score_tables(truth, made, seconds, classes),
        "files": len(seconds),
        "reference_events": len(truth),
        "predicted_events": len(made),
        "warnings": warnings,
    }


def _long(events: pd.DataFrame) -> Iterator[str]:
    """A note on events that are implausibly long: all tables may be in another unit."""
    length = (events["offset"] - events["onset"]).median()
    if length > LONG_S:
        yield (
            f"half of the reference events last more than {length:,.0f} s (are all times in "
            "seconds?): collars and segments are of seconds"
        )


def _outside(
    events: pd.DataFrame, seconds: Mapping[str, float], kind: str, late_ones: str
) -> Iterator[str]:
    """Notes on events outside of their file: their times may be in another unit."""
    ends = events["filename"].map(seconds).astype(float)
    late = events["onset"] >= ends
    beyond = ~late & (events["offset"] > ends + BEYOND_S)
    for found, where, scored in (
        (late, "start after the end of their file", late_ones),
        (
            beyond,
            f"end more than {BEYOND_S:g} s after their file",
            "the segment rule cuts them there, the others take them as they are",
        ),
    ):
        if found.any():
            yield (
                f"{found.sum():,} of {len(events):,} {kind} events {where} (are all times in "
                f"seconds?): {scored}"
            )


def as_table(scores: dict[str, Any]) -> str:
    """The scores in percent, one line per class, for a terminal."""
    from bench.metrics.event_scores import FAMILIES
    from bench.results.columns import metric_column

    f1 = metric_column("intersection_f1")
    width = max(12, *(len(name) for name in scores["intersection"]["per_class"]))
    lines = [
        f"{scores['files']:,} files, {scores['reference_events']:,} reference events, "
        f"{scores['predicted_events']:,} predicted; F1 in %",
        "",
        f"{'':{width}}  intersection  collar 0.2 s  segment 1 s",
    ]

    def line(name: str, values: list[float | None]) -> str:
        cells = ["–" if value is None else f1.text(value) for value in values]
        return f"{name:{width}}  {cells[0]:>12}  {cells[1]:>12}  {cells[2]:>11}"

    for name in scores["intersection"]["per_class"]:
        lines.append(line(name, [scores[family]["per_class"][name] for family in FAMILIES]))
    lines += [
        line("macro mean", [scores[family]["macro_f1"] for family in FAMILIES]),
        line("micro", [scores[family]["micro_f1"] for family in FAMILIES]),
    ]
    return "\n".join(lines + [f"note: {warning}" for warning in scores["warnings"]])
