"""`python -m bench corpus DATASET`: read one data set from its own layout into a checked table."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.experiment import config, folders
from bench.experiment.cells import Layout, list_cells, plan
from bench.files import UserError
from bench.strict import known

if TYPE_CHECKING:
    from bench.corpora import Corpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="a key of the config's datasets")


def run(args: argparse.Namespace) -> int:
    settings = folders.load(args.config)
    dataset = find_dataset(settings, args.dataset)
    from bench.corpora import build_corpus, shared_recordings
    from bench.process.meter import Meter

    folder = Layout.of(settings).corpus(args.dataset)
    with Meter(f"{args.dataset}: audio files", 0, "files") as meter:
        corpus = build_corpus(
            dataset.loader,
            dataset.root,
            folder,
            name=args.dataset,
            synthetic=settings.data_kind(args.dataset) == "synthetic",
            progress=meter.reach,
            **dataset.options,
        )
    if obstacles := list(unmet(settings, args.dataset, corpus)):
        raise UserError("\n".join(obstacles))
    found, listed = corpus.coverage
    print(f"{args.dataset}: {found} of {listed} listed clips are on disk", flush=True)
    if corpus.remarks:
        clip, remark = next(iter(corpus.remarks.items()))
        print(
            f"{args.dataset}: {len(corpus.remarks)} remarks in {folder}/corpus.json; the first, "
            f"{clip}: {remark}",
            flush=True,
        )
    for recording, splits in shared_recordings(corpus).items():
        print(
            f"{args.dataset}: its lists cut recording {recording} into clips of "
            f"{' and '.join(splits)}",
            flush=True,
        )
    return 0


def unmet(settings: config.Config, name: str, corpus: Corpus) -> Iterator[str]:
    """A line for everything that the experiment needs of a data set and that its corpus lacks."""
    dataset, where = settings.datasets[name], f"datasets.{name}"
    try:
        dataset.check_labels(corpus.multilabel, where)
    except UserError as error:
        yield str(error)
    if not corpus.own:
        return
    folds = int(corpus.clips["fold"].max()) + 1
    if dataset.folds != folds:
        yield (
            f"{where}.folds: {dataset.folds}, and the data has {folds or 'none'}; set it to {folds}"
        )
    if dataset.loss == "ce" and len(corpus.classes) < 2:
        yield (
            f"{where}: '{corpus.classes[0]}' is its only class, so there is nothing to tell apart; "
            "add recordings of another one"
        )
    if dataset.localize:
        yield from _without_times(corpus, where, in_folds=folds > 0)
    if corpus.clips["strong"][corpus.clips["split"].eq("train") | (folds > 0)].any():
        return
    plans = (plan(settings, cell) for cell in list_cells(settings) if cell.dataset == name)
    for model, how in sorted({(found.cell.model, found.recipe.supervision) for found in plans}):
        if how != "weak":
            yield (
                f"recipes of {name}/{model}: supervision '{how}' needs training clips with times, "
                f"and {where} has none; give options.events, or set it to weak"
            )


def _without_times(corpus: Corpus, where: str, *, in_folds: bool) -> Iterator[str]:
    """What keeps located events from being scored: clips without times would count as silent."""
    if corpus.events is None:
        yield f"{where}.localize: true, and the data has no events; give options.events"
        return
    clips = corpus.clips
    timed = clips["clip"].isin(corpus.events["filename"])
    for split in ("test",) if in_folds else ("validation", "test"):
        own = clips["split"].eq(split) | in_folds
        untold = clips[own & ~clips["strong"] & clips["labels"].map(bool)]
        called = "data" if in_folds else f"{split} split"
        if len(untold):
            yield (
                f"{where}.localize: {len(untold)} clips of the {called} have labels and no times, "
                f"such as {untold['clip'].iloc[0]}, and would be scored as without events; list "
                "their events, or let them train"
            )
        elif not (own & timed).any():
            yield (
                f"{where}.localize: no clip of the {called} has an event; list some, or set "
                "localize to false"
            )


def find_dataset(settings: config.Config, name: str) -> config.Dataset:
    """The data set of this name.

    Raises:
        UserError: the experiment has none of this name.
    """
    known(name, settings.datasets, f"datasets of experiment '{settings.experiment}'")
    return settings.datasets[name]
