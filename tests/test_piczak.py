"""Piczak's CNN: the published sizes, what silence does, and his protocol as an experiment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.piczak import PiczakCNN
from bench.experiment import cells, config
from bench.training.step import make_optimizer

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def small() -> PiczakCNN:
    torch.manual_seed(0)
    return PiczakCNN(4, frames=41, filters=6, hidden=10).eval()


@pytest.mark.parametrize(("frames", "width"), [(41, 3), (101, 10)])
def test_it_has_the_sizes_of_the_paper(frames: int, width: int) -> None:
    with torch.device("meta"):
        model = PiczakCNN(10, frames=frames)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if "weight" in name}
    assert shapes == {
        "conv1.weight": (80, 2, 57, 6),
        "conv2.weight": (80, 80, 1, 3),
        "hidden1.weight": (5000, 80 * width),
        "hidden2.weight": (5000, 5000),
        "output.weight": (10, 5000),
    }
    if frames == 101:
        assert sum(p.numel() for p in model.parameters()) == 29_134_090


def test_features_become_clip_logits_alone(small: PiczakCNN) -> None:
    output = small(torch.randn(3, 41, 60) - 20)
    assert output.clip_logits.shape == (3, 4)
    assert output.frame_logits is None
    with pytest.raises(ValueError, match="too few for its kernels"):
        PiczakCNN(4, frames=41, mels=32)


@pytest.mark.parametrize(("frames", "mels"), [(20, 60), (41, 61), (41, 64), (22, 128)])
def test_other_sizes_fit_the_hidden_layer(frames: int, mels: int) -> None:
    model = PiczakCNN(4, frames=frames, mels=mels, filters=2, hidden=3)
    assert model(torch.randn(2, frames, mels)).clip_logits.shape == (2, 4)


@pytest.mark.parametrize(("frames", "mels"), [(19, 60), (20, 59)])
def test_smaller_features_are_refused(frames: int, mels: int) -> None:
    with pytest.raises(ValueError, match="too few"):
        PiczakCNN(4, frames=frames, mels=mels, filters=2, hidden=3)


def test_silent_segments_vote_for_nothing_and_teach_nothing(small: PiczakCNN) -> None:
    features = torch.randn(4, 41, 60) - 20
    features[1:3] = -100
    logits = small(features).clip_logits
    assert not logits[1:3].any()
    assert torch.equal(logits[[0, 3]], small(features[[0, 3]]).clip_logits)
    small.train()
    small(torch.full((2, 41, 60), -100.0)).clip_logits.sum().backward()
    assert all(p.grad is None or not p.grad.any() or p is small.output.bias
               for p in small.parameters())  # fmt: skip
    before = small.standardise.running_mean.clone()
    small(torch.full((2, 41, 60), -100.0))
    assert torch.equal(small.standardise.running_mean, before)


def test_deltas_are_slopes(small: PiczakCNN) -> None:
    ramp = 3.0 * torch.arange(41.0).expand(1, 60, 41)
    slopes = small._deltas(ramp)
    assert torch.allclose(slopes[..., 4:-4], torch.tensor(3.0))


def test_it_learns_by_the_authors_optimizer() -> None:
    torch.manual_seed(0)
    model = PiczakCNN(2, frames=41, filters=6, hidden=10)
    settings = config.load(ROOT / "config" / "piczak.yaml")
    optimizer = make_optimizer(model, settings.recipe("piczak", "esc10"))
    assert {k: optimizer.defaults[k] for k in ("lr", "momentum", "nesterov", "weight_decay")} == {
        "lr": 1e-2, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3,
    }  # fmt: skip
    rng = np.random.default_rng(0)
    labels = torch.arange(16) % 2
    features = torch.from_numpy(rng.normal(-30, 5, (16, 41, 60)).astype(np.float32))
    features[labels == 1, :, :20] += 20
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(model(features).clip_logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_protocol_is_the_authors() -> None:
    settings = config.load(ROOT / "config" / "piczak.yaml")
    plans = [cells.plan(settings, cell) for cell in cells.list_cells(settings)]
    assert [p.cell.fold for p in plans] == [0, 1, 2, 3, 4]
    assert {(p.dataset.fold_protocol, p.recipe.select) for p in plans} == {("piczak_cnn", "last")}
