"""`python -m bench embed`: build the small corpora that an experiment embeds."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data import pin
from bench.experiment import config
from bench.files import UserError

if TYPE_CHECKING:
    from synth import EmbeddedSizes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--workers", type=int, default=2, help="processes (any number, same bytes)")


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    settings = config.load(args.config)
    if settings.embedded is None:
        raise UserError(
            f"experiment '{settings.experiment}' embeds no corpora; there is nothing to build"
        )
    from synth import EmbeddedSizes, adopt, is_ours

    embedded = settings.embedded
    sizes = config.parse(EmbeddedSizes, embedded.sizes, "embedded.sizes")
    pulled = embedded.pin is not None and Path(embedded.root).is_dir()
    if pulled and not is_ours(embedded.root) and pin.agrees(str(embedded.pin)):
        print(f"{embedded.root}: the pinned corpora, made elsewhere", flush=True)
        manifest = adopt(embedded.root, sizes)
    else:
        manifest = _build(embedded, sizes, args.workers)
    print(f"{embedded.root}: {len(manifest['files'])} files, {manifest['digest']}")
    return 0


def _build(embedded: config.Embedded, sizes: EmbeddedSizes, workers: int) -> dict[str, Any]:
    """Build the corpora, and compare them with their pin; their manifest."""
    from bench.process.meter import Meter
    from synth import build

    bank = None
    if embedded.bank == "recordings":
        from bench.corpora.recordings import open_bank

        bank = open_bank(embedded.cache)
    with Meter("embedded corpora", 0, "clips") as meter:

        def progress(done: int, total: int) -> None:
            meter.total = total
            meter.add(done - meter.done)

        manifest = build(embedded.root, sizes, bank, workers=workers, progress=progress)
    if embedded.pin is not None:
        pin.check(embedded.pin)
    if bank is not None:
        for line in group_lines(manifest["groups"]):
            print(line)
    return manifest


def group_lines(groups: Mapping[str, Mapping[str, Mapping[str, list[str]]]]) -> Iterator[str]:
    """How many original recordings (or synthetic sources) each split of each class has.

    Args:
        groups: corpus -> class -> split -> names, as in the manifest of the corpora.
    """
    for corpus, classes in groups.items():
        yield f"{corpus}: sources per class and split"
        for name, splits in classes.items():
            yield f"  {name}: " + ", ".join(f"{split} {len(of)}" for split, of in splits.items())
