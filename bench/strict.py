"""YAML files read into sections that are typed, frozen, and strict about every key."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import yaml
from annotated_types import MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
)

from bench.files import UserError, read_json

NUMBER = re.compile(r"[-+]?(?!0\d)(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
TRUTH = {"true": True, "false": False}
MOST_VALUES = 100_000  # in a YAML file, its aliases written out
WIDE = {"bool", "int", "timestamp"}  # kinds of values that YAML 1.1 sees in names
LISTED = 25  # valid names that a message still lists


class Quoted(str):
    """A text that stands in quotes in a YAML file, as every text in JSON does."""

    __slots__ = ()


def _plain(value: Any, *, keep_quoted: bool = True) -> Any:
    """Convert strings that represent numbers and truth values, at any depth.

    YAML 1.1 reads 1e-4 as a string, and `snakemake --config` passes every nested value as one.
    Strings with a leading zero (007) stay names, and so do those in quotes, if `keep_quoted`.
    """
    if isinstance(value, Mapping):
        return {
            str(key) if isinstance(key, Quoted) else key: _plain(item, keep_quoted=keep_quoted)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_plain(item, keep_quoted=keep_quoted) for item in value]
    if isinstance(value, float):
        return _finite(value)
    if not isinstance(value, str):
        return value
    text = str(value)
    if keep_quoted and isinstance(value, Quoted):
        return text
    if NUMBER.fullmatch(text):
        return _finite(float(text)) if set(text) & set(".eE") else int(text)
    return TRUTH.get(text.lower(), text)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    return value


Values = Annotated[dict[str, Any], BeforeValidator(_plain)]
"""Values that are checked later, against the types of another section or of a loader's options,
which take a number in quotes as well where they allow no text."""
Arguments = Annotated[dict[str, Any], BeforeValidator(partial(_plain, keep_quoted=False))]
"""Arguments of a model, whose types nothing checks: numbers in quotes are numbers, too."""
Candidates = Annotated[dict[str, list[Any]], BeforeValidator(_plain)]
"""Lists of values that are checked later."""


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = next((value for value in values if values.count(value) > 1), None)
    if repeated is not None:
        raise ValueError(f"{repeated} is listed twice; list it once")
    return values


DistinctNames = Annotated[tuple[str, ...], MinLen(1), AfterValidator(_distinct)]
"""One or more names, each once."""
DistinctSeeds = Annotated[tuple[int, ...], MinLen(1), AfterValidator(_distinct)]
"""One or more seeds, each once."""


class Strict(BaseModel):
    """Base of every section: no unknown keys, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def known(value: str, allowed: Iterable[str], where: str) -> None:
    """Refuse a `value` that is not one of `allowed`.

    Raises:
        UserError: naming the place, the value and the nearest valid one.
    """
    if value not in allowed:
        raise UserError(f"{where}: unknown '{value}'{nearest(value, allowed)}")


def nearest(value: str, allowed: Iterable[str]) -> str:
    """The end of a message: the nearest valid name, and all of them; of many, the three nearest."""
    names = sorted(allowed)
    valid = f"valid: {', '.join(names) or 'none'}"
    if len(names) > LISTED:
        valid = "nearest: " + ", ".join(difflib.get_close_matches(value, names, n=3, cutoff=0.0))
    close = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
    return f"; did you mean '{close[0]}'? ({valid})" if close else f"; {valid}"


class Mistakes:
    """The lines of checks that stop: after `with mistakes(): check()` the next one runs.

    Args:
        partial: what is checked is a `valid_part`: a check that stops otherwise needs what is
            absent or wrong, which has a line of its own.
    """

    def __init__(self, *, partial: bool = False) -> None:
        self.partial = partial
        self._lines: dict[str, str] = {}

    @property
    def lines(self) -> list[str]:
        return list(self._lines.values())

    @contextmanager
    def __call__(self, place: str = "") -> Iterator[None]:
        """Keep the lines of a check that stops, but not those that differ from an earlier one in
        their `place` alone: one wrong value is one mistake, in however many runs."""
        try:
            yield
        except UserError as error:
            for line in str(error).splitlines():
                self._lines.setdefault(line.replace(place, "") if place else line, line)
        except (AttributeError, LookupError, OSError):
            if not self.partial:
                raise

    def add(self, *lines: str) -> None:
        self._lines |= {line: line for line in lines}

    def unknown(self, names: Iterable[str], allowed: Iterable[str], where: str) -> None:
        """Check each of these names with `known`."""
        for name in names:
            with self():
                known(name, allowed, where)

    def stop(self) -> None:
        """
        Raises:
            UserError: with all lines, if there are any.
        """
        if self._lines:
            raise UserError("\n".join(self._lines.values()))


def parse(section: type[Strict], values: Mapping[str, Any], where: str) -> Any:
    """Check `values` against `section`.

    Raises:
        UserError: one line per mistake: the place, the value, and the nearest valid key.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        lines = [_explain(section, values, item, where) for item in error.errors()]
        raise UserError("\n".join(lines)) from error


def check_given(section: type[Strict], values: Mapping[str, Any], where: str) -> None:
    """Check some of the values of a `section`, as `parse` does; the others may be missing."""
    try:
        section.model_validate(values)
    except ValidationError as error:
        wrong = [item for item in error.errors() if item["type"] != "missing" and item["loc"]]
        if wrong:
            lines = [_explain(section, values, item, where) for item in wrong]
            raise UserError("\n".join(lines)) from error


def valid_part(kind: Any, value: Any) -> Any:
    """`value` as a `kind`, a section or a mapping of sections, without what is wrong in it.

    A section that lacks a required key then lacks the attribute. None if nothing is valid.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        wrong = {item["loc"][0] for item in error.errors() if item["loc"]}
    section = section_inside(kind)
    if section is None or is_dataclass(section) or not isinstance(value, Mapping):
        return None
    mapping = next((k for k in (kind, *get_args(kind)) if get_origin(k) is dict), None)
    if mapping is not None:
        kinds = dict.fromkeys(value, get_args(mapping)[1])
    else:
        fields = section.model_fields.items()
        kinds = {name: Annotated[f.annotation, None, *f.metadata] for name, f in fields}
    parts = {
        name: part
        for name, inner in kinds.items()
        if name in value and (name not in wrong or section_inside(inner))
        if (part := valid_part(inner, value[name])) is not None
    }
    if mapping is not None:
        return parts
    try:
        return section.model_validate(parts)
    except (ValidationError, AttributeError):  # validators of a part that lacks a key
        return section.model_construct(**parts)


def read_as(kind: Any, path: str | Path, remedy: str) -> Any:
    """Read a JSON file of this project as a value of the type `kind`; its only reader.

    Raises:
        UserError: the file is missing, is not JSON, or has another shape; naming file, key and
            `remedy`.
    """
    return as_kind(kind, read_json(path), path, remedy)


def as_kind(kind: Any, value: Any, path: str | Path, remedy: str) -> Any:
    """Check what was read from `path` as a value of the type `kind`.

    Raises:
        UserError: it has another shape, see `read_as`.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        where = f"{path}: {place}" if place else str(path)
        raise UserError(f"{where}: {first['msg']}; {remedy}") from error


def _explain(section: type[Strict], values: Any, item: Any, where: str) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        allowed = _fields_at(section, item["loc"][:-1])
        return f"{where}: unknown key '{place}'{nearest(str(item['loc'][-1]), allowed)}"
    if item["type"] == "missing":
        return f"{where}: key '{place}' is missing{_misspelt(values, item['loc'])}"
    if item["type"] == "value_error":  # several values that do not fit together
        return f"{where}: {place}: {item['ctx']['error']}".replace(": : ", ": ")
    if item["type"] == "string_pattern_mismatch":
        field = _fields_at(section, item["loc"][:-1]).get(item["loc"][-1])
        if field is not None and field.description:
            return f"{where}: {place}: {item['input']!r} is not valid: {field.description}"
    return f"{where}: {place}: {item['msg']} (got {item['input']!r})"


def _misspelt(values: Any, location: tuple[Any, ...]) -> str:
    """A hint where the section that lacks a key has almost the name of another: what was meant to
    change `esc50` of an extended experiment changes nothing as `esc5`."""
    if len(location) < 2:
        return ""
    *path, name, _ = location
    for part in path:
        values = values.get(part) if isinstance(values, Mapping) else None
    others = [str(key) for key in values if key != name] if isinstance(values, Mapping) else []
    close = difflib.get_close_matches(str(name), others, n=1, cutoff=0.8)
    return f"; did you mean '{close[0]}', not '{name}'?" if close else ""


def _fields_at(section: type[Strict], location: tuple[Any, ...]) -> dict[str, Any]:
    """The valid keys of the sub-section at `location`; dict keys on the way are skipped."""
    current: Any = section
    for part in location:
        inner = _fields(current)
        if part not in inner:
            continue  # a free name (data set, model, variant) inside a mapping
        current = section_inside(inner[part].annotation)
    return _fields(current)


def _fields(section: Any) -> dict[str, Any]:
    """The fields of a section: of a model, or of a dataclass, which holds no other sections."""
    if is_dataclass(section):
        return {field.name: field for field in fields(section)}
    return dict(getattr(section, "model_fields", {}))


def section_inside(annotation: Any) -> type[Any] | None:
    """The section type inside an annotation, if there is one."""
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or is_dataclass(annotation)
    ):
        return annotation
    return next(filter(None, map(section_inside, get_args(annotation))), None)


def merge(base: Any, change: Any) -> Any:
    """`change` over `base`, section by section; a null removes the key."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    merged = {key: merge(base.get(key), value) for key, value in change.items()}
    return {key: value for key, value in {**base, **merged}.items() if value is not None}


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses a key that stands twice and aliases that multiply.

    Names stay names, as in YAML 1.2: yes, off, 007, 1_000, 12:30 and 2026-05-01 are texts. A text
    in quotes is a `Quoted`.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, form) for tag, form in forms if tag.split(":")[2] not in WIDE]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            self._count(node, {})
        return node

    def _count(self, node: yaml.Node, known: dict[int, int]) -> int:
        """Number of values in a node with its aliases expanded."""
        if id(node) not in known:
            known[id(node)] = MOST_VALUES  # what contains itself has no end
            children: list[yaml.Node] = []
            if isinstance(node, yaml.MappingNode):
                children = [part for pair in node.value for part in pair]
                self._refuse_repeated(node)
            elif isinstance(node, yaml.SequenceNode):
                children = node.value
            known[id(node)] = 1 + sum(self._count(child, known) for child in children)
            if known[id(node)] > MOST_VALUES:
                problem = f"aliases that stand for more than {MOST_VALUES:,} values"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return known[id(node)]

    def _refuse_repeated(self, node: yaml.MappingNode) -> None:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    problem = f"the key '{key.value}' is repeated"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    return Quoted(text) if node.style else text


_Loader.add_constructor("tag:yaml.org,2002:str", _text)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), [*"tTfF"]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*)$"), [*"-+0123456789"]
)


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON, which may not repeat a key either."""
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise ValueError(f"the key '{repeated[0]}' is repeated")
    return dict(pairs)


def _quoted(value: Any) -> Any:
    """A value of JSON with its texts as `Quoted`, at any depth."""
    if isinstance(value, dict):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return Quoted(value) if isinstance(value, str) else value


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a mapping from YAML, or from JSON (the experiments that jobs read), which is faster.

    Raises:
        UserError: the file is missing, is not YAML, or is not a mapping.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            values = _quoted(json.loads(text, object_pairs_hook=_unrepeated))
        else:
            values = yaml.load(text, _Loader)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such config file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        colon = error.problem and error.problem.startswith("mapping values")
        remedy = "; put a text that has a colon in quotes" if colon else ""
        raise UserError(f"{path}{line}: not valid YAML: {error.problem}{remedy}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise UserError(f"{path}: not valid {kind}: {str(error).splitlines()[0]}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping of keys, got {type(values).__name__}")
    return values
