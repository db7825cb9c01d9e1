"""Typed values on disk: one writer, one reader, one kind of error."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from bench.files import UserError, damage_told, read_sealed, write_sealed
from bench.strict import Strict, as_kind, read_as

FORM = "schema"


class OtherForm(UserError):
    """A file that another version of this software wrote."""


class Sealed(Strict):
    """Values with a file of their own: its schema has a number, and a digest shows any later
    change.

    Keys that were never set are left out of the file.
    """

    SCHEMA: ClassVar[int]
    REMEDY: ClassVar[str]

    def write(self, path: str | Path) -> None:
        """Write the file, completely or not at all."""
        values = self.model_dump(mode="json", exclude_unset=True)
        write_sealed(path, {FORM: self.SCHEMA, **values})

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises:
            OtherForm: another version of this software wrote it.
            UserError: it is missing, damaged or edited, or a value is absent or of another type.
        """
        with damage_told(path, cls.REMEDY):
            values = read_sealed(path)
            form = values.pop(FORM, None)
        if form != cls.SCHEMA:
            raise OtherForm(f"{path}: {FORM} {form}, this version reads {cls.SCHEMA}; {cls.REMEDY}")
        found: Self = as_kind(cls, values, path, cls.REMEDY)
        return found


class Open(BaseModel):
    """Values of which only some keys are used here; the others are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def values(self) -> dict[str, Any]:
        """As JSON values, exactly those that were read."""
        return self.model_dump(mode="json", exclude_unset=True)

    @classmethod
    def read(cls, path: str | Path, remedy: str) -> Self:
        """Read a JSON file.

        Raises:
            UserError: it is missing or damaged, or a value is absent or of another type.
        """
        found: Self = read_as(cls, path, remedy)
        return found
