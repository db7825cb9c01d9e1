"""A corpus on disk: its table, and the length and hash of each file, measured once."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from bench.audio.decode import seconds_of
from bench.corpora.base import COLUMNS, Corpus, shared_recordings
from bench.corpora.lengths import fitted
from bench.corpora.listing import REMEDY, digest_of_lists, read_facts
from bench.corpora.own import refuse_copies
from bench.files import (
    atomic_write,
    damage_told,
    digest_file,
    digest_of,
    write_json,
    write_text,
)
from bench.metrics.events import EVENT_COLUMNS, events_table, write_events
from bench.text_tables import line_of, rows, text_of

Progress = Callable[[int, int], None]  # called with (done, total) from time to time

FILE_COLUMNS = ("path", "size", "mtime_ns", "sha256", "seconds")
MISSING_COLUMNS = tuple(name for name in COLUMNS if name != "path")
MISSING, EVENTS = "missing.tsv", "events.tsv"
ROWS_AT_ONCE = 1 << 16  # of a parquet file: as many as a streaming reader holds


def save(
    corpus: Corpus,
    folder: str | Path,
    *,
    threads: int = 8,
    progress: Progress | None = None,
) -> Corpus:
    """Measure and hash every audio file and write the corpus; returns it as it was written.

    `folder` gets clips.parquet, events.tsv (where there are events), missing.tsv, files.parquet
    (path, size, mtime_ns, sha256, seconds) and, last, corpus.json, which also says which remarks
    there are on clips and which recordings a published list shares between splits. A file whose
    size and modification time are those of an earlier files.parquet is not read again.

    `audio_digest` covers (path, size, sha256) of the audio files, `digest` also the table, the
    classes and the events. Neither depends on where the data set is. corpus.json has a third one,
    `lists`, that does not depend on which clips are on this disk (`listing.digest_of_lists`).

    Raises:
        UserError: no audio file is as long as its list says, or equal files of a person's own data
            lie in two splits or folds.
    """
    folder = Path(folder)
    files = _read_files(corpus, folder / "files.parquet", threads, progress)
    corpus = fitted(corpus, dict(zip(files["path"], files["seconds"], strict=True)))
    if corpus.own:
        refuse_copies(corpus, dict(zip(files["path"], files["sha256"], strict=True)))
    audio_digest = _digest_table(files[["path", "size", "sha256"]])
    digest = digest_of(
        {
            "audio": audio_digest,
            "clips": _digest_table(corpus.clips),
            "events": None if corpus.events is None else _digest_table(corpus.events),
            "classes": corpus.classes,
            "multilabel": corpus.multilabel,
        }
    )
    for name, table in (("files", files), ("clips", corpus.clips)):
        with atomic_write(folder / f"{name}.parquet") as path:
            table.to_parquet(path, index=False, row_group_size=ROWS_AT_ONCE)
    written = ["clips.parquet", MISSING]
    write_text(folder / MISSING, text_of(_lines_of(corpus.missing)))
    if corpus.events is not None:
        write_events(folder / EVENTS, corpus.events)
        written.append(EVENTS)
    by_split = corpus.coverage_by_split()
    write_json(
        folder / "corpus.json",
        {
            "name": corpus.name,
            "root": str(corpus.root),
            "classes": corpus.classes,
            "multilabel": corpus.multilabel,
            "synthetic": corpus.synthetic,
            "coverage": corpus.coverage._asdict(),
            "coverage_by_split": {split: c._asdict() for split, c in by_split.items()},
            "digest": digest,
            "audio_digest": audio_digest,
            "lists": digest_of_lists(corpus.clips, corpus.missing),
            "remarks": dict(corpus.remarks),
            "shared_recordings": shared_recordings(corpus),
            "straddling": corpus.straddling,
            "tables": {name: digest_file(folder / name) for name in written},
        },
    )
    return dataclasses.replace(corpus, digest=digest, audio_digest=audio_digest)


def open_corpus(folder: str | Path) -> Corpus:
    """Read what `save` wrote.

    Raises:
        UserError: the folder holds no complete corpus, or a damaged one.
    """
    from pyarrow.parquet import read_table

    folder = Path(folder)
    facts = read_facts(folder)
    with damage_told(folder, REMEDY):
        table = read_table(folder / "clips.parquet")
        clips = table.to_pandas(split_blocks=True, self_destruct=True)  # AudioSet in memory once
        clips["labels"] = [list(labels) for labels in clips["labels"]]
        events = None
        if EVENTS in facts["tables"]:
            listed = rows(folder / EVENTS, EVENT_COLUMNS, separator="\t")
            events = events_table(
                (row["filename"], row.number("onset"), row.number("offset"), row["event_label"])
                for row in listed
            )
        return Corpus(
            name=facts["name"],
            root=Path(facts["root"]),
            classes=tuple(facts["classes"]),
            clips=clips,
            events=events,
            multilabel=facts["multilabel"],
            synthetic=facts["synthetic"],
            missing=_read_missing(folder / MISSING),
            remarks=facts["remarks"],
            straddling=tuple(facts["straddling"]),
            digest=facts["digest"],
            audio_digest=facts["audio_digest"],
        )


def _lines_of(missing: pd.DataFrame) -> Iterator[Iterable[str]]:
    """The table of clips without a file, whose labels are written as a|b."""
    yield MISSING_COLUMNS
    table = missing.assign(labels=[line_of(labels, "|") for labels in missing["labels"]])
    for row in table[list(MISSING_COLUMNS)].itertuples(index=False):
        yield map(str, row)


def _read_missing(path: Path) -> pd.DataFrame:
    """What `_lines_of` wrote, as `Corpus.missing` has it."""
    clips = (
        {
            **{name: row[name] for name in MISSING_COLUMNS},
            "path": "",
            "strong": row["strong"] == "True",
            "labels": row.several("labels", "|"),
        }
        for row in rows(path, MISSING_COLUMNS, separator="\t")
    )
    numbers = {"start_s": float, "duration_s": float, "cut_s": float, "fold": int, "strong": bool}
    return pd.DataFrame(clips, columns=list(COLUMNS)).astype(numbers)


def _joined(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with its lists of labels written as a|b."""
    if "labels" not in table:
        return table
    return table.assign(labels=["|".join(labels) for labels in table["labels"]])


def _digest_table(table: pd.DataFrame) -> str:
    """sha256 of the table as CSV, some rows at a time: two million are hundreds of MB of text."""
    digest = hashlib.sha256()
    for first in range(0, max(1, len(table)), ROWS_AT_ONCE):
        part = _joined(table.iloc[first : first + ROWS_AT_ONCE])
        digest.update(part.to_csv(index=False, header=not first, lineterminator="\n").encode())
    return digest.hexdigest()


def _read_files(
    corpus: Corpus, earlier: Path, threads: int, progress: Progress | None
) -> pd.DataFrame:
    """FILE_COLUMNS of every audio file of the corpus, sorted by path."""
    known = _known_files(earlier)
    paths = sorted(set(corpus.clips["path"]))

    def describe(path: str) -> tuple[Any, ...]:
        file = os.path.join(corpus.root, path)
        state = os.stat(file)
        stamp = (state.st_size, state.st_mtime_ns)
        before = known.get(path, ())
        if before[:2] == stamp:
            return path, *before
        return path, *stamp, digest_file(file), seconds_of(Path(file))

    rows: list[tuple[Any, ...]] = []
    # A task is many files: for one alone, handing it to a thread takes longer than its stat.
    lots = (paths[first : first + 64] for first in range(0, len(paths), 64))
    with ThreadPoolExecutor(threads) as pool:
        for described in pool.map(lambda lot: [*map(describe, lot)], lots):
            rows += described
            if progress is not None:
                progress(len(rows), len(paths))
    return pd.DataFrame(rows, columns=list(FILE_COLUMNS))


def _known_files(earlier: Path) -> dict[str, tuple[Any, ...]]:
    """The entries of an earlier files.parquet by path; none if it cannot be read."""
    try:
        table = pd.read_parquet(earlier, columns=list(FILE_COLUMNS))
    except (OSError, ValueError):
        return {}
    return {row[0]: row[1:] for row in table.itertuples(index=False, name=None)}
