"""`python -m bench config-page`: every key of an experiment file, from the types that check it."""

from __future__ import annotations

import argparse
import types
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import yaml
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from bench.code_digest import ROOT
from bench.experiment.config import Config, Recipe
from bench.files import write_text
from bench.strict import Strict, section_inside

PATH = ROOT / "docs" / "config.md"
CHECKED_WHEN_MERGED: dict[str, type[Strict]] = {"recipes": Recipe}
"""Sections without an annotated type: their layers are merged before they are checked."""
NAMED = {
    "recipes": "KEY",
    "factors": "FACTOR.LEVEL",
}
"""Placeholders for the free names below a key; NAME elsewhere."""
PLAIN = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "string",
    dict: "mapping",
    types.NoneType: "null",
}
BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
INTRODUCTION = """\
# Keys of an experiment file

Look up a key of `config/NAME.yaml` here: its type, default, meaning and an example.

An experiment file holds the keys of the first table. `extends: FILE` takes over every key of
another experiment (beside the file, else in `config/`) except `experiment` and `paths`; a mapping
is merged with the parent's, and null removes a key. A data set whose `root` is replaced inherits
neither `source` nor `data_kind`. Unknown keys are errors that name the nearest valid key; `python
-m bench check --config FILE` finds what the types cannot. A value in quotes is a text wherever its
key takes texts: `"1e5"`, `"true"`.

`python -m bench config-page` generates this page from the types in `bench/experiment/config.py`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb takes none."""


def run(args: argparse.Namespace) -> int:
    write_text(PATH, text())
    return 0


class Key(NamedTuple):
    """One key of a section: `inside` is the type of the section that it holds, if it does."""

    name: str
    field: FieldInfo
    inside: type[Any] | None


def sections(
    section: type[Any] = Config, place: str = ""
) -> Iterator[tuple[str, type[Any], list[Key]]]:
    """Every section, parents first: its place in the file (NAME for free names), type and keys."""
    keys = [
        Key(name, field, CHECKED_WHEN_MERGED.get(name) or section_inside(field.annotation))
        for name, field in _fields(section).items()
    ]
    yield place, section, keys
    for key in keys:
        if key.inside is not None:
            yield from sections(key.inside, _below(place, key))


def example(key: Key) -> Any:
    """A valid value of a key: its type's example, else a value other than the default."""
    if key.field.examples:
        return key.field.examples[0]
    default = key.field.get_default(call_default_factory=True)
    others = [value for value in _choices(key.field.annotation) if value != default]
    return others[0] if others else default


def text() -> str:
    """The page."""
    return "\n".join([INTRODUCTION, *(_table(*found) for found in sections())])


def _table(place: str, section: type[Any], keys: list[Key]) -> str:
    about = (section.__doc__ or "").strip().splitlines()[0]
    lines = [f"## `{place}`\n\n{about}\n"] if place else []
    lines += ["| key | type | default | meaning | example |", "|---|---|---|---|---|"]
    for key in keys:
        if key.inside is None:
            shown = f"`{_flow({key.name: example(key)})[1:-1]}`"
        else:
            below = _below(place, key)
            shown = f"[{below}](#{below.replace('.', '').lower()})"
        cells = (f"`{key.name}`", _type(key.field), _default(key), key.field.description, shown)
        lines.append(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _below(place: str, key: Key) -> str:
    """The place of the section that a key holds, with placeholders for free names."""
    free = [NAMED.get(key.name, "NAME")] if "mapping" in _words(key.field.annotation) else []
    return ".".join([*filter(None, [place]), key.name, *free])


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in BOUNDS.items()
        if hasattr(limit, name)
    ]
    return f"{_filled(field.metadata)}{_words(field.annotation)} {', '.join(bounds)}".strip()


def _filled(limits: Iterable[Any]) -> str:
    return "non-empty " * any(hasattr(limit, "min_length") for limit in limits)


def _words(annotation: Any) -> str:
    """An annotation in the words of YAML."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _filled(inner[1:]) + _words(inner[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_words, inner))
    if origin is tuple:
        if inner[-1] is Ellipsis:
            words = _words(inner[0])
            return f"list of {words}{'s' * (words in PLAIN.values())}"
        return f"[{', '.join(map(_words, inner))}]"
    if section_inside(annotation):
        return "section" if origin is None else "mapping of sections"
    return PLAIN[origin or annotation]


def _default(key: Key) -> str:
    if key.field.is_required():
        return "required"
    value = key.field.get_default(call_default_factory=True)
    return "its defaults" if isinstance(value, Strict) else f"`{_flow(value)}`"


def _fields(section: type[Any]) -> dict[str, FieldInfo]:
    """The keys of a section: of a model, or of a dataclass whose attributes have docstrings."""
    if not is_dataclass(section):
        return dict(section.model_fields)
    hints, told = get_type_hints(section), TypeAdapter(section).json_schema()["properties"]
    return {
        field.name: FieldInfo(
            annotation=hints[field.name],
            default=PydanticUndefined if field.default is MISSING else field.default,
            description=" ".join(told[field.name]["description"].split()),
            examples=field.metadata.get("examples"),
        )
        for field in fields(section)
    }


def _choices(annotation: Any) -> list[Any]:
    """All values of a type that lists them."""
    if annotation is bool:
        return [True, False]
    inner = get_args(annotation)
    if get_origin(annotation) is Literal:
        return list(inner)
    return [value for kind in inner for value in _choices(kind)]


def _flow(value: Any) -> str:
    """A value as YAML in one line."""
    plain = to_jsonable_python(value)
    said = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=10**6)
    return said.removesuffix("...\n").strip()
