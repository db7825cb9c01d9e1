"""Published figures, and what a measured figure may be said to be beside one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from bench.experiment.config import Config
from bench.metrics.statistics import (
    ENOUGH_SEEDS,
    Interval,
    fold_interval,
    t_interval,
    welch_interval,
)
from bench.reporting import audit
from bench.reporting.hand_set import HAND
from bench.reporting.results import Group, Results
from bench.reporting.summary import fold_means

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
NOT_PUBLISHED_DATA = {"synthetic": "synthetic data"}
FULL_COVERAGE = 0.98
FROM_IMAGENET = ("imagenet:", "official:")  # every released audio checkpoint began there

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

    def spread(self, metric: str) -> tuple[float | None, int | None]:
        """The standard deviation between runs in the units of the records, and their number."""
        percent = NAMES.get(metric, metric).startswith(PERCENT)
        return (self.std / 100 if self.std is not None and percent else self.std), self.n

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
    kind = config.data_kind(group.dataset)
    if kind in NOT_PUBLISHED_DATA:
        return [NOT_PUBLISHED_DATA[kind]]
    met = _met(config, group)
    reasons = [*broken, *(reason for reason in entry.differs if reason not in met)]
    arguments = config.models[group.model].arguments
    if arguments.get("preset", "paper") != "paper":
        reasons.append(f"preset {arguments['preset']}, not the published size")
    dataset = config.datasets[group.dataset]
    if dataset.loader == "audioset" and dataset.options.get("train", "full") != "full":
        reasons.append(f"trained on the {dataset.options['train']} list alone")
    found, listed = group.first["coverage"]["found"], group.first["coverage"]["listed"]
    if found < FULL_COVERAGE * listed:
        reasons.append(f"{found} of {listed} clips are available")
    return reasons


def _met(config: Config, group: Group) -> set[str]:
    """Peculiarities of published protocols that this group's runs share (words of `differs`)."""
    recipe = group.first["resolved"]["recipe"]
    own = {
        "epoch selected on the test fold": config.datasets[group.dataset].fold_protocol
        == "published",
        "weights averaged over epochs": recipe.get("average_epochs", 0) > 0,
        "ImageNet pretraining": str(recipe.get("init")).startswith(FROM_IMAGENET),
        "10-shift test-time augmentation": len(recipe.get("test_shifts", ())) == 10,
        "hand-set thresholds": bool(group.first.get(HAND)),
    }
    return {words for words, shared in own.items() if shared}


def compare(
    values: Sequence[float],
    published: float,
    margin: float,
    reasons: Sequence[str] = (),
    *,
    spread: tuple[float | None, int | None] = (None, None),
    folds: Sequence[int] = (),
    test_share: float | None = None,
) -> Verdict:
    """The verdict on `values` (one per run) beside one published value.

    Reproduced = the 90 % interval of the difference lies within `margin` (two one-sided tests at
    5 %). Better or below = it does not, and the 95 % interval lies on one side.

    Args:
        spread: standard deviation and number of runs of the published value, where known; the
            interval is then Welch's.
        folds, test_share: the fold of each run and test over training clips, where folds share
            training data; the interval is then the corrected one over fold means.
    """
    if reasons:
        return Verdict("not comparable", "; ".join(dict.fromkeys(reasons)))
    sd, n = spread
    shifted = [value - published for value in values]
    if test_share is not None:
        shifted = fold_means(shifted, folds)
    if len(shifted) < 2:
        return Verdict("inconclusive", "one run has no interval")

    def interval(level: float) -> Interval:
        if test_share is not None:
            return fold_interval(shifted, test_share, level)
        if sd is not None and n is not None and n > 1:
            return welch_interval(shifted, 0.0, sd, n, level)
        return t_interval(shifted, level)

    inner, outer = interval(0.90), interval(0.95)
    count = f"n = {len(values)}"
    if inner.low > -margin and inner.high < margin:
        return Verdict(
            "reproduced", f"90 % interval within ±{margin:g} of the published value, {count}"
        )
    if outer.low > 0:
        return Verdict("better", f"95 % interval above the published value, {count}")
    if outer.high < 0:
        return Verdict("below", f"95 % interval below the published value, {count}")
    few = f" ({few_seeds(len(values))})" if len(values) < ENOUGH_SEEDS else ""
    return Verdict(
        "inconclusive",
        f"with {count}{few} neither within ±{margin:g} nor clear of the published value",
    )


def few_seeds(count: int) -> str:
    """The words beside an answer that a handful of seeds could not give."""
    return f"{count} seeds are few"


def against(results: Results, group: Group, metric: str) -> tuple[Published, float, Verdict] | None:
    """The entry beside a group, its figure in a metric and the verdict; None without a figure."""
    entry = beside(results.config, group.model, group.dataset)
    value = entry.figure(metric) if entry else None
    if entry is None or value is None:
        return None
    known = [(run.figure(metric), run.fold) for run in group.runs]
    kept = [(figure, fold) for figure, fold in known if figure is not None]
    verdict = compare(
        [figure for figure, _ in kept],
        value,
        MARGINS[metric],
        differences(results.config, group, entry, audit.broken(results, group)),
        spread=entry.spread(metric),
        folds=[fold for _, fold in kept],
        test_share=group.test_share,
    )
    return entry, value, verdict
