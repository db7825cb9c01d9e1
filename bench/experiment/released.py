"""Checkpoints that the models' authors released: what each is, and what its outputs stand for."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from bench import registry
from bench.code_digest import ROOT
from bench.experiment.config import FrontEnd
from bench.files import UserError, digest_of
from bench.sources.registry import Download
from bench.strict import Strict, Values, known, parse, read_yaml

REGISTRY = ROOT / "config" / "registry" / "checkpoints.yaml"


class Released(Strict):
    """One entry of the registry."""

    architecture: str = Field(description="a short name of bench/registry.py")
    arguments: Values
    file: str = Field(description="name of the file, * where it differs between copies")
    urls: tuple[str, ...] = ()
    bytes: int | None = Field(None, ge=0)
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    stated_by: str | None = Field(None, description="public source of bytes and sha256")
    licence: str
    manual: str | None = Field(None, description="how to get the file by hand")
    classes: str = Field(description="order of the outputs: a file of registry/classes/")
    desed_classes: Literal["published", "corrected"] = Field(
        "published", description="which AudioSet outputs stand for DESED's classes"
    )
    loss: Literal["bce", "ce"]
    front_end: FrontEnd
    fold: int | None = Field(None, ge=0, description="the fold that it was not trained on")
    evaluates: dict[str, str] = Field(description="data set -> what its authors report")

    @model_validator(mode="after")
    def _is_usable(self) -> Released:
        known(self.architecture, registry.ARCHITECTURES, f"{self.file}: architecture")
        if not self.urls and self.manual is None:
            raise UserError(f"{self.file}: neither urls nor manual")
        if self.front_end.normalise is True:
            raise UserError(
                f"{self.file}: front_end.normalise: give the [mean, std] it was trained with"
            )
        return self

    @property
    def download(self) -> Download:
        """How the file is fetched."""
        same = {"urls", "bytes", "sha256", "stated_by", "manual"}
        return Download.model_validate({"name": self.file, **self.model_dump(include=same)})

    @property
    def values(self) -> dict[str, Any]:
        """What an evaluation depends on, as JSON values."""
        used = {"architecture", "arguments", "loss", "front_end", "fold", "desed_classes"}
        outputs = digest_of(self.class_names())
        return {**self.model_dump(mode="json", include=used), "outputs": outputs}

    def class_names(self) -> tuple[str, ...]:
        """Names of the outputs, in their order."""
        return class_list(self.classes)


@cache
def class_list(name: str) -> tuple[str, ...]:
    """A list of class names beside the registry."""
    path = REGISTRY.parent / "classes" / f"{name}.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())


@cache
def read_registry(path: Path = REGISTRY) -> dict[str, Released]:
    """Every entry by its name.

    Raises:
        UserError: the file is missing, or an entry has a wrong key or value.
    """
    return {
        name: parse(Released, values, f"{path}: {name}") for name, values in read_yaml(path).items()
    }


def find(name: str) -> Released:
    """The entry of this name.

    Raises:
        UserError: there is none; the message lists the nearest names.
    """
    entries = read_registry()
    known(name, entries, "released checkpoints")
    return entries[name]


def recognise(path: Path) -> Released | None:
    """The entry whose file name this path has, if any."""
    for entry in read_registry().values():
        if fnmatchcase(path.name, entry.file):
            return entry
    return None


def file_of(entry: Released, folder: Path) -> Path | None:
    """The entry's file in the folder of checkpoints, if it is there."""
    return next(iter(sorted(folder.glob(entry.file))), None)
