"""Every published recipe of the full-size experiment at awkward numbers of clips: the batches of an
epoch, their parts for several processes, and real steps of small networks."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from small_training import CLASSES, make_task
from team_training import main, paper_recipes, torchrun
from torch.nn.modules.batchnorm import _BatchNorm

from bench.data.task import Task
from bench.experiment import config
from bench.experiment.ablations import BASE
from bench.experiment.cells import list_cells, plan
from bench.experiment.config import Recipe
from bench.files import UserError
from bench.models import networks
from bench.models.team import Team
from bench.models.torch_setup import emulates_bf16
from bench.steps import steps_per_epoch
from bench.training import fit
from bench.training.batches import Batch, read_batches
from bench.training.losses import Objective
from bench.training.sampling import epoch_batches
from bench.training.schedule import learning_rate
from bench.training.state import StateFolder
from bench.training.step import BatchLoss
from bench.training.streams import stream_seed
from modelkit.draws import share_of_batch

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "config" / "paper.yaml"
PAPER = config.load(FILE)
FRAMES, MELS = 200, 64  # the widest stripes fit
PUBLISHED = [18_495, 20_550, 1_934_187]  # of AudioSet, as three groups had it


PLANS = {
    f"{cell.model}/{cell.dataset}": plan(PAPER, cell)
    for cell in list_cells(PAPER)
    if cell.variant == BASE
}
every_recipe = pytest.mark.parametrize("name", PLANS)


def awkward(batch: int) -> list[int]:
    """Fewer clips than a batch, one more and one less than a multiple, and primes."""
    return [1, 2, batch - 1, batch, batch + 1, 3 * batch - 1, 3 * batch + 1, 101, 997]


def task_of(clips: int) -> Task:
    """A task without features: every other clip is one to train on, half of them of class 0."""
    rng = np.random.default_rng(clips)
    targets = (rng.random((2 * clips, 7)) < 0.02).astype(np.uint8)
    targets[np.arange(2 * clips), rng.integers(0, 7, 2 * clips) * rng.integers(0, 2)] = 1
    return dataclasses.replace(
        make_task(), targets=targets, rows={"train": np.arange(0, 2 * clips, 2)}
    )


@every_recipe
def test_an_epoch_is_full_batches_of_every_training_clip(name: str) -> None:
    recipe = PLANS[name].recipe
    batch = recipe.batch_size
    for clips in [*awkward(batch), *PUBLISHED]:
        task = task_of(clips)
        order = epoch_batches(task, recipe, 1, 0)
        assert order.shape == (steps_per_epoch(clips, batch), batch)
        assert (len(order) - 1) * batch < clips <= order.size
        assert not (order % 2).any()
        if recipe.sampler == "weighted":
            chance = (task.targets / (task.targets[::2].sum(axis=0) + 0.01)).sum(axis=1)
            assert (chance[order] > 0).all()
        elif recipe.sampler == "shuffle":
            seen = np.bincount(order.ravel(), minlength=2 * clips)[::2]
            assert seen.min() >= 1
            assert seen.max() - seen.min() <= 1
            assert clips < batch or len(set(order[-1])) == batch
        else:
            turns = -(-order.size // int(task.targets[::2].any(axis=0).sum()))
            drawn = task.targets[order.ravel()].sum(axis=0)
            assert drawn[task.targets[::2].any(axis=0)].min() >= turns - 1


@every_recipe
def test_two_processes_share_each_batch_without_rest(name: str) -> None:
    recipe = PLANS[name].recipe
    for clips in awkward(recipe.batch_size):
        task = make_task(clips, 1, 1)
        order = epoch_batches(task, recipe, 0, 0)
        objective = Objective(task, PLANS[name].dataset.loss, "weak")

        def read(rank: int, size: int, order=order, objective=objective) -> Batch:
            last = len(order) - 1
            team = Team(rank, size)
            (batch,) = read_batches(objective.task, recipe, objective, 0, 0, [last], team, 0)
            return batch

        whole, halves = read(0, 1), [read(0, 2), read(1, 2)]
        assert whole.rows[: recipe.batch_size].tolist() == order[-1].tolist()
        mixed = whole.augment.size if whole.augment else len(whole.rows)
        pairs = recipe.mixup is not None and recipe.mixup.pairing == "pairs"
        assert mixed == recipe.batch_size // (2 if pairs else 1)
        assert [half.share[0] for half in halves if half.share] == [mixed, mixed]
        mine = np.concatenate([half.share[1] for half in halves if half.share])
        assert sorted(mine) == list(range(mixed))
        assert sum(float(half.targets.weights[0]) for half in halves) == pytest.approx(2)
        assert set(np.concatenate([half.rows for half in halves])) == set(whole.rows)


def small(name: str) -> torch.nn.Module:
    """The network of a plan as its model's small preset, with the plan's own arguments."""
    chosen = PLANS[name]
    front_end = chosen.front_end.model_copy(update={"frames": FRAMES, "mels": MELS})
    arguments: dict[str, Any] = {**chosen.model.arguments, "preset": "tiny"}
    torch.manual_seed(stream_seed(0, "init"))
    return networks.construct(chosen.model.architecture, arguments, front_end, CLASSES)


@every_recipe
def test_a_small_network_takes_the_steps_of_an_epoch(name: str, tmp_path: Path) -> None:
    chosen = PLANS[name]
    clips = chosen.recipe.batch_size + 1
    changes: dict[str, Any] = {"epochs": 1, "average_epochs": min(1, chosen.recipe.average_epochs)}
    if emulates_bf16("cpu"):
        changes["precision"] = "fp32"
    recipe = chosen.recipe.model_copy(update={**changes, "supervision": "weak"})
    task, model = make_task(clips, FRAMES, MELS), small(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = StateFolder(tmp_path, "a")
    loss = chosen.dataset.loss
    progress = fit.fit(model, task, recipe, loss, "accuracy", 0, state, log=lambda line: None)
    (point,) = progress.curve
    assert (point["step"], progress.clips_seen) == (2, 2 * recipe.batch_size)
    assert point["learning_rate"] == learning_rate(recipe, 1, 2)
    assert 0.1 < point["train_loss"] < 2.0
    moved = [
        key for key, value in model.state_dict().items() if not torch.equal(before[key], value)
    ]
    assert len(moved) > len(before) / 2


@pytest.mark.parametrize("name", ["htsat/desed", "ast/desed", "pann/desed", "pann/esc50"])
def test_batches_of_one_clip_train(name: str, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch_size=1, learning_rate=1e-3)
    state = StateFolder(tmp_path, "a")
    task = make_task(3, FRAMES, MELS)
    progress = fit.fit(small(name), task, recipe, "bce", "mAP", 0, state, log=lambda line: None)
    assert progress.clips_seen == 3
    assert np.isfinite(progress.curve[0]["train_loss"])


@every_recipe
def test_the_gradients_of_two_parts_are_those_of_the_batch(name: str) -> None:
    """Of the last batch, whose second half begins the epoch anew; statistics of batch norm as they
    are, since several processes need GPUs to share them."""
    chosen = PLANS[name]
    recipe, clips = chosen.recipe, chosen.recipe.batch_size + chosen.recipe.batch_size // 2
    task, model = make_task(clips, FRAMES, MELS), small(name).train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    objective = Objective(task, chosen.dataset.loss, "weak")
    batch_loss = BatchLoss(model, objective)

    def gradients(rank: int, size: int) -> tuple[float, list[torch.Tensor]]:
        model.zero_grad(set_to_none=True)
        (batch,) = read_batches(task, recipe, objective, 0, 0, [1], Team(rank, size), 0)
        torch.manual_seed(stream_seed(0, "dropout", 0, 1))
        with share_of_batch(batch.share):
            value = batch_loss(batch.features, batch.augment, batch.targets)
            value.backward()
        return float(value.detach()), [p.grad for p in model.parameters() if p.grad is not None]

    loss, whole = gradients(0, 1)
    losses, parts = zip(gradients(0, 2), gradients(1, 2), strict=True)
    assert sum(losses) / 2 == pytest.approx(loss, rel=1e-4)
    for one, first, second in zip(whole, *parts, strict=True):
        torch.testing.assert_close((first + second) / 2, one, rtol=1e-2, atol=1e-5)


def test_two_processes_train_every_recipe_as_one_does(tmp_path: Path) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    done = torchrun(str(two))
    out, _ = done.communicate(timeout=300)
    assert done.returncode == 0, out
    main(one, paper_recipes())
    assert sorted(path.name for path in two.glob("*.pt")) == sorted(
        path.name for path in one.glob("*.pt")
    )
    for name in paper_recipes():
        both, alone = (torch.load(folder / f"{name}.pt") for folder in (two, one))
        for key in both:
            torch.testing.assert_close(both[key], alone[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 65}, "(pann/audioset): batch_size 65 cannot be mixed in pairs"),
        ({"epochs": 5, "average_epochs": 6}, "average_epochs 6 of 5 epochs"),
        ({"step_epochs": [21, 11], "step_factors": [0.1, 0.5]}, "step_epochs: [21, 11]"),
        ({"step_epochs": [11, 11]}, "step_epochs: [11, 11]"),
    ],
)
def test_a_recipe_that_cannot_be_held_is_refused_when_it_is_read(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        PAPER.recipe("pann", "audioset", changes)


def test_a_batch_too_small_for_the_processes_is_refused(tmp_path: Path) -> None:
    mixup = {"alpha": 1.0, "pairing": "pairs"}
    recipe = Recipe(epochs=1, batch_size=2, learning_rate=1, mixup=mixup)
    with pytest.raises(UserError, match="batch_size 2 leaves 1 to train on for 2 processes"):
        fit.fit(
            torch.nn.Linear(1, 1), make_task(), recipe, "ce", "accuracy", 0,
            StateFolder(tmp_path, "a"), team=Team(0, 2),
        )  # fmt: skip


def stated() -> list[tuple[str, str]]:
    """Key and value of each row of the protocol page's table of recipes."""
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    section = page.split("## Recipes of the full-size experiment", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", section, re.MULTILINE)


@pytest.mark.parametrize(("key", "value"), stated())
def test_the_protocol_page_states_what_the_experiment_has(key: str, value: str) -> None:
    found = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    for part in key.split("."):
        found = found[part]
    assert found == yaml.safe_load(value)
