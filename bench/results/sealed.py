"""Typed values on disk: one writer, one reader, one kind of error."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.files import UserError, damage_told, read_json, read_sealed, write_sealed
from bench.strict import Strict

FORM = "schema"
Read = TypeVar("Read", bound=BaseModel)


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
        return _typed(cls, values, path, cls.REMEDY)


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
        return _typed(cls, read_json(path), path, remedy)


def _typed(kind: type[Read], values: Any, path: str | Path, remedy: str) -> Read:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise UserError(f"{path}: {key}: {first['msg']}; {remedy}") from error
