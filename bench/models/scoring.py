"""From a model to probabilities."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bench.data.task import Task
from bench.models.scores import Scores
from bench.process.team import Team

BATCH = 64


def probabilities(clip_logits: torch.Tensor, loss: str) -> torch.Tensor:
    """Clip probabilities (..., C): softmax where classes exclude each other ("ce"), else sigmoid
    ("bce")."""
    return clip_logits.softmax(-1) if loss == "ce" else clip_logits.sigmoid()


def score_clips(
    model: nn.Module, task: Task, rows: np.ndarray, loss: str, team: Team | None = None
) -> Scores:
    """Run `model` in evaluation mode: `probabilities` of clips; frames are sigmoid.

    The processes of a team score disjoint parts, and each returns the whole.
    """
    team = team or Team()
    mine = _score(model, task, team.share(rows), loss)
    parts = team.gather(mine)
    frames = [part.frame_scores for part in parts if part.frame_scores is not None]
    return Scores(
        np.concatenate([part.clip_scores for part in parts]),
        np.concatenate(frames) if frames else None,
        mine.seconds_per_frame,
    )


@torch.no_grad()
def _score(model: nn.Module, task: Task, rows: np.ndarray, loss: str) -> Scores:
    model.eval()
    device = next(model.parameters()).device
    clips, frames, step = [], [], 0.0
    for start in range(0, len(rows), BATCH):
        features = torch.from_numpy(task.features(rows[start : start + BATCH])).to(device)
        output = model(features)
        clips.append(probabilities(output.clip_logits.float(), loss).cpu().numpy())
        if output.frame_logits is not None:
            frames.append(output.frame_logits.float().sigmoid().cpu().numpy().astype(np.float16))
            step = output.seconds_per_frame
    return Scores(np.concatenate(clips), np.concatenate(frames) if frames else None, step)
