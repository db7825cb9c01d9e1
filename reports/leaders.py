"""Which model may be called best: only the one that beats every other one significantly."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.statistics import holm, sign_flip_p
from reports.ablations import paired
from reports.results import Group

ALPHA = 0.05
RULE = f"Bold: the best, where it beats every other model (exact paired test, Holm, p ≤ {ALPHA:g})."


def significant_best(groups: Sequence[Group], metric: str) -> str | None:
    """The name of the group that beats every other one; None where none does.

    Two-sided exact sign-flip tests on differences paired by seed and fold, corrected by Holm.
    """
    ranked = sorted(
        ((summary.mean, group) for group in groups if (summary := group.summary(metric))),
        key=lambda pair: -pair[0],
    )
    if len(ranked) < 2:
        return None
    best = ranked[0][1]
    differences = [paired(best, other, metric) for _, other in ranked[1:]]
    if any(difference is None or difference.mean <= 0 for difference in differences):
        return None
    p = holm([sign_flip_p(difference.values) for difference in differences if difference])
    return best.name if max(p) <= ALPHA else None
