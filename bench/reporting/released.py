"""The table of released checkpoints: what their authors report, and what was measured here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.experiment import released
from bench.experiment.cells import RELEASED, Cell, Layout, ensemble_cells, released_cells
from bench.experiment.config import Config
from bench.files import read_sealed
from bench.reporting import rescored
from bench.reporting.forms import write_forms
from bench.reporting.identity import other_layout
from bench.reporting.names import METRICS, dataset_name, model_name
from bench.reporting.tables import Column, Entry, Row, Table

NONE = "no released checkpoint"
FIGURE = Column("figure_percent", "measured here (%)", 2, 100.0)


def released_table(config: Config) -> Table:
    """Every released checkpoint of the experiment, and the pairs for which there is none."""
    return Table(
        "released",
        "Released checkpoints",
        "Files that the models' authors released, evaluated here without training. Thresholds for "
        "events are chosen on validation clips; test-time shifts are off unless a row says so.",
        (
            FIGURE,
            Column("metric", "metric", words=True),
            Column("authors", "authors report", words=True),
            Column("state", "file", words=True),
        ),
        list(_rows(config)),
        head="Checkpoint",
        notes=(
            "AudioSet classes become those of DESED by the authors' mapping; of several mapped "
            "classes the largest score counts.",
        ),
    )


def ensemble_table(config: Config) -> Table:
    """Every ensemble of the experiment beside the mean of its members."""
    return Table(
        "ensembles",
        "Prediction ensembles",
        "Mean of the members' probabilities, of clips and of frames. An ensemble is no single "
        "model: its figures stand apart.",
        (
            FIGURE,
            Column("members_percent", "mean of its members (%)", 2, 100.0),
            Column("members", "members", 0),
            Column("metric", "metric", words=True),
        ),
        [_ensemble_row(config, name) for name in config.ensembles],
        head="Ensemble",
    )


def _ensemble_row(config: Config, name: str) -> Row:
    cell, members = ensemble_cells(config, name)
    figures = [_figure(config, member, _record(config, member)) for member in members]
    found = [figure for figure in figures if figure is not None]
    entries = {
        "figure_percent": Entry(_figure(config, cell, _record(config, cell))),
        "members_percent": Entry(sum(found) / len(found) if len(found) == len(members) else None),
        "members": Entry(float(len(members))),
        "metric": Entry(words=METRICS[config.datasets[cell.dataset].metric]),
    }
    section = dataset_name(config, cell.dataset)
    return Row(name, entries, tuple(map(str, members)), section=section)


def _figure(config: Config, cell: Cell, record: dict[str, Any] | None) -> float | None:
    """The leading figure of a run; None where it has no record or cannot localize."""
    if record is None:
        return None
    metric = record["metrics"]["test"].get(config.datasets[cell.dataset].metric)
    return metric["value"] if metric else None


def _record(config: Config, cell: Cell) -> dict[str, Any] | None:
    """The record of a run; None where there is none.

    Raises:
        UserError: it was edited or is damaged.
    """
    path = Layout.of(config).run(cell) / "record.json"
    return read_sealed(path) if path.is_file() else None


def write_tables(config: Config) -> str:
    """Write tables/released.{md,tex,csv} of the report, and tables/rescore.{md,tex,csv}
    where released predictions were scored; their Markdown."""
    tables, scored = [released_table(config)], rescored.load(config)
    tables += [rescored.rescore_table(scored)] if scored else []
    folder = Layout.of(config).report / "tables"
    return "\n".join(write_forms(table, folder)["md"] for table in tables)


def _rows(config: Config) -> Iterator[Row]:
    cells = released_cells(config)
    have_files = {entry.architecture for entry in released.read_registry().values()}
    for dataset in config.datasets:
        section = dataset_name(config, dataset)
        for model, settings in config.models.items():
            if settings.architecture not in have_files:
                continue
            own = [cell for cell in cells if (cell.dataset, cell.model) == (dataset, model)]
            for cell in own:
                yield _row(config, cell, section)
            if not own:
                label = model_name(config, model)
                yield Row(label, {"state": Entry(words=NONE)}, section=section)


def _row(config: Config, cell: Cell, section: str) -> Row:
    name = cell.variant.removeprefix(RELEASED)
    entry, dataset = released.find(name), config.datasets[cell.dataset]
    entries = {
        "metric": Entry(words=METRICS[dataset.metric]),
        "authors": Entry(words=entry.evaluates[dataset.loader]),
    }
    record = _record(config, cell)
    if record is not None and (reason := other_layout(record, dataset.loader)):
        entries["authors"] = Entry(words=f"nothing on these data: {reason}")
    if record is None:
        there = released.file_of(entry, Path(config.paths.checkpoints)) is not None
        entries["state"] = Entry(words="not evaluated yet" if there else _absent(entry))
        return Row(name, entries, section=section)
    entries["figure_percent"] = Entry(_figure(config, cell, record))
    entries["state"] = Entry(words=f"{entry.file} ({record['digests']['start'][:12]})")
    return Row(name, entries, (str(cell),), section=section)


def _absent(entry: released.Released) -> str:
    how = "fetched at its evaluation" if entry.urls else str(entry.manual)
    return f"{NONE} here: {how}"
