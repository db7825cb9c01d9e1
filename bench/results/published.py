"""Published figures, and the verdict on a measured figure beside one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from bench.experiment.config import MARGINS
from bench.metrics.statistics import (
    ENOUGH_SEEDS,
    Interval,
    fold_interval,
    inferiority_p,
    t_interval,
    welch_interval,
)
from bench.results.audit import Audited
from bench.results.columns import p_words
from bench.results.groups import Group
from bench.results.identity import (
    fingerprints,
    other_data,
    other_layout,
    other_network,
    other_recipe,
    unlike,
)
from bench.results.load import Results
from bench.results.summary import Summary, summarise
from bench.results.trained import STARTS, SUPERVISION, parent_of, start_of, supervision_of
from bench.results.words import counted

PATH = Path(__file__).with_name("published.yaml")
NAMES = {
    "mAP": "mAP",
    "mAUC": "AUC",
    "d_prime": "d_prime",
    "accuracy": "accuracy",
    "intersection_f1": "F1_macro",
    "psds1_macro": "PSDS1_macro",
}
"""Metric of a record -> figure of published.yaml."""
PERCENT = ("accuracy", "F1_")
FULL_COVERAGE = 0.98
LEVEL = 0.95

Kind = Literal["reproduced", "better", "below", "inconclusive", "not comparable"]


@dataclass(frozen=True)
class Published:
    """One published system: its figures (as printed), protocol and source.

    Attributes:
        beside: the network of the registry whose runs it is compared with; empty for rows that are
            only quoted. The following four describe these runs.
        start: origin of its initial weights, a key of `trained.STARTS`; empty if not stated.
        front_end: values of its features that are known.
        parameters: trainable ones of its network, with the outputs that it has.
        recipe: EXPERIMENT/DATASET/MODEL of config/ with its recipe; empty where its network was
            not trained on the data set, or has no epochs.
        differs: what its protocol does but the clean one does not.
        folds: its leading figure on each fold, as printed; empty where not stated.
    """

    system: str
    dataset: str
    protocol: str
    source: str
    figures: Mapping[str, float]
    variant: str = ""
    std: float | None = None
    n: int | None = None
    beside: str = ""
    start: str = ""
    front_end: Mapping[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    recipe: str = ""
    differs: tuple[str, ...] = ()
    rescored: str = ""
    folds: tuple[float, ...] = ()

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
    """The verdict on a measured figure beside a published one, and why."""

    kind: Kind
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


@dataclass(frozen=True)
class Compared:
    """A published entry, its value in one metric, and the verdict on the measured figure."""

    entry: Published
    value: float
    verdict: Verdict


@cache
def load() -> tuple[Published, ...]:
    """Every entry of published.yaml."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(PATH.read_text(encoding="utf-8"), Loader=loader)["entries"]
    lists = ("differs", "folds")
    return tuple(Published(**e | {key: tuple(e.get(key, ())) for key in lists}) for e in entries)


def beside(group: Group) -> Published | None:
    """The entry that a group is compared with: that of its data set and its network, if any."""
    return next((e for e in load() if e.beside and not another(group, e)), None)


def another(group: Group, entry: Published) -> list[str]:
    """Why a group's data set or network is not the published one; empty where both are."""
    record = group.first
    reasons = (
        other_data(record, entry.dataset),
        other_network(_architecture(group), record.network, entry.beside),
    )
    return [reason for reason in reasons if reason]


def why_none(results: Results, dataset: str) -> list[str]:
    """Why the runs on a data set in a published layout, or on users' own data, are compared with no
    published figure."""
    groups = results.base_groups(dataset)
    loader = results.config.datasets[dataset].loader
    if groups and (reason := other_layout(groups[0].first, loader)):
        return [reason]
    reasons = [
        other_network(_architecture(group), group.first.network, entry.beside)
        for entry in load()
        for group in groups
        if entry.beside
        and not other_data(group.first, entry.dataset)
        and _architecture(group) == fingerprints().networks[entry.beside].architecture
    ]
    return list(dict.fromkeys(reasons))


def _architecture(group: Group) -> str:
    return str(group.first.resolved.model.architecture)


def differences(audited: Audited, group: Group, entry: Published) -> list[str]:
    """What keeps a group's figures from being compared with `entry`; empty if nothing does."""
    return another(group, entry) or [
        *audited.broken(group),
        *incomplete(group),
        *untested_folds(group, entry),
        *differences_in_training(audited, group, entry),
        *_protocol(audited, group, entry),
        *unlike(group.first.resolved.front_end.values, entry.front_end),
    ]


def incomplete(group: Group) -> Iterator[str]:
    """Which of the training and test lists lacks too many clips."""
    used, listed = group.first.splits, group.first.lists.clips
    for split in ("train", "test"):
        if used[split] < FULL_COVERAGE * listed[split]:
            yield f"{used[split]:,} of {listed[split]:,} {split} clips are used"


def untested_folds(group: Group, entry: Published) -> Iterator[str]:
    """Whether some of the folds behind a published mean are not tested here."""
    folds = fingerprints().data[entry.dataset].folds
    tested = {run.fold for run in group.runs}
    if len(tested) < folds:
        yield f"{len(tested)} of {folds} folds are tested"


def differences_in_training(results: Results, group: Group, entry: Published) -> Iterator[str]:
    """Labels, start, regularisation and recipe that differ; every published figure is for training
    on clip labels."""
    supervision, start = supervision_of(group), start_of(results, group)
    if supervision != SUPERVISION["weak"]:
        yield f"trained on {supervision}, published on {SUPERVISION['weak']}"
    if entry.start and start != STARTS[entry.start] and not _began_alike(results, group, entry):
        yield f"began from {start}, published from {STARTS[entry.start]}"
    yield from unlike(group.first.network or {}, fingerprints().networks[entry.beside].training)
    if entry.parameters not in (None, group.first.parameters):
        yield f"{group.first.parameters:,} parameters instead of {entry.parameters:,}"
    if entry.recipe:
        yield from other_recipe(group.first, entry.recipe)


def _began_alike(results: Results, group: Group, entry: Published) -> bool:
    """Whether a published start on AudioSet is met by a run of the same network on AudioSet."""
    parent = parent_of(results, group) if entry.start == "audioset" else None
    if parent is None:
        return False
    whole = next(e for e in load() if (e.beside, e.dataset) == (entry.beside, "AudioSet-2M"))
    return not any(
        (another(parent, whole), [*incomplete(parent)], other_recipe(parent.first, whole.recipe))
    )


def _protocol(audited: Audited, group: Group, entry: Published) -> Iterator[str]:
    """Peculiarities of only the published protocol, or of only this one."""
    own = _peculiarities(audited, group)
    yield from (words for words in entry.differs if words not in own)
    yield from (f"here alone: {words}" for words in own if words not in entry.differs)


def _peculiarities(audited: Audited, group: Group) -> list[str]:
    """In words of `differs`: what these runs' protocol does but the clean one does not."""
    recipe = group.first.resolved.recipe
    made = [audited.choices[run.key] for run in group.runs]
    own = {
        "epoch selected on the test fold": all(
            c is not None and c.on_test == "epoch" for c in made
        ),
        "10-shift test-time augmentation": len(recipe.test_shifts) == 10,
        "hand-set thresholds": group.runs[0].by_hand,
    }
    return [words for words, shared in own.items() if shared]


def compare(
    values: Sequence[float],
    published: float,
    margin: float,
    reasons: Sequence[str] = (),
    *,
    spread: tuple[float | None, int | None] = (None, None),
    folds: Sequence[int] = (),
    test_share: float | None = None,
    seeds: Sequence[int] = (),
) -> Verdict:
    """The verdict on `values` (one per run) beside one published value.

    Reproduced = the 90 % interval of the difference lies within `margin` (two one-sided tests at
    5 %). Better or below = it does not, and the 95 % interval lies on one side.

    Args:
        spread: standard deviation and number of runs of the published value, where known; the
            interval is then Welch's.
        folds, test_share, seeds: as `summarise` takes them, where folds share training data; the
            interval is then over repeats, or the corrected one over fold means.
    """
    if reasons:
        return Verdict("not comparable", "; ".join(dict.fromkeys(reasons)))
    sd, n = spread
    gap = summarise([value - published for value in values], folds, test_share, seeds)
    if gap is None or len(gap.units) < 2:
        return Verdict("inconclusive", "one run has no interval")
    units, share = gap.units, gap.test_share

    def interval(level: float) -> Interval:
        if share is not None:
            return fold_interval(units, share, level)
        if sd is not None and n is not None and n > 1:
            return welch_interval(units, 0.0, sd, n, level)
        return t_interval(units, level)

    inner, outer = interval(0.90), interval(0.95)
    count, drawn = f"n = {gap.n}", len(set(seeds)) or gap.n
    if inner.low > -margin and inner.high < margin:
        return Verdict(
            "reproduced", f"90 % interval within ±{margin:g} of the published value, {count}"
        )
    if outer.low > 0:
        return Verdict("better", f"95 % interval above the published value, {count}")
    if outer.high < 0:
        return Verdict("below", f"95 % interval below the published value, {count}")
    few = f" ({few_seeds(drawn)})" if drawn < ENOUGH_SEEDS else ""
    return Verdict(
        "inconclusive",
        f"with {count}{few} neither within ±{margin:g} nor clear of the published value",
    )


def compare_rank(difference: Summary, margin: float, reasons: Sequence[str] = ()) -> Verdict:
    """The verdict on "as good or better": non-inferiority of a paired difference.

    Reproduced = the one-sided t-test at 5 % shows the first less than `margin` below the second,
    at worst. Below = the 95 % interval lies below -margin.
    """
    if reasons:
        return Verdict("not comparable", "; ".join(dict.fromkeys(reasons)))
    pairs, share = difference.units, difference.test_share
    p = inferiority_p(pairs, margin, share)
    said = f"n = {len(pairs)} pairs, {p_words(p)}"
    if p < 1 - LEVEL:
        return Verdict("reproduced", f"at most {margin:g} lower (non-inferiority, {said})")
    if difference.high is not None and difference.high < -margin:
        return Verdict("below", f"95 % interval more than {margin:g} lower, {said}")
    return Verdict("inconclusive", f"neither at most nor more than {margin:g} lower ({said})")


def compare_sign(difference: Summary, sign: int, reasons: Sequence[str] = ()) -> Verdict:
    """The verdict on "raises" (sign 1) or "lowers" (-1): the two-sided paired t-test at 5 %."""
    if reasons:
        return Verdict("not comparable", "; ".join(dict.fromkeys(reasons)))
    low, high = (sign * v if v is not None else None for v in (difference.low, difference.high))
    low, high = (low, high) if sign > 0 else (high, low)
    said = f"n = {len(difference.units)} pairs"
    if low is not None and low > 0:
        return Verdict("reproduced", f"95 % interval on the claimed side of 0, {said}")
    if high is not None and high < 0:
        return Verdict("below", f"95 % interval on the other side of 0, {said}")
    return Verdict("inconclusive", f"95 % interval includes 0, {said}")


def few_seeds(count: int) -> str:
    """The words beside an answer that so few seeds could not give."""
    return f"only {counted(count, 'seed')}"


def against(audited: Audited, group: Group, metric: str) -> Compared | None:
    """A group's figure beside the published one; None without a published figure."""
    entry = beside(group)
    value = entry.figure(metric) if entry else None
    if entry is None or value is None:
        return None
    known = [(run.figure(metric), run) for run in group.runs]
    kept = [(figure, run) for figure, run in known if figure is not None]
    verdict = compare(
        [figure - _above_mean(entry, run.fold) for figure, run in kept],
        value,
        MARGINS[metric],
        differences(audited, group, entry),
        spread=entry.spread(metric),
        folds=[run.fold for _, run in kept],
        test_share=group.test_share,
        seeds=[run.seed for _, run in kept],
    )
    return Compared(entry, value, verdict)


def _above_mean(entry: Published, fold: int) -> float:
    """How far a published fold is above the mean of all; folds differ similarly for every
    system."""
    if not 0 <= fold < len(entry.folds):
        return 0.0
    return (entry.folds[fold] - sum(entry.folds) / len(entry.folds)) / 100
