"""`python -m bench corpus DATASET`: read one data set from its own layout into a checked table."""

from __future__ import annotations

import argparse

from bench.experiment import config, folders
from bench.experiment.cells import Layout
from bench.strict import known


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
    dataset.check_labels(corpus.multilabel, f"datasets.{args.dataset}")
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


def find_dataset(settings: config.Config, name: str) -> config.Dataset:
    """The data set of this name.

    Raises:
        UserError: the experiment has none of this name.
    """
    known(name, settings.datasets, f"datasets of experiment '{settings.experiment}'")
    return settings.datasets[name]
