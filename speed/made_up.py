"""A task whose features are random numbers, so that a training needs no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bench.corpora import Corpus
from bench.data.store import FeatureStore
from bench.data.task import Task
from bench.experiment.config import FrontEnd


def random_task(front_end: FrontEnd, clips: int, classes: int) -> Task:
    """`clips` to train on and a quarter as many to validate, in memory, with one label each."""
    rng = np.random.default_rng(0)
    everything = np.arange(clips + -(-clips // 4))
    frames = front_end.frames
    store = FeatureStore(
        data=rng.standard_normal((len(everything) * frames, front_end.mels), np.float32).astype(
            np.float16
        ),
        clips=[f"clip{number}" for number in everything],
        first=everything * frames,
        frames=np.full(len(everything), frames),
        silence=-100.0,
        digest="",
    )
    names = tuple(f"class {number}" for number in range(classes))
    table = pd.DataFrame({"clip": store.clips})
    corpus = Corpus("random features", Path(), names, table, None, True, True, table.iloc[:0])
    targets = np.eye(classes, dtype=np.uint8)[everything % classes]
    validation = everything[clips:]
    rows = {"train": everything[:clips], "validation": validation, "test": validation}
    return Task(corpus, store, front_end, targets, rows, everything, None)
