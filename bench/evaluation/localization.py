"""From frame scores to located events, and the choice of thresholds on validation data.

An operating point is one threshold and one median filter per class. It is chosen on validation
clips only; the test clips are decided once with the result, which the record keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bench.files import digest_of
from bench.metrics.event_arrays import (
    EventArrays,
    Floats,
    decode,
    encode,
    events_of,
    merge_overlaps,
)
from bench.metrics.event_counts import Counts, collar_counts, intersection_counts

Criterion = Literal["intersection", "event_based"]

PUBLISHED_THRESHOLDS: dict[str, dict[str, float]] = {
    # fl_evaluate.py of the HTS-AT repository, lines 98-111: the list in use and the one in a
    # comment for PANN's Cnn14_DecisionLevelMax. Set by hand; no validation split is named. They
    # apply to the highest probability among the AudioSet classes mapped to each DESED class.
    "htsat": {
        "Alarm_bell_ringing": 0.18,
        "Blender": 0.48,
        "Cat": 0.51,
        "Dishes": 0.20,
        "Dog": 0.39,
        "Electric_shaver_toothbrush": 0.20,
        "Frying": 0.20,
        "Running_water": 0.23,
        "Speech": 0.275,
        "Vacuum_cleaner": 0.14,
    },
    "pann": {
        "Alarm_bell_ringing": 0.20,
        "Blender": 0.20,
        "Cat": 0.20,
        "Dishes": 0.05,
        "Dog": 0.20,
        "Electric_shaver_toothbrush": 0.20,
        "Frying": 0.20,
        "Running_water": 0.10,
        "Speech": 0.28,
        "Vacuum_cleaner": 0.05,
    },
}


@dataclass(frozen=True)
class OperatingPoint:
    """How frame scores are decided, per class in the order of `classes`.

    Attributes:
        thresholds: a frame is active when its filtered score exceeds this.
        median_filters: lengths in frames, odd; 1 = no filter.
        source: how the values were found, in words.
        validation_f1: F1 on the validation clips; None for a class without events there, empty
            where nothing was chosen.
        chosen_on: `clips_digest` of the clips that decided; None where none did. The report holds
            it against the test clips.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    median_filters: tuple[int, ...]
    source: str
    validation_f1: tuple[float | None, ...] = ()
    chosen_on: str | None = None

    def __post_init__(self) -> None:
        if not len(self.classes) == len(self.thresholds) == len(self.median_filters):
            raise ValueError("an operating point needs one threshold and one filter per class")
        even = [length for length in self.median_filters if length < 1 or length % 2 == 0]
        if even:
            raise ValueError(f"median filter of {even[0]} frames; give odd lengths such as 1, 3, 5")

    def to_json(self) -> dict[str, Any]:
        """The point as JSON values."""
        return {
            "source": self.source,
            "classes": list(self.classes),
            "thresholds": list(self.thresholds),
            "median_filters": list(self.median_filters),
            "validation_f1": list(self.validation_f1),
            "chosen_on": self.chosen_on,
        }


def clips_digest(clip_ids: Iterable[str]) -> str:
    """sha256 of a set of clips, whatever their order."""
    return digest_of(sorted(map(str, clip_ids)))


def published_operating_point(
    name: str, classes: Sequence[str], median_filter: int = 1
) -> OperatingPoint:
    """A hand-set list of `PUBLISHED_THRESHOLDS`; both were used without a filter.

    Raises:
        ValueError: no such list, or a class that it does not name.
    """
    if name not in PUBLISHED_THRESHOLDS:
        raise ValueError(f"thresholds {name!r} are not among {', '.join(PUBLISHED_THRESHOLDS)}")
    published = PUBLISHED_THRESHOLDS[name]
    missing = [c for c in classes if c not in published]
    if missing:
        raise ValueError(f"the thresholds {name!r} do not name class {missing[0]!r}")
    return OperatingPoint(
        tuple(classes),
        tuple(published[c] for c in classes),
        (median_filter,) * len(classes),
        f"published, set by hand: {name}",
    )


def threshold_grid(count: int) -> Floats:
    """`count` thresholds evenly inside (0, 1): i / (count + 1)."""
    return np.arange(1, count + 1) / (count + 1)


def detect(
    frame_scores: ArrayLike,
    seconds_per_frame: float,
    clip_ids: Sequence[str],
    classes: Sequence[str],
    point: OperatingPoint,
    durations: Mapping[str, float],
) -> pd.DataFrame:
    """Located events of every clip.

    Args:
        frame_scores: (N, T, C) in the order of `clip_ids` and `classes`.
        durations: clip -> real length in seconds; events end there at the latest.

    Returns:
        filename, onset, offset, event_label, sorted by clip, class and onset.

    Raises:
        ValueError: shapes or classes do not agree, or a score is NaN.
    """
    scores = _checked(frame_scores, clip_ids, classes)
    if point.classes != tuple(classes):
        raise ValueError("the operating point was chosen for other classes, or another order")
    filtered = scores.copy()
    for length in set(point.median_filters) - {1}:
        chosen = np.array(point.median_filters) == length
        filtered[:, :, chosen] = median_filtered(scores[:, :, chosen], length)
    active = filtered > np.array(point.thresholds, np.float32)  # a score of 0.4 is not above 0.4
    seconds = np.array([durations[clip] for clip in clip_ids], np.float64)
    return decode(events_of(active, seconds_per_frame, seconds), clip_ids, classes)


def choose_operating_point(
    frame_scores: ArrayLike,
    seconds_per_frame: float,
    clip_ids: Sequence[str],
    reference: pd.DataFrame,
    durations: Mapping[str, float],
    classes: Sequence[str],
    *,
    thresholds: ArrayLike,
    median_filters: Sequence[int] = (1,),
    criterion: Criterion = "intersection",
) -> OperatingPoint:
    """The threshold and filter per class with the best F1 on these (validation) clips.

    Among equal F1 the shortest filter wins, then the threshold in the middle of the equal ones:
    it is the farthest from where the decision turns worse. A class without reference events here
    keeps the middle of the grid and the shortest filter.

    Args:
        reference: events of these clips and no others.
        thresholds: candidates in ascending order, in the units of the scores.

    Raises:
        ValueError: as `detect`, or `reference` names a clip that is not among `clip_ids`.
    """
    scores = _checked(frame_scores, clip_ids, classes)
    grid = np.asarray(thresholds, np.float64)
    filters = sorted(set(median_filters))
    own = {clip: durations[clip] for clip in clip_ids}
    truth = encode(reference, own, classes)
    seconds = np.array(list(own.values()), np.float64)
    f1 = np.array(
        [
            [_counts(criterion, events, truth, seconds, len(classes)).per_class().f1()]
            for events in _candidates(scores, seconds_per_frame, seconds, grid, filters)
        ]
    ).reshape(len(filters), len(grid), len(classes))

    chosen: list[tuple[float, int, float | None]] = []
    for c in range(len(classes)):
        table = f1[:, :, c]
        if np.isnan(table).all():
            chosen.append((float(grid[len(grid) // 2]), filters[0], None))
            continue
        best = table.max()
        place = int(np.argmax(table.max(axis=1)))
        equal = np.flatnonzero(table[place] == best)
        chosen.append((float(grid[equal[len(equal) // 2]]), filters[place], float(best)))
    best_thresholds, best_filters, values = zip(*chosen, strict=True)
    return OperatingPoint(
        tuple(classes),
        best_thresholds,
        best_filters,
        f"best {criterion} F1 per class on {len(own)} validation clips "
        f"({len(grid)} thresholds x filters {filters})",
        values,
        clips_digest(clip_ids),
    )


def whole_clip_scores(
    clip_scores: ArrayLike, clip_ids: Sequence[str], durations: Mapping[str, float]
) -> tuple[NDArray[np.float32], float]:
    """Clip scores (N, C) as one frame that spans the clip: (N, 1, C) and its length in seconds.

    Fed to `choose_operating_point` and `detect` this is the baseline that knows what sounds, but
    not when: each class above its threshold is active from start to end.

    Args:
        durations: of all splits, so that the frame has one length in all of them.
    """
    scores = np.asarray(clip_scores, np.float32)
    if scores.ndim != 2 or len(scores) != len(clip_ids):
        raise ValueError(f"clip scores {scores.shape} are not (clips, classes) for {len(clip_ids)}")
    return scores[:, None, :], max(durations.values())


def always_active(
    clip_ids: Sequence[str], classes: Sequence[str], durations: Mapping[str, float]
) -> pd.DataFrame:
    """The baseline that listens to nothing: every class in every clip from start to end."""
    seconds = np.array([durations[clip] for clip in clip_ids], np.float64)
    active = np.ones((len(clip_ids), 1, len(classes)), bool)
    return decode(events_of(active, float(seconds.max()), seconds), clip_ids, classes)


def median_filtered(scores: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Median over `length` frames (odd) along axis 1 of (N, T, C), mirrored at the ends.

    The median commutes with a threshold, so filtering scores equals filtering decisions.
    """
    if length == 1:
        return scores
    from scipy.ndimage import median_filter

    return median_filter(scores, size=(1, length, 1), mode="reflect")


def _candidates(
    scores: NDArray[np.float32],
    seconds_per_frame: float,
    durations: Floats,
    thresholds: Floats,
    filters: Sequence[int],
) -> Iterator[EventArrays]:
    for length in filters:
        filtered = median_filtered(scores, length)
        for threshold in thresholds.astype(np.float32):
            yield events_of(filtered > threshold, seconds_per_frame, durations)


def _counts(
    criterion: Criterion,
    predicted: EventArrays,
    reference: EventArrays,
    durations: Floats,
    classes: int,
) -> Counts:
    if criterion == "intersection":
        return intersection_counts(predicted, merge_overlaps(reference), durations, classes)
    return collar_counts(predicted, reference, len(durations), classes)


def _checked(
    frame_scores: ArrayLike, clip_ids: Sequence[str], classes: Sequence[str]
) -> NDArray[np.float32]:
    scores = np.asarray(frame_scores, np.float32)
    if scores.ndim != 3 or scores.shape[::2] != (len(clip_ids), len(classes)):
        raise ValueError(
            f"frame scores {scores.shape} are not (clips, frames, classes) for "
            f"{len(clip_ids)} clips and {len(classes)} classes"
        )
    if np.isnan(scores).any():
        clip = int(np.argwhere(np.isnan(scores))[0][0])
        raise ValueError(f"a frame score of {clip_ids[clip]} is NaN; did the training diverge?")
    return scores
