"""Experiment files that extend others: where a parent is, and what a child inherits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.code_digest import ROOT
from bench.files import UserError
from bench.strict import merge, nearest, read_yaml

CONFIG = ROOT / "config"
OWN = ("experiment", "paths")
"""What no experiment inherits from the one that it extends, whose results it would overwrite."""
OF_ROOT = ("data_kind", "source")
"""What a data set does not inherit if its `root` is replaced: other data is there."""


def read(source: str | Path | Mapping[str, Any], beneath: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of an experiment over those of what it `extends`.

    The parent is searched for beside the file that names it, then in `config/`; values without a
    file name one of `config/`.

    Args:
        beneath: the files that extend this one, for the message on a circle.

    Raises:
        UserError: a file is missing, is not a mapping of keys, or extends itself.
    """
    if isinstance(source, Mapping):
        values, folder, chain = dict(source), CONFIG, beneath
    else:
        path = Path(source)
        try:
            values, folder, chain = read_yaml(path), path.parent, (*beneath, path.resolve())
        except UserError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            present = map(str, _files(path.parent, Path("config")))
            raise UserError(f"{error}{nearest(str(path), present)}") from error
        if path.resolve() in beneath:
            raise UserError(f"{' extends '.join(map(str, chain))}: a circle; remove one")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    folders = tuple(dict.fromkeys((folder, CONFIG)))
    places = [place / str(parent) for place in folders]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        where = " nor ".join(map(str, places))
        near = nearest(str(parent), {path.name for path in _files(*folders)})
        raise UserError(f"{chain[-1] if chain else 'config'}: extends: there is no {where}{near}")
    return merge(_taken_over(read(found, chain), values), values)


def _files(*folders: Path) -> set[Path]:
    """The YAML files in these folders."""
    return {path for folder in folders for path in folder.glob("[!.]*.yaml")}


def _taken_over(parent: dict[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """What a child inherits from its parent."""
    taken = {key: value for key, value in parent.items() if key not in OWN}
    old, new = taken.get("datasets"), child.get("datasets")
    if isinstance(old, dict) and isinstance(new, dict):
        taken["datasets"] = {name: _data(values, new.get(name)) for name, values in old.items()}
    return taken


def _data(parent: Any, child: Any) -> Any:
    both = isinstance(parent, dict) and isinstance(child, dict)
    if not both or child.get("root", parent.get("root")) == parent.get("root"):
        return parent
    return {key: value for key, value in parent.items() if key not in OF_ROOT}
