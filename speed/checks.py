"""What `python -m bench gpu-check` measures of our own models."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.code_digest import ROOT

if TYPE_CHECKING:
    import torch

    from bench.data.task import Task
    from bench.experiment.config import Recipe
    from bench.training.batches import Batch

Row = dict[str, Any]
SHAPES = {"ast": (1024, 128), "passt": (1000, 128), "mobilenet": (1000, 128), "piczak": (101, 60)}
LOGMEL = (1001, 64)  # frames and mels of the others
CLASSES = 527


@dataclass(frozen=True)
class Size:
    """How much is measured: full size on a GPU; on a CPU just enough to run every step."""

    device: torch.device

    @property
    def full(self) -> bool:
        return self.device.type == "cuda"

    @property
    def bf16(self) -> bool:
        """Whether full-size products in bf16 take less than minutes."""
        from bench.models.torch_setup import emulates_bf16

        return not emulates_bf16(self.device.type)

    @property
    def batch(self) -> int:
        return 128 if self.full else 2

    @property
    def rounds(self) -> int:
        return 10 if self.full else 1

    def build(self, name: str) -> tuple[torch.nn.Module, tuple[int, int]]:
        """A model, and the frames and mels of its features."""
        frames, mels = SHAPES.get(name, LOGMEL)
        frames = frames if self.full or name == "piczak" else 128
        small: dict[str, Any] = {} if self.full else {"preset": "tiny"}
        if name == "piczak":
            small = {} if self.full else {"filters": 4, "hidden": 16}
        sizes = {"frames": frames, "mels": mels, "seconds": frames / 100}
        model = registry.find(name, registry.ARCHITECTURES)(CLASSES, **sizes, **small)
        return model, (frames, mels)


def parity(name: str, size: Size) -> Row:
    """A model on the CPU beside the same on the device: outputs, and the gradients of a loss."""
    import torch

    torch.manual_seed(0)
    model, shape = size.build(name)
    x = torch.randn(2, *shape)
    both = []
    for device in (torch.device("cpu"), size.device):
        own = copy.deepcopy(model).to(device).eval()
        output = own(x.to(device))
        output.clip_logits.square().mean().backward()
        gradient = [p.grad.cpu().flatten() for p in own.parameters() if p.grad is not None]
        both.append([output.clip_logits.detach().cpu(), torch.cat(gradient)])
    (logits, gradient), (other, other_gradient) = both
    return {
        "model": name,
        "largest_difference": float((logits - other).abs().max()),
        "largest_logit": float(logits.abs().max()),
        "gradient_difference": float((gradient - other_gradient).norm() / gradient.norm()),
    }


def train_twice(size: Size) -> Row:
    """The smoke experiment's training of HTS-AT, uninterrupted and interrupted once: are both
    equal? On random features, unless those of the smoke experiment are there."""
    import torch

    from bench.data.task import open_task
    from bench.experiment import config
    from bench.experiment.cells import Layout, list_cells, plan
    from bench.models import networks
    from bench.training import fit
    from bench.training.excerpt import WHOLE, Excerpt
    from bench.training.state import StateFolder
    from bench.training.step import is_compiled
    from speed.made_up import random_task

    class Interrupted(Excerpt):
        def stepped(self, epoch: int, step: int) -> None:
            if (epoch, step) == (1, 0):
                raise SystemExit

    settings = config.load(str(ROOT / "config" / "smoke.yaml"))
    cells = list_cells(settings)
    cell = next(cell for cell in cells if (cell.dataset, cell.model) == ("audioset", "htsat"))
    chosen, layout = plan(settings, cell), Layout.of(settings)
    recipe = chosen.recipe
    corpus, features = (
        layout.corpus(cell.dataset),
        layout.features(cell.dataset, chosen.model.front_end),
    )
    built = (features / "digest.json").exists() and layout.corpus_file(cell.dataset).exists()
    if built:
        task = open_task(chosen, corpus, features)
    else:
        task = random_task(chosen.front_end, clips=4 * recipe.batch_size, classes=5)

    def trained(folder: Path, excerpt: Excerpt) -> tuple[dict[str, torch.Tensor], Any]:
        torch.manual_seed(0)
        model = networks.build(chosen, task.targets.shape[1]).to(size.device)
        state = StateFolder(folder, "gpu-check")
        log = partial(print, flush=True)
        progress = fit.fit(model, task, recipe, "bce", "mAP", 0, state, log, excerpt=excerpt)
        return model.state_dict(), progress

    with TemporaryDirectory() as folder:
        straight, progress = trained(Path(folder, "straight"), WHOLE)
        with suppress(SystemExit):
            trained(Path(folder, "resumed"), Interrupted())
        resumed, again = trained(Path(folder, "resumed"), WHOLE)
    losses = [[point["train_loss"] for point in one.curve] for one in (progress, again)]
    equal = all(torch.equal(value, resumed[name]) for name, value in straight.items())
    return {
        "model": "htsat",
        "features": "smoke experiment" if built else "random",
        "compiled": is_compiled(recipe, size.device.type),
        "equal": equal and losses[0] == losses[1],
        "losses": losses[0],
    }


def rate(name: str, size: Size, compiled: bool) -> Row:
    """The benchmark's own training step in bf16, at the largest batch that fits of `size.batch` and
    its halves: rate, share of the peak's operations, memory beyond weights and optimizer, energy,
    and seconds of the first step, which compiles.

    Raises:
        torch._dynamo.exc.FailOnRecompileLimitHit: torch would go on without compiling.
    """
    import torch

    from bench.cost import energy
    from bench.cost.measure import multiply_adds
    from bench.experiment.config import Recipe
    from bench.models.team import Team
    from bench.training.step import make_loss, make_optimizer, train_step
    from modelkit.settings import Mixup, SpecAugment
    from speed.timing import interleaved, peak_memory, spread

    torch.manual_seed(0)
    model, shape = size.build(name)
    model.to(size.device).train()
    recipe = Recipe.model_validate(
        {
            "epochs": 1,
            "batch_size": size.batch,
            "learning_rate": 1e-6,
            "precision": "bf16",
            "mixup": Mixup(alpha=0.5),
            "specaugment": SpecAugment(time_width=16, mel_width=4),
            "compile": compiled,
        }
    )
    task, batch = _batch(recipe, shape, size)
    _, loss = make_loss(model, task, recipe, "bce", Team())
    optimizer = make_optimizer(model, recipe)
    model.train()
    if compiled:
        torch._dynamo.config.fail_on_recompile_limit_hit = True
    batch, first_s = _fitting(lambda part: train_step(loss, optimizer, part, recipe, Team()), batch)

    def step() -> None:
        train_step(loss, optimizer, batch, recipe, Team())

    optimizer.zero_grad(set_to_none=True)
    memory = peak_memory(step, size.device)
    spent = energy.meter(energy.gpu_uuid(size.device))
    seconds = interleaved({"step": step}, size.rounds, clock=time.perf_counter)["step"]
    clips = len(batch.rows)
    joules = spent() / (clips * (size.rounds + 1)) if spent else None
    return {
        "model": name,
        "compiled": compiled,
        "batch": clips,
        "clips_per_second": spread([clips / value for value in seconds]),
        "flops_per_clip": 6 * multiply_adds(model, (1, *shape)),
        "peak_bytes": memory,
        "joules_per_clip": joules,
        "first_step_seconds": first_s,
    }


def _batch(recipe: Recipe, shape: tuple[int, int], size: Size) -> tuple[Task, Batch]:
    """A task of random features, and its first batch on the device."""
    from bench.experiment.config import FrontEnd
    from bench.models.team import Team
    from bench.training.batches import read_batches
    from bench.training.losses import Objective
    from speed.made_up import random_task

    frames, mels = shape
    front_end = FrontEnd.model_validate(
        {
            "kind": "logmel",
            "sample_rate": 32000,
            "window": 1024,
            "hop": 320,
            "mels": mels,
            "fmin": 50,
            "fmax": 14000,
            "frames": frames,
        }
    )
    task = random_task(front_end, recipe.batch_size, CLASSES)
    objective = Objective(task, "bce", "weak")
    (batch,) = read_batches(task, recipe, objective, 0, 0, [0], Team(), 0)
    return task, batch.each(lambda tensor: tensor.to(size.device))


def _fitting(step: Callable[[Batch], torch.Tensor], batch: Batch) -> tuple[Batch, float]:
    """The batch, or the largest of its halves, quarters and so on that fits into memory, and the
    seconds of its first step. The second one has the optimizer's state beside it."""
    import torch

    while True:
        try:
            begun = time.perf_counter()
            step(batch).cpu()
            first_s = time.perf_counter() - begun
            step(batch)
            return batch, first_s
        except torch.OutOfMemoryError:
            if len(batch.rows) == 1:
                raise
        torch.cuda.empty_cache()
        batch = batch.beginning(len(batch.rows) // 2)
