"""The one rule for "differs", "equivalent" and "as good", and the intervals that agree with it.

A paired t-test, two-sided at 5 %, corrected by Holm over its family, decides whether there is a
difference; two one-sided t-tests at margins that the experiment declares, corrected in the same
way, decide whether it is too small to matter. The exact sign-flip test is shown as a check of the
assumption of normal differences; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.metrics.statistics import (
    detectable_effect,
    equivalence_p,
    holm,
    holm_factors,
    paired_t_p,
    sign_flip_p,
)
from bench.results.columns import p_words
from bench.results.groups import Group
from bench.results.summary import Summary

ALPHA = 0.05
POWER = 0.8
TEST = f"paired t-test, Holm, p < {ALPHA:g}"


@dataclass(frozen=True)
class Decision:
    """What the rule says about a difference.

    Attributes:
        difference: with the interval that excludes 0 exactly where `differs`: at least 95 %, wider
            where Holm's correction requires it. No limits below two pairs, or if all pairs differ
            by the same amount.
        p, p_holm: of the paired t-test; corrected over the family.
        level: of the interval of `difference`.
        family: number of differences in the family.
        margin: differences within ± it count as none; None if none is declared.
        equivalence_p: of two one-sided tests at the margin, corrected over the family.
    """

    difference: Summary
    p: float
    p_holm: float
    level: float
    family: int
    margin: float | None = None
    equivalence_p: float | None = None

    @property
    def differs(self) -> bool:
        """Whether the difference is significant."""
        return self.p_holm < ALPHA

    @property
    def equivalent(self) -> bool:
        """Whether the difference is shown to be within the margin."""
        return self.equivalence_p is not None and self.equivalence_p < ALPHA

    @property
    def pairs(self) -> int:
        """Number of pairs that the test is over."""
        return len(self.difference.units)

    @property
    def limit(self) -> str | None:
        """Why no test can decide; None if one can."""
        return None if self.pairs > 1 else "one pair of runs has no test"

    @property
    def sign_flip_p(self) -> float:
        """The exact paired test without the assumption of normal differences, uncorrected."""
        return sign_flip_p(self.difference.units)

    @property
    def detectable(self) -> float | None:
        """The mean difference that the test finds with 80 % power, at this spread and number of
        pairs and the strictest level of the family; None where there is no spread."""
        return detectable([self])

    @property
    def _found(self) -> str:
        return "differs" if self.differs else "no difference shown"

    @property
    def verdict(self) -> str:
        """What is decided, without its p-values."""
        if self.limit:
            return self.limit
        if self.margin is None or not self.equivalent:
            return self._found
        return f"{self._found}; equivalent within ±{100 * self.margin:g} points"

    @property
    def words(self) -> str:
        """The verdict in words, with its p-values."""
        if self.limit:
            return self.limit
        said = f"{self._found} ({p_words(self.p_holm)} after Holm)"
        if self.margin is None or self.equivalence_p is None:
            return said
        return (
            f"{said}; {'equivalent' if self.equivalent else 'not shown equivalent'} within "
            f"±{100 * self.margin:g} points ({p_words(self.equivalence_p)} after Holm)"
        )


def decide(differences: Sequence[Summary], margin: float | None = None) -> list[Decision]:
    """The decisions on the differences of one family, in their order.

    Args:
        margin: of equivalence, in the units of the differences.
    """
    if not differences:
        return []
    raw = [paired_t_p(gap.units, gap.test_share) for gap in differences]
    same: Sequence[float | None] = [None] * len(raw)
    if margin is not None:
        same = holm([equivalence_p(g.units, margin, g.test_share) for g in differences]).tolist()
    levels = (1 - ALPHA / holm_factors(raw)).tolist()
    parts = zip(differences, raw, holm(raw).tolist(), levels, same, strict=True)
    return [
        Decision(_widened(gap, level), p, p_holm, level, len(raw), margin, equal)
        for gap, p, p_holm, level, equal in parts
    ]


def detectable(decisions: Sequence[Decision]) -> float | None:
    """The mean difference that a family finds with 80 % power: from the root mean square of the
    spreads of its differences, for as many pairs as the smallest has, at the level of Holm's
    first step."""
    spread = [d for d in decisions if d.pairs > 1 and np.ptp(d.difference.units) > 0]
    if not spread:
        return None
    variance = np.mean([np.var(d.difference.units, ddof=1) for d in spread])
    fewest = min(spread, key=lambda d: d.pairs)
    effect = detectable_effect(
        fewest.pairs, POWER, ALPHA / fewest.family, fewest.difference.test_share
    )
    return float(effect * np.sqrt(variance))


def common(group: Group, reference: Group, metric: str) -> tuple[Group, Group] | None:
    """Both groups with only the runs whose partner of the same fold and seed has the figure, too;
    None if there are none."""
    both = group, reference
    known = [{r.partner for r in one.runs if r.figure(metric) is not None} for one in both]
    shared = set.intersection(*known)
    if not shared:
        return None
    one, other = (replace(g, runs=tuple(r for r in g.runs if r.partner in shared)) for g in both)
    return one, other


def paired(group: Group, reference: Group, metric: str) -> Summary | None:
    """Differences (group - reference) of the runs with the same seed and fold."""
    both = common(group, reference, metric)
    if both is None:
        return None
    after, before = (
        dict(zip((r.partner for r in one.runs), one.figures(metric), strict=True)) for one in both
    )
    return both[0].over_runs(lambda run: after[run.partner] - before[run.partner])


def _widened(gap: Summary, level: float) -> Summary:
    if gap.units[0] and np.ptp(gap.units) == 0:
        return replace(gap, low=None, high=None)
    return gap.at(level)
