"""`python -m bench fetch NAME`: fetch a data set of an experiment into its folder, or a checkpoint
that its runs start from."""

from __future__ import annotations

import argparse
import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.experiment import folders
from bench.experiment.cells import Layout
from bench.experiment.wanted import Wanted, fetched_here
from bench.files import UserError, write_json
from bench.sources.present import sole_fetch
from bench.sources.registry import LockFile
from bench.strict import known

if TYPE_CHECKING:
    from bench.sources.clips import Absent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", help="a data set of the experiment that has a source, or checkpoints/NAME"
    )
    parser.add_argument(
        "--from", dest="folders", action="append", default=[], metavar="FOLDER",
        help="folder to look in first, under the names of the registry; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--keep-archives", action="store_true", help="keep archives after unpacking"
    )


def run(args: argparse.Namespace) -> int:
    settings = folders.load(args.config)
    wanted = fetched_here(settings)
    known(args.name, wanted, f"what experiment '{settings.experiment}' fetches")
    order = wanted[args.name]
    with sole_fetch(order.folder, args.name):
        facts = _fetch(order, args)
    write_json(Layout.of(settings).fetched(args.name), {"entry": order.key, **facts})
    return 0


def _fetch(order: Wanted, args: argparse.Namespace) -> dict[str, Any]:
    """Fetch what is missing; describes the result in a form that is the same at every call."""
    entry = order.entry
    _check_folders(args.folders, [file.name for file in entry.files])
    from bench.sources.download import bring

    parts = entry.wanted(order.options)
    size = sum(part.gigabytes for part in parts.values())
    words = f"{size:,.1f} GB" if size >= 1 else f"{1e3 * size:,.0f} MB"
    print(f"{entry.title}: about {words} on disk; licence: {entry.licence}", flush=True)
    files = bring(
        order.key, entry, order.folder, parts,
        lock=LockFile(), also_in=args.folders, keep_archives=args.keep_archives,
    )  # fmt: skip
    return {"files": files, "clips": _clips(args.name, order) if order.loader else {}}


def _check_folders(named: list[str], files: list[str]) -> None:
    """Refuse what is no folder; say of one that holds none of the files what they are called."""
    for folder in map(Path, named):
        if not folder.is_dir():
            raise UserError(f"--from {folder}: no such folder; name the one that holds the files")
        if not any((folder / name).is_file() for name in files):
            print(f"note: --from {folder}: holds none of {', '.join(files)}", flush=True)


def _clips(name: str, order: Wanted) -> dict[str, int]:
    """Fetch clips without a file, as the experiment says; returns how many are still absent."""
    entry = order.entry
    module = importlib.import_module(f"bench.corpora.{order.loader}")
    if not hasattr(module, "absent"):
        return {}

    taken = inspect.signature(module.absent).parameters
    options = {key: value for key, value in order.options.items() if key in taken}

    def absent() -> list[Absent]:
        return list(module.absent(order.folder, name=name, **options))

    for way in order.ways:
        if way == "parquet" and entry.parquet is not None:
            from bench.sources import parquet

            parquet.take(entry.parquet, absent(), order.folder)
        elif way == "youtube" and entry.youtube:
            from bench.sources import youtube

            print(f"YouTube: {youtube.take(absent(), order.folder)}", flush=True)
        else:
            raise UserError(f"datasets.{name}.fetch: {entry.title} cannot be fetched by '{way}'")
    count = len(absent())
    hint = f" ({entry.manual})" if count and entry.manual else ""
    print(f"{entry.title}: {count:,} listed clips are missing{hint}", flush=True)
    return {"absent": count}
