"""The loop on a made-up task: resuming, selection, schedules, samplers and divergence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from bench import fit
from bench.config import FrontEnd, Mixup, Recipe, SpecAugment
from bench.corpora import Corpus
from bench.losses import clip_loss
from bench.schedule import learning_rate
from bench.state import StateFolder
from bench.streams import generator, stream_seed
from bench.task import Task, epoch_order
from modelkit.output import ModelOutput

CLASSES, FRAMES, MELS = 3, 12, 4


class Store:
    """Clips whose mean level tells their class, with noise."""

    def __init__(self, targets: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(len(targets), FRAMES, MELS))
        self.frames = (noise + 2.0 * targets.argmax(1)[:, None, None]).astype(np.float32)

    def batch(self, rows: np.ndarray, *, frames: int, fill: str) -> np.ndarray:
        return self.frames[rows].copy()


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


@pytest.fixture
def task() -> Task:
    labels = np.arange(60) % CLASSES
    targets = np.eye(CLASSES, dtype=np.float32)[labels]
    rows = {"train": np.arange(40), "validation": np.arange(40, 50), "test": np.arange(50, 60)}
    clips = pd.DataFrame({"clip": [f"clip{i}" for i in range(60)]})
    corpus = Corpus("made up", Path(), ("a", "b", "c"), clips, None, False, True, clips.iloc[:0])
    front_end = FrontEnd(
        kind="logmel", sample_rate=100, window=4, hop=2, mels=MELS, fmin=0, fmax=50, frames=FRAMES
    )
    return Task(corpus, Store(targets), front_end, targets, rows, np.arange(60), None)


def _recipe(**changes) -> Recipe:
    values = {
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 0.05,
        "mixup": Mixup(alpha=0.5),
        "specaugment": SpecAugment(time_width=3, mel_width=2),
    }
    return Recipe(**{**values, **changes})


def _train(
    task: Task, folder: Path, recipe: Recipe, identity: str = "a"
) -> tuple[nn.Module, object]:
    torch.manual_seed(stream_seed(0, "init"))
    model = Tagger()
    state = StateFolder(folder, identity)
    progress = fit.fit(model, task, recipe, "ce", "accuracy", 0, state, log=lambda line: None)
    return model, progress


class _Stopped(Exception):
    pass


def _interrupted(task: Task, folder: Path, recipe: Recipe, after: int) -> None:
    def stop(line: str) -> None:
        if line.startswith(f"epoch {after}/"):
            raise _Stopped

    torch.manual_seed(stream_seed(0, "init"))
    with pytest.raises(_Stopped):
        fit.fit(Tagger(), task, recipe, "ce", "accuracy", 0, StateFolder(folder, "a"), log=stop)


@pytest.mark.parametrize("changes", [{}, {"select": "last"}, {"average_epochs": 2}])
def test_a_resumed_run_equals_a_straight_one_bit_for_bit(task, tmp_path, changes) -> None:
    recipe = _recipe(**changes)
    straight, told = _train(task, tmp_path / "straight", recipe)
    for after in (1, 2, 3):
        _interrupted(task, tmp_path / "resumed", recipe, after)
    resumed, again = _train(task, tmp_path / "resumed", recipe)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    timeless = [{k: v for k, v in p.items() if k != "seconds"} for p in told.curve]
    assert timeless == [{k: v for k, v in p.items() if k != "seconds"} for p in again.curve]
    assert told.selected_epoch == again.selected_epoch


def test_a_damaged_state_falls_back_to_the_previous_epoch(task, tmp_path, capsys) -> None:
    recipe = _recipe()
    straight, _ = _train(task, tmp_path / "straight", recipe)
    _interrupted(task, tmp_path / "run", recipe, 2)
    whole = (tmp_path / "run" / "state.pt").read_bytes()
    (tmp_path / "run" / "state.pt").write_bytes(whole[: len(whole) // 2])
    assert StateFolder(tmp_path / "run", "a").load()["progress"]["epoch"] == 1
    resumed, _ = _train(task, tmp_path / "run", recipe)
    assert "damaged" in capsys.readouterr().out
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_state_of_another_identity_is_never_resumed(task, tmp_path) -> None:
    _interrupted(task, tmp_path, _recipe(), 2)
    assert StateFolder(tmp_path, "another").load() is None


def test_it_learns_what_is_there(task, tmp_path) -> None:
    _, progress = _train(task, tmp_path, _recipe(epochs=15, mixup=None, specaugment=None))
    assert progress.best_value >= 0.9
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 16))


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_batch(task, tmp_path) -> None:
    task.store.frames[7] = np.inf
    with pytest.raises(fit.DivergedError, match=r"epoch 1, batch \d of 5"):
        _train(task, tmp_path, _recipe(mixup=None, specaugment=None))


def test_best_epoch_and_average_select_what_they_say(task, tmp_path) -> None:
    _, best = _train(task, tmp_path / "best", _recipe(select="best"))
    figures = [point["validation_accuracy"] for point in best.curve]
    assert best.selected_epoch == 1 + int(np.argmax(figures))
    _, last = _train(task, tmp_path / "last", _recipe(select="last"))
    assert last.selected_epoch == 4


def test_streams_depend_on_their_names_and_counters_alone() -> None:
    assert generator(1, "order", 2).random() == generator(1, "order", 2).random()
    seeds = {stream_seed(s, p, e) for s in range(3) for p in ("order", "augment") for e in range(4)}
    assert len(seeds) == 24
    with pytest.raises(ValueError, match="oder"):
        stream_seed(0, "oder")


def test_learning_rates_by_hand() -> None:
    cosine = _recipe(epochs=10, learning_rate=1.0, warmup_epochs=2)
    rates = [learning_rate(cosine, step, 10) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 20)
    assert rates[19] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.5)
    assert rates[99] < 0.001
    steps = _recipe(learning_rate=1.0, schedule="steps", warmup_epochs=0, step_epochs=(2, 3))
    assert [learning_rate(steps, e * 10, 10) for e in range(4)] == [1.0, 1.0, 0.5, 0.25]


def test_samplers(task) -> None:
    rng = np.random.default_rng(0)
    assert sorted(epoch_order(task, "shuffle", rng)) == list(range(40))
    task.targets[:36] = [1.0, 0.0, 0.0]  # 37 of the first class, 1 or 2 of the others
    counts = task.targets[epoch_order(task, "balanced", rng)].sum(axis=0)
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(("loss", "expected"), [("ce", np.log(3)), ("bce", np.log(2))])
def test_losses_of_zero_logits(loss, expected) -> None:
    targets = torch.tensor([[0.0, 1.0, 0.0]])
    value = clip_loss(torch.zeros(1, 3), targets, loss)
    assert float(value) == pytest.approx(expected)
