"""What every data set becomes: a table of clips, its classes and, where they exist, its events."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bench.corpora.listing import REMEDY, digest_of_lists, read_facts
from bench.files import (
    UserError,
    atomic_write,
    damage_told,
    digest_file,
    digest_of,
    write_json,
)

Progress = Callable[[int, int], None]  # called with (done, total) now and then

SPLITS = ("train", "validation", "test")
COLUMNS = ("clip", "path", "start_s", "duration_s", "split", "fold", "group", "strong", "labels")
EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")
FILE_COLUMNS = ("path", "size", "mtime_ns", "sha256")
ROWS_AT_ONCE = 1 << 16  # of a parquet file: what a reader that streams it holds


class Coverage(NamedTuple):
    """How much of a data set is on this disk, in clips."""

    found: int
    listed: int


@dataclass(frozen=True, eq=False)
class Corpus:
    """One data set, split and labelled.

    Attributes:
        name: the data set.
        root: folder that `clips.path` is relative to.
        classes: class names in their fixed order.
        clips: one row per clip that is on disk, sorted by `clip` (unique). `path` str; `start_s`
            and `duration_s` float, the part of the file that is the clip (the file may end
            earlier); `split` one of SPLITS; `fold` int, -1 where there are none; `group` str, the
            original recording; `strong` bool, whether `events` covers the clip; `labels` list of
            class names.
        events: `filename` (= `clips.clip`), `onset`, `offset` in seconds, `event_label`; None for
            data sets without times. A strong clip without rows has no event.
        multilabel: whether a clip can have several labels or none.
        synthetic: whether the audio was made by the embedded builder.
        missing: listed clips without a file: the columns of `clips`, `path` empty.
        digest, audio_digest: see `save`; empty until saved.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    clips: pd.DataFrame
    events: pd.DataFrame | None
    multilabel: bool
    synthetic: bool
    missing: pd.DataFrame
    digest: str = ""
    audio_digest: str = ""

    @property
    def coverage(self) -> Coverage:
        """Clips found and listed over all splits."""
        return Coverage(len(self.clips), len(self.clips) + len(self.missing))

    def coverage_by_split(self) -> dict[str, Coverage]:
        """Clips found and listed of each split that has any."""
        found = self.clips["split"].value_counts()
        gone = self.missing["split"].value_counts()
        pairs = {split: (int(found.get(split, 0)), int(gone.get(split, 0))) for split in SPLITS}
        return {split: Coverage(a, a + b) for split, (a, b) in pairs.items() if a + b}


def assemble(
    name: str,
    root: Path,
    classes: Iterable[str],
    clips: pd.DataFrame,
    *,
    multilabel: bool,
    synthetic: bool,
    events: pd.DataFrame | None = None,
) -> Corpus:
    """A checked corpus from a loader's table, in which clips without a file have an empty path.

    Raises:
        UserError: no audio at all, a repeated clip, or a group in two splits or folds.
    """
    if "strong" not in clips:
        clips = clips.assign(strong=False)
    clips = clips[list(COLUMNS)].sort_values("clip", kind="stable")
    on_disk = clips["path"] != ""
    if not on_disk.any():
        raise UserError(
            f"{root}: none of the {len(clips)} clips that {name} lists is there; "
            f"set datasets.{name}.root to the folder that holds the audio"
        )
    if events is not None:
        kept = set(clips.loc[on_disk, "clip"])
        events = events[events["filename"].isin(kept)]
        events = events.sort_values(list(EVENT_COLUMNS), kind="stable").reset_index(drop=True)
    corpus = Corpus(
        name=name,
        root=root,
        classes=tuple(classes),
        clips=clips[on_disk].reset_index(drop=True),
        events=events,
        multilabel=multilabel,
        synthetic=synthetic,
        missing=clips[~on_disk].reset_index(drop=True),
    )
    check(corpus)
    return corpus


def check(corpus: Corpus) -> None:
    """Hold a corpus to its promises.

    Raises:
        UserError: a clip is listed twice, or a recording (group) lies in two splits or folds;
            the message names it.
    """
    tables = [table for table in (corpus.clips, corpus.missing) if len(table)]
    clips = pd.concat(tables, ignore_index=True)
    repeated = clips.loc[clips["clip"].duplicated(), "clip"]
    if len(repeated):
        raise UserError(f"{corpus.name}: clip '{repeated.iloc[0]}' is listed more than once")
    for column in ("split", "fold"):
        counts = clips.groupby("group", sort=True)[column].nunique()
        for group in counts.index[counts > 1][:1]:
            values = sorted(clips.loc[clips["group"] == group, column].unique().tolist())
            raise UserError(
                f"{corpus.name}: recording '{group}' lies in {column}s "
                f"{', '.join(map(str, values))}; a recording belongs to one {column} only"
            )


def save(
    corpus: Corpus,
    folder: str | Path,
    *,
    threads: int = 8,
    progress: Progress | None = None,
) -> Corpus:
    """Hash every audio file and write the corpus; returns it with its digests.

    `folder` gets clips.parquet, events.tsv (where there are events), missing.tsv, files.parquet
    (path, size, mtime_ns, sha256) and, last, corpus.json. A file whose size and modification time
    are those of an earlier files.parquet is not read again.

    `audio_digest` covers (path, size, sha256) of the audio files, `digest` also the table, the
    classes and the events. Neither depends on where the data set lies. corpus.json has a third one,
    `lists`, that does not depend on what of it is on this disk (`listing.digest_of_lists`).
    """
    folder = Path(folder)
    files = _hash_files(corpus, folder / "files.parquet", threads, progress)
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
    written = ["clips.parquet"]
    for name, frame in (
        ("missing.tsv", corpus.missing.drop(columns="path")),
        ("events.tsv", corpus.events),
    ):
        if frame is not None:
            with atomic_write(folder / name) as path:
                _joined(frame).to_csv(path, sep="\t", index=False)
            written.append(name)
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
            "tables": {name: digest_file(folder / name) for name in written},
        },
    )
    return dataclasses.replace(corpus, digest=digest, audio_digest=audio_digest)


def open_corpus(folder: str | Path) -> Corpus:
    """Read what `save` wrote.

    Raises:
        UserError: the folder holds no complete corpus, or a damaged one.
    """
    folder = Path(folder)
    facts = read_facts(folder)
    with damage_told(folder, REMEDY):
        clips = pd.read_parquet(folder / "clips.parquet")
        clips["labels"] = [list(labels) for labels in clips["labels"]]
        text: dict[str, Any] = {"clip": str, "group": str, "labels": str}
        missing = pd.read_csv(folder / "missing.tsv", sep="\t", keep_default_na=False, dtype=text)
        missing["labels"] = [labels.split("|") if labels else [] for labels in missing["labels"]]
        events = None
        if "events.tsv" in facts["tables"]:
            events = pd.read_csv(folder / "events.tsv", sep="\t", dtype={"filename": str})
        return Corpus(
            name=facts["name"],
            root=Path(facts["root"]),
            classes=tuple(facts["classes"]),
            clips=clips,
            events=events,
            multilabel=facts["multilabel"],
            synthetic=facts["synthetic"],
            missing=missing.assign(path="")[list(COLUMNS)],
            digest=facts["digest"],
            audio_digest=facts["audio_digest"],
        )


def _joined(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with its lists of labels written as a|b."""
    if "labels" not in table:
        return table
    return table.assign(labels=["|".join(labels) for labels in table["labels"]])


def _digest_table(table: pd.DataFrame) -> str:
    text = _joined(table).to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_files(
    corpus: Corpus, earlier: Path, threads: int, progress: Progress | None
) -> pd.DataFrame:
    """FILE_COLUMNS of every audio file of the corpus, sorted by path."""
    known: dict[str, tuple[int, int, str]] = {}
    if earlier.exists():
        table = pd.read_parquet(earlier)
        known = {row[0]: row[1:] for row in table[list(FILE_COLUMNS)].itertuples(index=False)}
    paths = sorted(set(corpus.clips["path"]))

    def describe(path: str) -> tuple[str, int, int, str]:
        file = corpus.root / path
        state = os.stat(file)
        stamp = (state.st_size, state.st_mtime_ns)
        before = known.get(path)
        if before is not None and before[:2] == stamp:
            return path, *before
        return path, *stamp, digest_file(file)

    rows: list[tuple[str, int, int, str]] = []
    with ThreadPoolExecutor(threads) as pool:
        for batch in _batches(paths, 1024):  # bounds the queue: millions of files, flat memory
            rows += pool.map(describe, batch)
            if progress is not None:
                progress(len(rows), len(paths))
    return pd.DataFrame(rows, columns=list(FILE_COLUMNS))


def _batches(items: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
