"""The clips of a saved corpus, row by row, in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from bench.files import UserError, damage_told, digest_file
from bench.strict import read_as

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = 4096  # rows of the table in memory
REMEDY = "delete this folder and run again"


class Counts(TypedDict):
    found: int
    listed: int


class Facts(TypedDict):
    """corpus.json, see `saving.save`."""

    name: str
    root: str
    classes: list[str]
    multilabel: bool
    synthetic: bool
    coverage: Counts
    digest: str
    audio_digest: str
    lists: str
    remarks: dict[str, str]
    straddling: list[str]
    tables: dict[str, str]


def corpus_facts(folder: Path) -> Facts:
    """corpus.json of a saved corpus.

    Raises:
        UserError: there is none, or it is damaged.
    """
    facts: Facts = read_as(Facts, folder / "corpus.json", REMEDY)
    return facts


def read_facts(folder: Path) -> Facts:
    """corpus.json of a saved corpus, whose tables are as they were written.

    Raises:
        UserError: the folder holds no complete corpus, or one that was damaged or edited.
    """
    facts = corpus_facts(folder)
    with damage_told(folder, REMEDY):
        for name, sha256 in facts["tables"].items():
            if digest_file(folder / name) != sha256:
                raise ValueError(f"{name} is not what was written")
        return facts


def digest_of_lists(*tables: pd.DataFrame) -> str:
    """sha256 of what a data set's lists say: each clip with its fold and labels, in any order.

    Args:
        tables: `Corpus.clips` and `Corpus.missing`. Splits are left out: an option may cut
            validation clips from a published training list.
    """
    lines = sorted(
        f"{clip}\t{fold}\t{'|'.join(labels)}\n"
        for table in tables
        for clip, fold, labels in zip(table["clip"], table["fold"], table["labels"], strict=True)
    )
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Listing:
    """What `save` wrote about a corpus; its table stays on disk.

    Attributes:
        folder: where the corpus was saved.
        name, root, audio_digest: those of the `Corpus`.
        found, listed: clips on disk, which are the table's rows, and clips in the lists.
        remarks: clip -> what is wrong with its file, as known before decoding.
    """

    folder: Path
    name: str
    root: Path
    audio_digest: str
    found: int
    listed: int
    remarks: dict[str, str]

    @classmethod
    def open(cls, folder: str | Path) -> Listing:
        """Read the facts of a saved corpus.

        Raises:
            UserError: the folder holds no complete corpus, or a damaged one.
        """
        facts = read_facts(Path(folder))
        with damage_told(folder, REMEDY):
            return cls(
                folder=Path(folder),
                name=facts["name"],
                root=Path(facts["root"]),
                audio_digest=facts["audio_digest"],
                **facts["coverage"],
                remarks=facts["remarks"],
            )

    def check_audio(self) -> None:
        """Compare the audio files with those read when the corpus was saved: size and time, or the
        bytes if the time differs.

        Raises:
            UserError: a file has changed or is gone.
        """
        for path, size, mtime_ns, sha256 in self._stored(
            "files.parquet", "path", "size", "mtime_ns", "sha256"
        ):
            file = self.root / path
            try:
                state = file.stat()
                same = state.st_size == size and (
                    state.st_mtime_ns == mtime_ns or digest_file(file) == sha256
                )
            except OSError:
                same = False
            if not same:
                raise UserError(
                    f"{file}: not the file that {self.name} was read from; run `python -m bench "
                    f"corpus {self.name}`, or the plain command, which does it first"
                )

    def rows(self, *columns: str) -> Iterator[tuple[Any, ...]]:
        """These columns of every clip, in the table's order.

        Raises:
            UserError: the table is missing or damaged.
        """
        return self._stored("clips.parquet", *columns)

    def _stored(self, table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
        import pyarrow.parquet  # late: a tenth of a second

        with (
            damage_told(self.folder, REMEDY),
            pyarrow.parquet.ParquetFile(self.folder / table) as stored,
        ):
            for batch in stored.iter_batches(AT_ONCE, columns=list(columns), use_threads=False):
                yield from zip(*(batch[name].to_pylist() for name in columns), strict=True)
