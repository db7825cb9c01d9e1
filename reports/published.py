"""Published figures, and what a measured figure may be said to be beside one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from bench.config import Config
from bench.statistics import equivalence, t_interval
from reports.results import Group

PATH = Path(__file__).with_name("published.yaml")
NAMES = {
    "mAP": "mAP",
    "mAUC": "AUC",
    "d_prime": "d_prime",
    "accuracy": "accuracy",
    "intersection_f1": "F1_macro",
}
"""Metric of a record -> figure of published.yaml."""
PERCENT = ("accuracy", "F1_")
MARGINS = {"mAP": 0.005, "accuracy": 0.005, "intersection_f1": 0.02}
"""Differences too small to matter, fixed beforehand: "reproduced" is a claim of equivalence."""
NOT_PUBLISHED_DATA = {
    "synthetic": "synthetic data",
    "recordings": "other data: a small corpus of real recordings",
}
FULL_COVERAGE = 0.98

Kind = Literal["reproduced", "better", "below", "inconclusive", "not comparable"]


@dataclass(frozen=True)
class Published:
    """One published system: its figures (as printed), protocol and source."""

    system: str
    dataset: str
    protocol: str
    source: str
    figures: Mapping[str, float]
    variant: str = ""
    std: float | None = None
    n: int | None = None
    beside: str = ""
    rescored: str = ""
    differs: tuple[str, ...] = ()

    def figure(self, metric: str, class_name: str | None = None) -> float | None:
        """A figure in the units of the records (accuracy and F1 as fractions)."""
        name = f"F1_{class_name}" if class_name else NAMES.get(metric, metric)
        value = self.figures.get(name)
        return value / 100 if value is not None and name.startswith(PERCENT) else value

    @property
    def label(self) -> str:
        return f"{self.system} ({self.variant})" if self.variant else self.system


@dataclass(frozen=True)
class Verdict:
    """What a measured figure is beside a published one, and why."""

    kind: Kind
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


@cache
def load() -> tuple[Published, ...]:
    """Every entry of published.yaml."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(PATH.read_text(encoding="utf-8"), Loader=loader)["entries"]
    return tuple(Published(**{**e, "differs": tuple(e.get("differs", ()))}) for e in entries)


def beside(config: Config, model: str, dataset: str) -> Published | None:
    """The entry that is shown beside this model on this data set, if one is published."""
    place = f"{config.models[model].architecture}/{config.datasets[dataset].loader}"
    return next((entry for entry in load() if entry.beside == place), None)


def differences(
    config: Config, group: Group, entry: Published, broken: Sequence[str] = ()
) -> list[str]:
    """What keeps a group's figures from being compared with `entry`; empty where nothing does.

    Args:
        broken: rules of the protocol that the group's runs broke (`reports.audit.broken`).
    """
    if config.data_kind in NOT_PUBLISHED_DATA:
        return [NOT_PUBLISHED_DATA[config.data_kind]]
    reasons = [*broken, *entry.differs]
    if config.datasets[group.dataset].fold_protocol == "published":
        reasons = [reason for reason in reasons if reason != "epoch selected on the test fold"]
    found, listed = group.first["coverage"]["found"], group.first["coverage"]["listed"]
    if found < FULL_COVERAGE * listed:
        reasons.append(f"{found} of {listed} clips are available")
    return reasons


def compare(
    values: Sequence[float], published: float, margin: float, reasons: Sequence[str] = ()
) -> Verdict:
    """The verdict on `values` (one per seed) beside one published value.

    Reproduced = the 90 % t-interval of the mean lies within `margin` of the published value (two
    one-sided tests at 5 %). Better or below = it is not, and the 95 % t-interval lies on one side.
    """
    if reasons:
        return Verdict("not comparable", "; ".join(reasons))
    if len(values) < 2:
        return Verdict("inconclusive", "one run has no interval")
    if equivalence(values, published - margin, published + margin).equivalent:
        return Verdict("reproduced", f"90 % interval within ±{margin:g} of the published value")
    interval = t_interval(values)
    if interval.low > published:
        return Verdict("better", f"95 % interval above the published value, n = {len(values)}")
    if interval.high < published:
        return Verdict("below", f"95 % interval below the published value, n = {len(values)}")
    return Verdict(
        "inconclusive",
        f"with n = {len(values)} neither within ±{margin:g} nor clear of the published value",
    )
