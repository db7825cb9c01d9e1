"""The registry: every file that can be fetched, what it must be, and under which terms.

`config/registry/*.yaml` is declarative; `lock.json` beside it holds the sha256 of first downloads
of files for which none is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from bench.code_digest import ROOT
from bench.files import UserError, write_json
from bench.process.locks import hold
from bench.strict import Strict, parse, read_as, read_yaml

FOLDER = ROOT / "config" / "registry"
DATA = FOLDER / "data.yaml"
CHECKPOINTS = "checkpoints"  # the key of all files of checkpoints.yaml in the lock file


class Unpack(Strict):
    """What of an archive goes where below the data set's folder."""

    to: str = Field(".", description="folder, relative to the data set's")
    from_first: tuple[str, ...] = Field(
        (), description="paths are kept from the first of these names on; () keeps all of them"
    )
    below_first: bool = Field(
        False, description="the first folder is the archive's own: paths begin below it"
    )
    suffixes: tuple[str, ...] = Field((), description="only files that end so; () takes all")
    sums: str | None = Field(
        None,
        description="file of sums/ with the sha256 and path of every file below the data set's "
        "folder: these alone are taken, all of them, whatever bytes the archive has",
    )


class Obtained(Strict):
    """How a file is had, and what it must be."""

    urls: tuple[str, ...] = Field((), description="URLs or local paths in order of preference")
    zenodo: int | None = Field(None, description="record that publishes bytes and MD5 of the file")
    bytes: int | None = Field(None, ge=0)
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{8,64}$", description="in full, or how it begins"
    )
    stated_by: str | None = Field(None, description="public source of bytes and sha256")
    manual: str | None = Field(None, description="how to get it by hand, where a browser is needed")

    @model_validator(mode="after")
    def _is_sound(self) -> Obtained:
        if self.sha256 is not None and self.stated_by is None:
            raise UserError(f"registry: {self.called}: sha256 without stated_by")
        if not self.urls and self.manual is None:
            raise UserError(f"registry: {self.called}: neither urls nor manual")
        return self

    @property
    def called(self) -> str:
        """Name of the file."""
        raise NotImplementedError

    @property
    def pinned(self) -> bool:
        """Whether the registry states the sha256 of the file, or of all that it holds, in full."""
        return len(self.sha256 or "") == 64


@cache
def read_sums(name: str) -> dict[str, str]:
    """sha256 by path, from lines like those of sha256sum in a file of `FOLDER`/sums.

    Raises:
        UserError: no such file, or a line of another form.
    """
    path, sums = FOLDER / "sums" / name, {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    for number, line in enumerate(lines, start=1):
        sha256, _, file = line.partition("  ")
        if len(sha256) != 64 or not file:
            raise UserError(f"{path}, line {number}: not 'SHA256  PATH'")
        sums[file] = sha256
    return sums


class Download(Obtained):
    """One file of an entry."""

    name: str = Field(description="file name, below the entry's folder where it is not unpacked")
    part: str | None = Field(None, description="part that it belongs to; null: all of them")
    unpack: Unpack | None = None

    @model_validator(mode="after")
    def _is_plain(self) -> Download:
        if self.name != PurePosixPath(self.name).name:
            raise UserError(f"registry: '{self.name}' is not a plain file name")
        return self

    @property
    def called(self) -> str:
        return self.name

    @property
    def pinned(self) -> bool:
        return super().pinned or (self.unpack is not None and self.unpack.sums is not None)


class Part(Strict):
    """A named piece of a data set."""

    clips: int = Field(0, ge=0)
    gigabytes: float = Field(gt=0, description="on disk, roughly")


class Parquet(Strict):
    """A mirror of clips in parquet shards, read with the `datasets` library."""

    repository: str = Field(description="of the Hugging Face hub, or a local folder")
    revision: str | None = None
    id: str = Field(description="column of the clip's id")
    audio: str = Field(description="column of its audio file")
    shards: dict[str, str] = Field(description="part -> pattern of its shards")


class Entry(Strict):
    """A data set, or a set of checkpoints."""

    title: str
    homepage: str
    licence: str
    citation: str
    splits: str | None = None
    hours: float | None = Field(None, gt=0)
    parts: dict[str, Part] = Field(default_factory=dict)
    training: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="parts read by each value of the option `train`"
    )
    files: tuple[Download, ...] = ()
    parquet: Parquet | None = None
    youtube: bool = Field(False, description="whether absent clips can be requested from YouTube")
    manual: str | None = Field(None, description="what a person can do about absent clips")

    @model_validator(mode="after")
    def _parts_exist(self) -> Entry:
        named = [part for parts in self.training.values() for part in parts]
        named += [file.part for file in self.files if file.part is not None]
        named += list(self.parquet.shards) if self.parquet else []
        for part in named:
            if part not in self.parts:
                raise UserError(f"registry: {self.title}: no part '{part}'")
        return self

    def wanted(self, options: Mapping[str, Any]) -> dict[str, Part]:
        """The parts that a loader with these options reads.

        Raises:
            UserError: an unknown value of the option `train`.
        """
        if not self.training:
            return self.parts
        train = options.get("train", next(iter(self.training)))
        if train not in self.training:
            raise UserError(f"option train: '{train}'; one of {', '.join(self.training)}")
        optional = {part for parts in self.training.values() for part in parts}
        read = {*self.training[train], *(set(self.parts) - optional)}
        return {name: part for name, part in self.parts.items() if name in read}


@cache
def read_registry() -> dict[str, Entry]:
    """Every entry of the registry of data by its name.

    Raises:
        UserError: the file is missing, or an entry has a wrong key or value.
    """
    values = read_yaml(DATA)
    return {name: parse(Entry, entry, f"{DATA}: {name}") for name, entry in values.items()}


def find_entry(name: str) -> Entry:
    """One entry.

    Raises:
        UserError: there is none of this name.
    """
    entries = read_registry()
    if name not in entries:
        raise UserError(f"{DATA}: no entry '{name}'; one of {', '.join(entries)}")
    return entries[name]


class Promise(NamedTuple):
    """Bytes and sha256 of a file; None where they are not published."""

    bytes: int | None
    sha256: str | None


class LockFile:
    """sha256 and bytes of first downloads, by "ENTRY/FILE"; a file to be committed."""

    def __init__(self, path: str | Path = FOLDER / "lock.json") -> None:
        self.path = Path(path)

    def read(self) -> dict[str, dict[str, Any]]:
        """Everything that was recorded."""
        if not self.path.exists():
            return {}
        kind = dict[str, dict[Literal["sha256", "bytes"], str | int]]
        return dict(read_as(kind, self.path, "take it from the version control again"))

    def promise(self, key: str, file: Download) -> Promise:
        """What a file must be, as published or as recorded.

        Raises:
            UserError: the record contradicts what is published.
        """
        known = self.read().get(key, {})
        if not known.get("sha256", file.sha256 or "").startswith(file.sha256 or ""):
            raise UserError(f"{self.path}: {key} has another sha256 than the registry states")
        return Promise(known.get("bytes", file.bytes), known.get("sha256", file.sha256))

    def record(self, key: str, sha256: str, size: int) -> None:
        """Record a first download; earlier records stay."""
        if key in self.read():
            return
        with hold(self.path.with_suffix(".lock"), "record a download", patience=60.0):
            recorded = self.read()
            if key not in recorded:
                write_json(self.path, recorded | {key: {"sha256": sha256, "bytes": size}})
