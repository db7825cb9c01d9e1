"""Each recipe value changes what it names and nothing else: starts, mixing, averaging, sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import make_recipe, make_task, train
from test_ast_official import official_shapes, random_state
from test_ast_official import write as write_ast
from test_htsat_checkpoints import authors_state, build, imagenet_state, lightning, save
from torch import Tensor, nn

from baselines.ast import AST
from baselines.pann import PANN
from bench.experiment.config import Recipe
from bench.files import UserError
from bench.models import networks
from bench.training.batches import draw_augment
from bench.training.streams import generator


def _changed(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    after = model.state_dict()
    return {name for name in after if not torch.equal(before[name], after[name])}


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("switches", [{}, {"token_semantic": False}])
def test_the_authors_checkpoint_sets_everything_but_the_classifier(
    tmp_path: Path, switches: dict[str, Any]
) -> None:
    path = save(lightning(authors_state(527)), tmp_path / "official.ckpt")
    model = build(7, **switches)
    before = _copy(model)
    report = networks.start_from_file(model, "official:x", path)
    classifier = {name for name in before if name.startswith(("tscam_conv", "head"))}
    assert set(report.fresh) == classifier
    assert _changed(before, model) == set(before) - classifier
    for name in ("trunk.norm.weight", "bn0.running_mean"):
        expected = authors_state(527)[name.removeprefix("trunk.")]
        assert torch.equal(model.state_dict()[name], expected)


def test_imagenet_sets_the_trunk_alone(tmp_path: Path) -> None:
    path = save({"model": imagenet_state()}, tmp_path / "swin.pth")
    model = build()
    before = _copy(model)
    networks.start_from_file(model, "imagenet:x", path)
    assert _changed(before, model) == {name for name in before if name.startswith("trunk.")}


def test_the_other_models_start_from_files_too(tmp_path: Path) -> None:
    path = write_ast(tmp_path / "ast.pth", random_state(official_shapes(96, 4, 144, 527)))
    model = AST(5, preset="tiny", stride=10, frames=128, mels=128)
    before = _copy(model)
    networks.start_from_file(model, "official:x", path)
    assert _changed(before, model) == {name for name in before if name.startswith("v.")}
    with pytest.raises(UserError, match="PANN has no imagenet weights"):
        networks.start_from_file(PANN(5, preset="tiny"), "imagenet:x", path)
    with pytest.raises(UserError, match=r"absent\.pth: no such checkpoint file"):
        networks.start_from_file(model, "official:x", Path("absent.pth"))


@pytest.mark.parametrize(
    "init", ["random", "run:audioset", "run:audioset/small", "official:htsat-audioset-1"]
)
def test_starts_are_one_value(init: str) -> None:
    recipe = Recipe(epochs=1, batch_size=1, learning_rate=1, init=init)
    assert recipe.start == ("htsat-audioset-1" if init.startswith("official") else None)


@pytest.mark.parametrize("init", ["", "rnadom", "run:", "official:", "file:x"])
def test_unknown_starts_are_refused(init: str) -> None:
    with pytest.raises(ValueError, match="init"):
        Recipe(epochs=1, batch_size=1, learning_rate=1, init=init)


def test_mixing_labels_changes_targets_and_no_feature() -> None:
    x, y = torch.randn(8, 5, 4), torch.eye(8)
    draws = {
        labels: draw_augment(
            make_recipe(mixup={"alpha": 0.5, "labels": labels}), 8, generator(0, "augment", 0, 0)
        )
        for labels in (True, False)
    }
    assert torch.equal(draws[True].mix(x), draws[False].mix(x))
    assert torch.equal(draws[True].mask(x), draws[False].mask(x))
    assert torch.equal(draws[False].targets(y), y)
    share = draws[True].share[:, None]
    assert torch.equal(draws[True].targets(y), share * y + (1 - share) * y[draws[True].second])


def test_without_specaugment_features_are_mixed_as_with_it() -> None:
    x = torch.randn(8, 12, 4)
    one, other = (
        draw_augment(make_recipe(specaugment=stripes), 8, generator(0, "augment", 0, 0))
        for stripes in (None, {"time_width": 3, "mel_width": 2})
    )
    assert torch.equal(one.mix(x), other.mix(x))
    assert one.mask(x) is x
    assert not torch.equal(other.mask(x), x)


def test_averaged_weights_are_the_mean_of_the_last_epochs(tmp_path: Path) -> None:
    constant = {"schedule": "constant", "warmup_epochs": 0, "select": "last"}
    task = make_task()
    runs = {
        epochs: train(task, tmp_path / str(epochs), make_recipe(epochs=epochs, **constant))[0]
        for epochs in (3, 4)
    }
    averaged, _ = train(task, tmp_path / "mean", make_recipe(average_epochs=2, **constant))
    for name, value in averaged.state_dict().items():
        third, fourth = (runs[epochs].state_dict()[name] for epochs in (3, 4))
        if value.is_floating_point():
            torch.testing.assert_close(value, (third + fourth) / 2)
            assert not torch.equal(third, fourth)
        else:
            assert torch.equal(value, fourth)  # a count of batches is no mean of counts
