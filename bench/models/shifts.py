"""Test-time augmentation of HTS-AT's code: scores averaged over circular shifts of the waveform.

There (sed_model.py) the shifts are 0 samples, then steps of 100, 200, ... 900 one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from bench.audio.decode import decode
from bench.data.task import Task
from bench.data.windows import window_samples
from bench.experiment.cells import Plan
from bench.models.scores import Scores
from bench.models.scoring import score_clips
from bench.models.team import Team


def score_shifted(
    model: nn.Module,
    task: Task,
    rows: np.ndarray,
    loss: str,
    shifts: Sequence[int],
    team: Team | None = None,
) -> Scores:
    """Mean clip scores over circular shifts to the left, in samples; none = the clips unchanged.

    Frame scores are those of the unshifted clips, as in the authors' DESED test.
    """
    scores = score_clips(model, task, rows, loss, team)
    if not shifts:
        return scores
    clips = [
        score_clips(model, _ShiftedTask.of(task, shift), rows, loss, team).clip_scores
        if shift
        else scores.clip_scores
        for shift in shifts
    ]
    mean = np.stack(clips).astype(np.float64).mean(axis=0)
    return replace(scores, clip_scores=mean.astype(np.float32))


def score_splits(
    model: nn.Module, task: Task, splits: Sequence[str], plan: Plan, team: Team | None = None
) -> dict[str, Scores]:
    """`score_shifted` for each of these splits; only the test split is shifted."""
    shifts = {"test": plan.recipe.test_shifts}
    return {
        name: score_shifted(
            model, task, task.rows[name], plan.dataset.loss, shifts.get(name, ()), team
        )
        for name in splits
    }


class _ShiftedTask(Task):
    """A task whose features are computed from its shifted audio, not read."""

    shift: int

    @classmethod
    def of(cls, task: Task, shift: int) -> _ShiftedTask:
        shifted = cls(**vars(task))
        object.__setattr__(shifted, "shift", shift)
        return shifted

    def clips(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """As `Task.clips`, of the shifted clips, shorter ones padded before."""
        front_end, table = self.front_end, self.corpus.clips
        for row in rows:
            clip = table.iloc[row]
            samples = decode(
                self.corpus.root / clip["path"],
                front_end.sample_rate,
                start_s=clip["start_s"],
                duration_s=clip["duration_s"],
            ).samples
            if self.front_end.fill == "silence":
                missing = window_samples(self.front_end) - len(samples)
                samples = np.pad(samples, (0, max(0, missing)))
            yield front_end.features(np.roll(samples, -self.shift)).astype(np.float16)
