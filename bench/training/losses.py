"""What training minimises: the loss of clip labels, of time ranges, or the sum of both.

A teacher (`bench/training/teacher.py`) changes what the labels say, not the loss.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.data.task import Task
from bench.experiment.config import Distill, Supervision
from bench.files import UserError
from bench.metrics.event_arrays import EventArrays, encode, merge_overlaps
from bench.models.team import Team
from bench.training.teacher import Teacher
from modelkit.augment import Augment
from modelkit.output import ModelOutput


class Objective:
    """The loss of a batch of one task.

    Args:
        loss: of clip logits: "bce" (sigmoid, several labels) or "ce" (softmax, one label).
        supervision: "weak": clip logits against clip labels. "strong": frame logits against events
            in the labelled time ranges (the second mode of HTS-AT's paper). "both": their sum.
        team: the processes that share each batch; the average of their losses is the batch's.
        distill: scores of another network that the labels are mixed with.

    Raises:
        UserError: the scores are not there, or not of these clips and classes.
    """

    def __init__(
        self,
        task: Task,
        loss: str,
        supervision: Supervision,
        team: Team | None = None,
        distill: Distill | None = None,
    ) -> None:
        self.task, self.loss, self.weak = task, loss, supervision != "strong"
        self.team = team or Team()
        self.frame_labels = FrameLabels(task) if supervision != "weak" else None
        self.teacher = Teacher.open(distill, task) if distill is not None else None

    def __call__(
        self,
        output: ModelOutput,
        rows: np.ndarray,
        augment: Augment | None,
        weight: float = 1.0,
        starts: np.ndarray | None = None,
    ) -> Tensor:
        """Loss of the model's output for these clips, augmented as `augment` says.

        Args:
            weight: the clips' share of the team's batch, times the processes.
            starts: (B,) first frame that the model saw of each clip; None: their beginnings.

        Raises:
            UserError: strong supervision of a model without frame logits.
        """
        parts = []
        if self.weak:
            labels = self.task.targets[rows]
            if self.teacher is not None:
                labels = self.teacher.clip_targets(labels, rows)
            targets = torch.from_numpy(labels).to(output.clip_logits.device).float()
            if augment is not None:
                targets = augment.targets(targets)
            parts.append(clip_loss(output.clip_logits.float(), targets, self.loss) * weight)
        if self.frame_labels is not None:
            parts.append(self._frame_part(output, rows, starts, self.frame_labels, augment))
        return torch.stack(parts).sum()

    def _frame_part(
        self,
        output: ModelOutput,
        rows: np.ndarray,
        starts: np.ndarray | None,
        labels: FrameLabels,
        augment: Augment | None,
    ) -> Tensor:
        logits = output.frame_logits
        if logits is None:
            raise UserError(
                "this model has no frame logits to train on time ranges; "
                "set its recipe's supervision to weak"
            )
        frames, step = logits.shape[1], output.seconds_per_frame
        sounding, known = labels.batch(rows, frames, step, starts)
        if self.teacher is not None:
            begin_s = np.zeros(len(rows)) if starts is None else starts * labels.hop_s
            sounding = self.teacher.frame_targets(sounding, rows, step, begin_s)
        active, labelled = (torch.from_numpy(part).to(logits.device) for part in (sounding, known))
        if augment is not None:
            active, labelled = augment.targets(active), augment.known(labelled)
        value = frame_loss(logits.float(), active, labelled)
        if self.team.world_size == 1:
            return value
        mine = float(labelled.sum())  # the batch's mean is over its labelled time, not its clips
        (whole,) = self.team.add_up(mine)
        return value * (mine * self.team.world_size / max(whole, 1e-6))


class FrameLabels:
    """When each class sounds, for the clips of a task that have strong labels."""

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
        """Targets of frames that span [i, i + 1) times `seconds_per_frame`, and what they weigh.

        Args:
            starts: (B,) feature frame of each clip at which these frames begin; None: its first.

        Returns:
            active (B, frames, C) float32: the share of the frame's labelled time that an event
            of the class fills. labelled (B, frames) float32: the share of the frame that is
            labelled: 1 inside a strongly labelled clip, 0 after its end and in all other clips.
        """
        begin_s = np.zeros(len(rows)) if starts is None else starts * self.hop_s
        times = begin_s[:, None] + np.arange(frames) * seconds_per_frame
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
    cross-entropy with what sounds at each moment, whatever the frame rate, divided by that time.

    Args:
        logits: (B, T', C).
        active: (B, T', C), share of the frame's labelled time in which the class sounds.
        labelled: (B, T'), share of the frame that is labelled; the others contribute nothing. A
            batch without labelled time has loss 0.
    """
    each = F.binary_cross_entropy_with_logits(logits, active, reduction="none").mean(-1)
    return (each * labelled).sum() / labelled.sum().clamp(min=1e-6)
