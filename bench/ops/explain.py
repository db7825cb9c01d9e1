"""`python -m bench explain WHAT`: where a number came from, and the command that repeats it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.experiment import config
from bench.experiment.cells import RELEASED, Layout, find_cell
from bench.files import UserError, digest_file
from bench.results.record import Metrics, Record
from bench.results.words import value_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        help="a run (DATASET/MODEL/VARIANT/[foldF-]seedS), the path of a record.json, all runs of "
        "DATASET/MODEL/VARIANT, a measurement (cost/MODEL, rescore.json), or a figure of a table "
        "(TABLE:ROW[:COLUMN], as in its CSV)",
    )


def run(args: argparse.Namespace) -> int:
    path = Path(args.what)
    group = path.suffix != ".json" and ":" not in args.what and args.what.count("/") == 2
    measured = args.what.startswith("cost/") or args.what == "rescore.json"
    if group or measured or ":" in args.what:
        from bench.ops.figure_origin import of_group, of_measurement, of_table

        told_by = of_group if group else of_measurement if measured else of_table
        print(told_by(config.load(args.config), args.what))
        return 0
    if path.suffix != ".json":
        settings = config.load(args.config)
        cell = find_cell(settings, args.what)
        path = Layout.of(settings).record(cell)
        print(explain(read_own(path, str(cell)), path))
        return 0
    print(explain(Record.read(path), path))
    return 0


def read_own(path: Path, key: str) -> Record:
    """The record of the run `key`.

    Raises:
        UserError: as `Record.read`, or it is that of another run.
    """
    record = Record.read(path)
    if record.key != key:
        raise UserError(
            f"{path}: is the record of {record.key}, not of {key}; delete it, and run snakemake "
            "again to make its own"
        )
    return record


def explain(record: Record, path: Path) -> str:
    """A record's origin, as text."""
    made, digests = record.provenance, record.digests.known
    evaluation = made.command.replace(" train ", " evaluate ").split(" --threads ")[0]
    splits = ", ".join(f"{count:,} {name}" for name, count in record.splits.items())
    lines = [
        f"{record.key}  ({record.data_kind} data, experiment {record.experiment})",
        f"record {path}",
        "",
        *_figures(record.metrics),
        "",
        *_section(
            "made by",
            {
                "commit": made.commit,
                "command": made.command,
                "machine": f"{made.cpu}, {made.threads} threads, {made.device}",
                "python": f"{made.python} on {made.platform}",
                "started": made.started,
                "finished": made.finished,
            },
        ),
        *_section(
            "made from",
            {
                "clips": f"{splits}; {record.coverage.found:,} of "
                f"{record.coverage.listed:,} listed are on disk",
                "starts from": _start(record),
                "seeds": ", ".join(f"{name} {seed}" for name, seed in record.seeds.items()),
                "identity": record.identity,
                **{f"{name} digest": value for name, value in digests.items()},
            },
        ),
        *_section("files", dict(_files(record, path.parent))),
        *_section("recipe", record.resolved.recipe.values),
        "to repeat it, from the same features",
        f"  {made.command}",
        *([f"  {evaluation}"] if " train " in made.command else []),
        *(["", "uncommitted changes, for `git apply`", made.diff] if made.diff else []),
    ]
    return "\n".join(lines)


def _start(record: Record) -> str:
    """What a run's weights began as: a run, released files in the config's words, or random."""
    resolved = record.resolved
    if record.parent is not None:
        return record.parent.key
    if resolved.members:
        return f"the trained {', '.join(resolved.members)}"
    if resolved.released is not None:
        return f"the released {record.cell.variant.removeprefix(RELEASED)}, not trained here"
    init = resolved.recipe.init
    return "random weights" if init == "random" else init


def _files(record: Record, folder: Path) -> Iterator[tuple[str, str]]:
    """Each file that the record describes, and whether it still is that file."""
    for name, expected in record.files.items():
        if not (folder / name).is_file():
            yield name, f"missing; it had sha256 {expected}"
        else:
            same = digest_file(folder / name) == expected
            yield name, "as recorded" if same else f"CHANGED: it had sha256 {expected}"


def _figures(metrics: Metrics) -> list[str]:
    lines = []
    for split, by_name in (("test", metrics.test), ("validation", metrics.validation)):
        for name, metric in by_name.items():
            maker = f"{metric.implementation} {metric.version}"
            value = "undefined" if metric.value is None else value_words(metric.value, name)
            lines.append(f"  {split:<11}{name:<18}{value:>10}  n = {metric.n:,}, {maker}")
    return lines


def _section(title: str, values: dict[str, Any]) -> list[str]:
    return [title, *(f"  {name:<22}{value}" for name, value in values.items()), ""]
