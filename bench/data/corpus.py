"""`python -m bench corpus DATASET`: read one data set from its own layout into a checked table."""

from __future__ import annotations

import argparse

from bench.experiment import config, folders
from bench.experiment.cells import Layout
from bench.strict import known


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("dataset", help="a key of the config's datasets")


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    settings = folders.load(args.config)
    dataset = find_dataset(settings, args.dataset)
    from bench.corpora import build_corpus
    from bench.process.meter import Meter

    with Meter(f"{args.dataset}: audio files", 0, "files") as meter:

        def progress(done: int, total: int) -> None:
            meter.total = total
            meter.add(done - meter.done)

        corpus = build_corpus(
            dataset.loader,
            dataset.root,
            Layout.of(settings).corpus(args.dataset),
            synthetic=settings.data_kind(args.dataset) == "synthetic",
            progress=progress,
            **dataset.options,
        )
    found, listed = corpus.coverage
    print(f"{args.dataset}: {found} of {listed} listed clips are on disk", flush=True)
    return 0


def find_dataset(settings: config.Config, name: str) -> config.Dataset:
    """The data set of this name.

    Raises:
        UserError: the experiment has none of this name.
    """
    known(name, settings.datasets, f"datasets of experiment '{settings.experiment}'")
    return settings.datasets[name]
