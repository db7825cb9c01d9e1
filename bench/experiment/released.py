"""Checkpoints that others released: files of initial weights, and the meaning of their outputs."""

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
from bench.sources.registry import Entry, Obtained
from bench.strict import Arguments, known, parse, read_yaml

REGISTRY = ROOT / "config" / "registry" / "checkpoints.yaml"


class Checkpoint(Obtained):
    """One file of the registry."""

    kind: Literal["official", "imagenet", "pretrained"]
    architecture: str = Field(description="models that it starts: a short name of registry.py")
    file: str = Field(description="name of the file, * where it differs between copies")
    megabytes: int = Field(gt=0, description="on disk, roughly")
    licence: str

    @model_validator(mode="after")
    def _starts_a_known_model(self) -> Checkpoint:
        known(self.architecture, registry.ARCHITECTURES, f"{self.file}: architecture")
        return self

    @property
    def called(self) -> str:
        return self.file

    def entry(self, folder: Path) -> Entry:
        """How the file gets into the folder of checkpoints, as an entry like those of data sets."""
        name = (file_of(self, folder) or Path(self.file)).name
        how = self.model_dump(include=set(Obtained.model_fields))
        return Entry.model_validate(
            {
                "title": name,
                "homepage": str(REGISTRY.relative_to(ROOT)),
                "licence": self.licence,
                "citation": "",
                "parts": {name: {"gigabytes": self.megabytes / 1000}},
                "files": [{"name": name, "part": name, **how}],
            }
        )


class Backbone(Checkpoint):
    """Initial weights of a training: of an image network, or of an encoder that was pretrained on
    audio without labels (or with classes other than its file names)."""

    kind: Literal["imagenet", "pretrained"]


class Released(Checkpoint):
    """A model that its authors trained, to be evaluated as it is."""

    kind: Literal["official"] = "official"
    arguments: Arguments
    classes: str = Field(description="order of the outputs: a file of registry/classes/")
    desed_classes: Literal["published", "corrected"] = Field(
        "published", description="which AudioSet outputs stand for DESED's classes"
    )
    loss: Literal["bce", "ce"]
    front_end: FrontEnd
    fold: int | None = Field(None, ge=0, description="the fold that it was not trained on")
    evaluates: dict[str, str] = Field(description="data set -> what its authors report")

    @model_validator(mode="after")
    def _states_its_scale(self) -> Released:
        if self.front_end.normalise is True:
            raise UserError(
                f"{self.file}: front_end.normalise: give the [mean, std] it was trained with"
            )
        return self

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
def read_registry() -> dict[str, Checkpoint]:
    """Every entry by its name.

    Raises:
        UserError: the file is missing, or an entry has a wrong key or value.
    """
    return {
        name: parse(
            Backbone if values.get("kind", "official") != "official" else Released,
            values,
            f"{REGISTRY}: {name}",
        )
        for name, values in read_yaml(REGISTRY).items()
    }


def find_file(name: str, where: str) -> Checkpoint:
    """The entry of this name.

    Raises:
        UserError: there is none; the message says where it was named, and the nearest names.
    """
    entries = read_registry()
    known(name, entries, f"{where} (in {REGISTRY.relative_to(ROOT)})")
    return entries[name]


def evaluable() -> dict[str, Released]:
    """The entries of models that their authors trained, by name."""
    return {n: entry for n, entry in read_registry().items() if isinstance(entry, Released)}


def find(name: str) -> Released:
    """The entry of this name among `evaluable`.

    Raises:
        UserError: there is none; the message lists the nearest names.
    """
    entries = evaluable()
    known(name, entries, "released checkpoints")
    return entries[name]


def recognise(path: Path) -> Released | None:
    """The entry among `evaluable` whose file name this path has, if any."""
    for entry in evaluable().values():
        if fnmatchcase(path.name, entry.file):
            return entry
    return None


def file_of(entry: Checkpoint, folder: Path) -> Path | None:
    """The entry's file in the folder of checkpoints, if it is there."""
    return next(iter(sorted(folder.glob(entry.file))), None)
