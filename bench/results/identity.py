"""Whether a run's data set and network are the published ones: by content, never by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from bench.code_digest import ROOT
from bench.experiment import config, extends
from bench.experiment.released import class_list
from bench.files import digest_of
from bench.registry import OWN_DATA
from bench.results.measured import System
from bench.results.names import DATA
from bench.results.record import Record
from bench.strict import Strict, Values, parse, read_yaml

PATH = ROOT / "config" / "registry" / "fingerprints.yaml"
Network = Mapping[str, Any]
NOT_HELD = {"init", "supervision", "test_shifts", "precision", "compile", "streams"}
"""Values of a recipe that are named in other words (`published.differences`), or that say how it is
computed."""


class PublishedData(Strict):
    """A published data set, as far as its lists identify it."""

    loader: str
    classes: str
    clips: dict[str, int]
    folds: int = 0
    lists: str | None = None
    events: int | None = None
    stated_by: str


class PublishedNetwork(Strict):
    """A published network: what it is, and how it was regularised while it was trained."""

    architecture: str
    values: Values
    training: Values = Field(default_factory=dict)


class Fingerprints(Strict):
    """The registry's file."""

    data: dict[str, PublishedData]
    networks: dict[str, PublishedNetwork]
    recipes: dict[str, str]


@cache
def fingerprints() -> Fingerprints:
    """Every published data set and network by its name.

    Raises:
        UserError: the file is missing, or an entry has a wrong key or value.
    """
    found: Fingerprints = parse(Fingerprints, read_yaml(PATH), str(PATH))
    return found


def other_data(record: Record, name: str) -> str:
    """Why a record's data set is not the published one of this name; empty where it is."""
    wanted = fingerprints().data[name]
    kind, classes, lists = record.data_kind, set(record.classes), record.lists
    published = set(class_list(wanted.classes))
    if kind != "real":
        return f"{DATA[kind]}, not {name}"
    if classes != published:
        alike = len(classes) == len(published)
        count = "other" if alike else f"{len(classes)} instead of {len(published)}"
        return f"not {name}: {count} classes"
    for splits, clips in wanted.clips.items():
        listed = sum(lists.clips.get(split, 0) for split in splits.split("+"))
        if listed != clips:
            return f"not {name}: {listed:,} instead of {clips:,} listed clips ({splits})"
    if wanted.lists not in (None, lists.digest):
        return f"not {name}: other clips, folds or labels in its lists"
    return ""


def other_layout(record: Record, loader: str) -> str:
    """Why a record's data set is not the one published in this layout (the first of several);
    empty if it is one of them, or none has this layout. Users' own data may be any of them."""
    own = loader in OWN_DATA
    names = [name for name, data in fingerprints().data.items() if own or data.loader == loader]
    reasons = [other_data(record, name) for name in names]
    if not reasons or not all(reasons):
        return ""
    return "no published figure of these clips is known" if own else reasons[0]


def other_reference(scored: System, name: str) -> str:
    """Why the reference that predictions were scored against is not that of a published data set;
    empty where it is."""
    data = fingerprints().data[name]
    for own, wanted, words in (
        (scored.files, data.clips["test"], "clips"),
        (scored.reference_events, data.events, "events"),
    ):
        if own != wanted:
            return f"not {name}: {own:,} instead of {wanted:,} {words}"
    return ""


def other_network(architecture: str, values: Network | None, name: str) -> str:
    """Why a network of these resolved values is not the published one; empty where it is."""
    wanted = fingerprints().networks[name]
    if architecture != wanted.architecture or values is None:
        return "not the published network"
    other = unlike(values, wanted.values)
    return f"not the published network: {', '.join(other)}" if other else ""


def other_recipe(record: Record, place: str) -> list[str]:
    """How a record's recipe differs from a published one.

    Args:
        place: EXPERIMENT/DATASET/MODEL of a recipe of config/, whose digest the registry has.
    """
    experiment, dataset, model = place.split("/")
    file = extends.CONFIG / f"{experiment}.yaml"
    if recipes_digest(file) != fingerprints().recipes[experiment]:
        return [f"the recipes of config/{file.name} are no longer the published ones"]
    resolved, settings = record.resolved, config.load(file)
    recipe = settings.recipe(model, dataset).model_dump(mode="json", exclude=NOT_HELD)
    own = {**resolved.recipe.values, "loss": resolved.dataset.values["loss"]}
    return unlike(own, {**recipe, "loss": settings.datasets[dataset].loss})


def recipes_digest(file: Path) -> str:
    """sha256 of the recipes of an experiment file, those that it extends included."""
    return digest_of(extends.read(file)["recipes"])


def unlike(values: Network, published: Network) -> list[str]:
    """Every published value that these lack, such as "embed_dim 32 instead of 96"."""
    return [
        f"{key.replace('_', ' ')} {values.get(key)} instead of {value}"
        for key, value in published.items()
        if values.get(key) != value
    ]
