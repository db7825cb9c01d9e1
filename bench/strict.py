"""YAML files read into sections that are typed, frozen, and strict about every key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from bench.files import UserError

NUMBER = re.compile(r"[-+]?(?!0\d)(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
TRUTH = {"true": True, "false": False}
LISTED = 25  # valid names that a message still lists


def _plain(value: Any) -> Any:
    """Make numbers and truth values of the texts that stand for them, however deep.

    YAML 1.1 leaves 1e-4 a text, and `snakemake --config` hands over every nested value as one. What
    begins with a 0 that counts nothing (007) is a name.
    """
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, str):
        return value
    if NUMBER.fullmatch(value):
        return float(value) if set(value) & set(".eE") else int(value)
    return TRUTH.get(value.lower(), value)


Values = Annotated[dict[str, Any], BeforeValidator(_plain)]
"""Values whose types another section knows: arguments, options, parts of a recipe."""


class Strict(BaseModel):
    """Base of every section: no unknown keys, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def known(value: str, allowed: Iterable[str], where: str) -> None:
    """Refuse a `value` that is not one of `allowed`.

    Raises:
        UserError: naming the place, the value and the nearest valid one.
    """
    if value not in allowed:
        raise UserError(f"{where}: unknown '{value}'{nearest(value, allowed)}")


def nearest(value: str, allowed: Iterable[str]) -> str:
    """The end of a message: the nearest valid name, and all of them; of many, the nearest alone."""
    names = sorted(allowed)
    if len(names) > LISTED:
        return "; nearest: " + ", ".join(difflib.get_close_matches(value, names, n=3, cutoff=0.0))
    close = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
    listed = ", ".join(names) or "none"
    return f"; did you mean '{close[0]}'? (valid: {listed})" if close else f"; valid: {listed}"


def parse(section: type[Strict], values: Mapping[str, Any], where: str) -> Any:
    """Check `values` against `section`.

    Raises:
        UserError: one line per mistake: the place, the value, and the nearest valid key.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        lines = [_explain(section, item, where) for item in error.errors()]
        raise UserError("\n".join(lines)) from error


def _explain(section: type[Strict], item: Any, where: str) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        allowed = _fields_at(section, item["loc"][:-1])
        return f"{where}: unknown key '{place}'{nearest(str(item['loc'][-1]), allowed)}"
    if item["type"] == "missing":
        return f"{where}: key '{place}' is missing"
    if item["type"] == "value_error":  # several values that do not go together
        return f"{where}: {place}: {item['ctx']['error']}".replace(": : ", ": ")
    return f"{where}: {place}: {item['msg']} (got {item['input']!r})"


def _fields_at(section: type[Strict], location: tuple[Any, ...]) -> dict[str, Any]:
    """The valid keys of the sub-section at `location`; dict keys on the way are skipped."""
    current: Any = section
    for part in location:
        inner = _fields(current)
        if part not in inner:
            continue  # a free name (data set, model, variant) inside a mapping
        current = _section_inside(inner[part].annotation)
    return _fields(current)


def _fields(section: Any) -> dict[str, Any]:
    """The fields of a section: of a model, or of a dataclass, which holds no other sections."""
    if is_dataclass(section):
        return {field.name: field for field in fields(section)}
    return dict(getattr(section, "model_fields", {}))


def _section_inside(annotation: Any) -> Any:
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or is_dataclass(annotation)
    ):
        return annotation
    for argument in get_args(annotation):
        found = _section_inside(argument)
        if found is not None:
            return found
    return None


def merge(base: Any, change: Any) -> Any:
    """`change` over `base`, section by section; a null takes the key away."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    merged = {key: merge(base.get(key), value) for key, value in change.items()}
    return {key: value for key, value in {**base, **merged}.items() if value is not None}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a mapping.

    Raises:
        UserError: the file is missing, is not YAML, or is not a mapping.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such config file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping of keys, got {type(values).__name__}")
    return values
