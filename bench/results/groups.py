"""Runs that may be averaged, as a group, and why others may not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.files import UserError, damage_told, digest_file, digest_of
from bench.results.names import DIGESTS
from bench.results.record import Record
from bench.results.summary import Summary, summarise

STAGE_DIGESTS = ("code_train", "code_evaluate", "data", "features", "pins", "protocol")
SHARED_DIGESTS = ("code_evaluate", "data", "pins", "protocol")
"""What runs of different models on one data set must share to be shown in one table."""

GroupKey = tuple[str, str, str]


class MixedRecords(ValueError):
    """Records that must not be averaged; the message says which digest differs, and where."""


@dataclass(frozen=True)
class Run:
    """One record and the folder that it describes; `by_hand`: its figures are those at a published
    list of thresholds."""

    record: Record
    folder: Path
    by_hand: bool = False

    @property
    def key(self) -> str:
        """DATASET/MODEL/VARIANT/[foldF-]seedS."""
        return self.record.key

    @property
    def seed(self) -> int:
        return self.record.cell.seed

    @property
    def fold(self) -> int:
        """-1 where the data set has no folds."""
        return self.record.cell.fold

    @property
    def partner(self) -> tuple[int, int]:
        """(fold, seed): what the runs that are paired with it share."""
        return self.fold, self.seed

    def file(self, name: str) -> Path:
        """A file beside the record, if it is the one that the record was made with.

        Raises:
            UserError: it is missing, or a different file.
        """
        path, remedy = self.folder / name, "put it back, or train the run again"
        with damage_told(path, remedy):
            digest = digest_file(path)
        if digest != self.record.files.get(name):
            raise UserError(f"{path}: not the file that its record was made with; {remedy}")
        return path

    def figure(self, metric: str, class_name: str | None = None) -> float | None:
        """A test metric, of one class if named; None where the run has no such figure."""
        hand_set = self.record.hand_set if self.by_hand else None
        found = (hand_set.metrics if hand_set else self.record.metrics.test).get(metric)
        if found is None or class_name is None:
            return found.value if found else None
        return (found.per_class or {}).get(class_name)

    def trivial(self, baseline: str, metric: str) -> float | None:
        """A trivial localization baseline; None where the run has none."""
        return self.record.trivial.get(baseline, {}).get(metric)


@dataclass(frozen=True)
class Group:
    """Runs that differ only in seed and fold."""

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
    def first(self) -> Record:
        """The first record, for what all records of the group share."""
        return self.runs[0].record

    @property
    def classes(self) -> tuple[str, ...]:
        return self.first.classes

    @property
    def parameters(self) -> float | None:
        """How many the model has on this data set; None for an estimator without any."""
        return float(self.first.parameters) or None

    @property
    def can_localize(self) -> bool:
        return self.first.localization is not None and self.first.localization.can_localize

    def figures(self, metric: str, class_name: str | None = None) -> list[float]:
        """The test metric of every run that has it, in the order of `runs`."""
        found = (run.figure(metric, class_name) for run in self.runs)
        return [value for value in found if value is not None]

    def summary(self, metric: str, class_name: str | None = None) -> Summary | None:
        """A test metric over the runs; its interval knows that folds share training data."""
        return self.over_runs(lambda run: run.figure(metric, class_name))

    def over_runs(self, figure: Callable[[Run], float | None]) -> Summary | None:
        """A figure over the runs that have it, as `summary`."""
        pairs = [(figure(run), run) for run in self.runs]
        known = [(value, run) for value, run in pairs if value is not None]
        return summarise(
            [value for value, _ in known],
            [run.fold for _, run in known],
            self.test_share,
            [run.seed for _, run in known],
        )

    @property
    def test_share(self) -> float | None:
        """Test clips over training clips where folds share training data, else None."""
        splits = self.first.splits
        return splits["test"] / splits["train"] if self.runs[0].fold >= 0 else None

    def cost(self, name: str) -> Summary | None:
        """One cost over the runs that have it."""
        found = (getattr(run.record.cost, name) for run in self.runs)
        return summarise([value for value in found if value is not None])

    def chance(self, metric: str) -> float | None:
        """The mean over runs of what random scores reach."""
        found = [run.record.chance.get(metric) for run in self.runs]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known else None

    def trivial(self, baseline: str, metric: str) -> list[float]:
        """A trivial localization baseline of every run."""
        found = (run.trivial(baseline, metric) for run in self.runs)
        return [value for value in found if value is not None]

    @property
    def at_hand_set(self) -> Group | None:
        """The same runs at a published list of thresholds; None if there is none."""
        if any(run.record.hand_set is None for run in self.runs):
            return None
        return replace(self, runs=tuple(replace(run, by_hand=True) for run in self.runs))


def group_runs(runs: Sequence[Run], expected: int = 0) -> Group:
    """Runs of one dataset, model and variant as a group that may be averaged.

    Raises:
        MixedRecords: stage code, data, features, pins or config (seed and fold apart) differ.
    """
    ordered = sorted(runs, key=lambda run: (run.fold, run.seed))
    for name in (*STAGE_DIGESTS, "config"):
        _hold_equal(name, {run.key: digest_shared(run, name) for run in ordered})
    cell = ordered[0].record.cell
    return Group(
        cell.dataset, cell.model, cell.variant, tuple(ordered), max(expected, len(ordered))
    )


def why_not_comparable(
    groups: Sequence[Group], digests: Sequence[str] = SHARED_DIGESTS
) -> str | None:
    """Why these groups cannot be compared with one another; None if they can."""
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
        return str(getattr(run.record.digests, name))
    return digest_of(shared_config(run))


def shared_config(run: Run) -> dict[str, Any]:
    """The resolved config that all runs of a group have in common: without seed and fold."""
    resolved = run.record.resolved.values
    resolved["cell"] = {k: v for k, v in resolved["cell"].items() if k not in ("seed", "fold")}
    parent = resolved["parent"]
    resolved["parent"] = parent and parent.rsplit("/", 1)[0]
    return resolved
