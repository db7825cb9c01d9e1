"""What was chosen in a run and on which clips, as the clips that it scored tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from bench.evaluation.operating_point import clips_digest
from bench.registry import CLASSIC
from bench.reporting.results import Results, Run


@dataclass(frozen=True)
class Choice:
    """How a run came to its weights.

    Attributes:
        what: "epoch" or "regularisation"; empty where no score decided (the last epoch, or the
            mean of the last ones).
        thresholds: whether thresholds of events were chosen as well.
        tested: how many of the clips that these could be chosen on are tested as well.
        validation, test: digests of the scored clips of both splits.
    """

    what: str
    thresholds: bool
    tested: int
    validation: str
    test: str

    @property
    def on_test(self) -> str:
        """What of the weights was chosen by scores of test clips; empty where nothing was."""
        return self.what if self.tested else ""

    @property
    def made(self) -> list[str]:
        """Everything that was chosen by scores."""
        return [name for name in (self.what, "thresholds" * self.thresholds) if name]


@cache
def choices(results: Results) -> Mapping[str, Choice | None]:
    """The choice of every run by its key; None where its scores cannot be read."""
    return {run.key: _choice(run) for group in results.groups.values() for run in group.runs}


def _choice(run: Run) -> Choice | None:
    try:
        with np.load(run.folder / "scores.npz", allow_pickle=False) as arrays:
            clips, split = arrays["clip_ids"], arrays["split"]
    except (OSError, ValueError, KeyError, EOFError):
        return None
    validation, test = (set(clips[split == s].tolist()) for s in ("validation", "test"))
    return Choice(
        _what(run),
        bool((run.values.get("localization") or {}).get("operating_point")),
        len(validation & test),
        clips_digest(validation),
        clips_digest(test),
    )


def _what(run: Run) -> str:
    resolved = run.values["resolved"]
    if resolved["model"]["architecture"] == "linear":
        return "regularisation"
    if resolved["model"]["architecture"] in CLASSIC:
        return ""
    recipe = resolved["recipe"]
    best = recipe["select"] == "best" and not recipe["average_epochs"]
    return "epoch" if best and recipe["epochs"] > 1 else ""
