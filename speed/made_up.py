"""Random features, and a task with them, so that a training needs no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bench.corpora import Corpus
from bench.data.store import FeatureStore
from bench.data.task import Task
from bench.experiment.config import FrontEnd


def random_store(clips: int, frames: int, mels: int, folder: Path | None = None) -> FeatureStore:
    """Clips of `frames` frames each, in memory, or memory-mapped from a file in `folder`."""
    data = np.random.default_rng(0).standard_normal((clips * frames, mels), np.float32)
    data = data.astype(np.float16)
    if folder is not None:
        np.save(folder / "features.npy", data)
        data = np.load(folder / "features.npy", mmap_mode="r")
    return stored(data, frames)


def stored(data: np.ndarray, frames: int) -> FeatureStore:
    """A store of these features, in clips of `frames` frames each."""
    clips = len(data) // frames
    return FeatureStore(
        data=data,
        clips=[f"clip{number}" for number in range(clips)],
        first=np.arange(clips) * frames,
        frames=np.full(clips, frames),
        silence=-100.0,
        digest="",
    )


def random_task(front_end: FrontEnd, clips: int, classes: int) -> Task:
    """`clips` to train on and a quarter as many to validate, in memory, with one label each."""
    everything = np.arange(clips + -(-clips // 4))
    store = random_store(len(everything), front_end.frames, front_end.mels)
    names = tuple(f"class {number}" for number in range(classes))
    table = pd.DataFrame({"clip": store.clips})
    corpus = Corpus("random features", Path(), names, table, None, True, True, table.iloc[:0])
    targets = np.eye(classes, dtype=np.uint8)[everything % classes]
    validation = everything[clips:]
    rows = {"train": everything[:clips], "validation": validation, "test": validation}
    return Task(corpus, store, front_end, targets, rows, everything, None)
