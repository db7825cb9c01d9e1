"""Where a figure of a table, or of a group of runs, came from: for `python -m bench explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

from bench.experiment.cells import Layout
from bench.experiment.config import Config
from bench.files import UserError
from bench.ops.explain import read_own
from bench.results.columns import metric_column
from bench.results.intervals import metrics_of
from bench.results.load import load_results
from bench.results.measured import RESCORED, Measurement, Rescored
from bench.results.provenance import measured_sources
from bench.results.record import Record
from bench.results.rescored import load as load_rescored
from bench.text_tables import records

SPREAD = ("sd", "ci95_low", "ci95_high", "n")


def of_table(settings: Config, what: str) -> str:
    """A figure as TABLE:ROW or TABLE:ROW:COLUMN, e.g. audioset:HTS-AT tiny:mAP (%).

    A row is named as the table shows it; a column so, too, or by its key in the CSV.

    Raises:
        UserError: no such table, row or column; the message lists those that exist.
    """
    name, _, rest = what.partition(":")
    name = name.strip().removesuffix(".csv")
    path = _table(settings, name)
    rows = _rows(path)
    head = list(rows[0])[1]
    chosen, column = _chosen(rows, head, rest)
    if not chosen:
        labels = "; ".join(dict.fromkeys(row[head] for row in rows))
        raise UserError(f"table {name} has no row '{rest.strip()}'; there are: {labels}")
    titles = _titles(path, _figures(rows))
    shown = [_column(name, column, titles)] if column else list(titles)
    lines = []
    for row in chosen:
        lines += [f"{name}, {row['section'] or 'table'}: {row[head]}"]
        lines += [
            f"  {_with_spread(row, key)}" for key in (shown if column else titles) if row[key]
        ]
        lines += [f"  {row['remark']}"] if row["remark"] else []
    keys = dict.fromkeys(key for row in chosen for key in row["records"].split())
    return "\n".join([*lines, "", *_origins(settings, list(keys))])


def _chosen(rows: list[dict[str, str]], head: str, rest: str) -> tuple[list[dict[str, str]], str]:
    """The rows that ROW or ROW:COLUMN names, and the column; a row's label may have colons."""
    parts = rest.split(":")
    for count in range(len(parts), 0, -1):
        label, column = (":".join(some).strip() for some in (parts[:count], parts[count:]))
        found = [row for row in rows if row[head].casefold() == label.casefold()]
        found = found or [row for row in rows if _plain(row[head]) == _plain(label) != ""]
        if found:
            return found, column
    return [], ""


def _figures(rows: list[dict[str, str]]) -> list[str]:
    """The keys of the columns, without those of their spreads."""
    keys = [key for key in list(rows[0])[2:] if key not in ("remark", "records")]
    spreads = {f"{key}_{part}" for key in keys for part in SPREAD}
    return [key for key in keys if key not in spreads]


def _titles(path: Path, keys: list[str]) -> dict[str, str]:
    """The title of each column by its key; columns that the CSV alone has come last, without."""
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("| "))
    titles = [title.replace("\\", "") for title in line.strip("| ").split(" | ")[1:]]
    return dict(zip_longest(keys, titles, fillvalue=""))


def _column(table: str, asked: str, titles: Mapping[str, str]) -> str:
    """The key of the column that is asked for, by key or title, with or without its unit.

    Raises:
        UserError: there is none, or several.
    """
    alike: tuple[Callable[[str], str], ...] = (str.strip, _plain, lambda name: _plain(_bare(name)))
    for form in alike:
        found = [k for k, title in titles.items() if form(asked) in (form(k), form(title))]
        if len(found) == 1:
            return found[0]
    known = (f"{key} ({title})" if title else key for key, title in titles.items())
    raise UserError(f"table {table} has no column '{asked}'; columns: {', '.join(known)}")


def of_group(settings: Config, name: str) -> str:
    """The mean figures of DATASET/MODEL/VARIANT, and each record behind them.

    Raises:
        UserError: no such group, or its records may not be averaged (with the reason).
    """
    results = load_results(settings)
    dataset, model, variant = name.split("/")
    group = results.group(dataset, model, variant)
    if group is None:
        refused = results.refused.get((dataset, model, variant))
        if refused:
            raise UserError(f"{name}: its records are not averaged, because {refused}")
        listed = ", ".join(found.name for found in results.groups.values()) or "none yet"
        raise UserError(f"no group '{name}' with records; there are: {listed}")
    figures = [
        f"  {metric_column(metric).title:<30}{metric_column(metric).text(summary.mean):>8}  "
        f"{metric_column(metric).interval(summary)}, n = {summary.n}"
        for metric in metrics_of(results, group.dataset)
        if (summary := group.summary(metric)) is not None
    ]
    runs = f"{len(group.runs)} of {group.expected} runs"
    return "\n".join(
        [f"{name}: {runs}", *figures, "", *_origins(settings, list(group.record_keys))]
    )


def of_measurement(settings: Config, name: str) -> str:
    """A measurement besides the runs, cost/MODEL or rescore.json, and how it was made.

    Raises:
        UserError: no such measurement.
    """
    sources = measured_sources(load_results(settings).costs, load_rescored(settings))
    found = {source.name: source for source in sources}
    if name not in found:
        listed = ", ".join(found) or "none yet"
        raise UserError(f"no measurement '{name}'; there are: {listed}")
    source = found[name]
    facts = (*(("command", command) for command in source.commands), *source.facts, *source.digests)
    return "\n".join([name, *(f"  {fact:<22}{value}" for fact, value in facts)])


def _table(settings: Config, name: str) -> Path:
    folder = Layout.of(settings).report / "tables"
    path = folder / f"{name}.csv"
    if not path.is_file() or not path.with_suffix(".md").is_file():
        tables = ", ".join(sorted(found.stem for found in folder.glob("*.csv"))) or "none yet"
        raise UserError(
            f"{path}: no such table (there are: {tables}); `python -m bench report` writes them"
        )
    return path


def _rows(path: Path) -> list[dict[str, str]]:
    header, *lines = [values for _, values in records(path, ",")] or [[]]
    if not lines:
        raise UserError(f"{path}: the table has no rows")
    return [dict(zip(header, values, strict=True)) for values in lines]


def _plain(text: str) -> str:
    """Only letters and digits: so "mAP (%)" equals mAP_percent."""
    return "".join(c for c in text.casefold().replace("%", "percent") if c.isalnum())


def _bare(name: str) -> str:
    """A key or a title without its unit."""
    return name.removesuffix("_percent").removesuffix("_points").partition(" (")[0]


def _with_spread(row: Mapping[str, str], key: str) -> str:
    sd, low, high, n = (row.get(f"{key}_{part}", "") for part in SPREAD)
    text = f"{key} = {row[key]}"
    text += f" ± {sd}" if sd else ""
    text += f", 95 % interval [{low}, {high}]" if low else ""
    return text + (f", n = {n}" if n else "")


def _origins(settings: Config, keys: list[str]) -> Iterator[str]:
    """Per record: its path, the commit and the machine, and the command that repeats it."""
    layout = Layout.of(settings)
    own = f"--config {layout.resolved_config}"
    yield f"from {len(keys):,} records (`python -m bench explain KEY {own}` shows one in full)"
    for key in keys:
        path = _path(layout, key)
        try:
            found = _read(path, key)
        except UserError as error:
            yield f"  {key}: {error}"
            continue
        yield f"  {key}  {path}"
        yield f"    commit {found.provenance.commit}, {found.provenance.cpu}"
        yield f"    again: {_command(found)}"
    yield f"then `python -m bench report {own}` writes the tables again"


def _path(layout: Layout, key: str) -> Path:
    if key.startswith("cost/"):
        return layout.results / f"{key}.json"
    return layout.results / (key if key.endswith(".json") else f"runs/{key}/record.json")


def _read(path: Path, key: str) -> Record | Rescored | Measurement:
    if path.name == "record.json":
        return read_own(path, key)
    return Rescored.read(path) if path.name == RESCORED else Measurement.read(path)


def _command(found: Record | Rescored | Measurement) -> str:
    if isinstance(found, Record):
        return found.provenance.command
    return found.command if isinstance(found, Rescored) else f"python -m bench cost {found.model}"
