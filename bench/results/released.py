"""Released checkpoints and ensembles: their records, and the pairs that have none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.experiment import released
from bench.experiment.cells import RELEASED, Cell, Layout, ensemble_cells, released_cells
from bench.experiment.config import Config
from bench.results.identity import other_layout
from bench.results.record import Record


@dataclass(frozen=True)
class Released:
    """A released checkpoint on a data set, or a model for which there is none (`entry` None).

    Attributes:
        figure: the leading test figure; None without a record or where it cannot localize.
        other_data: why the data are not those that the authors report on; empty if they are.
        has_file: whether the checkpoint is in the experiment's folder.
    """

    dataset: str
    model: str
    key: str = ""
    name: str = ""
    entry: released.Released | None = None
    record: Record | None = None
    figure: float | None = None
    other_data: str = ""
    has_file: bool = False


@dataclass(frozen=True)
class Ensemble:
    """An ensemble with its leading figure, its members' run keys and the mean of their figures."""

    name: str
    dataset: str
    figure: float | None
    members: tuple[str, ...]
    mean_of_members: float | None


def released_runs(config: Config) -> Iterator[Released]:
    """Every released checkpoint of the experiment, and the pairs for which there is none.

    Raises:
        UserError: a record was edited or is damaged.
    """
    cells = released_cells(config)
    have_files = {entry.architecture for entry in released.read_registry().values()}
    for dataset in config.datasets:
        for model, settings in config.models.items():
            own = [cell for cell in cells if (cell.dataset, cell.model) == (dataset, model)]
            yield from (_evaluated(config, cell) for cell in own)
            if not own and settings.architecture in have_files:
                yield Released(dataset, model)


def _evaluated(config: Config, cell: Cell) -> Released:
    name, record = cell.variant.removeprefix(RELEASED), _record(config, cell)
    entry = released.find(name)
    return Released(
        cell.dataset,
        cell.model,
        str(cell),
        name,
        entry,
        record,
        _figure(config, cell, record),
        other_layout(record, config.datasets[cell.dataset].loader) if record else "",
        released.file_of(entry, Path(config.paths.checkpoints)) is not None,
    )


def ensembles(config: Config) -> Iterator[Ensemble]:
    """Every ensemble of the experiment beside the mean of its members.

    Raises:
        UserError: a record was edited or is damaged.
    """
    for name in config.ensembles:
        cell, members = ensemble_cells(config, name)
        figures = [_figure(config, member, _record(config, member)) for member in members]
        found = [figure for figure in figures if figure is not None]
        mean = sum(found) / len(found) if len(found) == len(members) else None
        figure = _figure(config, cell, _record(config, cell))
        yield Ensemble(name, cell.dataset, figure, tuple(map(str, members)), mean)


def _figure(config: Config, cell: Cell, record: Record | None) -> float | None:
    """The leading figure of a run; None if it has no record or cannot localize."""
    metric = config.datasets[cell.dataset].metric
    found = record.metrics.test.get(metric) if record else None
    return found.value if found else None


def _record(config: Config, cell: Cell) -> Record | None:
    path = Layout.of(config).record(cell)
    return Record.read(path) if path.is_file() else None
