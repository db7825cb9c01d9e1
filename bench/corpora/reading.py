"""Reading the files of data sets, with errors that name file, line and remedy."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from pathlib import Path

from bench.files import UserError, regular_files

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
UNREAD_SUFFIXES = (
    ".3gp", ".aac", ".aif", ".aiff", ".amr", ".au", ".avi", ".caf", ".flv", ".m4a", ".m4v", ".mka",
    ".mkv", ".mov", ".mp4", ".mpg", ".oga", ".sph", ".webm", ".wma", ".wv",
)  # fmt: skip


LARGEST = 1e9  # thirty years of seconds


class Row:
    """One line of a table: values by column name, and errors that know where they happened."""

    __slots__ = ("_path", "_values", "line")

    def __init__(self, path: Path, line: int, values: dict[str, str]) -> None:
        self._path, self.line, self._values = path, line, values

    def __getitem__(self, column: str) -> str:
        return self._values[column]

    def number(self, column: str) -> float:
        """The column as a number, of a plausible size for a time or a count.

        Raises:
            UserError: it is none.
        """
        text = self._values[column]
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not abs(value) < LARGEST:
            point = "; write it with a point" if "," in text else ""
            raise self.error(f"'{text}' in column {column} is not a number{point}")
        return value

    def integer(self, column: str) -> int:
        """The column as a whole number.

        Raises:
            UserError: it is none.
        """
        text = self._values[column]
        if not text.isdecimal():
            raise self.error(f"'{text}' in column {column} is not a whole number")
        return int(text)

    def known(self, value: str, classes: Collection[str]) -> str:
        """`value`, if it is one of `classes`.

        Raises:
            UserError: it is not.
        """
        if value not in classes:
            raise self.error(f"label '{value}' is not in the class list ({len(classes)} classes)")
        return value

    def error(self, what: str) -> UserError:
        """An error that names this row's file and line."""
        return UserError(f"{self._path}, line {self.line}: {what}")


def rows(
    path: Path,
    columns: Collection[str],
    *,
    separator: str = ",",
    on_odd: Callable[[str], None] | None = None,
    remedy: str = "is this the data set's own file?",
) -> Iterator[Row]:
    """The lines of a table with a header that holds at least `columns`; lines are counted from 1.

    Args:
        on_odd: called with what is wrong with a line of another width, which is then left out.
        remedy: what to do about a column that is missing.

    Raises:
        UserError: no such file, not text, a column that is missing or stands twice, or (without
            `on_odd`) a line of another width.
    """
    lines = _lines(path, separator)
    header = [name.strip() for name in next(lines, (1, []))[1]]
    absent = [f"'{column}'" for column in dict.fromkeys(columns) if column not in header]
    if absent:
        are = "column {} is" if len(absent) == 1 else "columns {} are"
        raise UserError(
            f"{path}: {are.format(', '.join(absent))} missing (found: "
            f"{', '.join(header) or 'nothing'}); {remedy}"
        )
    for column in columns:
        if header.count(column) > 1:
            raise UserError(f"{path}: column '{column}' stands twice in the header; rename one")
    for line, values in lines:
        if len(values) == len(header):
            yield Row(path, line, dict(zip(header, map(str.strip, values), strict=True)))
            continue
        odd = f"{path}, line {line}: {len(values)} fields where the header names {len(header)}"
        if on_odd is None:
            raise UserError(odd)
        on_odd(odd)


def separator_of(path: Path) -> str:
    """What stands between the columns of a table with a header: comma, tab or semicolon.

    Raises:
        UserError: no such file, or not text.
    """
    header = next(lines_of(path), (1, ""))[1]
    return max(",\t;", key=header.count)


def headless_rows(path: Path, columns: Collection[str]) -> Iterator[Row]:
    """The lines of a comma-separated table whose first lines start with '#'.

    Raises:
        UserError: no such file, not text, or a line of another width.
    """
    in_header = True
    for line, values in _lines(path, ","):
        in_header = in_header and values[0].startswith("#")
        if in_header:
            continue
        if len(values) != len(columns):
            raise UserError(
                f"{path}, line {line}: {len(values)} fields, expected {', '.join(columns)}"
            )
        yield Row(path, line, dict(zip(columns, values, strict=True)))


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, text) of the non-empty lines of a text file.

    Raises:
        UserError: no such file, or not text.
    """
    try:
        with open(path, encoding="utf-8-sig", newline=None) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, composed(line.strip())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise _not_text(path) from error


def _lines(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of the non-empty lines of a table."""
    line = 1
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(
                map(composed, file),
                delimiter=separator,
                skipinitialspace=separator != "\t",
                strict=True,  # a quote that nothing closes would take in the lines that follow
            )
            for values in reader:
                if any(values):
                    yield reader.line_num, values
                line = reader.line_num + 1
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    except csv.Error as error:
        raise UserError(
            f"{path}, line {line}: not a line of a table ({error}); is a quote not closed, or the "
            "file damaged?"
        ) from error


def _not_text(path: Path) -> UserError:
    return UserError(f"{path}: not UTF-8 text; save it as UTF-8, or is it damaged?")


def _is_text(name: str) -> bool:
    """Whether the bytes of a file's name are UTF-8."""
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def composed(text: str) -> str:
    """Letters with their accents as one character each: some systems split them in file names."""
    return unicodedata.normalize("NFC", text)


def listed_name(text: str, folder: Path) -> str:
    """A path as a list has it, relative to `folder`: an absolute one or one with .. too."""
    if "/" not in text:
        text = text.replace("\\", "/")
    found = os.path.normpath(text)
    if os.path.isabs(found):
        found = os.path.relpath(found, folder.absolute())
    return found


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
        remarks: listed name -> why `find` did not find it, where it is one of `unread`.
    """

    def __init__(self, root: Path, below: str = "") -> None:
        """One scan of `root / below` without opening files: two million clips take seconds."""
        self._prefix = f"{below}/" if below else ""
        self.names: list[str] = []
        self.remarks: dict[str, str] = {}
        self.unnamed: list[str] = []
        self._others: list[str] = []
        for name, _ in regular_files(root / below):
            suffix = os.path.splitext(name)[1].lower()
            if suffix in AUDIO_SUFFIXES and not _is_text(name):
                self.unnamed.append(os.fsencode(name).decode(errors="backslashreplace"))
            elif suffix in AUDIO_SUFFIXES:
                self.names.append(name)
            elif suffix in UNREAD_SUFFIXES:
                self._others.append(name)
        self.names.sort()
        self._others.sort()

    def find(self, listed: str) -> str:
        """The file of a listed name, relative to `root`; empty where there is none to be read."""
        stem = composed(stem_of(listed))
        found = listed if listed in self._known else self._by_stem.get(stem)
        if found is not None:
            return self._prefix + found
        other = self._unread_by_stem.get(stem)
        if other is not None:
            self.remarks[listed] = unread_remark(self._prefix + other)
        return ""

    @property
    def unread(self) -> list[str]:
        """Names of files in unread formats without a readable file of the same name."""
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


def stem_of(path: str) -> str:
    """A path without the suffix of an audio file; what else follows a dot belongs to its name."""
    stem, suffix = os.path.splitext(path)
    return stem if suffix.lower() in (*AUDIO_SUFFIXES, *UNREAD_SUFFIXES) else path
