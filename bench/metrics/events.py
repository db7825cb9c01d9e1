"""Event tables: reading with errors that name the line, checking, writing.

Events: `filename onset offset event_label`, tab-separated with a header, times in seconds. A row
with a file name and nothing else says that the file has no events. Durations: `filename duration`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from bench.files import UserError, write_text
from bench.text_tables import Row, rows, text_of

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")
DURATION_COLUMNS = ("filename", "duration")


def read_durations(path: str | Path) -> dict[str, float]:
    """Read a durations table: file name -> seconds, in the order of the file.

    A file may be listed again with the same duration.

    Raises:
        UserError: names file, line and remedy.
    """
    durations: dict[str, float] = {}
    for row in _rows(path, DURATION_COLUMNS):
        name, duration = row["filename"], _seconds(row, "duration")
        if duration <= 0:
            raise row.error(f"duration {duration:g} of {name} is not positive; give it in seconds")
        if durations.setdefault(name, duration) != duration:
            raise row.error(
                f"{name} has a duration of {duration:g} here and of {durations[name]:g} above; "
                "keep the right row"
            )
    if not durations:
        raise UserError(f"{path}: lists no files; give every scored file with its duration")
    return durations


def read_events(path: str | Path, durations: Mapping[str, float]) -> pd.DataFrame:
    """Read an event table whose files are all listed in `durations`.

    Returns:
        Columns filename, onset, offset, event_label, in the order of the file; rows that only
        name an event-free file are checked and left out.

    Raises:
        UserError: names file, line and remedy.
    """
    seen: dict[tuple[object, ...], int] = {}
    events = []
    for row in _rows(path, EVENT_COLUMNS, bare_first=True):
        name, *event = (row[column] for column in EVENT_COLUMNS)
        if name not in durations:
            raise row.error(f"file {name!r} is not in the durations table; add it there")
        identity: tuple[object, ...] = (name,)
        if any(event):
            onset, offset = _seconds(row, "onset"), _seconds(row, "offset")
            if offset < onset:
                raise row.error(
                    f"offset {row['offset']} lies before onset {row['onset']}; swap them"
                )
            if not row["event_label"]:
                raise row.error("event_label is empty; name the class or clear all three")
            events.append((name, onset, offset, row["event_label"]))
            identity = events[-1]
        if identity in seen:
            raise row.error(f"repeats line {seen[identity]}; delete one of the two rows")
        seen[identity] = row.line
    return events_table(events)


def events_table(events: Iterable[tuple[str, float, float, str]]) -> pd.DataFrame:
    """Events as a table of EVENT_COLUMNS, of the same types where there are none."""
    return pd.DataFrame(events, columns=list(EVENT_COLUMNS)).astype(
        {"filename": object, "onset": float, "offset": float, "event_label": object}
    )


def write_events(path: str | Path, events: pd.DataFrame, files: Sequence[str] = ()) -> None:
    """Write an event table; each of `files` without an event gets a row of its own.

    Times are written so that reading gives the same numbers.
    """
    table = [
        (name, repr(float(onset)), repr(float(offset)), label)
        for name, onset, offset, label in events[list(EVENT_COLUMNS)].itertuples(index=False)
    ]
    present = set(events["filename"])
    table += [(name, "", "", "") for name in files if name not in present]
    write_text(path, text_of([EVENT_COLUMNS, *table]))


def _rows(path: str | Path, columns: Sequence[str], *, bare_first: bool = False) -> Iterator[Row]:
    remedy = f"name the columns {' '.join(columns)}"
    for row in rows(path, columns, separator="\t", bare_first=bare_first, remedy=remedy):
        if not row["filename"]:
            raise row.error("filename is empty; name the file")
        yield row


def _seconds(row: Row, column: str) -> float:
    value = row.number(column)
    if value < 0:
        raise row.error(f"{column} {row[column]} is negative; count seconds from the file's start")
    return value
