"""The records of an experiment, grouped into what may be averaged, with a word on the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.evaluation import SCHEMA
from bench.experiment.cells import Cell, Layout, list_cells, plan
from bench.experiment.config import Config, config_digest
from bench.files import UserError, digest_of, read_json, read_sealed
from bench.registry import SOLVED
from bench.reporting.names import DIGESTS
from bench.reporting.summary import Summary, summarise

if TYPE_CHECKING:
    from bench.corpora import Corpus

STAGE_DIGESTS = ("code_train", "code_evaluate", "data", "features", "pins", "protocol")
SHARED_DIGESTS = ("code_evaluate", "data", "pins", "protocol")
"""What runs of different models on one data set must have in common to stand in one table."""

NO_RECORD = "no record yet"

GroupKey = tuple[str, str, str]


class MixedRecords(ValueError):
    """Records that must not be averaged; the message says which digest differs, and where."""


@dataclass(frozen=True)
class Run:
    """One record and the folder that it describes."""

    values: Mapping[str, Any]
    folder: Path

    @property
    def key(self) -> str:
        """DATASET/MODEL/VARIANT/[foldF-]seedS."""
        return self.values["key"]

    @property
    def seed(self) -> int:
        return self.values["cell"]["seed"]

    @property
    def fold(self) -> int:
        """-1 where the data set has no folds."""
        return self.values["cell"]["fold"]

    @cached_property
    def curve(self) -> list[dict[str, Any]]:
        """The points of metrics.jsonl.

        Raises:
            UserError: the file is missing or damaged.
        """
        path = self.folder / "metrics.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines if line]
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: {error}; train the run again") from error

    def figure(self, metric: str, class_name: str | None = None) -> float | None:
        """A test metric, of one class if named; None where the run has no such figure."""
        found = self.values["metrics"]["test"].get(metric)
        if found is None or class_name is None:
            return found and found["value"]
        return (found["per_class"] or {}).get(class_name)


@dataclass(frozen=True)
class Group:
    """Runs that differ in seed and fold alone."""

    dataset: str
    model: str
    variant: str
    runs: tuple[Run, ...]
    expected: int

    @property
    def key(self) -> GroupKey:
        return self.dataset, self.model, self.variant

    @property
    def name(self) -> str:
        """DATASET/MODEL/VARIANT."""
        return "/".join(self.key)

    @property
    def record_keys(self) -> tuple[str, ...]:
        return tuple(run.key for run in self.runs)

    @property
    def first(self) -> Mapping[str, Any]:
        """The first record: for what all records of the group share."""
        return self.runs[0].values

    @property
    def classes(self) -> list[str]:
        return self.first["classes"]

    @property
    def can_localize(self) -> bool:
        return bool(self.first.get("localization", {}).get("can_localize"))

    def figures(self, metric: str, class_name: str | None = None) -> list[float]:
        """The test metric of every run that has it, in the order of `runs`."""
        found = (run.figure(metric, class_name) for run in self.runs)
        return [value for value in found if value is not None]

    def summary(self, metric: str, class_name: str | None = None) -> Summary | None:
        """A test metric over the runs; its interval knows that folds share training data."""
        pairs = [(run.figure(metric, class_name), run.fold) for run in self.runs]
        known = [(value, fold) for value, fold in pairs if value is not None]
        return summarise([v for v, _ in known], [f for _, f in known], self.test_share)

    @property
    def test_share(self) -> float | None:
        """Test clips over training clips where folds share training data, else None."""
        splits = self.first["splits"]
        return splits["test"] / splits["train"] if self.runs[0].fold >= 0 else None

    def cost(self, name: str) -> Summary | None:
        """One cost over the runs that have it."""
        found = (run.values["cost"].get(name) for run in self.runs)
        return summarise([value for value in found if value is not None])

    def chance(self, metric: str) -> float | None:
        """The mean over runs of what a scorer without ears reaches."""
        found = [run.values["chance"].get(metric) for run in self.runs]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known else None

    def trivial(self, baseline: str, metric: str) -> list[float]:
        """A trivial localization baseline of every run."""
        found = (run.values.get("trivial", {}).get(baseline, {}).get(metric) for run in self.runs)
        return [value for value in found if value is not None]


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that an experiment's runs have left behind.

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
    costs: Mapping[str, Mapping[str, Any]]

    def group(self, dataset: str, model: str, variant: str = "base") -> Group | None:
        return self.groups.get((dataset, model, variant))

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
            if variant != "base"
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
        run = _read(config, layout, cell, missing)
        if run is not None:
            waiting.setdefault(key, []).append(run)
    groups: dict[GroupKey, Group] = {}
    refused: dict[GroupKey, str] = {}
    for key, runs in waiting.items():
        try:
            groups[key] = group_runs(runs, expected[key])
        except MixedRecords as error:
            refused[key] = str(error)
    _refuse_children(groups, refused)
    mixed = {
        dataset: reason
        for dataset in config.datasets
        if (reason := why_not_comparable([g for g in groups.values() if g.dataset == dataset]))
    }
    return Results(config, layout, groups, missing, refused, mixed, _costs(config, layout, missing))


def group_runs(runs: Sequence[Run], expected: int = 0) -> Group:
    """Runs of one dataset, model and variant as a group that may be averaged.

    Raises:
        MixedRecords: stage code, data, features, pins or config (seed and fold apart) differ.
    """
    ordered = sorted(runs, key=lambda run: (run.fold, run.seed))
    for name in (*STAGE_DIGESTS, "config"):
        _hold_equal(name, {run.key: digest_shared(run, name) for run in ordered})
    cell = ordered[0].values["cell"]
    return Group(
        cell["dataset"], cell["model"], cell["variant"], tuple(ordered), max(expected, len(ordered))
    )


def why_not_comparable(
    groups: Sequence[Group], digests: Sequence[str] = SHARED_DIGESTS
) -> str | None:
    """Why these groups cannot be compared with one another; None where they can."""
    try:
        for name in digests:
            _hold_equal(name, {group.name: digest_shared(group.runs[0], name) for group in groups})
    except MixedRecords as error:
        return str(error)
    return None


def _hold_equal(name: str, digests: Mapping[str, str]) -> None:
    if len(set(digests.values())) < 2:
        return
    (first, one), *others = digests.items()
    second, other = next(pair for pair in others if pair[1] != one)
    raise MixedRecords(
        f"they do not share the {DIGESTS[name]}: {first} has {one[:12]}, {second} has {other[:12]}"
    )


def digest_shared(run: Run, name: str) -> str:
    """A digest that all runs of a group have in common; of the config: whatever the seed."""
    if name != "config":
        return str(run.values["digests"].get(name))
    resolved = dict(run.values["resolved"])
    resolved["cell"] = {k: v for k, v in resolved["cell"].items() if k not in ("seed", "fold")}
    parent = resolved.get("parent")
    resolved["parent"] = parent and parent.rsplit("/", 1)[0]
    return digest_of(resolved)


def _refuse_children(groups: dict[GroupKey, Group], refused: dict[GroupKey, str]) -> None:
    """A run that starts from a run of a refused group inherits the difference."""
    for key, group in list(groups.items()):
        parent = group.first.get("parent")
        if not parent:
            continue
        dataset, model, variant, _ = parent["key"].split("/")
        if (dataset, model, variant) in refused:
            reason = refused[dataset, model, variant]
            refused[key] = f"its parent runs {dataset}/{model}/{variant} differ: {reason}"
            del groups[key]


def usable_record(config: Config, layout: Layout, cell: Cell) -> tuple[dict[str, Any] | None, str]:
    """The record of a run, or None and why the report does not use it.

    Raises:
        UserError: the record is not what was written.
    """
    path = layout.run(cell) / "record.json"
    if not path.is_file():
        return None, NO_RECORD
    values = read_sealed(path)
    if values.get("schema") != SCHEMA:
        return None, "written by another version of this software"
    if values["config_digest"] != plan(config, cell).digest:
        return None, "made with another config than the present one"
    located = config.datasets[cell.dataset].localize
    if located and values["digests"].get("protocol") != config_digest(config.localization):
        return None, "events decided by other localization settings than the present ones"
    return values, ""


def _read(config: Config, layout: Layout, cell: Cell, missing: dict[str, str]) -> Run | None:
    values, reason = usable_record(config, layout, cell)
    if values is None:
        missing[str(cell)] = reason
        return None
    return Run(values, layout.run(cell))


def _costs(config: Config, layout: Layout, missing: dict[str, str]) -> dict[str, Any]:
    costs = {}
    for model in config.cost.models:
        path = layout.results / "cost" / f"{model}.json"
        if path.is_file():
            costs[model] = read_json(path)
        else:
            missing[f"cost/{model}"] = "not measured"
    return costs


def is_baseline(results: Results, model: str) -> bool:
    """Whether a model stands among the baselines rather than the models."""
    return results.config.models[model].architecture in SOLVED


@cache
def corpus_of(results: Results, dataset: str) -> Corpus:
    """The corpus table of a data set, read once.

    Raises:
        UserError: it is missing or damaged.
    """
    from bench.corpora import open_corpus

    return open_corpus(results.layout.corpus(dataset))
