"""record.json: the authoritative record of a run, with every metric and its origin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit

from bench.experiment.cells import Cell
from bench.experiment.config import DataKind
from bench.files import digest_of
from bench.results.training import Made
from bench.strict import Strict

FAMILIES = {
    "intersection": "intersection_f1",
    "event_based": "event_based_f1",
    "segment_based": "segment_based_f1",
}
"""Rule by which events are matched -> metric of a record."""


@dataclass(frozen=True)
class OperatingPoint:
    """How frame scores become decisions, per class in the order of `classes`.

    Attributes:
        thresholds: a frame is active when its filtered score exceeds this.
        median_filters: lengths in frames, odd; 1 = no filter.
        source: how the values were found, in words.
        validation_f1: F1 on the validation clips; None for a class without events there, empty
            where nothing was chosen.
        chosen_on: `clips_digest` of the clips that decided; None where none did. The audit compares
            it with the test clips.
        exclusive: at most one class is active in a frame, that with the highest filtered score:
            the classes of a single-label model are exclusive.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    median_filters: tuple[int, ...]
    source: str
    validation_f1: tuple[float | None, ...] = ()
    chosen_on: str | None = None
    exclusive: bool = False

    def __post_init__(self) -> None:
        if not len(self.classes) == len(self.thresholds) == len(self.median_filters):
            raise ValueError("an operating point needs one threshold and one filter per class")
        even = [length for length in self.median_filters if length < 1 or length % 2 == 0]
        if even:
            raise ValueError(f"median filter of {even[0]} frames; give odd lengths such as 1, 3, 5")


def threshold_grid(count: int) -> NDArray[np.float64]:
    """`count` thresholds, evenly spaced as logits from -6 to 6: 0.0025 to 0.9975.

    Scores of rare events are concentrated near 0, where even steps of probability have few
    thresholds.
    """
    return expit(np.linspace(-6, 6, count) if count > 1 else np.zeros(1))


def clips_digest(clip_ids: Iterable[str]) -> str:
    """sha256 of a set of clips, whatever their order."""
    return digest_of(sorted(map(str, clip_ids)))


class EventCounts(Strict):
    """Events or segments of one class."""

    true_positives: int
    false_positives: int
    false_negatives: int


class Metric(Strict):
    """One figure with everything needed to compute it again.

    Attributes:
        value: a fraction in [0, 1] unless the metric says otherwise; None = undefined.
        n: number of clips.
        per_class: None for metrics without classes.
        micro_f1, macro_f1_found, counts: of metrics of events.
    """

    value: float | None
    implementation: str
    version: str
    parameters: dict[str, Any]
    per_class: dict[str, float | None] | None = None
    n: int
    name: str | None = None
    micro_f1: float | None = None
    macro_f1_found: float | None = None
    counts: dict[str, EventCounts] | None = None


class Metrics(Strict):
    """Metrics by name; thresholds were chosen on `validation`, `test` was scored once."""

    test: dict[str, Metric]
    validation: dict[str, Metric]


class Coverage(Strict):
    """How many of the listed clips are on disk, unusable, or longer than the model takes."""

    found: int
    listed: int
    excluded: int
    windowed: int


class Lists(Strict):
    """The data set's own lists: their digest, and the clips that they name by split."""

    digest: str
    clips: dict[str, int]


class Localized(Strict):
    """Whether a run gives frame scores, and its operating point."""

    can_localize: bool
    operating_point: OperatingPoint | None
    seconds_per_frame: float | None


class HandSet(Strict):
    """Metrics of the test clips at a published list of thresholds."""

    operating_point: OperatingPoint
    metrics: dict[str, Metric]


class Record(Made):
    """record.json.

    Attributes:
        shared_recordings: recordings with clips in several splits of the published lists.
        chance: what random scores reach, by metric.
        files: sha256 of each file beside the record.
        trivial: baseline without times -> metric -> value, where the data set has events.
    """

    SCHEMA: ClassVar[int] = 3
    REMEDY: ClassVar[str] = "evaluate the run again"

    cell: Cell
    experiment: str
    data_kind: DataKind
    coverage: Coverage
    lists: Lists
    shared_recordings: dict[str, tuple[str, ...]]
    classes: tuple[str, ...]
    metrics: Metrics
    chance: dict[str, float]
    files: dict[str, str]
    trivial: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    localization: Localized | None = None
    hand_set: HandSet | None = None
