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
from bench.models.team import Team

AT_ONCE = 64
"""Windows of one forward pass. Where figures are kept it is one on a CPU: a matrix product adds the
numbers of a row in another order where there are other rows, and a clip's digits must not depend on
what else is scored."""


def probabilities(logits: torch.Tensor, loss: str) -> torch.Tensor:
    """Probabilities of clip or frame logits (..., C), in float32 at least: softmax where classes
    are exclusive, else sigmoid. Only this function decides which activation belongs to a loss."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.softmax(-1) if excludes(loss) else logits.sigmoid()


def score_clips(
    model: nn.Module,
    task: Task,
    rows: np.ndarray,
    loss: str,
    team: Team | None = None,
    *,
    at_once: int | None = None,
) -> Scores:
    """`score` the clips of a task.

    The processes of a team score disjoint parts, and each returns the whole.
    """
    if team is None or len(rows) < team.world_size:  # too few to divide: each process scores all
        team = Team()
    clips = task.clips(team.share(rows))
    mine = score(model, clips, task.front_end, task.scale, loss, at_once=at_once)
    return joined(team.gather(mine))


def score(
    model: nn.Module,
    clips: Iterable[np.ndarray],
    front_end: FrontEnd,
    scale: tuple[float, float] | None,
    loss: str,
    count: Callable[[int], None] = lambda windows: None,
    *,
    at_once: int | None = None,
) -> Scores:
    """Run `model` in evaluation mode over clips of any length.

    A clip that is longer than the front end's `frames` is scored in windows that overlap by half.
    Its clip score is their mean where classes are exclusive, because one label holds for the whole
    clip, else the maximum, because an event need not last; its frame scores are joined.

    Args:
        clips: stored features of each, float16 (frames, F).
        scale: (mean, standard deviation) of the training features, where the front end normalises.
        count: called with the number of windows scored since the last call.
        at_once: windows of one forward pass, where its last digits do not matter.
    """
    hop_s = front_end.hop / front_end.sample_rate
    clip_scores, frames, step = [], [], 0.0
    device = next(model.parameters()).device
    size = at_once or (1 if device.type == "cpu" else AT_ONCE)
    windows = _windows(clips, front_end.frames)
    heard = _heard(model, windows, front_end, scale, loss, device, size, count)
    for _, group in groupby(heard, key=lambda window: window.clip):
        heard_of_clip = list(group)
        own = np.stack([part.clip_scores for part in heard_of_clip])
        clip_scores.append(own.mean(axis=0) if excludes(loss) else own.max(axis=0))
        over_time = [part.frame_scores for part in heard_of_clip if part.frame_scores is not None]
        if over_time:
            step = heard_of_clip[0].seconds_per_frame
            starts = [part.start * hop_s for part in heard_of_clip]
            frames.append(stitch(np.stack(over_time), starts, step).astype(np.float16))
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
    device: torch.device,
    size: int,
    count: Callable[[int], None],
) -> Iterator[_Heard]:
    """The windows' scores, in their order, `size` of them in one forward pass."""
    model.eval()
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
