"""Tables of text: TSV and CSV, written and read in one form, with errors that name file and line.

A value is text and stays what it is: 007, NA, None and 1e5 are names here. One that holds the
separator, a quote, an end of line or outer blanks is written in double quotes, inner ones doubled
(RFC 4180). Blanks around a value without quotes do not count.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from bench.files import UserError

LARGEST = 1e9  # thirty years of seconds
SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "spaces"}

Letters = Callable[[str], str]
"""What is done to the text of a file before it is read."""


def line_of(values: Iterable[str], separator: str = "\t") -> str:
    """One line of a table, without its end."""
    return separator.join(_quoted(value, separator) for value in values)


def text_of(rows: Iterable[Iterable[str]], separator: str = "\t") -> str:
    """A whole table; the first row is its header."""
    return "".join(line_of(row, separator) + "\n" for row in rows)


def _quoted(value: str, separator: str) -> str:
    if value == value.strip() and not {separator, '"', "\n", "\r"} & set(value):
        return value
    return '"' + value.replace('"', '""') + '"'


class Row:
    """One line of a table: values by column name, and errors that know where they happened."""

    __slots__ = ("_path", "_values", "line")

    def __init__(self, path: str | Path, line: int, values: dict[str, str]) -> None:
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
            value = float(text if text.isascii() and "_" not in text else "")
        except ValueError:
            raise self.error(
                f"'{text}' in column {column} is not a number; write it with digits and a point"
            ) from None
        if not abs(value) < LARGEST:
            raise self.error(f"{column} is {text}; expected a number below {LARGEST:g}")
        return value

    def integer(self, column: str) -> int:
        """The column as a whole number.

        Raises:
            UserError: it is none.
        """
        text = self._values[column]
        if not text.isdecimal():
            raise self.error(f"'{text}' in column {column} is not a whole number; write digits")
        return int(text)

    def several(self, column: str, separator: str) -> list[str]:
        """The names that the column lists, as `line_of` writes them; empty ones do not count.

        Raises:
            UserError: a quote in it is not closed.
        """
        listed = _parsed([self._values[column]], separator, self._path, self.line)
        return [value for _, values in listed for value in values if value]

    def known(self, value: str, classes: Collection[str], listed: str = "the list") -> str:
        """`value`, if it is one of `classes`, which are those that `listed` names.

        Raises:
            UserError: it is not.
        """
        if value not in classes:
            raise self.error(
                f"label '{value}' is not one of the {len(classes)} classes of {listed}; correct "
                "it, or add it there"
            )
        return value

    @property
    def where(self) -> str:
        """Its file and line, for messages."""
        return f"{self._path}, line {self.line}"

    def error(self, what: str) -> UserError:
        """An error that names this row's file and line."""
        return UserError(f"{self.where}: {what}")


def rows(
    path: str | Path,
    columns: Collection[str],
    *,
    separator: str = ",",
    letters: Letters = str,
    on_odd: Callable[[str], None] | None = None,
    bare_first: bool = False,
    remedy: str = "is this the data set's own file?",
) -> Iterator[Row]:
    """The lines of a table with a header that holds at least `columns`; lines are counted from 1.

    Args:
        on_odd: called with what is wrong with a line of another width, which is then left out.
        bare_first: whether a line of only the first of `columns` means that the others are empty:
            editors strip separators at the ends of lines.
        remedy: what to do about a column that is missing.

    Raises:
        UserError: no such file, not text, a column that is missing or stands twice, or (without
            `on_odd`) a line of another width.
    """
    lines = records(path, separator, letters)
    start, header = next(lines, (1, []))
    absent = [f"'{column}'" for column in dict.fromkeys(columns) if column not in header]
    if absent:
        found = f"found: {', '.join(header) or 'nothing'}"
        other = [name for mark, name in SEPARATORS.items() if mark in "".join(header)]
        if len(header) == 1 and other:
            found += f", with {other[0]} where {SEPARATORS[separator]} separate columns"
        are = "column {} is" if len(absent) == 1 else "columns {} are"
        raise _error(path, start, f"{are.format(', '.join(absent))} missing ({found}); {remedy}")
    for column in columns:
        if header.count(column) > 1:
            told = f"column '{column}' stands twice in the header; rename one"
            raise _error(path, start, told)
    bare = bare_first and header[0] == next(iter(columns))
    for line, values in lines:
        if bare and len(values) == 1 and not set(values[0]) & set(SEPARATORS) - {" "}:
            values += [""] * (len(header) - 1)
        if len(values) == len(header):
            yield Row(path, line, dict(zip(header, values, strict=True)))
            continue
        told = f"{len(values)} fields where the header names {len(header)}"
        odd = _error(path, line, f"{told}; put a value that holds a separator into double quotes")
        if on_odd is None:
            raise odd
        on_odd(str(odd))


def records(
    path: str | Path, separator: str = "\t", letters: Letters = str
) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, values) of every row that is not empty, the header included.

    Raises:
        UserError: no such file, not text, or a quote that is not closed.
    """
    for line, values in _parsed(text_lines(path, letters), separator, path):
        if any(values):
            yield line, values


def text_lines(path: str | Path, letters: Letters = str) -> Iterator[str]:
    """The lines of a text file with their ends.

    Raises:
        UserError: no such file, or not text.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:  # drops a byte order mark
            yield from map(letters, file)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8, or is it damaged?") from error


def _parsed(
    lines: Iterable[str], separator: str, path: str | Path, line: int = 1
) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, values) of every row, even an empty one; the first is `line`."""
    read: list[str] = []

    def kept() -> Iterator[str]:
        for text in lines:
            read.append(text)
            yield text

    reader = csv.reader(
        kept(),
        delimiter=separator,
        skipinitialspace=True,  # before a quote as well
        strict=True,  # a quote that nothing closes would take in the lines that follow
    )
    try:
        for values in reader:
            bare = [value.strip() for value in values]
            if bare != values:
                text = "".join(read)
                bare = [_bare(value, text) for value in values]
            yield line, bare
            line += len(read)
            read.clear()
    except csv.Error as error:
        told = f"not a line of a table ({error}); is a quote not closed, or the file damaged?"
        raise _error(path, line, told) from error


def _bare(value: str, text: str) -> str:
    """A value of the line `text` without outer blanks, unless it stands there in quotes."""
    bare = value.strip()
    return bare if bare == value or _quoted(value, "") not in text else value


def _error(path: str | Path, line: int, what: str) -> UserError:
    return UserError(f"{path}, line {line}: {what}")
