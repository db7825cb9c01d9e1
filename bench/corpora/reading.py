"""Reading the files of data sets, with errors that name file, line and remedy."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator
from functools import cached_property, lru_cache, partial
from pathlib import Path

from bench import text_tables
from bench.files import UserError, regular_files
from bench.text_tables import Row, records, text_lines

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
UNREAD_SUFFIXES = (
    ".3gp", ".aac", ".aif", ".aiff", ".amr", ".au", ".avi", ".caf", ".flv", ".m4a", ".m4v", ".mka",
    ".mkv", ".mov", ".mp4", ".mpg", ".oga", ".sph", ".webm", ".wma", ".wv",
)  # fmt: skip


def composed(text: str) -> str:
    """Letters with their accents as one character each: some systems split them in file names."""
    return unicodedata.normalize("NFC", text)


rows = partial(text_tables.rows, letters=composed)
"""`text_tables.rows` of a data set's own table, with composed letters."""


def separator_of(path: Path) -> str:
    """What stands between the columns of a table with a header: comma, tab or semicolon.

    Raises:
        UserError: no such file, or not text.
    """
    header = next(lines_of(path), (1, ""))[1]
    return max(",\t;", key=header.count)


def headless_rows(path: Path, columns: Collection[str], *, separator: str = ",") -> Iterator[Row]:
    """The lines of a table without a header; first lines that start with '#' do not count.

    Raises:
        UserError: no such file, not text, or a line of another width.
    """
    in_header = True
    for line, values in records(path, separator, composed):
        in_header = in_header and values[0].startswith("#")
        if in_header:
            continue
        row = Row(path, line, dict(zip(columns, values, strict=False)))
        if len(values) != len(columns):
            raise row.error(
                f"{len(values)} fields, expected {', '.join(columns)}; put a value that holds a "
                "separator into double quotes"
            )
        yield row


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, text) of the non-empty lines of a text file.

    Raises:
        UserError: no such file, or not text.
    """
    for number, line in enumerate(text_lines(path, composed), start=1):
        if line.strip():
            yield number, line.strip()


def is_text(name: str) -> bool:
    """Whether the bytes of a file's name are UTF-8."""
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def listed_name(text: str, folder: Path) -> str:
    """A path as a list has it, relative to `folder`: an absolute one, also by way of a link, or one
    with .. too."""
    if "/" not in text:
        text = text.replace("\\", "/")
    found = os.path.normpath(text)
    if os.path.isabs(found):
        found = os.path.relpath(found, _named_by(os.path.dirname(found), folder))
    return found


@lru_cache(maxsize=4096)  # a list names many files of one folder
def _named_by(inner: str, folder: Path) -> str:
    """`folder` as a path to something inside it names it, perhaps by way of a link."""
    above = (inner, *map(str, Path(inner).parents))
    same = (path for path in above if os.path.exists(path) and os.path.samefile(path, folder))
    return next(same, composed(str(folder.absolute())))


def require(folder: Path, dataset: str, *names: str) -> None:
    """Check that a data set's folder holds what its layout requires.

    Raises:
        UserError: naming the first absent path and the config key to set.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: not a folder; set datasets.{dataset}.root to one")
    for path in (folder, *(folder / name for name in names)):
        if not path.exists():
            raise UserError(
                f"{path}: no such file or folder; set datasets.{dataset}.root to the folder that "
                f"holds {', '.join(names) or 'the data set'}"
            )


class AudioFolder:
    """The audio below a folder, found by listed names; hidden files are left out.

    A list may name a.wav if the file is a.flac: any suffix that is read will do.

    Attributes:
        names: of the files that can be read, sorted, relative to the folder.
        unnamed: of audio whose name is not UTF-8 text, which no table can hold; made printable.
        remarks: what is wrong with files that are not found: by the listed name those that are
            `unread` or links without a target, and all that are `unnamed`.
    """

    def __init__(self, root: Path, below: str = "") -> None:
        """One scan of `root / below` without opening files: two million clips take seconds."""
        self._folder, self._prefix = root / below, f"{below}/" if below else ""
        self.names: list[str] = []
        self.remarks: dict[str, str] = {}
        self.unnamed: list[str] = []
        self._others: list[str] = []
        dangling: list[str] = []
        for name, _ in regular_files(root / below, dangling.append):
            suffix = os.path.splitext(name)[1].lower()
            if suffix in AUDIO_SUFFIXES and not is_text(name):
                self.unnamed.append(os.fsencode(name).decode(errors="backslashreplace"))
            elif suffix in AUDIO_SUFFIXES:
                self.names.append(name)
            elif suffix in UNREAD_SUFFIXES:
                self._others.append(name)
        self._dangling = {x for x in dangling if os.path.splitext(x)[1].lower() in AUDIO_SUFFIXES}
        self._others += filter(is_text, self._dangling)
        self.names.sort()
        self.unnamed.sort()
        self._others.sort()
        self.remarks |= {self._prefix + x: unnamed_remark(self._prefix + x) for x in self.unnamed}

    def find(self, listed: str) -> str:
        """The file of a listed name, relative to `root`; empty where there is none to be read."""
        stem = composed(stem_of(listed))
        found = listed if listed in self._known else self._by_stem.get(stem)
        if found is None and self._is_by_a_link(listed):
            found = listed
        if found is not None:
            return self._prefix + found
        other = self._unread_by_stem.get(stem)
        if other is not None:
            remark = dangling_remark if other in self._dangling else unread_remark
            self.remarks[composed(listed)] = remark(self._prefix + other)
        return ""

    def _is_by_a_link(self, listed: str) -> bool:
        """Whether a listed name leads by a linked folder to audio that has a name of its own."""
        path = Path(listed)
        if path.suffix.lower() not in AUDIO_SUFFIXES or any(x.startswith(".") for x in path.parts):
            return False
        linked = any((self._folder / folder).is_symlink() for folder in path.parents[:-1])
        return linked and (self._folder / path).is_file()

    @property
    def unread(self) -> list[str]:
        """Names of files in unread formats, and of links without a target, without a readable file
        of the same name."""
        return [*self._unread_by_stem.values()]

    @cached_property
    def _known(self) -> set[str]:
        return set(self.names)

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        return {composed(stem_of(name)): name for name in reversed(self.names)}

    @cached_property
    def _unread_by_stem(self) -> dict[str, str]:
        if not self._others:
            return {}
        others = {composed(stem_of(name)): name for name in reversed(self._others)}
        return {stem: name for stem, name in others.items() if stem not in self._by_stem}


def unread_remark(path: str) -> str:
    """The remark on audio in a format that is not read."""
    return f"{path}: {os.path.splitext(path)[1]} files are not read; convert it to FLAC or WAV"


def dangling_remark(path: str) -> str:
    """The remark on a link to audio that is not here."""
    return (
        f"{path}: a link whose target is missing; fetch it (git annex get, dvc pull), or delete it"
    )


def unnamed_remark(path: str) -> str:
    """The remark on audio whose name is not text."""
    return f"{path}: the name is not UTF-8 text; rename the file or its folder"


def stem_of(path: str) -> str:
    """A path without the suffix of an audio file; what else follows a dot belongs to its name."""
    stem, suffix = os.path.splitext(path)
    return stem if suffix.lower() in (*AUDIO_SUFFIXES, *UNREAD_SUFFIXES) else path
