"""From a model to probabilities."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bench.scores import Scores
from bench.task import Task

BATCH = 64


@torch.no_grad()
def score_clips(model: nn.Module, task: Task, rows: np.ndarray, loss: str) -> Scores:
    """Run `model` in evaluation mode: softmax for "ce", sigmoid for "bce"; frames are sigmoid."""
    model.eval()
    device = next(model.parameters()).device
    clips, frames, step = [], [], 0.0
    for start in range(0, len(rows), BATCH):
        features = torch.from_numpy(task.features(rows[start : start + BATCH])).to(device)
        output = model(features)
        logits = output.clip_logits.float()
        clips.append((logits.softmax(-1) if loss == "ce" else logits.sigmoid()).cpu().numpy())
        if output.frame_logits is not None:
            frames.append(output.frame_logits.float().sigmoid().cpu().numpy().astype(np.float16))
            step = output.seconds_per_frame
    return Scores(np.concatenate(clips), np.concatenate(frames) if frames else None, step)
