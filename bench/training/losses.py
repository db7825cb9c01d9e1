"""What training minimises: the loss on clip labels, on time ranges, or the sum of both.

A teacher (`bench/training/teacher.py`) changes the labels, not the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.data.task import Task
from bench.experiment.config import Distill, Supervision
from bench.files import UserError
from bench.metrics.event_arrays import EventArrays, encode, merge_overlaps
from bench.training.teacher import Teacher
from modelkit.augment import Augment
from modelkit.output import ModelOutput

Grid = tuple[int, float]
"""Frames of a model's output, and how many seconds each spans."""


class Targets(NamedTuple):
    """What the outputs of a batch of clips are compared with, before mixup.

    Attributes:
        clips: (B, C) float32 labels; None where only time ranges are trained.
        active, labelled: see `FrameLabels.batch`; None where only clip labels are trained.
        weights: (2,) float32, of the clip loss and the frame loss, such that the average over the
            processes of a team is the whole batch's loss.
    """

    clips: Tensor | None
    active: Tensor | None
    labelled: Tensor | None
    weights: Tensor

    def of_clips(self, do: Callable[[Tensor], Tensor]) -> Targets:
        """The same with `do` applied to everything that has a row per clip."""
        clips, active, labelled = (None if part is None else do(part) for part in self[:3])
        return self._replace(clips=clips, active=active, labelled=labelled)


class Objective:
    """The loss of a batch of one task.

    Args:
        loss: of clip logits: "bce" (sigmoid, several labels) or "ce" (softmax, one label).
        supervision: "weak": clip logits against clip labels. "strong": frame logits against events
            in the labelled time ranges (the second mode of HTS-AT's paper). "both": their sum.
        grid: the model's `frame_grid`, unless supervision is weak.
        distill: scores of another network, which are mixed into the labels.

    Raises:
        UserError: the scores are missing, or not of these clips and classes.
    """

    def __init__(
        self,
        task: Task,
        loss: str,
        supervision: Supervision,
        grid: Grid | None = None,
        distill: Distill | None = None,
    ) -> None:
        self.task, self.loss, self.weak = task, loss, supervision != "strong"
        self.grid = grid
        self.frame_labels = FrameLabels(task) if supervision != "weak" else None
        self.teacher = Teacher.open(distill, task) if distill is not None else None

    def targets(
        self,
        rows: np.ndarray,
        starts: np.ndarray | None = None,
        weights: tuple[float, float] = (1.0, 1.0),
    ) -> Targets:
        """The targets of these clips.

        Args:
            starts: (B,) first frame that the model sees of each clip; None: their beginnings.
        """
        clips = active = labelled = None
        if self.weak:
            labels = self.task.targets[rows]
            if self.teacher is not None:
                labels = self.teacher.clip_targets(labels, rows)
            clips = torch.from_numpy(labels).float()
        if self.frame_labels is not None:
            assert self.grid is not None
            sounding, known = self.frame_labels.batch(rows, *self.grid, starts)
            if self.teacher is not None:
                hop_s = self.frame_labels.hop_s
                begin_s = np.zeros(len(rows)) if starts is None else starts * hop_s
                sounding = self.teacher.frame_targets(sounding, rows, self.grid[1], begin_s)
            active, labelled = torch.from_numpy(sounding), torch.from_numpy(known)
        return Targets(clips, active, labelled, torch.tensor(weights))

    def labelled_time(self, rows: np.ndarray, starts: np.ndarray | None, augment: Augment) -> float:
        """Labelled time of these clips in frames, augmented; 0 if it does not count."""
        if self.frame_labels is None:
            return 0.0
        assert self.grid is not None
        known = self.frame_labels.labelled(rows, *self.grid, starts)
        return float(augment.known(torch.from_numpy(known)).sum())

    def __call__(
        self, output: ModelOutput, targets: Targets, augment: Augment | None = None
    ) -> Tensor:
        """Loss of the model's output for a batch, augmented as `augment` says; on its device."""
        parts = []
        if targets.clips is not None:
            labels = targets.clips if augment is None else augment.targets(targets.clips)
            clips = clip_loss(output.clip_logits.float(), labels, self.loss)
            parts.append(clips * targets.weights[0])
        if targets.active is not None and targets.labelled is not None:
            assert output.frame_logits is not None
            active, labelled = targets.active, targets.labelled
            if augment is not None:
                active, labelled = augment.targets(active), augment.known(labelled)
            frames = frame_loss(output.frame_logits.float(), active, labelled)
            parts.append(frames * targets.weights[1])
        return torch.stack(parts).sum()


def frame_grid(output: ModelOutput) -> Grid:
    """The grid of a model's output.

    Raises:
        UserError: it has no frame logits.
    """
    if output.frame_logits is None:
        raise UserError(
            "this model has no frame logits to train on time ranges; "
            "set its recipe's supervision to weak"
        )
    return output.frame_logits.shape[1], output.seconds_per_frame


class FrameLabels:
    """When each class is active, for the clips of a task that have strong labels."""

    def __init__(self, task: Task) -> None:
        clips, events = task.corpus.clips, task.corpus.events
        assert events is not None  # `bench.data.task.open_task` refuses the others
        seconds = clips["duration_s"].to_numpy(np.float64)
        durations = dict(zip(clips["clip"], seconds, strict=True))
        self.classes = len(task.corpus.classes)
        self.events: EventArrays = merge_overlaps(encode(events, durations, task.corpus.classes))
        self.labelled_s = np.where(clips["strong"].to_numpy(bool), seconds, 0.0)
        self.hop_s = task.front_end.hop / task.front_end.sample_rate

    def batch(
        self,
        rows: np.ndarray,
        frames: int,
        seconds_per_frame: float,
        starts: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Targets of frames that span [i, i + 1) times `seconds_per_frame`, and their weights.

        Args:
            starts: (B,) feature frame of each clip at which these frames begin; None: its first.

        Returns:
            active (B, frames, C) float32: the share of the frame's labelled time that an event
            of the class fills. labelled (B, frames) float32: the share of the frame that is
            labelled: 1 inside a strongly labelled clip, 0 after its end and in all other clips.
        """
        times = self._times(len(rows), frames, seconds_per_frame, starts)
        filled = np.zeros((len(rows), frames, self.classes))
        labelled = _overlap(times, seconds_per_frame, 0.0, self.labelled_s[rows, None])
        first, last = (np.searchsorted(self.events.clip, rows, side) for side in ("left", "right"))
        for place, row in enumerate(rows):
            for event in range(first[place], last[place]):
                onset, offset = self.events.onset[event], self.events.offset[event]
                end = min(offset, self.labelled_s[row])
                seconds = _overlap(times[place], seconds_per_frame, onset, end)
                filled[place, :, self.events.label[event]] += seconds
        share = filled / np.where(labelled > 0, labelled, 1.0)[:, :, None]
        return (
            np.clip(share, 0.0, 1.0).astype(np.float32),
            (labelled / seconds_per_frame).astype(np.float32),
        )

    def labelled(
        self,
        rows: np.ndarray,
        frames: int,
        seconds_per_frame: float,
        starts: np.ndarray | None = None,
    ) -> np.ndarray:
        """The second of what `batch` returns."""
        times = self._times(len(rows), frames, seconds_per_frame, starts)
        seconds = _overlap(times, seconds_per_frame, 0.0, self.labelled_s[rows, None])
        return (seconds / seconds_per_frame).astype(np.float32)

    def _times(
        self, clips: int, frames: int, seconds_per_frame: float, starts: np.ndarray | None
    ) -> np.ndarray:
        """(B, frames) the start of each frame, in seconds of its clip."""
        begin_s = np.zeros(clips) if starts is None else starts * self.hop_s
        times: np.ndarray = begin_s[:, None] + np.arange(frames) * seconds_per_frame
        return times


def _overlap(
    starts: np.ndarray, length: float, begin: float, end: float | np.ndarray
) -> np.ndarray:
    """Seconds that [begin, end) shares with each of the frames that start at `starts`."""
    return np.maximum(np.minimum(starts + length, end) - np.maximum(starts, begin), 0.0)


def clip_loss(logits: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Mean loss of clip logits (B, C) against targets (B, C), which mixup may have mixed."""
    if loss == "ce":
        return F.cross_entropy(logits, targets)
    return F.binary_cross_entropy_with_logits(logits, targets)


def frame_loss(logits: Tensor, active: Tensor, labelled: Tensor) -> Tensor:
    """Mean binary cross-entropy over classes and labelled time.

    Frame logits are constant within a frame, so this is the integral over the labelled time of the
    cross-entropy with the classes active at each moment, whatever the frame rate, divided by that
    time.

    Args:
        logits: (B, T', C).
        active: (B, T', C), share of the frame's labelled time in which the class is active.
        labelled: (B, T'), share of the frame that is labelled; the others contribute nothing. A
            batch without labelled time has loss 0.
    """
    each = F.binary_cross_entropy_with_logits(logits, active, reduction="none").mean(-1)
    return (each * labelled).sum() / labelled.sum().clamp(min=1e-6)
