"""`python -m bench embed`: build the small corpora that an experiment embeds."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.code_digest import stage_digest
from bench.data import pin
from bench.experiment import config
from bench.files import UserError

if TYPE_CHECKING:
    from synth import EmbeddedSizes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=int,
        default=2,
        help="processes (default: 2); any number gives the same bytes",
    )


def run(args: argparse.Namespace) -> int:
    settings = config.load(args.config)
    if settings.embedded is None:
        raise UserError(
            f"experiment '{settings.experiment}' embeds no corpora; there is nothing to build"
        )
    from synth import adopt, is_ours

    embedded = settings.embedded
    sizes = sizes_of(embedded)
    pulled = embedded.pin is not None and Path(embedded.root).is_dir()
    if pulled and not is_ours(embedded.root) and pin.agrees(str(embedded.pin)):
        print(f"{embedded.root}: the pinned corpora, made elsewhere", flush=True)
        manifest = adopt(embedded.root, sizes, stage_digest("embed"))
    else:
        manifest = _build(embedded, sizes, args.workers)
    print(f"{embedded.root}: {len(manifest['files'])} files, {manifest['digest']}")
    return 0


def sizes_of(embedded: config.Embedded) -> EmbeddedSizes:
    """The builder's numbers, checked.

    Raises:
        UserError: an unknown key or a wrong value, named.
    """
    from synth import EmbeddedSizes

    return config.parse(EmbeddedSizes, embedded.sizes, "embedded.sizes")


def taken_for_real(settings: config.Config) -> Iterator[str]:
    """A line for each data set that the builder made, here or for another experiment, and that this
    experiment does not call synthetic."""
    for name, dataset in settings.datasets.items():
        kind = settings.data_kind(name)
        if kind == "synthetic" or not Path(dataset.root).exists():
            continue
        from synth import is_ours  # late: it takes over a second

        if any(map(is_ours, Path(dataset.root).parents)):
            yield (
                f"datasets.{name}: {dataset.root} holds synthetic sounds, and would count as "
                f"'{kind}'; set datasets.{name}.data_kind to synthetic"
            )


def _build(embedded: config.Embedded, sizes: EmbeddedSizes, workers: int) -> dict[str, Any]:
    """Build the corpora, and compare them with their pin; their manifest."""
    from bench.process.meter import Meter
    from synth import build

    with Meter("embedded corpora", 0, "clips") as meter:
        code = stage_digest("embed")
        manifest = build(embedded.root, sizes, code, workers=workers, progress=meter.reach)
    if embedded.pin is not None:
        pin.check(embedded.pin)
    return manifest
