"""`python -m bench speed`: our models beside installed peers, and other speed-critical code.

Both sides of a pair are built in one process with equal weights. That they compute the same
function is checked before anything is timed. Then their steps alternate, so that other work on the
machine slows both, and the figures are the medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import UserError, atomic_write, read_json, write_json
from bench.provenance import environment, source
from bench.strict import known

if TYPE_CHECKING:
    from speed.models import Options

PARTS = ("models", "breakdown", "pipeline", "growth")
TOLERATED = 0.9  # a ratio below this share of the committed one is called a regression


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--quick", action="store_true", help="one batch size, two rounds")
    parser.add_argument(
        "--pairs", nargs="+", metavar="PAIR", help="such as htsat/clap (default: all)"
    )
    parser.add_argument("--only", choices=PARTS, help="one of these parts (default: all)")
    parser.add_argument("--batches", nargs="+", type=int, metavar="N", help="clips per step")
    parser.add_argument(
        "--rounds", type=int, help="measured rounds (default: 3 to 7, by time; 2 with --quick)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        help="CPU threads (default: all); 1 counts CPU time, which a busy machine hardly affects",
    )
    parser.add_argument("--show", type=Path, metavar="FILE", help="measure nothing: use this JSON")
    parser.add_argument(
        "--into", type=Path, metavar="FILE", help="update the tables of this Markdown file"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the JSON here")
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="name the ratios that are worse than here"
    )


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    from speed.tables import put_into, render

    earlier = read_json(args.against) if args.against else None
    page = args.into.read_text(encoding="utf-8") if args.into else ""
    found = read_json(args.show) if args.show else _measure(args)
    if args.output:
        write_json(args.output, found)
    if args.into:
        with atomic_write(args.into) as path:
            path.write_text(put_into(page, found), encoding="utf-8")
    print(json.dumps(found, indent=1) if args.json else render(found))
    if earlier is not None:
        worse = regressions(earlier, found)
        print("\n".join(worse) or f"no ratio is more than {1 - TOLERATED:.0%} below {args.against}")
        return 1 if worse else 0
    return 0


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from speed import breakdown, growth, models, pipeline

    torch.backends.cudnn.allow_tf32 = False  # as trainings: fp32 means fp32 in convolutions too
    if args.threads:
        torch.set_num_threads(args.threads)
    found: dict[str, Any] = {
        "provenance": {**source(), **environment()},
        "load": os.getloadavg()[0],  # of the last minute: other work
    }
    parts = (args.only,) if args.only else PARTS
    names = _chosen(args.pairs) if "models" in parts else []
    _require(("h5py", "librosa", "torchlibrosa") if "pipeline" in parts else ())
    if "pipeline" in parts:
        found["pipeline"] = pipeline.measure(quick=args.quick)
    if "growth" in parts:
        found["growth"] = growth.measure(quick=args.quick)
    if "breakdown" in parts:
        found["breakdown"] = breakdown.measure(quick=args.quick)
    if "models" in parts:
        found |= models.measure(names, _options(args))
    return found


def _options(args: argparse.Namespace) -> Options:
    from speed.models import Options

    batches = tuple(args.batches) if args.batches else (1,) if args.quick else None
    return Options(
        rounds=args.rounds or (2 if args.quick else 7),
        budget_s=math.inf if args.rounds else 20.0,
        batches=batches,
    )


def _chosen(names: list[str] | None) -> list[str]:
    """The requested pairs, all by default, after checking that their peers are installed."""
    from speed.pairs import PAIRS

    for name in names or ():
        known(name, PAIRS, "--pairs")
    chosen = names or list(PAIRS)
    _require(PAIRS[name].package for name in chosen)
    return chosen


def _require(packages: Iterable[str]) -> None:
    """Refuse to begin if a peer is missing.

    Raises:
        UserError: naming the package.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UserError(f"{package} is not installed; `make test-environment` installs it")


def regressions(earlier: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """A line for each ratio of our speed to a peer's that fell below TOLERATED of the earlier."""
    before, now = _ratios(earlier), _ratios(found)
    return [
        f"slower than it was: {' '.join(map(str, key))}: {now[key]:.2f} times the peer, "
        f"was {before[key]:.2f}"
        for key in sorted(before.keys() & now.keys())
        if now[key] < TOLERATED * before[key]
    ]


def _ratios(found: dict[str, Any]) -> dict[tuple[Any, ...], float]:
    return {
        (row["pair"], point["mode"], point["batch"], name): point["times_peer_fp32"][name]["median"]
        for row in found.get("pairs", ())
        for point in row["points"]
        for name in ("ours fp32", "ours bf16")
        if name in point["times_peer_fp32"]
    }
