"""What was chosen in a run, and on which clips, according to the clips that it scored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.files import UserError, damage_told
from bench.registry import CLASSIC
from bench.results.groups import Run
from bench.results.record import clips_digest


@dataclass(frozen=True)
class Choice:
    """How a run's weights were chosen.

    Attributes:
        what: "epoch" or "regularisation"; empty where no score decided (the last epoch, or the
            mean of the last ones).
        thresholds: whether thresholds and filters of events were chosen as well.
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
        of_events = ("thresholds", "filters") if self.thresholds else ()
        return [name for name in (self.what, *of_events) if name]


def choice_of(run: Run) -> Choice | None:
    """How a run chose, by the clips that it scored; None where its scores cannot be read, or are
    not those of its record."""
    located = run.record.localization
    try:
        validation, test = scored_clips(run)
    except (UserError, OSError):
        return None
    return Choice(
        _what(run),
        located is not None and located.operating_point is not None,
        len(validation & test),
        clips_digest(validation),
        clips_digest(test),
    )


def scored_clips(run: Run) -> tuple[set[str], set[str]]:
    """The validation and the test clips that a run scored.

    Raises:
        UserError: its scores are missing, damaged, or not those of its record.
    """
    path = run.file("scores.npz")
    with damage_told(path, "train the run again"), np.load(path, allow_pickle=False) as arrays:
        clips, split = arrays["clip_ids"], arrays["split"]
        return set(clips[split == "validation"].tolist()), set(clips[split == "test"].tolist())


def _what(run: Run) -> str:
    resolved = run.record.resolved
    if resolved.model.architecture == "linear":
        return "regularisation"
    if resolved.model.architecture in CLASSIC:
        return ""
    recipe = resolved.recipe
    best = recipe.select == "best" and not recipe.average_epochs
    return "epoch" if best and recipe.epochs > 1 else ""
