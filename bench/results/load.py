"""The records and cost measurements of an experiment, read and grouped, and why others are not
used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.experiment.ablations import BASE
from bench.experiment.cells import Cell, Layout, list_cells, plan
from bench.experiment.config import Config, config_digest
from bench.registry import SOLVED
from bench.results.groups import (
    Group,
    GroupKey,
    MixedRecords,
    Run,
    group_runs,
    why_not_comparable,
)
from bench.results.measured import Measurement
from bench.results.record import Record
from bench.results.sealed import OtherForm

NO_RECORD = "no record yet"


@dataclass(frozen=True, eq=False)
class Results:
    """All results of an experiment's runs.

    Attributes:
        groups: what may be averaged.
        missing: run key -> why its record is not used.
        refused: group -> why its records are not averaged.
        mixed: data set -> why its rows should not be compared.
        costs: full-size model -> the cost measurement; absent ones are in `missing`.
    """

    config: Config
    layout: Layout
    groups: Mapping[GroupKey, Group]
    missing: Mapping[str, str]
    refused: Mapping[GroupKey, str]
    mixed: Mapping[str, str]
    costs: Mapping[str, Measurement]

    def group(self, dataset: str, model: str, variant: str = BASE) -> Group | None:
        return self.groups.get((dataset, model, variant))

    def is_baseline(self, model: str) -> bool:
        """Whether a model is a baseline, which is listed separately and never ranked."""
        return self.config.models[model].architecture in SOLVED

    def absent(self, dataset: str, model: str, variant: str = BASE) -> str:
        """The words in place of a number for a missing group."""
        return "not averaged" if (dataset, model, variant) in self.refused else "no records"

    def base_groups(self, dataset: str) -> list[Group]:
        """The models of a data set in config order, ablations left out."""
        found = (self.group(dataset, model) for model in self.config.models)
        return [group for group in found if group is not None]

    def variant_groups(self, dataset: str) -> list[Group]:
        """The ablations' variants of a data set, in the order of models and studies."""
        found = (
            self.group(dataset, model, variant)
            for model in self.config.models
            for variant in self.config.variants(model, dataset)
            if variant != BASE
        )
        return [group for group in found if group is not None]

    def any_group(self, dataset: str) -> Group | None:
        """Some group of the data set, for facts that all its groups share."""
        return next(iter(self.base_groups(dataset)), None)


def load_results(config: Config) -> Results:
    """Read every record and cost file of the experiment and group the records."""
    layout = Layout.of(config)
    missing: dict[str, str] = {}
    waiting: dict[GroupKey, list[Run]] = {}
    expected: dict[GroupKey, int] = {}
    for cell in list_cells(config):
        key = (cell.dataset, cell.model, cell.variant)
        expected[key] = expected.get(key, 0) + 1
        record, reason = usable_record(config, layout, cell)
        if record is None:
            missing[str(cell)] = reason
        else:
            waiting.setdefault(key, []).append(Run(record, layout.run(cell)))
    groups: dict[GroupKey, Group] = {}
    refused: dict[GroupKey, str] = {}
    for key, runs in waiting.items():
        try:
            groups[key] = group_runs(runs, expected[key])
        except MixedRecords as error:
            refused[key] = str(error)
    _refuse_children(groups, refused)
    mixed = {
        dataset: unlike
        for dataset in config.datasets
        if (unlike := why_not_comparable([g for g in groups.values() if g.dataset == dataset]))
    }
    return Results(config, layout, groups, missing, refused, mixed, _costs(config, layout, missing))


def _refuse_children(groups: dict[GroupKey, Group], refused: dict[GroupKey, str]) -> None:
    """A run that starts from a run of a refused group inherits the difference."""
    for key, group in list(groups.items()):
        parent = group.first.parent
        if parent and parent.group in refused:
            reason = refused[parent.group]
            refused[key] = f"its parent runs {'/'.join(parent.group)} differ: {reason}"
            del groups[key]


def usable_record(config: Config, layout: Layout, cell: Cell) -> tuple[Record | None, str]:
    """The record of a run, or None and the reason why the report does not use it.

    Raises:
        UserError: the record is not what was written.
    """
    path = layout.record(cell)
    if not path.is_file():
        return None, NO_RECORD
    try:
        record = Record.read(path)
    except OtherForm:
        return None, "written by another version of this software"
    if record.config_digest != plan(config, cell).digest:
        return None, "made with another config than the present one"
    located = config.datasets[cell.dataset].localize
    if located and record.digests.protocol != config_digest(config.localization):
        return None, "events decided by other localization settings than the present ones"
    return record, ""


def _costs(config: Config, layout: Layout, missing: dict[str, str]) -> dict[str, Measurement]:
    costs = {}
    for model in config.cost.models:
        path = layout.results / "cost" / f"{model}.json"
        if path.is_file():
            costs[model] = Measurement.read(path)
        else:
            missing[f"cost/{model}"] = "not measured"
    return costs
