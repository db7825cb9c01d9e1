"""The loop on a made-up task: selection, schedules, samplers and losses."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_training import make_recipe, make_task, train
from torch import nn

from bench import registry
from bench.data.task import Task
from bench.models.team import Team
from bench.training import sampling
from bench.training.batches import read_batches
from bench.training.losses import Objective, clip_loss
from bench.training.progress import Progress
from bench.training.sampling import epoch_batches
from bench.training.schedule import learning_rate
from bench.training.streams import generator, stream_seed
from modelkit.augment import Augment, Mixup, SpecAugment


@pytest.fixture
def task() -> Task:
    return make_task()


def test_it_learns_what_is_there(task, tmp_path) -> None:
    _, progress = train(task, tmp_path, make_recipe(epochs=15, mixup=None, specaugment=None))
    assert progress.best_value >= 0.9
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 16))


def test_best_epoch_and_average_select_what_they_say(task, tmp_path) -> None:
    _, best = train(task, tmp_path / "best", make_recipe(select="best"))
    figures = [point["validation_accuracy"] for point in best.curve]
    assert best.selected_epoch == 1 + int(np.argmax(figures))
    _, last = train(task, tmp_path / "last", make_recipe(select="last"))
    assert last.selected_epoch == 4


def test_progress_is_told_in_the_reports_unit() -> None:
    progress = Progress(epoch=2, seconds=10.0, clips_seen=100)
    progress.note(train_loss=0.5, validation_mAP=0.81249)
    told = progress.line(make_recipe(epochs=4), "mAP")
    assert told == "epoch 2/4  loss 0.5000  validation mAP 81.2 %  10 clips/s  10 s left"


def test_streams_depend_on_their_names_and_counters_alone() -> None:
    assert generator(1, "order", 2).random() == generator(1, "order", 2).random()
    seeds = {stream_seed(s, p, e) for s in range(3) for p in ("order", "augment") for e in range(4)}
    assert len(seeds) == 24
    with pytest.raises(ValueError, match="oder"):
        stream_seed(0, "oder")


def test_learning_rates_by_hand() -> None:
    cosine = make_recipe(epochs=10, learning_rate=1.0, warmup_epochs=2)
    rates = [learning_rate(cosine, step, 10) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 20)
    assert rates[19] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.5)
    assert rates[99] < 0.001
    steps = make_recipe(learning_rate=1.0, schedule="steps", warmup_epochs=0, step_epochs=(2, 3))
    assert [learning_rate(steps, e * 10, 10) for e in range(4)] == [1.0, 1.0, 0.5, 0.25]
    stated = steps.model_copy(update={"step_epochs": (0, 1, 3), "step_factors": (0.2, 1.0, 0.3)})
    assert [learning_rate(stated, e * 10, 10) for e in range(4)] == [0.2, 1.0, 1.0, 0.3]


def test_samplers(task) -> None:
    plain = epoch_batches(task, make_recipe(), 0, 0)
    assert plain.shape == (5, 8)
    assert sorted(plain.ravel()[:37]) == list(range(37))
    assert plain.ravel()[37:].tolist() == plain.ravel()[:3].tolist()
    task.targets[:35] = [1.0, 0.0, 0.0]  # all are of the first class, but for one of the third
    balanced = epoch_batches(task, make_recipe(sampler="balanced"), 0, 0).ravel()
    assert set(balanced) <= set(range(37))
    assert task.targets[balanced].sum(axis=0).tolist() == [20, 0, 20]
    weighted = np.ravel(
        [epoch_batches(task, make_recipe(sampler="weighted"), 0, e) for e in (0, 1)]
    )
    assert 20 < task.targets[weighted].sum(axis=0)[2] < 60  # half of the draws, by its rarity


@pytest.mark.parametrize("sampler", ["weighted", "balanced", "cycled"])
def test_an_order_does_not_depend_on_how_targets_are_read(
    task, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(sampler=sampler)
    whole = epoch_batches(task, recipe, 1, 2)
    monkeypatch.setattr(sampling, "AT_ONCE", 5)
    assert np.array_equal(epoch_batches(task, recipe, 1, 2), whole)


def test_cycled_classes_go_through_their_clips_epoch_after_epoch(task) -> None:
    task.targets[:] = [1, 0, 0]
    task.targets[5:12] = [0, 1, 1]
    recipe = make_recipe(sampler="cycled")
    epochs = [epoch_batches(task, recipe, 3, epoch).ravel() for epoch in range(11)]
    stream = np.concatenate(epochs)
    train = set(task.rows["train"])
    first = [clip for clip in stream if clip not in range(5, 12)]
    others = len(train - set(range(5, 12)))
    assert len(first) == pytest.approx(len(stream) / 3, abs=1)
    for start in range(0, len(first) - others, others):  # each once before any comes again
        assert set(first[start : start + others]) == train - set(range(5, 12))
    assert np.array_equal(epoch_batches(task, recipe, 3, 7).ravel(), epochs[7])


def test_partners_come_from_the_whole_training_split(task) -> None:
    recipe = make_recipe(mixup={"alpha": 10, "pairing": "anywhere", "rate": 0.5})
    order = epoch_batches(task, recipe, 0, 0)
    batch = next(read_batches(task, recipe, Objective(task, "ce", "weak"), 0, 0, [0], Team(), 0))
    assert batch.rows[:8].tolist() == order[0].tolist()
    assert set(batch.rows[8:]) <= set(task.rows["train"])
    assert set(batch.rows[8:]) - set(order[0])
    mixed = batch.augment.targets(torch.from_numpy(task.targets[batch.rows]).float())
    share = batch.augment.share[:, None]
    one, other = (torch.from_numpy(task.targets[half]).float() for half in np.split(batch.rows, 2))
    torch.testing.assert_close(mixed, share * one + (1 - share) * other)


@pytest.mark.parametrize(("loss", "expected"), [("ce", np.log(3)), ("bce", np.log(2))])
def test_losses_of_zero_logits(loss, expected) -> None:
    targets = torch.tensor([[0.0, 1.0, 0.0]])
    value = clip_loss(torch.zeros(1, 3), targets, loss)
    assert float(value) == pytest.approx(expected)


@pytest.fixture
def deterministic() -> Iterator[None]:
    """As a training has it: an operation without a deterministic form raises."""
    torch.set_deterministic_debug_mode("error")
    yield
    torch.set_deterministic_debug_mode("default")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["htsat", "ast", "pann"])
def test_training_twice_gives_equal_weights_which_validation_sees(
    name: str, precision: str, device: torch.device, deterministic: None
) -> None:
    build = registry.find(name, registry.ARCHITECTURES)
    features = torch.randn(4, 96, 64, generator=torch.Generator().manual_seed(1)).to(device)
    targets = torch.eye(4, 5, device=device)

    @torch.no_grad()
    def validate(model: nn.Module) -> torch.Tensor:
        logits: torch.Tensor = model.eval()(features).clip_logits
        return logits

    def trained() -> nn.Module:
        torch.manual_seed(0)
        model = build(5, preset="tiny", frames=96, mels=64).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        rng = np.random.default_rng(0)
        for _ in range(3):
            validate(model)
            model.train()
            augment = Augment.draw(
                4,
                rng,
                stripes=SpecAugment(time_width=8),
                mixup=Mixup(alpha=1, pairing="reversed", labels=False),
            )
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                logits = model(features, augment=augment).clip_logits
            mixed = augment.mix(targets)
            loss = F.binary_cross_entropy_with_logits(logits.float(), mixed)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return model

    first, weights = trained(), trained().state_dict()
    for entry, value in first.state_dict().items():
        assert torch.equal(value, weights[entry]), entry
    fresh = build(5, preset="tiny", frames=96, mels=64).to(device)
    fresh.load_state_dict(weights)
    assert torch.equal(validate(first), validate(fresh))


@pytest.mark.parametrize("name", sorted(registry.ARCHITECTURES))
def test_the_registry_names_the_models_that_are_solved_for(name: str) -> None:
    model = registry.find(name, registry.ARCHITECTURES)
    assert hasattr(model, "solve") == (name in registry.SOLVED)
