"""Events and frame scores as arrays, the form in which they are processed from scores to counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
SHORTEST = 1e-3
"""Seconds: a frame that begins a moment before its clip ends leaves no event."""


@dataclass(frozen=True)
class EventArrays:
    """Events in columns of equal length, sorted by (clip, label, onset).

    `clip` and `label` are indices into the lists of files and classes; times are in seconds.
    """

    clip: Ints
    label: Ints
    onset: Floats
    offset: Floats

    def __len__(self) -> int:
        return len(self.clip)

    def select(self, keep: NDArray) -> EventArrays:
        """The events at the given places (boolean mask or indices)."""
        return EventArrays(self.clip[keep], self.label[keep], self.onset[keep], self.offset[keep])


@dataclass(frozen=True)
class FrameScores:
    """Frame scores of clips, with what is needed to turn them into events.

    Attributes:
        scores: (N, T, C) float32; frame i spans [i, i + 1) times `seconds_per_frame`.
        clips, classes: names, N and C of them.
        durations: (N,) real length of each clip in seconds; its events end there at the latest.
        counts: (N,) frames that each clip has, where they differ; zeros follow them.

    Raises:
        ValueError: shapes do not agree, or a score is NaN.
    """

    scores: NDArray[np.float32]
    seconds_per_frame: float
    clips: tuple[str, ...]
    classes: tuple[str, ...]
    durations: Floats
    counts: Ints | None = None

    def __post_init__(self) -> None:
        scores = np.asarray(self.scores, np.float32)
        if scores.ndim != 3 or scores.shape[::2] != (len(self.clips), len(self.classes)):
            raise ValueError(
                f"frame scores {scores.shape} are not (clips, frames, classes) for "
                f"{len(self.clips)} clips and {len(self.classes)} classes"
            )
        if np.isnan(scores).any():
            clip = self.clips[int(np.argwhere(np.isnan(scores))[0][0])]
            raise ValueError(f"a frame score of {clip} is NaN; did the training diverge?")
        object.__setattr__(self, "scores", scores)


def encode(
    events: pd.DataFrame, durations: Mapping[str, float], classes: Sequence[str]
) -> EventArrays:
    """Turn an event table into arrays.

    Raises:
        ValueError: unknown file or class, a time that is not finite, or offset before onset.
    """
    clips = {name: place for place, name in enumerate(durations)}
    labels = {name: place for place, name in enumerate(classes)}
    for column, known, where in (
        ("filename", clips, "the durations"),
        ("event_label", labels, "the class list"),
    ):
        unknown = set(events[column]) - set(known)
        if unknown:
            raise ValueError(f"{column} {sorted(unknown, key=str)[0]!r} is not in {where}")
    onset = events["onset"].to_numpy(np.float64)
    offset = events["offset"].to_numpy(np.float64)
    bad = ~(np.isfinite(onset) & np.isfinite(offset) & (offset >= onset))
    if bad.any():
        first = events[bad].iloc[0]
        raise ValueError(
            f"event of {first['filename']} from {first['onset']} to {first['offset']} s "
            "has no valid times"
        )
    clip = np.array([clips[name] for name in events["filename"]], np.int64)
    label = np.array([labels[name] for name in events["event_label"]], np.int64)
    return EventArrays(clip, label, onset, offset).select(np.lexsort((offset, onset, label, clip)))


def decode(events: EventArrays, files: Iterable[str], classes: Iterable[str]) -> pd.DataFrame:
    """Turn arrays into an event table."""
    return pd.DataFrame(
        {
            "filename": np.array(list(files), object)[events.clip],
            "onset": events.onset,
            "offset": events.offset,
            "event_label": np.array(list(classes), object)[events.label],
        }
    )


def events_of(
    active: NDArray[np.bool_], seconds_per_frame: float, durations: Floats
) -> EventArrays:
    """Runs of active frames as events.

    Args:
        active: (N, T, C) bool.
        durations: (N,) seconds; runs are cut there and dropped when nothing is left of them, or
            less than `SHORTEST`.

    Returns:
        Events with times rounded to the microsecond.
    """
    line = np.moveaxis(active, 1, 2)
    edge = np.zeros((*line.shape[:2], 1), bool)
    change = np.diff(np.concatenate([edge, line, edge], axis=2).view(np.int8), axis=2)
    clip, label, start = np.nonzero(change == 1)
    end = np.nonzero(change == -1)[2]
    onset = np.round(start * seconds_per_frame, 6)
    offset = np.minimum(np.round(end * seconds_per_frame, 6), durations[clip])
    return EventArrays(clip, label, onset, offset).select(offset - onset >= SHORTEST)


def merge_overlaps(events: EventArrays) -> EventArrays:
    """Union of the events of one class that overlap in one clip; touching events stay two.

    Events without length are dropped.
    """
    events = events.select(events.offset > events.onset)
    if not len(events):
        return events
    group = np.cumsum(_starts(events.clip, events.label)) - 1
    # The latest offset so far within the group: shifting each group above all times of the ones
    # before turns it into one running maximum. Ranks keep the comparison exact.
    times, rank = np.unique(np.concatenate([events.onset, events.offset]), return_inverse=True)
    onset_rank, offset_rank = np.split(rank + np.tile(group, 2) * len(times), 2)
    reach = np.maximum.accumulate(offset_rank)
    first = np.append(True, onset_rank[1:] >= reach[:-1])
    last = np.append(np.flatnonzero(first)[1:], len(events)) - 1
    merged = events.select(first)
    return EventArrays(merged.clip, merged.label, merged.onset, times[reach[last] % len(times)])


def relabelled(events: EventArrays, label: int) -> EventArrays:
    """The same events, all of one class."""
    return EventArrays(events.clip, np.full_like(events.label, label), events.onset, events.offset)


def pairs_of_same_class(
    predicted: EventArrays, reference: EventArrays, classes: int
) -> tuple[Ints, Ints]:
    """Indices (predicted, reference) of every pair with the same clip and class."""
    return _pairs(
        predicted.clip * classes + predicted.label, reference.clip * classes + reference.label
    )


def pairs_of_same_clip(predicted: EventArrays, reference: EventArrays) -> tuple[Ints, Ints]:
    """Indices (predicted, reference) of every pair in the same clip, whatever the classes."""
    return _pairs(predicted.clip, reference.clip)


def _pairs(keys: Ints, sorted_keys: Ints) -> tuple[Ints, Ints]:
    """All (i, j) with keys[i] == sorted_keys[j]."""
    start = np.searchsorted(sorted_keys, keys, side="left")
    count = np.searchsorted(sorted_keys, keys, side="right") - start
    left = np.repeat(np.arange(len(keys)), count)
    within = np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count)
    return left, np.repeat(start, count) + within


def _starts(*columns: NDArray) -> NDArray[np.bool_]:
    """Where a sorted sequence of rows changes in any column; the first row counts as a change."""
    change = np.zeros(len(columns[0]), bool)
    change[:1] = True
    for column in columns:
        change[1:] |= column[1:] != column[:-1]
    return change
