"""`python -m bench featurize DATASET FRONT_END`: compute and store the features of one data set."""

from __future__ import annotations

import argparse

from bench.code_digest import stage_digest
from bench.data.corpus import find_dataset
from bench.experiment import folders
from bench.experiment.cells import Layout
from bench.process.memory import give_back_tables
from bench.strict import known


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="a key of the config's datasets")
    parser.add_argument("front_end", help="a key of its front_ends")
    parser.add_argument("--workers", type=int, default=1, help="processes; results are the same")


def run(args: argparse.Namespace) -> int:
    settings = folders.load(args.config)
    front_ends = find_dataset(settings, args.dataset).front_ends
    known(args.front_end, front_ends, f"datasets.{args.dataset}.front_ends")
    give_back_tables()
    from bench.data.features import featurize

    layout = Layout.of(settings)
    usable = featurize(
        layout.corpus(args.dataset),
        front_ends[args.front_end],
        layout.features(args.dataset, args.front_end),
        code=stage_digest("featurize"),
        workers=args.workers,
        sees=front_ends[args.front_end].frames,
    )
    print(f"{args.dataset}: {args.front_end} features of {usable} clips", flush=True)
    return 0
