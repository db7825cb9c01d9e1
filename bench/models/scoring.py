"""From a model to probabilities: of clips of any length, and of their frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from bench.data.task import Task, assembled
from bench.data.windows import stitch, window_starts
from bench.experiment.config import FrontEnd
from bench.models.scores import Scores, excludes, joined
from bench.process.team import Team

AT_ONCE_ON_GPU = 64
"""Windows of one forward pass. On a CPU it is one: a matrix product adds the numbers of a row in
another order where there are other rows, and a clip's digits must not depend on what else is
scored."""


def probabilities(logits: torch.Tensor, loss: str) -> torch.Tensor:
    """Probabilities of clip or frame logits (..., C), in float32 at least: softmax where classes
    exclude each other, else sigmoid. No other place says which activation belongs to a loss."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.softmax(-1) if excludes(loss) else logits.sigmoid()


def score_clips(
    model: nn.Module, task: Task, rows: np.ndarray, loss: str, team: Team | None = None
) -> Scores:
    """`score` the clips of a task.

    The processes of a team score disjoint parts, and each returns the whole.
    """
    if team is None or len(rows) < team.size:  # too few to share: each process scores all
        team = Team()
    clips = task.clips(team.share(rows))
    return joined(team.gather(score(model, clips, task.front_end, task.scale, loss)))


def score(
    model: nn.Module,
    clips: Iterable[np.ndarray],
    front_end: FrontEnd,
    scale: tuple[float, float] | None,
    loss: str,
    count: Callable[[int], None] = lambda windows: None,
) -> Scores:
    """Run `model` in evaluation mode over clips of any length.

    A clip that is longer than the front end's `frames` is heard in windows that overlap by half.
    Its clip score is their mean where classes exclude each other, for one label holds for the
    whole clip, else the largest, for an event need not last; its frames are stitched together.

    Args:
        clips: stored features of each, float16 (frames, F).
        scale: (mean, standard deviation) of the training features, where the front end normalises.
        count: called with the number of windows scored since the last call.
    """
    hop_s = front_end.hop / front_end.sample_rate
    clip_scores, frames, step = [], [], 0.0
    heard = _heard(model, _windows(clips, front_end.frames), front_end, scale, loss, count)
    for _, group in groupby(heard, key=lambda window: window.clip):
        windows = list(group)
        own = np.stack([window.clip_scores for window in windows])
        clip_scores.append(own.mean(axis=0) if excludes(loss) else own.max(axis=0))
        parts = [part.frame_scores for part in windows if part.frame_scores is not None]
        if parts:
            step = windows[0].seconds_per_frame
            starts = [window.start * hop_s for window in windows]
            frames.append(stitch(np.stack(parts), starts, step).astype(np.float16))
    return Scores.of(clip_scores, frames, step)


class _Window(NamedTuple):
    """A part of clip number `clip`, from frame `start` on."""

    clip: int
    start: int
    features: np.ndarray


class _Heard(NamedTuple):
    """The probabilities of a window, (C,), and of its frames, (T', C)."""

    clip: int
    start: int
    clip_scores: np.ndarray
    frame_scores: np.ndarray | None
    seconds_per_frame: float


def _windows(clips: Iterable[np.ndarray], frames: int) -> Iterator[_Window]:
    for number, clip in enumerate(clips):
        for start in window_starts(len(clip), frames):
            yield _Window(number, start, clip[start : start + frames])


def _heard(
    model: nn.Module,
    windows: Iterable[_Window],
    front_end: FrontEnd,
    scale: tuple[float, float] | None,
    loss: str,
    count: Callable[[int], None],
) -> Iterator[_Heard]:
    """The windows' scores, in their order."""
    model.eval()
    device = next(model.parameters()).device
    size = 1 if device.type == "cpu" else AT_ONCE_ON_GPU
    remaining = iter(windows)
    while lot := list(islice(remaining, size)):
        parts = [window.features for window in lot]
        features = torch.from_numpy(assembled(parts, front_end, scale)).to(device)
        with torch.no_grad():
            output = model(features)
            clip_scores = probabilities(output.clip_logits, loss).cpu().numpy()
            frames: np.ndarray | Sequence[None] = [None] * len(lot)
            if output.frame_logits is not None:
                frames = probabilities(output.frame_logits, loss).cpu().numpy()
        for place, window in enumerate(lot):
            step = output.seconds_per_frame
            yield _Heard(window.clip, window.start, clip_scores[place], frames[place], step)
        count(len(lot))
