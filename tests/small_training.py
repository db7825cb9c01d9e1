"""A made-up task that trains in a second: clips whose level tells their class, and a tagger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from bench.corpora import Corpus
from bench.data.store import FeatureStore
from bench.data.task import Task
from bench.experiment.cells import Plan
from bench.experiment.config import FrontEnd, Mixup, Recipe, SpecAugment
from bench.models import networks
from bench.models.card import Card
from bench.training import fit
from bench.training.state import StateFolder
from bench.training.streams import stream_seed
from modelkit.output import ModelOutput

CLASSES, FRAMES, MELS = 3, 12, 4


def make_store(targets: np.ndarray, frames: int = FRAMES, mels: int = MELS) -> FeatureStore:
    """Clips whose mean level tells their class, with noise."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(targets), frames, mels))
    return stored(noise + 2.0 * targets.argmax(1)[:, None, None])


def stored(clips: Sequence[np.ndarray]) -> FeatureStore:
    """A feature store of these clips, each (T, F)."""
    lengths = np.array([len(clip) for clip in clips])
    names = [f"clip{number}" for number in range(len(clips))]
    data = np.concatenate(list(clips)).astype(np.float16)
    return FeatureStore(data, names, np.cumsum(lengths) - lengths, lengths, -100.0, "")


class Tagger(nn.Module):
    """Batch norm, dropout and a linear layer: has buffers and draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(MELS)
        self.dropout = nn.Dropout(0.3)
        self.out = nn.Linear(MELS, CLASSES)

    def forward(self, features: torch.Tensor, augment=None) -> ModelOutput:
        x = features if augment is None else augment.mix(augment.mask(features))
        x = self.norm(x.mean(dim=1))
        return ModelOutput(self.out(self.dropout(x)), None, 0.0)


def parent_run(path: Path, plan: Plan, classes: int = CLASSES) -> nn.Module:
    """A network of the plan at its random start, saved as a run's model.pt."""
    model = networks.build(plan, classes)
    networks.save_run(model, Card.of_run(plan, tuple(map(str, range(classes))), None), path)
    return model


def make_task(train: int = 37, frames: int = FRAMES, mels: int = MELS) -> Task:
    """Clips of three classes: 37 (a prime) to train on, 10 to validate and 10 to test."""
    everything = np.arange(train + 20)
    targets = np.eye(CLASSES, dtype=np.float32)[everything % CLASSES]
    parts = np.split(everything, [train, train + 10])
    rows = dict(zip(("train", "validation", "test"), parts, strict=True))
    clips = pd.DataFrame({"clip": [f"clip{i}" for i in everything]})
    corpus = Corpus("made up", Path(), ("a", "b", "c"), clips, None, False, True, clips.iloc[:0])
    front_end = FrontEnd(
        kind="logmel", sample_rate=100, window=4, hop=2, mels=mels, fmin=0, fmax=50, frames=frames
    )
    store = make_store(targets, frames, mels)
    return Task(corpus, store, front_end, targets, rows, everything, None)


def make_recipe(**changes: Any) -> Recipe:
    """Four epochs with mixup and SpecAugment."""
    values = {
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 0.05,
        "mixup": Mixup(alpha=0.5),
        "specaugment": SpecAugment(time_width=3, mel_width=2),
    }
    return Recipe(**{**values, **changes})


def train(
    task: Task, folder: Path, recipe: Recipe, identity: str = "a", **options: Any
) -> tuple[nn.Module, fit.Progress]:
    """A tagger trained on the task with its state in `folder`; `options` go to `fit`."""
    torch.manual_seed(stream_seed(0, "init"))
    model = options.pop("model", None) or Tagger()
    state = StateFolder(folder, identity, options.pop("every_s", 300.0))
    options = {"log": lambda line: None, **options}
    return model, fit.fit(model, task, recipe, "ce", "accuracy", 0, state, **options)
