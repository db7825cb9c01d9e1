"""The path that GPUs take: no step waits for the device, and each is one graph.

The device `meta` stands in for a GPU: it takes the same path and computes nothing, so that whatever
asks for a number is found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence, ValuesView
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_training import Tagger, make_recipe, make_task, train
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench import registry
from bench.experiment.config import Recipe
from bench.models.team import Team
from bench.training import fit, step
from bench.training.batches import Batch, on_device, read_batches
from bench.training.excerpt import Excerpt
from bench.training.losses import Objective, Targets
from bench.training.step import (
    Arriving,
    BatchLoss,
    DivergedError,
    is_compiled,
    make_optimizer,
    train_step,
)
from modelkit import kernels
from modelkit.augment import Augment, Mixup, SpecAugment
from speed.breakdown import SHAPES

CLASSES, CLIPS, FRAMES, MELS = 3, 4, 96, 64
RECIPE = Recipe(epochs=1, batch_size=CLIPS, learning_rate=1e-3)
SWIN: dict[str, Any] = {"preset": "tiny", "drop_path": 0.3, "depths": (1, 2), "heads": (2, 4)}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "htsat": ("htsat", SWIN),
    "htsat, checkpoints": ("htsat", {**SWIN, "checkpointing": "blocks"}),
    "htsat, MLPs": ("htsat", {**SWIN, "checkpointing": "mlp", "token_order": "random"}),
    "htsat, pooled": ("htsat", {**SWIN, "token_semantic": False}),
    "ast": ("ast", {"preset": "tiny", "depth": 2}),
    "pann": ("pann", {"preset": "tiny", "conv_dropout": 0.2}),
    "pann, maximum": ("pann", {"preset": "tiny", "variant": "decision_max"}),
    "pann, mean": ("pann", {"preset": "tiny", "variant": "decision_avg"}),
    "pann, attention": ("pann", {"preset": "tiny", "variant": "decision_att"}),
    "mobilenet": ("mobilenet", {"preset": "tiny"}),
    "mobilenet, frames": ("mobilenet", {"preset": "tiny", "variant": "fmn"}),
    "passt": (
        "passt",
        {
            **{"preset": "tiny", "depth": 2},
            **{"patchout_time": 1, "patchout_frequency": 1, "patchout": 1},
        },
    ),
    "atst_frame": ("atst_frame", {"preset": "tiny", "depth": 2}),
    "dasheng": ("dasheng", {"preset": "tiny", "depth": 2, "heads_for": "frames"}),
    "piczak": ("piczak", {"mels": 60, "filters": 4, "hidden": 16}),
}
PAPER: dict[str, tuple[str, dict[str, Any]]] = {
    f"{name}, as published": (name, {"frames": frames, "mels": mels, "seconds": 10.0})
    for name, (frames, mels) in SHAPES.items()
}
FAST = {"htsat", "ast", "pann", "pann, attention", "passt", "piczak"}
"""Whose graphs are made in a second or two; the others' are a long test's."""


def test_every_trained_model_is_held_to_it() -> None:
    assert {name for name, _ in CASES.values()} == set(registry.ARCHITECTURES) - registry.SOLVED


def make(name: str) -> tuple[BatchLoss, Callable[[int], Batch]]:
    """A small model with dropout, stochastic depth and patchout, and batches that it is to mix and
    mask, one for each seed; with frame targets where it has frames."""
    architecture, arguments = {**CASES, **PAPER}[name]
    sizes = {"frames": FRAMES, "mels": MELS, "seconds": 1.0, **arguments}
    torch.manual_seed(0)
    model = registry.find(architecture, registry.ARCHITECTURES)(CLASSES, **sizes)
    features = torch.randn(CLIPS, sizes["frames"], sizes["mels"])
    with torch.no_grad():
        frames = model.eval()(features[:1]).frame_logits
    model.train()
    active = labelled = None
    if frames is not None:
        active, labelled = torch.rand(CLIPS, *frames.shape[1:]), torch.ones(CLIPS, frames.shape[1])
    targets = Targets(torch.eye(CLIPS, CLASSES), active, labelled, torch.ones(2))

    def batch(seed: int) -> Batch:
        augment = Augment.draw(
            CLIPS,
            np.random.default_rng(seed),
            stripes=SpecAugment(time_width=8, mel_width=4),
            mixup=Mixup(alpha=0.5, pairing="permutation"),
        )
        rows = np.arange(CLIPS)
        return Batch(features, targets, augment, None, rows, 0 * rows)

    return BatchLoss(model, Objective(make_task(), "bce", "weak")), batch


class Crossings(TorchDispatchMode):
    """Notes each operation on several devices at once, as copies between them are. One that asks a
    tensor of the device `meta` for its numbers raises by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        devices = {x.device for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)}
        if len(devices) > 1:
            self.found.append(str(func))
        return result


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tensor], Tensor]:
    """Copies a tensor to the device `meta`, on which fused optimizers run now; it has no
    autocast."""
    module = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(module, "_get_fused_kernels_supported_devices", lambda: ["meta"])
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    return lambda tensor: tensor.to("meta")


@pytest.mark.parametrize("name", CASES)
def test_no_step_waits_for_the_device(name: str, meta: Callable[[Tensor], Tensor]) -> None:
    loss, batch = make(name)
    loss.to("meta")
    optimizer = make_optimizer(loss, RECIPE)
    for number in range(2):  # what is copied once is there in the second
        ready = batch(number).each(meta)
        with Crossings() as seen:
            figures = train_step(loss, optimizer, ready, RECIPE, Team())
    assert seen.found == []
    assert (figures.device.type, figures.shape) == ("meta", (2,))


READERS: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "if": lambda x: bool(x.sum() > 0),
    "nonzero": lambda x: x.nonzero(),
    "pick": lambda x: x[x > 0],
    "cpu": lambda x: x.cpu(),
    "copied there": lambda x: x + torch.ones(3).to(x.device),
    "constant": lambda x: x.sum() * torch.tensor(2.0),
}


@pytest.mark.parametrize("reader", READERS)
def test_what_waits_for_the_device_is_found(reader: str) -> None:
    with Crossings() as seen:
        try:
            READERS[reader](torch.ones(3, device="meta"))
        except (RuntimeError, NotImplementedError):
            seen.found.append("refused")
    assert seen.found


def test_losses_are_read_after_the_next_step_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    def noted(name: str, whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            happened.append(name)
            return whole(*args, **options)

        return call

    monkeypatch.setattr(fit, "train_step", noted("step", fit.train_step))
    monkeypatch.setattr(fit, "validate", noted("validate", fit.validate))
    monkeypatch.setattr(Arriving, "read", noted("read", Arriving.read))
    train(make_task(), tmp_path, make_recipe(epochs=1))
    later = ["step", "read"] * 4
    assert happened == ["step", *later, "read", "validate"]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_nothing_after_a_bad_step_changes_the_weights(optimizer: str) -> None:
    """Nobody has read its loss yet when the steps after it are taken."""
    recipe = make_recipe(optimizer=optimizer, learning_rate=0.01)
    torch.manual_seed(0)
    loss = BatchLoss(Tagger(), Objective(make_task(), "ce", "weak"))
    taken = make_optimizer(loss, recipe)
    targets = Targets(torch.eye(3), None, None, torch.ones(2))
    rows = np.arange(3)
    weights = []
    for scale in (1.0, 1.0, torch.inf, 1.0):
        features = scale * torch.randn(3, 12, 4)
        train_step(loss, taken, Batch(features, targets, None, None, rows, rows), recipe, Team())
        weights.append([parameter.detach().clone() for parameter in loss.parameters()])
    first, second, bad, after = weights
    assert not any(map(torch.equal, first, second))
    assert all(map(torch.equal, second, bad))
    assert all(map(torch.equal, bad, after))


def test_a_bad_last_step_is_told_before_a_state_is_saved(tmp_path: Path) -> None:
    task = make_task()
    task.store.clip(7)[:] = np.inf
    recipe = make_recipe(mixup=None, specaugment=None, batch_size=37)
    with pytest.raises(DivergedError, match="epoch 1, batch 1 of 1"):
        train(task, tmp_path, recipe, every_s=0.0)
    assert not list(tmp_path.iterdir())


# --- batches on their way to the device


class Gpu:
    """Stands in for CUDA's streams, events and copies, and notes what is asked of them, in order.

    Each copy of a tensor is another tensor, so that what was not copied is found.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.happened: list[Any] = []
        self.copying = False
        note = self.happened.append

        def copy(tensor: Tensor, device: torch.device, *, non_blocking: bool) -> Tensor:
            assert self.copying
            assert (device.type, non_blocking) == ("cuda", True)
            return tensor + 0

        @contextmanager
        def within(stream: Any) -> Iterator[None]:
            self.copying = True
            yield
            self.copying = False

        events = count()

        def record_event() -> int:
            event = next(events)
            note(("copied", event))
            return event

        copies = SimpleNamespace(record_event=record_event)
        computing = SimpleNamespace(wait_event=lambda event: note(("waited for", event)))
        self.used: list[Tensor] = []

        def record_stream(tensor: Tensor, stream: Any) -> None:
            assert stream is computing
            self.used.append(tensor)

        monkeypatch.setattr(torch.cuda, "Stream", lambda device: copies)
        monkeypatch.setattr(torch.cuda, "stream", within)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
        monkeypatch.setattr(Tensor, "to", copy)
        monkeypatch.setattr(Tensor, "record_stream", record_stream)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def tensors(part: Any) -> list[Tensor]:
    """Every tensor in a batch or a part of it, also one that `Batch.each` would leave out."""
    if isinstance(part, Tensor):
        return [part]
    parts = vars(part).values() if isinstance(part, Augment) else part
    nested = isinstance(parts, tuple | ValuesView)
    return [found for each in parts for found in tensors(each)] if nested else []


def read(clips: Sequence[int], workers: int = 0, *, pinned: bool = False) -> Iterator[Batch]:
    """Batches of eight clips of the made-up task, mixed and masked."""
    task = make_task()
    objective, steps = Objective(task, "ce", "weak"), list(clips)
    return read_batches(task, make_recipe(), objective, 0, 0, steps, Team(), workers, pinned=pinned)


@pytest.mark.parametrize("steps", [range(n) for n in (0, 1, 2, 4)])
def test_each_batch_is_copied_while_the_one_before_is_computed(gpu: Gpu, steps: range) -> None:
    for number, batch in enumerate(on_device(read(steps), torch.device("cuda"))):
        gpu.happened.append(("yielded", number))
        (expected,) = read([number])
        pairs = list(zip(tensors(batch), tensors(expected), strict=True))
        assert all(map(torch.equal, *zip(*pairs, strict=True)))
        assert {*map(id, tensors(batch))} <= {*map(id, gpu.used)}
    order = [("copied", number) for number in steps[:1]]
    for number in steps:
        ahead = [("copied", later) for later in steps[number + 1 : number + 2]]
        order += [*ahead, ("waited for", number), ("yielded", number)]
    assert gpu.happened == order


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_reader_arrives(gpu: Gpu, workers: int) -> None:
    batches = on_device(read([0, 1, 99], workers), torch.device("cuda"))
    next(batches)
    with pytest.raises(IndexError):
        list(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_tensor_of_a_batch_is_pinned(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    pinned: set[int] = set()
    kept = []

    def pin(tensor: Tensor) -> Tensor:
        kept.append(tensor + 0)
        pinned.add(id(kept[-1]))
        return kept[-1]

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    batches = list(read(range(3), workers, pinned=True))
    assert len(batches) == 3
    assert all(id(tensor) in pinned for batch in batches for tensor in tensors(batch))


# --- one graph


@pytest.fixture
def compiler() -> Iterator[None]:
    """The compiler as it starts; it draws the numbers that eager code draws."""
    import torch._dynamo
    import torch._inductor.config

    torch._dynamo.reset()
    with torch._inductor.config.patch(fallback_random=True):
        yield
    torch._dynamo.reset()


def gradients(loss: nn.Module, call: Any, batch: Batch) -> tuple[float, list[Tensor], list[Tensor]]:
    """Loss, gradients and buffers after a step from the same start."""
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.zero_grad(set_to_none=True)
    torch.manual_seed(7)
    value = call(batch.features, batch.augment, batch.targets)
    value.backward()
    found = [p.grad for p in loss.parameters() if p.grad is not None]
    buffers = [buffer.clone() for buffer in loss.buffers()]
    loss.load_state_dict(before)
    return value.item(), found, buffers


def assert_equal_when_compiled(name: str, backend: str, dtype: torch.dtype) -> None:
    """Forward and backward pass are one graph, which serves the next batch too."""
    loss, made = make(name)
    loss, within = loss.to(dtype), 1e-6

    def batch(seed: int) -> Batch:
        return made(seed).each(lambda x: x.to(dtype) if x.is_floating_point() else x)

    compiled = torch.compile(loss, backend=backend, fullgraph=True, dynamic=False)
    for number in range(2):
        with torch._dynamo.config.patch(error_on_recompile=number > 0):
            found = gradients(loss, compiled, batch(number))
        expected = gradients(loss, loss, batch(number))
        for have, want in zip(found, expected, strict=True):
            torch.testing.assert_close(have, want, rtol=within, atol=within)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else pytest.mark.long) for name in CASES]
)
def test_a_step_is_one_graph(name: str, compiler: None) -> None:
    assert_equal_when_compiled(name, "aot_eager", torch.float32)


@pytest.mark.long
@pytest.mark.parametrize("name", PAPER)
def test_a_step_at_full_size_is_one_graph(
    name: str, meta: Callable[[Tensor], Tensor], compiler: None
) -> None:
    loss, batch = make(name)
    ready = batch(0).each(meta)
    compiled = torch.compile(loss.to("meta"), backend="aot_eager", fullgraph=True, dynamic=False)
    compiled(ready.features, ready.augment, ready.targets).backward()
    assert all(p.grad is not None for p in loss.parameters())


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_compiled_code_equals_eager_code(name: str, compiler: None) -> None:
    """In float64: in float32, a sum in another order may turn a ReLU on or off."""
    assert_equal_when_compiled(name, "inductor", torch.float64)


def test_a_compiled_training_equals_an_eager_one(tmp_path: Path, compiler: None) -> None:
    """By the recipe's switch, through the whole loop."""
    eager, compiled = (
        train(make_task(), tmp_path / str(switch), make_recipe(epochs=2, compile=switch))
        for switch in (False, True)
    )
    assert compiled[0].state_dict().keys() == eager[0].state_dict().keys()
    for name, value in eager[0].state_dict().items():
        torch.testing.assert_close(compiled[0].state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert compiled[1].curve[-1]["train_loss"] == pytest.approx(eager[1].curve[-1]["train_loss"])


def test_every_training_of_a_process_is_compiled(
    monkeypatch: pytest.MonkeyPatch, compiler: None
) -> None:
    graphs: list[str] = []

    def backend(graph: Any, example: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(
        step, "compile_in_place", lambda module: module.compile(dynamic=False, backend=backend)
    )
    for number in range(torch._dynamo.config.recompile_limit + 2):
        task = make_task(frames=12 + number)
        _, loss = step.make_loss(Tagger(), task, make_recipe(compile=True), "ce", Team())
        features = torch.from_numpy(task.features(task.rows["train"][:4]))
        targets = Objective(task, "ce", "weak").targets(task.rows["train"][:4])
        loss(features, None, targets)
        assert len(graphs) == number + 1


def test_who_compiles() -> None:
    auto = make_recipe()
    assert is_compiled(auto, "cuda")
    assert not is_compiled(auto, "cpu")
    assert not is_compiled(auto, "cuda", 2)
    assert is_compiled(make_recipe(compile=True), "cpu", 2)
    assert not is_compiled(make_recipe(compile=False), "cuda")


@pytest.mark.parametrize("shifted", [False, True])
def test_windows_that_share_a_bias_are_attended_to_without_copies(shifted: bool) -> None:
    qkv = torch.randn(2, 3, 4, 3, 2, 5, device="meta")
    bias = torch.randn(3 if shifted else 1, 2, 4, 4, device="meta")
    copies: list[str] = []

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            if func in (torch.ops.aten.clone.default, torch.ops.aten._reshape_alias.default):
                copies.append(str(func))
            return func(*args, **(kwargs or {}))

    def attend(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor) -> Tensor:
        assert q.untyped_storage()._cdata == qkv.untyped_storage()._cdata or shifted
        return torch.empty_like(q)

    with pytest.MonkeyPatch.context() as patch, Copies():
        patch.setattr(kernels.F, "scaled_dot_product_attention", attend)
        assert kernels.fused_window_attention(qkv, bias).shape == (2, 3, 4, 2, 5)
    assert bool(copies) == shifted


# --- on a GPU


@pytest.mark.cuda
@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_on_a_gpu_waits_for_nothing_between_its_first_and_last_step(
    tmp_path: Path, workers: int
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")

    class Watched(Excerpt):
        def stepped(self, epoch: int, step: int) -> None:
            torch.cuda.set_sync_debug_mode("error" if 0 <= step < 3 else "default")

    try:
        recipe = make_recipe(epochs=1, compile=False)
        _, progress = train(
            make_task(),
            tmp_path,
            recipe,
            model=Tagger().cuda(),
            workers=workers,
            excerpt=Watched(),
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert progress.clips_seen == 40
