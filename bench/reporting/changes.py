"""The report's figures as plain JSON, and what changed between two of them.

`metrics.json` is beside the report; docs/default.json is that of the default on one machine.
`python -m bench compare` says which figures differ, which digests changed, and whether a figure
left its interval.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.code_digest import ROOT
from bench.experiment import folders
from bench.experiment.cells import Layout
from bench.files import UserError, read_json, write_text
from bench.reporting.tables import Column, Entry, Row, Table, to_markdown
from bench.results.analysis import Analysis
from bench.results.columns import metric_column
from bench.results.groups import STAGE_DIGESTS, Group, digest_shared
from bench.results.intervals import metrics_of
from bench.results.names import DIGESTS, METRICS
from bench.results.words import counted

NAME = "metrics.json"
MADE_FROM = ("config", *STAGE_DIGESTS)
HARDWARE = "hardware"
RECORDED = (*MADE_FROM, HARDWARE)
SHOWN = 12  # characters of a digest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    what = "a report's folder or its metrics.json, or a git commit that contains it"
    parser.add_argument("old", help=what)
    parser.add_argument("new", nargs="?", help=f"{what} (default: the experiment's own report)")


def run(args: argparse.Namespace) -> int:
    """Entry of the verb: prints the comparison and writes it beside the report."""
    folder = Layout.of(folders.load(args.config)).report
    old = read_version(args.old, folder / NAME)
    new = read_version(args.new or str(folder / NAME), folder / NAME)
    table = change_table(old, new, (args.old, args.new or "the present report"))
    text = to_markdown(table)
    print(text, end="", flush=True)
    if folder.is_dir():
        write_text(folder / "changes.md", text)
    return 0


def metrics(analysis: Analysis) -> dict[str, Any]:
    """The content of metrics.json: every figure with its interval, and the digests behind it."""
    figures: dict[str, Any] = {}
    for group in analysis.groups.values():
        own: dict[str, Any] = {}
        for metric in metrics_of(analysis, group.dataset):
            summary = group.summary(metric)
            if summary is not None:
                own[metric] = {
                    "mean": summary.mean,
                    "low": summary.low,
                    "high": summary.high,
                    "runs": summary.n,
                }
        digests = {name: digest_shared(group.runs[0], name)[:SHOWN] for name in MADE_FROM}
        own["made_by"] = {**digests, HARDWARE: hardware(group)}
        figures[group.name] = own
    return figures


def hardware(group: Group) -> str:
    """What determines the last digits of a group's figures: processor or device, and threads."""
    made = (run.record.provenance for run in group.runs)
    found = {f"{p.cpu}, {p.device}, {counted(p.threads, 'thread')}" for p in made}
    return "; ".join(sorted(found))


def read_version(name: str, path: Path) -> dict[str, Any]:
    """The metrics of a commit, of a report's folder, or of a file.

    Raises:
        UserError: neither a file nor a commit that holds one, or something else.
    """
    file = Path(name) / path.name if Path(name).is_dir() else Path(name)
    if file.is_file() or file == path:
        return _checked(read_json(file), name)
    relative = path.resolve().relative_to(ROOT) if path.is_absolute() else path
    done = subprocess.run(
        ["git", "show", "--end-of-options", f"{name}:./{relative.as_posix()}"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UserError(
            f"{name}: neither a file nor a commit that holds {relative} "
            f"({done.stderr.strip().splitlines()[-1]}); `git add -f {relative}` with each report"
        )
    return _checked(json.loads(done.stdout), name)


def _checked(found: Any, name: str) -> dict[str, Any]:
    """`found`, if it has the form of `metrics`, of metrics that are known here.

    Raises:
        UserError: it has not.
    """
    groups = list(found.values()) if isinstance(found, dict) else [None]
    if all(isinstance(group, dict) and all(map(_is_figure, group.items())) for group in groups):
        return found
    raise UserError(
        f"{name}: not the {NAME} of a report, or of another version of this software; name a "
        f"report's folder or its {NAME}"
    )


def _is_figure(item: tuple[str, Any]) -> bool:
    """Whether an entry of a group is what made it, or the figure of a metric."""
    name, value = item
    if name == "made_by":
        return isinstance(value, dict)
    whole = isinstance(value, dict) and {"mean", "low", "high"} <= value.keys()
    return name in METRICS and whole and isinstance(value["mean"], float | int)


@dataclass(frozen=True)
class Change:
    """One figure in two reports; None if a report lacks it.

    `moved` is what was recorded differently; `unknown` is what a report does not record.
    """

    group: str
    metric: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    moved: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether both reports have the figure, and no difference that they would show."""
        if self.old is None or self.new is None:
            return False
        column = metric_column(self.metric)
        before, after = self.old["mean"], self.new["mean"]
        alike = column.text(before) == column.text(after)
        return alike or column.text(after - before) == column.text(0.0)

    @property
    def answer(self) -> str:
        """What happened to the figure, and the possible cause."""
        if self.old is None:
            return "new"
        if self.new is None:
            return "gone"
        moved = ", ".join(DIGESTS.get(name, name) for name in self.moved)
        if self.same:
            return "same" if not moved else f"same, though {moved} changed"
        unknown = ", ".join(DIGESTS.get(name, name) for name in self.unknown)
        by = f": {moved} changed" if moved else ": nothing recorded changed"
        by += f"; one report does not record its {unknown}" if unknown else ""
        low, high = self.old["low"], self.old["high"]
        if low is None:
            return f"changed{by}"
        inside = low <= self.new["mean"] <= high
        return f"{'within' if inside else 'outside'} its old 95 % interval{by}"


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Every figure of either report, in the order of the new one."""
    for group in dict.fromkeys([*new, *old]):
        before, after = old.get(group, {}), new.get(group, {})
        made, making = before.get("made_by", {}), after.get("made_by", {})
        known = [name for name in RECORDED if name in made and name in making]
        moved = tuple(name for name in known if made[name] != making[name])
        unknown = tuple(name for name in RECORDED if name not in known)
        for metric in dict.fromkeys([*after, *before]):
            if metric != "made_by":
                yield Change(group, metric, before.get(metric), after.get(metric), moved, unknown)


def change_table(old: Mapping[str, Any], new: Mapping[str, Any], names: tuple[str, str]) -> Table:
    """A row per changed figure, a section per metric; the others are counted."""
    rows, same = [], Counter[str]()
    for change in changes(old, new):
        if change.same:
            same[change.answer] += 1
            continue
        column = metric_column(change.metric)
        before, after = (_mean(value) for value in (change.old, change.new))
        entries = {
            "old": Entry(words=column.text(before) if before is not None else ""),
            "new": Entry(words=column.text(after) if after is not None else ""),
            "difference": Entry(words=_difference(column, before, after)),
            "answer": Entry(words=change.answer),
        }
        rows.append(Row(change.group, entries, section=METRICS[change.metric]))
    order = list(METRICS.values())
    rows.sort(key=lambda row: order.index(row.section))
    return Table(
        name="changes",
        title=f"What changed from {names[0]} to {names[1]}",
        caption="Figures of two reports; percent where the metric is a percentage. "
        "A change inside the old interval is what new seeds could give. "
        f"{len(rows)} of {len(rows) + same.total()} figures changed.",
        columns=[
            Column(key, title, words=True)
            for key, title in (
                ("old", names[0]),
                ("new", names[1]),
                ("difference", "difference"),
                ("answer", "answer"),
            )
        ],
        rows=rows,
        head="Runs",
        notes=[f"{count} figures: {answer}." for answer, count in same.most_common()],
    )


def _mean(value: Mapping[str, Any] | None) -> float | None:
    return None if value is None else float(value["mean"])


def _difference(column: Column, before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    return f"{'+' if after >= before else ''}{column.text(after - before)}"
