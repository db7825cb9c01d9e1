"""Interrupted training: bit for bit what an uninterrupted one gives, whatever stopped it."""

from __future__ import annotations

import copy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_training import Tagger, make_recipe, make_task, train
from torch import nn

from bench.data.task import Task
from bench.experiment.config import Mixup
from bench.files import UserError, write_tensors
from bench.training import fit
from bench.training.batches import Batch
from bench.training.headroom import within_memory
from bench.training.losses import Targets
from bench.training.state import StateFolder
from bench.training.step import DivergedError
from modelkit.augment import Augment

RECIPES: list[dict[str, Any]] = [
    {},
    {"select": "last"},
    {"average_epochs": 2},
    {"sampler": "balanced", "mixup": Mixup(alpha=1.0, pairing="pairs")},
]


@pytest.fixture
def task() -> Task:
    return make_task()


def same(first: tuple[nn.Module, fit.Progress], second: tuple[nn.Module, fit.Progress]) -> None:
    """Equal weights, curves (but for seconds), averages and choices."""
    for name, value in first[0].state_dict().items():
        assert torch.equal(value, second[0].state_dict()[name]), name
    facts = []
    for _, progress in (first, second):
        values = copy.deepcopy(vars(progress))
        del values["seconds"]
        for point in values["curve"]:
            del point["seconds"]
        facts.append(values)
    for kept in ("best_weights", "summed_weights"):
        left, right = (values.pop(kept) for values in facts)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left)
    assert facts[0] == facts[1]


def told_to_end(task: Task, monkeypatch: pytest.MonkeyPatch, at: int, number: int) -> Task:
    """`task`, which sends this process a signal when its store is read for the `at`-th time."""
    reads = iter(range(10**6))

    def counted(whole: Callable[..., Any]) -> Callable[..., Any]:
        def read(self: Task, *arguments: Any) -> Any:
            if next(reads) == at:
                signal.raise_signal(number)
            return whole(self, *arguments)

        return read

    for name in ("features", "clips"):  # what training reads, and what validation does
        monkeypatch.setattr(Task, name, counted(getattr(Task, name)))
    return task


@pytest.mark.parametrize("changes", RECIPES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_told_to_end_saves_and_goes_on_bit_for_bit(
    task: Task, tmp_path: Path, changes: dict[str, Any], number: int
) -> None:
    """At an epoch's first read, between batches, and (the fifth time) during validation."""
    recipe = make_recipe(**changes)
    straight = train(task, tmp_path / "straight", recipe)
    ends = {signal.SIGTERM: lambda *_: sys.exit(143), signal.SIGINT: signal.default_int_handler}
    # A background job begins with SIGINT ignored.
    before = {each: signal.signal(each, end) for each, end in ends.items()}
    try:
        for at in (0, 3, 5, 2, 1, 4):
            with pytest.MonkeyPatch.context() as patch:
                told_to_end(task, patch, at, number)
                with pytest.raises((SystemExit, KeyboardInterrupt)):
                    train(task, tmp_path / "resumed", recipe)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    saved = StateFolder(tmp_path / "resumed", "a").load()
    assert saved is not None
    assert (saved["progress"]["epoch"], saved["progress"]["step"]) == (2, 3)
    same(straight, train(task, tmp_path / "resumed", recipe))


class Crash(Exception):
    pass


def crash_at(step: int) -> Callable[..., torch.Tensor]:
    """`fit.train_step`, which dies like a killed process when it is called for the n-th time."""
    calls = iter(range(10**6))
    whole = fit.train_step

    def take(*args: Any, **options: Any) -> torch.Tensor:
        if next(calls) == step:
            raise Crash
        return whole(*args, **options)

    return take


@pytest.mark.parametrize("changes", RECIPES)
@pytest.mark.parametrize("every_s", [0.0, 300.0])
def test_a_crash_goes_on_from_the_last_state(
    task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    every_s: float,
) -> None:
    recipe = make_recipe(**changes)
    straight = train(task, tmp_path / "straight", recipe)
    for step in (3, 6, 1, 7):
        with monkeypatch.context() as patch:
            patch.setattr(fit, "train_step", crash_at(step))
            with pytest.raises(Crash):
                train(task, tmp_path / "resumed", recipe, every_s=every_s)
    reached = StateFolder(tmp_path / "resumed", "a").load()["progress"]
    assert (reached["epoch"], reached["step"]) == ((3, 2) if every_s == 0 else (2, 0))
    same(straight, train(task, tmp_path / "resumed", recipe))


def test_a_killed_process_goes_on_from_its_last_batch(task: Task, tmp_path: Path) -> None:
    recipe = make_recipe(epochs=100)
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from pathlib import Path\n"
        "from small_training import *\n"
        "torch.set_num_threads(1)\n"
        "train(make_task(), Path(sys.argv[1]), make_recipe(epochs=100), every_s=0.0, log=print)\n"
    )
    folder = tmp_path / "killed"
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch")
        time.sleep(0.2)
        process.kill()
        assert process.wait() == -9
    reached = StateFolder(folder, "a").load()["progress"]
    assert 0 < reached["epoch"] < 100
    same(train(task, tmp_path / "straight", recipe), train(task, folder, recipe))


def test_loader_threads_change_nothing(task: Task, tmp_path: Path) -> None:
    runs = [train(task, tmp_path / str(n), make_recipe(), workers=n) for n in (0, 1, 4)]
    same(runs[0], runs[1])
    same(runs[0], runs[2])


def test_a_damaged_state_falls_back_to_the_one_before(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe()
    straight = train(task, tmp_path / "straight", recipe)
    with monkeypatch.context() as patch:
        patch.setattr(fit, "train_step", crash_at(12))
        with pytest.raises(Crash):
            train(task, tmp_path / "run", recipe)
    path = tmp_path / "run" / "state.pt"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    weight = StateFolder(tmp_path / "run", "a").load()["model"]["out.weight"]
    flipped[whole.index(weight.numpy().tobytes())] ^= 1  # torch itself would not notice
    for damaged in (whole[: len(whole) // 2], bytes(flipped), b""):
        path.write_bytes(damaged)
        assert StateFolder(tmp_path / "run", "a").load()["progress"]["epoch"] == 1
        assert "passed over" in capsys.readouterr().out
    same(straight, train(task, tmp_path / "run", recipe))


def test_the_state_of_another_identity_is_never_resumed(task: Task, tmp_path: Path) -> None:
    train(task, tmp_path, make_recipe())
    assert StateFolder(tmp_path, "a").load() is not None
    assert StateFolder(tmp_path, "another").load() is None
    write_tensors(tmp_path / "state.pt", {"weight": torch.ones(2)})  # a file of another kind
    assert StateFolder(tmp_path, "a").load()["progress"]["epoch"] == 3


@pytest.mark.parametrize("every_s", [0.0, 300.0])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(
    task: Task, tmp_path: Path, every_s: float
) -> None:
    recipe = make_recipe(mixup=None, specaugment=None)
    good = task.store.clip(7).copy()
    straight = train(task, tmp_path / "straight", recipe)
    task.store.clip(7)[:] = np.inf
    with pytest.raises(DivergedError, match=r"epoch 1, batch (\d) of 5 \(first clip clip\d+\)"):
        train(task, tmp_path / "run", recipe, every_s=every_s)
    task.store.clip(7)[:] = good
    same(straight, train(task, tmp_path / "run", recipe))


def test_an_infinite_gradient_leaves_weights_and_state_good(task: Task, tmp_path: Path) -> None:
    """Its loss is finite: without a look at the gradient, the next state would hold NaN."""

    class Steep(Tagger):
        steps = 0

        def forward(self, features: torch.Tensor, augment=None):
            output = super().forward(features, augment)
            self.steps += self.training
            if self.training and self.steps == 3:
                output.clip_logits.register_hook(lambda gradient: gradient * torch.inf)
            return output

    recipe = make_recipe(gradient_clip=0.0)
    with pytest.raises(DivergedError, match="epoch 1, batch 3 of 5"):
        train(task, tmp_path / "run", recipe, every_s=0.0, model=Steep())
    saved = StateFolder(tmp_path / "run", "a").load()
    assert saved["progress"]["step"] == 2
    assert all(torch.isfinite(value).all() for value in saved["model"].values())


class NeedsMemory:
    """A step on more clips than fit fails as torch does."""

    def __init__(self, fitting: int, error: Exception) -> None:
        self.fitting, self.error = fitting, error

    def __call__(self, batch: Batch) -> float:
        if len(batch.features) > self.fitting:
            raise self.error
        return 0.5


OUT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT, ids=["gpu", "cpu", "python"])
def test_out_of_memory_names_the_batch_size_that_fits(error: Exception) -> None:
    rows = np.arange(48)
    targets = Targets(torch.zeros(48, 2), None, None, torch.ones(2))
    batch = Batch(torch.zeros(48, 3, 2), targets, None, None, rows, 0 * rows)
    assert within_memory(NeedsMemory(48, error), batch) == 0.5
    with pytest.raises(UserError, match=r"on 48 clips of \(3, 2\) values; 12 fit: set batch_size"):
        within_memory(NeedsMemory(13, error), batch)
    with pytest.raises(UserError, match="not even one fits"):
        within_memory(NeedsMemory(0, error), batch)
    with pytest.raises(UserError, match="halve batch_size"):
        within_memory(NeedsMemory(13, error), batch, alone=False)
    with pytest.raises(RuntimeError, match="shapes"):
        within_memory(NeedsMemory(13, RuntimeError("shapes do not match")), batch)


@pytest.mark.parametrize(
    ("pairing", "batch_size", "limit", "fits"),
    [("pairs", 64, 31, 32), ("anywhere", 12, 11, 6), ("reversed", 24, 11, 6)],
)
def test_the_batch_size_that_fits_counts_mixed_clips(
    pairing: Any, batch_size: int, limit: int, fits: int
) -> None:
    """`limit`: clips that the network has memory for, after mixing."""
    rows = np.arange(2 * batch_size if pairing == "anywhere" else batch_size)
    mixup = Mixup(alpha=0.5, pairing=pairing)
    augment = Augment.draw(len(rows), np.random.default_rng(0), mixup=mixup)
    targets = Targets(torch.zeros(len(rows), 3), None, None, torch.ones(2))
    batch = Batch(torch.zeros(len(rows), 4, 2), targets, augment, None, rows, 0 * rows)

    def step(batch: Batch) -> None:
        mixed = batch.features if batch.augment is None else batch.augment.mix(batch.features)
        if len(mixed) > limit:
            raise MemoryError

    said = rf"on {batch_size} clips of \(4, 2\) values; {fits} fit: set batch_size"
    with pytest.raises(UserError, match=said):
        within_memory(step, batch)


def test_memory_that_really_runs_out_is_said(task: Task, tmp_path: Path) -> None:
    class Hungry(Tagger):
        def forward(self, features: torch.Tensor, augment=None):
            if len(features) > 4:
                torch.empty(1 << 50)  # bytes that no machine has
            return super().forward(features, augment)

    with pytest.raises(UserError, match=r"on 8 clips .* 4 fit: set batch_size to it"):
        train(task, tmp_path, make_recipe(), model=Hungry())
    assert StateFolder(tmp_path, "a").load() is None
