"""A group's figures at published thresholds, where the evaluation was asked for them."""

from __future__ import annotations

from dataclasses import replace

from bench.reporting.results import Group, Run

HAND = "decided_by_hand"
"""Mark of such runs: their protocol shares the published one's thresholds."""


def at_hand_set(group: Group) -> Group | None:
    """The same runs decided by a published list of thresholds; None where that was not asked for.

    Its figures come from `record["hand_set"]`, everything else from the records as they are.
    """
    if not all("hand_set" in run.values for run in group.runs):
        return None
    runs = tuple(
        Run(
            {**run.values, "metrics": {"test": run.values["hand_set"]["metrics"]}, HAND: True},
            run.folder,
        )
        for run in group.runs
    )
    return replace(group, runs=runs)
