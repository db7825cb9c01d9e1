"""Event tables: reading with errors that name the line, checking, writing.

Events: `filename onset offset event_label`, tab-separated with a header, times in seconds. A row
with a file name and nothing else says that the file has no events. Durations: `filename duration`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pandas as pd

from bench.files import UserError, write_text

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")
DURATION_COLUMNS = ("filename", "duration")
LARGEST = 1e9  # seconds, thirty years


def read_durations(path: str | Path) -> dict[str, float]:
    """Read a durations table: file name -> seconds, in the order of the file.

    A file may be listed again with the same duration.

    Raises:
        UserError: names file, line and remedy.
    """
    durations: dict[str, float] = {}
    for line, (name, text) in _rows(path, DURATION_COLUMNS):
        duration = _seconds(path, line, "duration", text)
        if duration <= 0:
            _fail(path, line, f"duration {text} of {name} is not positive", "give it in seconds")
        if durations.setdefault(name, duration) != duration:
            _fail(
                path,
                line,
                f"{name} has a duration of {text} here and of {durations[name]:g} above",
                "keep the right row",
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
    for line, row in _rows(path, EVENT_COLUMNS):
        name, onset_text, offset_text, label = row
        if name not in durations:
            _fail(path, line, f"file {name!r} is not in the durations table", "add it there")
        if any(row[1:]):
            onset = _seconds(path, line, "onset", onset_text)
            offset = _seconds(path, line, "offset", offset_text)
            if offset < onset:
                _fail(
                    path, line, f"offset {offset_text} lies before onset {onset_text}", "swap them"
                )
            if not label:
                _fail(path, line, "event_label is empty", "name the class or clear all three")
            events.append((name, onset, offset, label))
        identity: tuple[object, ...] = events[-1] if any(row[1:]) else (name,)
        if identity in seen:
            _fail(path, line, f"repeats line {seen[identity]}", "delete one of the two rows")
        seen[identity] = line
    return pd.DataFrame(events, columns=list(EVENT_COLUMNS)).astype(
        {"filename": object, "onset": float, "offset": float, "event_label": object}
    )


def write_events(path: str | Path, events: pd.DataFrame, files: Sequence[str] = ()) -> None:
    """Write an event table; each of `files` without an event gets a row of its own.

    Times are written so that reading gives the same numbers.
    """
    rows = [
        f"{name}\t{float(onset)!r}\t{float(offset)!r}\t{label}"
        for name, onset, offset, label in events[list(EVENT_COLUMNS)].itertuples(index=False)
    ]
    present = set(events["filename"])
    rows += [f"{name}\t\t\t" for name in files if name not in present]
    write_text(path, "\n".join(["\t".join(EVENT_COLUMNS), *rows]) + "\n")


def _rows(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line numbers and the fields of `columns`, whatever other columns there are."""
    lines = _text(path).split("\n")
    if not lines[0].strip():
        raise UserError(f"{path}, line 1: no header; it must read {' '.join(columns)} (tabs)")
    header = [field.strip() for field in lines[0].split("\t")]
    missing = [column for column in columns if column not in header]
    if missing:
        if len(header) == 1:
            for mark, separator in ((",", "commas"), (";", "semicolons"), (" ", "spaces")):
                if mark in header[0]:
                    _fail(path, 1, f"columns are separated by {separator}", "separate by tabs")
        _fail(
            path,
            1,
            f"column {', '.join(missing)} is missing (found: {', '.join(header)})",
            f"name the columns {' '.join(columns)}",
        )
    if len(set(header)) < len(header):
        _fail(path, 1, "a column name appears twice", "keep one column of each name")
    places = [header.index(column) for column in columns]
    for line, text in enumerate(lines[1:], start=2):
        if not text.strip():
            continue
        fields = [field.strip() for field in text.split("\t")]
        if len(fields) == 1 and len(columns) > 2 and places[0] == 0 and not set(text) & set(",;"):
            fields += [""] * (len(header) - 1)  # an editor stripped the tabs of an event-free row
        if len(fields) != len(header):
            _fail(
                path,
                line,
                f"{len(fields)} fields where the header has {len(header)}",
                "separate the fields by single tabs",
            )
        row = tuple(fields[place] for place in places)
        if not row[0]:
            _fail(path, line, "filename is empty", "name the file")
        yield line, row


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # drops a byte order mark
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read as UTF-8 text ({error}); save it as such"
        ) from error


def _seconds(path: str | Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        _fail(path, line, f"{column} {text!r} is not a number", "write seconds such as 1.25")
    if not abs(value) < LARGEST:
        _fail(path, line, f"{column} is {text}", "give a finite time or leave the event out")
    if value < 0:
        _fail(path, line, f"{column} {text} is negative", "count seconds from the file's start")
    return value


def _fail(path: str | Path, line: int, problem: str, remedy: str) -> NoReturn:
    raise UserError(f"{path}, line {line}: {problem}; {remedy}")
