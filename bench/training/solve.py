"""Models that a solver fits instead of training steps (`bench.registry.SOLVED`).

Such a model has

* `SETTINGS`: candidate settings of its solver, as keyword arguments of `solve`;
* `summary(features)`: the solver's input, (B, T, F) to (B, D);
* `solve(x, y, exclusive=…, **setting)`: sets its weights from summaries (W, D) and targets (W, C)
  0/1; `exclusive`: each has one class.

The setting is chosen on the validation split, as the epochs of networks are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench.data.task import Task
from bench.data.windows import every_window
from bench.files import UserError
from bench.models.scores import excludes
from bench.models.scoring import AT_ONCE
from bench.training.fit import Stopwatch
from bench.training.progress import Progress, validate


def fit(model: Any, task: Task, loss: str, selection: str) -> Progress:
    """Solve `model` on the training split with each of its settings; keep the best on validation.

    Every window of a clip that is longer than the front end's frames is an example. Each setting
    counts as an epoch.
    """
    watch, progress = Stopwatch(), Progress(clips_seen=len(task.rows["train"]))
    x, y = _examples(model, task, task.rows["train"])
    for setting in model.SETTINGS:
        try:
            model.solve(x, y, exclusive=excludes(loss), **setting)
        except ValueError as error:
            raise UserError(f"{task.corpus.name}: {error}") from error
        progress.epoch += 1
        figure = validate(model, task, loss, selection)
        progress.note(step=progress.epoch, **setting, **{f"validation_{selection}": figure})
        progress.keep_best(model, figure)
    progress.select_best(model)
    progress.seconds = watch.lap()
    return progress


def _examples(model: Any, task: Task, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The summaries (W, D) and targets (W, C) of every window of these clips."""
    clips, starts = every_window(task.lengths(rows), task.front_end.frames)
    windows = rows[clips]
    parts = []
    for begin in range(0, len(windows), AT_ONCE):
        some = slice(begin, begin + AT_ONCE)
        features = torch.from_numpy(task.features(windows[some], starts[some]))
        parts.append(model.summary(features).numpy())
    return np.concatenate(parts), task.targets[windows]
