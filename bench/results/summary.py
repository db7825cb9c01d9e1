"""A figure over runs: mean, spread and the interval of the mean."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.metrics.statistics import fold_interval, t_interval

DECIMALS = 12


@dataclass(frozen=True)
class Summary:
    """One figure over the runs of a group.

    Attributes:
        values: one per run.
        sd: standard deviation between runs (n - 1).
        low, high: the interval of the mean, 95 % unless said otherwise; None, as `sd`, where a
            single run, fold or repeat gives none.
        units: what a repetition would draw again, over which the interval and every test are: runs;
            fold means if each seed tests one fold; repeats if each seed tests every fold. As the
            mean, to 12 decimals: equal sums may differ in the last bits, and that is no spread.
        test_share: test clips over training clips, where the units are folds.
    """

    values: tuple[float, ...]
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    units: tuple[float, ...] = ()
    test_share: float | None = None

    @property
    def n(self) -> int:
        return len(self.values)

    def at(self, level: float) -> Summary:
        """The same with the interval of another level."""
        low, high = _limits(self.units, self.test_share, level)
        return replace(self, low=low, high=high)


def summarise(
    values: Sequence[float],
    folds: Sequence[int] = (),
    test_share: float | None = None,
    seeds: Sequence[int] = (),
) -> Summary | None:
    """The summary of these values, one per run; None where there are none.

    If several seeds test several folds each, the unit is a repeat (a seed's runs on all folds), and
    one that lacks folds is left out: its mean would be over easier or harder folds. Otherwise the
    units are the fold means, with the corrected variance, because folds share training data.

    Args:
        folds, seeds: of each run; needed where there are folds.
        test_share: test clips over training clips of one fold; None without folds.
    """
    if not values:
        return None
    chosen, units = list(values), list(values)
    if test_share is not None:
        own = unit_runs(folds, seeds)
        chosen = [values[place] for unit in own for place in unit]
        units = [_mean([values[place] for place in unit]) for unit in own]
        test_share = None if repeats(folds, seeds) else test_share
    units = [round(unit, DECIMALS) for unit in units]
    sd = float(np.std(chosen, ddof=1)) if len(chosen) > 1 else None
    mean = round(_mean(chosen), DECIMALS)
    limits = _limits(units, test_share, 0.95)
    return Summary(tuple(chosen), mean, sd, *limits, tuple(units), test_share)


def unit_runs(folds: Sequence[int], seeds: Sequence[int]) -> list[list[int]]:
    """The indices of the runs of each unit where there are folds: of each repeat, else of each
    fold."""
    return repeats(folds, seeds) or list(_places(folds).values())


def repeats(folds: Sequence[int], seeds: Sequence[int]) -> list[list[int]]:
    """The indices of each seed's runs, for seeds that tested every fold; empty if fewer than two
    seeds test several folds, so that repeats are not the unit."""
    complete = [own for own in _places(seeds).values() if len(own) == len(set(folds)) > 1]
    return complete if len(complete) > 1 else []


def _places(keys: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        found[key].append(place)
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _limits(
    units: Sequence[float], test_share: float | None, level: float
) -> tuple[float | None, float | None]:
    if len(units) < 2:
        return None, None
    if test_share is None:
        found = t_interval(units, level)
    else:
        found = fold_interval(units, test_share, level)
    return found.low, found.high
