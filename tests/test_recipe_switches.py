"""Each recipe value changes what it names and nothing else: starts, mixing, averaging, sampling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from factories import make_config
from small_training import make_recipe, make_task, parent_run, train
from test_ast_official import official_shapes, random_state
from test_ast_official import write as write_ast
from test_htsat_checkpoints import authors_state, build, imagenet_state, lightning, save
from torch import Tensor, nn

from baselines.ast import AST
from baselines.pann import PANN
from bench.experiment import cells
from bench.experiment.cells import Plan
from bench.experiment.config import Model, Recipe
from bench.files import UserError
from bench.models import networks
from bench.models.card import Card
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


CELLS = {
    "htsat": "esc50/htsat/base/fold0-seed0",
    "ast": "esc50/ast/base/fold0-seed0",
    "pann": "esc50/pann/base/fold0-seed0",
}


def plan_of(name: str, front_end: dict[str, Any] | None = None, **arguments: Any) -> Plan:
    """The plan of a run that starts from another, with other features or arguments."""
    settings = make_config(Path("unused"))
    if name not in settings.models:
        model = Model(architecture=name, front_end=settings.models["pann"].front_end)
        found = replace(plan_of("pann"), model=model)
    else:
        found = cells.plan(settings, cells.find_cell(settings, CELLS[name]))
    model = found.model.model_copy(update={"arguments": {**found.model.arguments, **arguments}})
    changed = found.front_end.model_copy(update=front_end or {})
    return replace(found, model=model, front_end=changed)


@pytest.mark.parametrize("classes", [3, 5])
@pytest.mark.parametrize(
    ("name", "arguments", "classifier"),
    [
        ("htsat", {}, "tscam_conv."),
        ("ast", {}, "mlp_head."),
        ("pann", {"variant": "decision_att"}, "att_block."),
        ("mobilenet", {"preset": "tiny"}, "classifier.5."),
        ("mobilenet", {"preset": "tiny", "variant": "fmn"}, ("strong_head.", "weak_head.")),
        ("passt", {"preset": "tiny"}, "head."),
        ("atst_frame", {"preset": "tiny"}, "clip_head."),
        ("toy_model:ToyNet", {}, "head."),
    ],
)
def test_a_run_starts_with_all_of_its_parent_but_the_classifier(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    arguments: dict[str, Any],
    classifier: str | tuple[str, ...],
    classes: int,
) -> None:
    """Also where both have three classes."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugins"))
    plan = plan_of(name, **arguments)
    parent = parent_run(tmp_path / "model.pt", plan)
    model = networks.build(plan, classes)
    before = _copy(model)
    report = networks.start_from_run(model, plan, tmp_path / "model.pt")
    new = {key for key in before if key.startswith(classifier)}
    assert set(report.fresh) == new
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in new)
    assert all(torch.equal(after[key], parent.state_dict()[key]) for key in set(after) - new)


def test_a_changed_structure_starts_from_the_unchanged_models_run(tmp_path: Path) -> None:
    parent_run(tmp_path / "model.pt", plan_of("htsat"))
    for arguments in (
        {"window_size": 8},
        {"token_order": "frequency_time_window"},
        {"token_semantic": False},
    ):
        plan = plan_of("htsat", **arguments)
        model = networks.build(plan, 3)
        report = networks.start_from_run(model, plan, tmp_path / "model.pt")
        assert len(report.loaded) + len(report.fresh) == len(model.state_dict())


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("htsat", {"embed_dim": 48}, r"embed_dim \d+ \(here 48\)"),
        ("pann", {"channels": [8, 8]}, r"channels .* \(here .*8"),
        ("ast", {"depth": 2}, r"depth 4 \(here 2\)"),
        ("passt", {"preset": "tiny", "stride": 10}, r"stride 16 \(here 10\)"),
    ],
)
def test_a_run_of_another_structure_is_no_start(
    tmp_path: Path, name: str, arguments: dict[str, Any], said: str
) -> None:
    kept = {key: value for key, value in arguments.items() if key == "preset"}
    parent_run(tmp_path / "model.pt", plan_of(name, **kept))
    plan = plan_of(name, **arguments)
    where = rf"init 'run:audioset': \d+ entries of esc50/.*{said}.*set the same under models\."
    with pytest.raises(UserError, match=where):
        networks.start_from_run(networks.build(plan, 3), plan, tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("features", "stride"), [({"mels": 64}, 16), ({"frames": 200}, 16), ({}, 12)]
)
def test_positions_of_a_parents_grid_stay_in_order(
    tmp_path: Path, features: dict[str, Any], stride: int
) -> None:
    """Each patch's position holds its row: fitted to another grid, rows stay equal along time."""
    wide = {"mels": 128, "frames": 100}
    source = plan_of("ast", wide)
    parent = parent_run(tmp_path / "model.pt", source)
    rows, columns = parent.grid
    table = parent.v.pos_embed.data
    table[:, 2:] = torch.arange(float(rows)).repeat_interleave(columns)[None, :, None]
    networks.save_run(parent, Card.of_run(source, ("a", "b", "c"), None), tmp_path / "model.pt")
    plan = plan_of("ast", wide | features, stride=stride)
    model = networks.build(plan, 3)
    networks.start_from_run(model, plan, tmp_path / "model.pt")
    found = model.v.pos_embed.data[0, 2:, 0].view(model.grid)
    torch.testing.assert_close(found, found[:, :1].expand_as(found))
    assert (found[1:, 0] > found[:-1, 0]).all()


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
