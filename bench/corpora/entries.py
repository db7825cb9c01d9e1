"""What the loaders of users' own data collect: clips, and everything that is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator

from bench.corpora.reading import composed
from bench.files import UserError

MOST_TOLD = 20  # problems of one data set that a message lists


def _as_text(value: Any) -> Any:
    """Names that YAML read as numbers."""
    if isinstance(value, bool):
        raise ValueError("a name that YAML reads as true or false: put it in quotes")
    if value is None or isinstance(value, float):
        raise ValueError("a name that YAML reads as null or as a number: put it in quotes")
    if isinstance(value, str):
        return composed(value)
    return str(value) if isinstance(value, int) else value


Text = Annotated[str, BeforeValidator(_as_text)]
Names = tuple[Text, ...]


@dataclass
class Entry:
    """A clip of a user's own data.

    Attributes:
        clip, path, start_s, duration_s, strong, labels: as in `Corpus.clips`.
        where: its place for messages: its file, or file and line of the table.
        listed: names by which list files and events may call it.
        group, fold, split, take: as stated by name or table; empty if not stated.
    """

    clip: str
    path: str
    where: str
    labels: list[str]
    group: str = ""
    fold: str = ""
    split: str = ""
    take: str = ""
    start_s: float = 0.0
    duration_s: float = math.nan
    strong: bool = False
    listed: tuple[str, ...] = field(default=())


class Problems:
    """What is wrong with a data set, collected so that one message names all of it."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, line: str) -> None:
        self._lines.append(line)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what is raised inside."""
        try:
            yield
        except UserError as error:
            self.add(str(error))

    def refuse(self) -> None:
        """Stop if there are any problems.

        Raises:
            UserError: a line each.
        """
        lines = list(dict.fromkeys(self._lines))
        if len(lines) > MOST_TOLD:
            lines[MOST_TOLD:] = [f"… and {len(lines) - MOST_TOLD} more problems"]
        if lines:
            raise UserError("\n".join(lines))


def natural(text: str) -> tuple[bool, int, str]:
    """Numbers by value, before names."""
    number = text.isdecimal()
    return (not number, int(text) if number else 0, text)
