"""scores.npz: the probabilities of a run's clips and frames, kept so that metrics need no model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data.task import Task
from bench.files import atomic_write, damage_told


@dataclass(frozen=True)
class Scores:
    """Probabilities of some clips, in the order of `rows` that made them.

    `clip_scores` (N, C) float32; `frame_scores` (N, T', C) float16 or None; frame i spans
    [i, i + 1) times `seconds_per_frame`.
    """

    clip_scores: np.ndarray
    frame_scores: np.ndarray | None
    seconds_per_frame: float


def write_scores(path: Path, task: Task, splits: dict[str, Scores]) -> None:
    """Write the scores of several splits to one scores.npz, atomically (no pickled objects)."""
    rows = np.concatenate([task.rows[name] for name in splits])
    arrays = {
        "clip_ids": task.corpus.clips["clip"].to_numpy()[rows].astype(str),
        "classes": np.array(task.corpus.classes, dtype=str),
        "split": np.concatenate([[name] * len(task.rows[name]) for name in splits]).astype(str),
        "clip_scores": np.concatenate([scores.clip_scores for scores in splits.values()]),
        "targets": task.targets[rows],
        "seconds_per_frame": np.float64(next(iter(splits.values())).seconds_per_frame),
    }
    frames = [scores.frame_scores for scores in splits.values()]
    if frames[0] is not None:
        arrays["frame_scores"] = np.concatenate([part for part in frames if part is not None])
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


@dataclass(frozen=True)
class StoredScores:
    """One split of a scores.npz, with what it is compared to."""

    clip_ids: np.ndarray
    classes: tuple[str, ...]
    scores: Scores
    targets: np.ndarray


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
        frames = arrays["frame_scores"][chosen] if "frame_scores" in arrays else None
        return StoredScores(
            clip_ids=arrays["clip_ids"][chosen],
            classes=tuple(arrays["classes"].tolist()),
            scores=Scores(
                arrays["clip_scores"][chosen], frames, float(arrays["seconds_per_frame"])
            ),
            targets=arrays["targets"][chosen],
        )
