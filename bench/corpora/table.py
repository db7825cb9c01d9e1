"""A table of clips, and optionally one of events: users' own data, without code."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

from pydantic import Field

from bench.audio.decode import lengths_of
from bench.corpora.base import Corpus
from bench.corpora.entries import Entry, Names, Problems, Text
from bench.corpora.own import Classes, corpus_of
from bench.corpora.reading import (
    AudioFolder,
    listed_name,
    require,
    rows,
    separator_of,
    stem_of,
)
from bench.corpora.splitting import AS_TOLD, Splits
from bench.files import UserError
from bench.metrics.events import events_table
from bench.strict import Strict
from bench.text_tables import Row

IN_SECONDS = "give times in seconds from the beginning of the file"
IN_ORDER = "it must begin at 0 or later and end after that"
TOLERANCE_S = 0.1  # encoders pad and cut; an event may end this much after its file
Event = tuple[str, float, float, str]


class Columns(Strict):
    """Names of the table's columns; a list of labels' columns holds 0 or 1 in each."""

    path: str = "filename"
    label: Text | Names | None = None
    split: str | None = None
    fold: str | None = None
    group: str | None = None
    start: str | None = None
    end: str | None = None


class EventColumns(Strict):
    """Names of the columns of the table of events."""

    path: str = "filename"
    onset: str = "onset"
    offset: str = "offset"
    label: str = "event_label"


def load(
    root: Path,
    *,
    name: str = "table",
    table: str,
    columns: Columns | None = None,
    label_separator: Annotated[str, Field(min_length=1)] | None = None,
    audio: str = ".",
    events: str | None = None,
    event_columns: EventColumns | None = None,
    classes: Names = (),
    rename: dict[Text, Text] | None = None,
    leave_out: Names = (),
    splits: Splits = AS_TOLD,
    synthetic: bool = False,
) -> Corpus:
    """The clips of a table with a header; commas, tabs or semicolons separate its columns.

    A clip is its whole file, or from `start` to `end` (seconds). Clips may have several labels if a
    separator, 0/1 columns or events are given. A clip that the table of events names (a row with
    empty times means "no event") has strong labels, and the classes of its events as labels;
    without a label column, so does every clip. A clip without a file counts as missing.

    Args:
        root: folder of the data set.
        name: the data set's key in the experiment.
        table: file of the table, relative to `root`, as are `audio` and `events`.
        columns: names of its columns.
        label_separator: separator between the labels of a clip.
        audio: folder that the paths in the table are relative to.
        events: table of events; times are in seconds of the file.
        event_columns: names of its columns.
        classes, rename, leave_out, splits, synthetic: as in `folder.load`.

    Raises:
        UserError: one line for everything that is wrong, with file and line.
    """
    require(root, name)
    columns, timing, problems = columns or Columns(), event_columns or EventColumns(), Problems()
    where = f"datasets.{name}.options"
    for key, file in {"table": table, "audio": audio, "events": events}.items():
        path, kind = root / (file or ""), "folder" if key == "audio" else "file"
        if file is not None and not (path.is_dir() if key == "audio" else path.is_file()):
            problems.add(
                f"{path}: no such {kind}; correct {where}.{key}, which is relative to "
                f"datasets.{name}.root"
            )
    problems.refuse()
    if event_columns is not None and events is None:
        raise UserError(
            f"{where}.event_columns: names columns of an events file; set {where}.events"
        )
    if columns.label is None and events is None:
        raise UserError(f"{where}: set columns.label to the column of labels, or give events")
    labels = Classes(name, classes, rename or {}, leave_out)
    files = AudioFolder(root, "" if audio == "." else audio)
    entries, timed, found = list[Entry](), list[Row](), list[Event]()
    with problems.noted():
        entries += _entries(root / table, root / audio, columns, label_separator, files, problems)
        if not entries:
            raise UserError(f"{root / table}: lists no clip; give each a line")
    if events is not None:
        with problems.noted():
            called = timing.model_dump().values()
            timed += _rows(root / events, called, "options.event_columns", problems)
            if not timed:
                raise UserError(f"{root / events}: lists no event; take {where}.events out")
    if not entries or (events and not timed):
        problems.refuse()
    if events or columns.start or columns.end:
        lengths = lengths_of(root, (entry.path for entry in entries if entry.path))
        _fit(entries, lengths, problems)
        if events is not None:
            found = _with_events(
                timed, timing, root / audio, entries, lengths, labels, problems, files.remarks,
                told=None if columns.label is None else root / events,
            )  # fmt: skip
    return corpus_of(
        name,
        root,
        entries,
        None if events is None else events_table(found),
        classes=labels,
        splits=splits,
        multilabel=bool(label_separator or events) or isinstance(columns.label, tuple),
        synthetic=synthetic,
        remarks=files.remarks,
        problems=problems,
    )


def _entries(
    table: Path,
    folder: Path,
    columns: Columns,
    separator: str | None,
    files: AudioFolder,
    problems: Problems,
) -> Iterator[Entry]:
    """The clips of the table, which has paths below `folder`; a line that cannot be read is a
    problem."""
    label = columns.label
    labels = label if isinstance(label, tuple) else () if label is None else (label,)
    others = columns.model_dump(exclude={"label"}, exclude_none=True).values()
    lines: dict[tuple[str, float, float | None], int] = {}
    for row in _rows(table, (*others, *labels), "options.columns", problems):
        with problems.noted():
            if not row[columns.path]:
                raise row.error(f"no file in column {columns.path}; name one, or delete the row")
            path = listed_name(row[columns.path], folder)
            found = files.find(path)
            if path.startswith("../") and (folder / path).is_file():
                raise row.error(
                    f"'{row[columns.path]}' lies outside {folder}; set root or options.audio to a "
                    "folder that holds all audio"
                )
            start = row.number(columns.start) if columns.start and row[columns.start] else 0.0
            end = row.number(columns.end) if columns.end and row[columns.end] else None
            if start < 0 or (end is not None and end <= start):
                last = "its end" if end is None else f"{end:g} s"
                raise row.error(f"a clip from {start:g} s to {last}; {IN_ORDER}")
            cut = columns.start or columns.end
            clip = f"{path}@{start:.10g}" if cut else path
            clip += f"-{end:.10g}" if end is not None else ""
            first = lines.setdefault((found or path, start, end), row.line)
            if first != row.line:
                called = "" if found.endswith(path) else f" as {found}"
                raise row.error(
                    f"'{clip}' stands in line {first} too{called}; give a clip one line, and "
                    "several labels with a label_separator"
                )
            entry = Entry(
                clip,
                found,
                row.where,
                _labels(row, label, separator),
                listed=tuple(dict.fromkeys((clip, path))),
                start_s=start,
            )
            if end is not None:
                entry.duration_s = end - start
            for name in ("group", "fold", "split"):
                column = getattr(columns, name)
                if column is not None:
                    setattr(entry, name, row[column])
            if cut and not entry.group:
                entry.group = found or path  # cuts of one file
            yield entry


def _rows(table: Path, columns: Collection[str], key: str, problems: Problems) -> Iterator[Row]:
    """The lines of a table of clips or events, whose columns the option `key` names; one of another
    width is a problem."""
    told = f"name its columns in {key}"
    return rows(table, columns, separator=separator_of(table), on_odd=problems.add, remedy=told)


def _labels(row: Row, label: Text | Names | None, separator: str | None) -> list[str]:
    if label is None:
        return []
    if isinstance(label, tuple):
        marks = {column: row[column] for column in label}
        for column, mark in marks.items():
            if mark.lower() not in ("0", "1", "0.0", "1.0", "false", "true", ""):
                raise row.error(f"'{mark}' in column {column}; write 0 or 1")
        return [column for column, mark in marks.items() if mark[:1] in ("1", "t", "T")]
    text = row[label]
    if separator is None:
        if not text:
            raise row.error(
                f"no label in column {label}; give the clip one, or delete the row (with a "
                "label_separator clips may have none)"
            )
        return [text]
    return [name.strip() for name in text.split(separator) if name.strip()]


def _fit(entries: Iterable[Entry], lengths: dict[str, float], problems: Problems) -> None:
    """Check cuts against the lengths of their files; a cut without an end lasts to the file's
    end."""
    for entry in entries:
        length = lengths.get(entry.path, 0.0)
        if not length:
            continue
        if entry.start_s and math.isnan(entry.duration_s):
            entry.duration_s = length - entry.start_s
        end = entry.start_s + entry.duration_s
        if entry.start_s >= length or end > length + TOLERANCE_S:
            problems.add(
                f"{entry.where}: a clip from {entry.start_s:g} s to {end:g} s, and {entry.path} is "
                f"{length:.3f} s long; {IN_SECONDS}"
            )


def _with_events(
    timed_rows: Iterable[Row],
    columns: EventColumns,
    folder: Path,
    entries: list[Entry],
    lengths: dict[str, float],
    classes: Classes,
    problems: Problems,
    remarks: dict[str, str],
    told: Path | None,
) -> list[Event]:
    """The events of each clip, in seconds from its beginning; clips get the labels of their events.

    Args:
        folder: what the names of files are relative to, where they are absolute.
        classes: by whose new names events and the table are compared.
        remarks: gets the events that no clip holds.
        told: the table of events where the table of clips has labels as well, so that clips
            without events keep these.
    """
    by_name = _by_name(entries)
    timed: set[int] = set()
    heard: dict[int, list[Event]] = defaultdict(list)
    lines: dict[tuple[object, ...], int] = {}
    unknown: dict[str, list[str]] = defaultdict(list)
    for row in timed_rows:
        with problems.noted():
            name = listed_name(row[columns.path], folder)
            clips = by_name.get(name) or by_name.get(stem_of(name))
            if not clips:
                raise row.error(
                    f"'{row[columns.path]}' is no clip of the table; add it there, or delete the "
                    "row"
                )
            timed |= {id(entry) for entry in clips}
            label = row[columns.label]
            if not (label or row[columns.onset] or row[columns.offset]):
                continue
            onset, offset = row.number(columns.onset), row.number(columns.offset)
            if not label:
                raise row.error(
                    f"an event without a label; name its class in column {columns.label}, or clear "
                    "its times where the clip has no event"
                )
            if not classes.know(label):
                unknown[label].append(row.where)
            length = lengths.get(clips[0].path, 0.0)
            if not 0 <= onset < offset:
                raise row.error(f"an event from {onset:g} s to {offset:g} s; {IN_ORDER}")
            if length and offset > length + TOLERANCE_S:
                raise row.error(
                    f"an event from {onset:g} s to {offset:g} s, and {clips[0].path} is "
                    f"{length:.3f} s long; {IN_SECONDS}"
                )
            # one clip or all of a file
            first = lines.setdefault((clips[0].clip, len(clips), onset, offset, label), row.line)
            if first != row.line:
                raise row.error(f"repeats line {first}; delete one of the two rows")
            if label in unknown:
                continue
            held = False
            for entry in clips:
                begin, end = max(0.0, onset - entry.start_s), offset - entry.start_s
                if not math.isnan(entry.duration_s):
                    end = min(end, entry.duration_s)
                if begin < end:
                    heard[id(entry)].append((entry.clip, begin, end, label))
                    held = True
            if not held:
                remarks[row.where] = "the event lies in no clip of its file, and is left out"
    classes.refuse(unknown, problems)
    for entry in entries:
        if id(entry) in timed or told is None:
            own = list(dict.fromkeys(event[3] for event in heard[id(entry)]))
            heard_as, labelled = (
                {classes.rename.get(x, x) for x in y} for y in (own, entry.labels)
            )
            if told is not None and labelled and heard_as != labelled:
                problems.add(
                    f"{entry.where}: labels {_listed(entry.labels)}, and its events in {told} "
                    f"{_listed(own)}; make them agree, or leave the label empty"
                )
            entry.strong, entry.labels = True, own
    return list(chain.from_iterable(heard.values()))


def _by_name(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Clips by the names that events may call them: path in the table, or the file's name where
    no other file of the table has it, both with or without suffix."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        for name in entry.listed:
            found[name].append(entry)
    paths = {entry.listed[-1] for entry in entries}
    for short in (stem_of, _base, lambda path: stem_of(_base(path))):
        counts = Counter(map(short, paths))
        for path in paths:
            if counts[short(path)] == 1:
                found.setdefault(short(path), found[path])
    return found


def _base(path: str) -> str:
    return Path(path).name


def _listed(labels: Collection[str]) -> str:
    return ", ".join(f"'{label}'" for label in labels) or "nothing"
