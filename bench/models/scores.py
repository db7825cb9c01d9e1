"""scores.npz: the probabilities of a run's clips and frames, kept so that metrics need no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data.task import Task
from bench.files import atomic_write, damage_told


def excludes(loss: str) -> bool:
    """Whether a model trained with this loss gives each clip and frame one class: "ce" does, and
    its outputs are softmax; those of "bce" are sigmoid, one class knowing nothing of another."""
    return loss == "ce"


@dataclass(frozen=True)
class Scores:
    """Probabilities of some clips, in the order of `rows` that made them.

    `clip_scores` (N, C) float32; `frame_scores` (N, T', C) float16 or None; frame i spans
    [i, i + 1) times `seconds_per_frame`. Clip n has `frame_counts[n]` frames, and zeros behind
    them where another is longer; without frame scores there are no counts.
    """

    clip_scores: np.ndarray
    frame_scores: np.ndarray | None
    seconds_per_frame: float
    frame_counts: np.ndarray | None

    @classmethod
    def of(
        cls, clips: Sequence[np.ndarray], frames: Sequence[np.ndarray], seconds_per_frame: float
    ) -> Scores:
        """From the scores of each clip, (C,), and of its frames, (T', C); `frames` may be empty."""
        scores = np.stack(clips).astype(np.float32)
        if not len(frames):
            return cls(scores, None, 0.0, None)
        counts = np.array([len(part) for part in frames])
        padded = np.zeros((len(frames), counts.max(), scores.shape[1]), np.float16)
        for row, part in zip(padded, frames, strict=True):
            row[: len(part)] = part
        return cls(scores, padded, seconds_per_frame, counts)

    def frames(self) -> list[np.ndarray]:
        """The frame scores of each clip, (T', C); empty without any."""
        if self.frame_scores is None or self.frame_counts is None:
            return []
        pairs = zip(self.frame_scores, self.frame_counts, strict=True)
        return [row[:count] for row, count in pairs]


def joined(parts: Sequence[Scores]) -> Scores:
    """The scores of several sets of clips, one after another."""
    clips = [scores for part in parts for scores in part.clip_scores]
    frames = [scores for part in parts for scores in part.frames()]
    return Scores.of(clips, frames, parts[0].seconds_per_frame)


def write_scores(
    path: Path, task: Task, splits: dict[str, Scores], trained_on: np.ndarray | None = None
) -> None:
    """Write the scores of several splits to one scores.npz, atomically (no pickled objects).

    Args:
        trained_on: rows of the task whose clips the model was trained on, for its students.
    """
    rows = np.concatenate([task.rows[name] for name in splits])
    names = task.corpus.clips["clip"].to_numpy()
    scores = joined(list(splits.values()))
    arrays = {
        "clip_ids": names[rows].astype(str),
        "classes": np.array(task.corpus.classes, dtype=str),
        "split": np.concatenate([[name] * len(task.rows[name]) for name in splits]).astype(str),
        "clip_scores": scores.clip_scores,
        "targets": task.targets[rows],
        "seconds_per_frame": np.float64(scores.seconds_per_frame),
    }
    if scores.frame_scores is not None and scores.frame_counts is not None:
        arrays["frame_scores"] = scores.frame_scores
        arrays["frame_counts"] = scores.frame_counts
    if trained_on is not None:
        arrays["trained_on"] = names[trained_on].astype(str)
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


@dataclass(frozen=True)
class StoredScores:
    """One split of a scores.npz, with what it is compared to.

    `trained_on` are the clips that the model was trained on, None where the file does not say.
    """

    clip_ids: np.ndarray
    classes: tuple[str, ...]
    scores: Scores
    targets: np.ndarray
    trained_on: np.ndarray | None = None


def read_scores(path: Path, split: str) -> StoredScores:
    """One split of a scores.npz.

    Raises:
        UserError: the file is missing or damaged.
    """
    with (
        damage_told(path, "train the run again"),
        np.load(path, allow_pickle=False) as arrays,
    ):
        chosen = arrays["split"] == split
        frames = counts = None
        if "frame_scores" in arrays:
            counts = arrays["frame_counts"][chosen]
            frames = arrays["frame_scores"][chosen][:, : counts.max(initial=0)]
        step = float(arrays["seconds_per_frame"])
        return StoredScores(
            clip_ids=arrays["clip_ids"][chosen],
            classes=tuple(arrays["classes"].tolist()),
            scores=Scores(arrays["clip_scores"][chosen], frames, step, counts),
            targets=arrays["targets"][chosen],
            trained_on=arrays.get("trained_on"),
        )
