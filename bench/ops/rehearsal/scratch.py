"""The scratch experiment of a rehearsal: the same runs on a few clips, in a folder of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench import corpora
from bench.code_digest import stage_digest
from bench.data.features import featurize
from bench.experiment import config
from bench.experiment.cells import Cell, Layout, list_cells, plan
from bench.experiment.checkpoints import STAND_INS
from bench.experiment.config import Config
from bench.experiment.released import class_list, file_of
from bench.files import UserError, write_text
from bench.ops.rehearsal.corpora import OPTIONS, OTHER, TRAINED, WRITERS
from bench.strict import nearest

FEW = 80  # clips: a corpus of this size is rehearsed in full
PUBLISHED_CLASSES = {
    "audioset": "audioset",
    "esc50": "esc50",
    "speechcommands": "speechcommands-ast",
}
"""By loader: the class list of the data set whose layout it reads."""


class Group(NamedTuple):
    """Runs that differ only by seed and fold: one of them is rehearsed."""

    dataset: str
    model: str
    variant: str

    def __str__(self) -> str:
        return "/".join(self)


def groups_of(settings: Config) -> dict[Group, Cell]:
    """The distinct runs of an experiment, each with its first cell; parents come first."""
    firsts: dict[Group, Cell] = {}
    for cell in list_cells(settings):
        firsts.setdefault(group_of(cell), cell)
    ordered: dict[Group, Cell] = {}

    def add(group: Group) -> None:
        parent = plan(settings, firsts[group]).parent
        if parent is not None and group_of(parent) not in ordered:
            add(group_of(parent))
        ordered[group] = firsts[group]

    for group in firsts:
        add(group)
    return ordered


def group_of(cell: Cell) -> Group:
    """The group that a run belongs to."""
    return Group(cell.dataset, cell.model, cell.variant)


def chosen(settings: Config, names: Iterable[str]) -> dict[Group, Cell]:
    """The groups whose names begin with these (DATASET, DATASET/MODEL, a whole run), with the
    groups that they start from; all groups without a name.

    Raises:
        UserError: a name begins no run.
    """
    every, wanted = groups_of(settings), dict[Group, Cell]()
    names = list(names)
    for name in names:
        found = [
            g for g in every if f"{g}/".startswith(f"{name}/") or f"{name}/".startswith(f"{g}/")
        ]
        if not found:
            known = [str(group) for group in every]
            raise UserError(
                f"'{name}' begins no run{nearest(name, known)}; `plan --jobs` lists them"
            )
        for group in found:
            line = [group]
            while (parent := plan(settings, every[line[0]]).parent) is not None:
                line.insert(0, group_of(parent))
            wanted |= {member: every[member] for member in line}
    return {group: cell for group, cell in every.items() if group in wanted or not names}


def scratch_of(settings: Config, folder: Path, groups: Iterable[Group]) -> Config:
    """The experiment reduced to the data sets and models of these groups, one seed each, in
    `folder`.

    What a run resolves to is the same: model, front end and recipe are not touched.
    """
    groups = list(groups)
    values = settings.model_dump(mode="json")
    datasets = dict.fromkeys(group.dataset for group in groups)
    models = dict.fromkeys(group.model for group in groups)
    for name in datasets:
        values["datasets"][name] |= {
            "seeds": [settings.seeds_on(name)[0]],
            "source": None,
            "data_kind": settings.data_kind(name),
        }
    for name in models:
        own = values["models"][name]["arguments_on"]
        values["models"][name]["arguments_on"] = {k: v for k, v in own.items() if k in datasets}
        values["models"][name]["seeds_on"] = {}
    studies = {}
    for name, study in values["ablations"].items():
        kept = {"models": models, "datasets": datasets}
        study |= {key: [n for n in study[key] if n in names] for key, names in kept.items()}
        if study["models"] and study["datasets"]:
            studies[name] = study | {"seeds": None}

    def applies(key: str) -> bool:
        model, _, dataset = key.partition("/")
        return key == "base" or (model in models and (not dataset or dataset in datasets))

    paths = {key: str(folder / key) for key in ("work", "results", "report", "checkpoints")}
    space, hand_set = values["tuning"]["space"], values["localization"]["hand_set"]
    values |= {
        "experiment": f"{settings.experiment}-rehearsal",
        "title": f"Rehearsal of {settings.title}",
        "seeds": [settings.seeds[0]],
        "paths": {**values["paths"], **paths},
        "embedded": None,
        "datasets": {name: values["datasets"][name] for name in datasets},
        "models": {name: values["models"][name] for name in models},
        "recipes": {key: value for key, value in values["recipes"].items() if applies(key)},
        "ablations": studies,
        **{key: {} for key in ("targets", "released", "ensembles")},
        "rescore": None,
        "tuning": {**values["tuning"], "space": {k: v for k, v in space.items() if applies(k)}},
        "localization": {
            **values["localization"],
            "hand_set": {k: v for k, v in hand_set.items() if k in models},
        },
        "cost": {**values["cost"], "batch_size": 1, "steps": 1},
    }
    return config.load(values)


def with_data(settings: Config, name: str, folder: Path, stand_in: bool) -> tuple[Config, str]:
    """The scratch experiment with a stand-in for a missing data set; and a description of its data.

    Raises:
        UserError: it is missing, and its loader has no stand-in or none is wanted.
    """
    dataset = settings.datasets[name]
    root = Path(dataset.root)
    if root.is_dir() and any(root.iterdir()):
        return settings, f"real, from {root}"
    if not stand_in or dataset.loader not in WRITERS:
        why = f"loader {dataset.loader} has no stand-in" if stand_in else "nothing may stand in"
        raise UserError(
            f"datasets.{name}.root: no such folder: {root}, and {why}; put the data set there"
        )
    options = {key: value for key, value in dataset.options.items() if key in OPTIONS}
    WRITERS[dataset.loader](folder / name, options)
    changed = dataset.model_copy(update={"root": str(folder / name), "options": options})
    datasets = {**settings.datasets, name: changed}
    return settings.model_copy(update={"datasets": datasets}), f"stand-in: there is no {root}"


def with_checkpoints(
    there: Path, settings: Config, cells: Iterable[Cell], stand_in: bool
) -> dict[str, str]:
    """Fill the scratch folder of checkpoints with what these runs start from: links to the files in
    `there`, and stand-ins for the rest if wanted.

    Returns a description of each.
    """
    folder = Path(settings.paths.checkpoints)
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[str, str] = {}
    made: list[str] = []
    starts = filter(None, (plan(settings, cell).start for cell in cells))
    for name, entry in {start.name: start.entry for start in starts}.items():
        found = file_of(entry, there)
        if found is not None:
            (folder / found.name).symlink_to(found.resolve())
            told[name] = f"real, from {found}"
            continue
        if not stand_in:
            told[name] = f"absent: there is no {there / entry.file}"
            continue
        from bench.ops.rehearsal import checkpoints

        named = checkpoints.write_stand_in(entry, folder / entry.file)
        names = "the released names" if named else "the model's own names"
        told[name] = f"random weights under {names}: there is no {there / entry.file}"
        made.append(entry.file)
    write_text(folder / STAND_INS, "".join(f"{name}\n" for name in made))
    return told


def make_corpus(settings: Config, dataset: str) -> None:
    """The corpus stage on a few clips of a data set.

    Raises:
        UserError: as the stage; or a real data set has another number of classes than published.
    """
    asked = settings.datasets[dataset]
    whole = corpora.load(
        asked.loader,
        asked.root,
        name=dataset,
        synthetic=settings.data_kind(dataset) == "synthetic",
        **asked.options,
    )
    listed = PUBLISHED_CLASSES.get(asked.loader)
    published = len(class_list(listed)) if listed else len(whole.classes)
    if settings.data_kind(dataset) == "real" and len(whole.classes) != published:
        raise UserError(
            f"{asked.root}: {len(whole.classes)} classes where {asked.loader} has {published}; put "
            f"the published lists there, or set datasets.{dataset}.data_kind if it is another data "
            "set in that layout"
        )
    corpora.save(few_of(whole), Layout.of(settings).corpus(dataset))


def make_features(settings: Config, dataset: str, front_end: str) -> None:
    """The features of these clips, as the stage computes them.

    Raises:
        UserError: as the stage.
    """
    layout, asked = Layout.of(settings), settings.datasets[dataset].front_ends[front_end]
    featurize(
        layout.corpus(dataset),
        asked,
        layout.features(dataset, front_end),
        code=stage_digest("featurize"),
        sees=asked.frames,
    )


def few_of(corpus: corpora.Corpus) -> corpora.Corpus:
    """The corpus with a few clips of each kind, evenly spaced in its table; a small one is kept
    whole."""
    if len(corpus.clips) <= FEW:
        return corpus
    kept: list[int] = []
    folds = int(corpus.clips["fold"].max()) + 1
    for _, alike in corpus.clips.groupby(["split", "fold", "strong"]):
        split, fold = alike["split"].iloc[0], alike["fold"].iloc[0]
        wanted = TRAINED if split == "train" else OTHER
        if folds:  # so that those to train on are an odd number, whichever is tested
            wanted = 9 if fold == folds - 1 else 11
        kept += _evenly(alike.index.to_numpy(), wanted)
    clips = corpus.clips.iloc[sorted(kept)].reset_index(drop=True)
    missing = corpus.missing.iloc[_evenly(np.arange(len(corpus.missing)), 3)].reset_index(drop=True)
    names = {*clips["clip"], *missing["clip"]}
    events: pd.DataFrame | None = corpus.events
    if events is not None:
        events = events[events["filename"].isin(names)].reset_index(drop=True)
    remarks = {clip: remark for clip, remark in corpus.remarks.items() if clip in names}
    return dataclasses.replace(corpus, clips=clips, missing=missing, events=events, remarks=remarks)


def _evenly(rows: np.ndarray, wanted: int) -> list[int]:
    places = np.linspace(0, len(rows) - 1, min(wanted, len(rows))).round().astype(int)
    return [int(row) for row in rows[places]]
