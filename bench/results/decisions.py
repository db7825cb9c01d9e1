"""The one rule for "differs": an exact paired test, corrected by Holm over its family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.metrics.statistics import holm, limit_of, sign_flip_p
from bench.results.groups import Group
from bench.results.summary import Summary, summarise

ALPHA = 0.05
TEST = f"exact paired test, Holm, p ≤ {ALPHA:g}"


@dataclass(frozen=True)
class Decision:
    """What the test says about a difference.

    Attributes:
        p: of the two-sided exact sign-flip test on the differences of the pairs.
        p_holm: corrected over the family.
        limit: why so few pairs cannot decide in this family; None where they can.
    """

    p: float
    p_holm: float
    limit: str | None

    @property
    def differs(self) -> bool:
        """Whether the difference is significant."""
        return self.p_holm <= ALPHA


def decide(differences: Sequence[Summary]) -> list[Decision]:
    """The decisions on the differences of one family, in their order."""
    raw = [sign_flip_p(gap.values) for gap in differences]
    corrected = holm(raw).tolist() if raw else []
    return [
        Decision(p, p_holm, limit_of(gap.n, len(raw), ALPHA))
        for p, p_holm, gap in zip(raw, corrected, differences, strict=True)
    ]


def paired(group: Group, reference: Group, metric: str) -> Summary | None:
    """Differences (group - reference) of the runs with the same seed and fold."""
    before = {(run.fold, run.seed): run.figure(metric) for run in reference.runs}
    pairs = ((run.figure(metric), before.get((run.fold, run.seed)), run) for run in group.runs)
    known = [(a - b, run.fold) for a, b, run in pairs if a is not None and b is not None]
    return summarise([d for d, _ in known], [f for _, f in known], group.test_share)
