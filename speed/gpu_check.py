"""`python -m bench gpu-check`: what the first minutes on a GPU are to show, in order of worth.

It builds and fetches nothing: features are random, and a peer that is not installed is left out.
The JSON is written after each step, so that what ends early loses nothing; `python -m bench speed
--show FILE` makes its tables. `--device cpu` rehearses it with the small presets.
"""

from __future__ import annotations

import argparse
import copy
import gc
import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.code_digest import ROOT
from bench.files import UserError, write_json
from bench.provenance import environment, source
from speed.tables import render

if TYPE_CHECKING:
    import torch

    from bench.data.task import Task
    from bench.experiment.config import Recipe
    from bench.training.batches import Batch

Row = dict[str, Any]
SHAPES = {"ast": (1024, 128), "passt": (1000, 128), "mobilenet": (1000, 128), "piczak": (101, 60)}
LOGMEL = (1001, 64)  # frames and mels of the others
FIRST = ("htsat", "ast", "pann")
RIVALS = ("passt", "mobilenet", "atst_frame", "dasheng")
PAIRS = ("htsat/official-network", "htsat/clap", "ast/transformers", "pann/official-network")
CLASSES = 527


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal"
    )
    parser.add_argument(
        "--minutes", type=float, default=12.0, help="no step begins after so many (default: 12)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("work/gpu-check.json"), metavar="FILE", help="its JSON"
    )


def run(args: argparse.Namespace) -> int:
    """Entry of the verb.

    Raises:
        UserError: torch sees no GPU.
    """
    import torch

    from bench.models.torch_setup import set_up

    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "torch sees no CUDA device; rehearse on the CPU with --device cpu, or install a build "
            "of torch for the GPU"
        )
    set_up(torch.get_num_threads())
    size = Size(torch.device(args.device))
    found: dict[str, Any] = {
        "provenance": {**source(), **environment()},
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "rehearsal": args.device == "cpu",
        "threads": torch.get_num_threads(),
        "steps": [],
    }
    end = time.monotonic() + 60 * args.minutes
    for name, step in steps(size, found):
        begun = time.monotonic()
        said = "left out: no time was left"
        if begun < end:
            print(f"{name} …", flush=True)
            said = _taken(step)
        taken = {"step": name, "seconds": round(time.monotonic() - begun, 1), "outcome": said}
        found["steps"].append(taken)
        write_json(args.output, found)
    print(render(found))
    return 0 if all(step["outcome"] == "done" for step in found["steps"]) else 1


def _taken(step: Callable[[], None]) -> str:
    """How a step ended: one that fails does not keep the others from being taken."""
    try:
        step()
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        print(said, flush=True)
        return said
    finally:
        gc.collect()
    return "done"


@dataclass(frozen=True)
class Size:
    """How much is measured: full size on a GPU; on a CPU what shows that every step runs."""

    device: torch.device

    @property
    def full(self) -> bool:
        return self.device.type == "cuda"

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


def steps(size: Size, found: dict[str, Any]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each step by name; it adds to `found`."""
    names = sorted(set(registry.ARCHITECTURES) - registry.SOLVED)
    for name in [*FIRST, *(name for name in names if name not in FIRST)]:
        yield f"parity of {name}", partial(_add, found, "parity", parity, name, size)
    yield "a training, twice", partial(_add, found, "trainings", train_twice, size)
    yield "peaks", partial(_peaks, found, size)
    for name in (*FIRST, *RIVALS):
        for compiled in (False, True) if size.full or name == FIRST[0] else (False,):
            what = f"rate of {name}{', compiled' * compiled}"
            yield what, partial(_add, found, "rates", rate, name, size, compiled)
        if name == FIRST[-1]:
            yield "projected hours", partial(_hours, found)
            yield "reading and training", partial(_feeding, found, size)
            for pair in PAIRS if size.full else PAIRS[:1]:
                yield f"beside {pair}", partial(_beside, found, pair, size)


def _add(found: dict[str, Any], part: str, measure: Callable[..., Row], *arguments: Any) -> None:
    found.setdefault(part, []).append(measure(*arguments))


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
    """HTS-AT by the smoke experiment's recipe, straight and interrupted once: are both equal?"""
    import torch

    from bench.experiment import config
    from bench.models import networks
    from bench.training import fit
    from bench.training.excerpt import WHOLE, Excerpt
    from bench.training.state import StateFolder
    from speed.made_up import random_task

    class Interrupted(Excerpt):
        def stepped(self, epoch: int, step: int) -> None:
            if (epoch, step) == (1, 0):
                raise SystemExit

    settings = config.load(str(ROOT / "config" / "smoke.yaml"))
    chosen, recipe = settings.models["htsat"], settings.recipe("htsat", "audioset")
    front_end = settings.datasets["audioset"].front_ends[chosen.front_end]
    task = random_task(front_end, clips=4 * recipe.batch_size, classes=5)

    def trained(folder: Path, excerpt: Excerpt) -> tuple[dict[str, torch.Tensor], Any]:
        torch.manual_seed(0)
        model = networks.construct("htsat", chosen.arguments, front_end, 5).to(size.device)
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
        "compiled": recipe.compiled(size.device.type),
        "equal": equal and losses[0] == losses[1],
        "losses": losses[0],
    }


def _peaks(found: dict[str, Any], size: Size) -> None:
    from speed import timing
    from speed.models import DTYPES

    peaks = {name: timing.matmul_peak(size.device, kind) for name, kind in DTYPES.items()}
    found["matmul_peak_flops"] = peaks


def rate(name: str, size: Size, compiled: bool) -> Row:
    """The benchmark's own training step in bf16, at the largest batch that fits of `size.batch` and
    its halves: rate, share of the peak's operations, memory, energy, and time to compile."""
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
    recipe = Recipe(
        epochs=1,
        batch_size=size.batch,
        learning_rate=1e-6,
        precision="bf16",
        mixup=Mixup(alpha=0.5),
        specaugment=SpecAugment(time_width=16, mel_width=4),
        compile=compiled,
    )
    task, batch = _batch(recipe, shape, size)
    _, loss = make_loss(model, task, recipe, "bce", Team())
    optimizer = make_optimizer(model, recipe)
    model.train()
    begun = time.perf_counter()
    batch = _fitting(lambda part: train_step(loss, optimizer, part, recipe, Team()), batch)
    first_s = time.perf_counter() - begun

    def step() -> None:
        train_step(loss, optimizer, batch, recipe, Team())

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
    front_end = FrontEnd(
        kind="logmel", sample_rate=32000, window=1024, hop=320, mels=mels, fmin=50, fmax=14000,
        frames=frames,
    )  # fmt: skip
    task = random_task(front_end, recipe.batch_size, CLASSES)
    objective = Objective(task, "bce", "weak")
    (batch,) = read_batches(task, recipe, objective, 0, 0, [0], Team(), 0)
    return task, batch.each(lambda tensor: tensor.to(size.device))


def _fitting(step: Callable[[Batch], object], batch: Batch) -> Batch:
    """The batch, or the largest of its halves, quarters and so on that memory holds."""
    import torch

    while True:
        try:
            step(batch)
            return batch
        except torch.OutOfMemoryError:
            if len(batch.rows) == 1:
                raise
        torch.cuda.empty_cache()
        batch = batch.beginning(len(batch.rows) // 2)


def _hours(found: dict[str, Any]) -> None:
    """Hours of the published trainings at the best rate of each model, beside the published GPU
    hours (HTS-AT's paper, section 3.1.2)."""
    from bench.experiment import config
    from bench.results import published

    measured = config.load(str(ROOT / "config" / "default.yaml")).cost.models
    names = {"htsat": "HTS-AT", "ast": "AST", "pann": "PANN"}
    found["hours"] = []
    for name in FIRST:
        clips = measured[name]["published_training_clips"]
        rates = [row for row in found.get("rates", ()) if row["model"] == name]
        best = max((row["clips_per_second"]["median"] for row in rates), default=None)
        stated = next(
            entry.figures["gpu_hours"]
            for entry in published.load()
            if entry.system == names[name]
            and "gpu_hours" in entry.figures
            and entry.source.startswith("HTS-AT")
        )
        hours = None if best is None else clips / best / 3600
        found["hours"].append(
            {"model": name, "clips": clips, "hours": hours, "published_gpu_hours": stated}
        )


def _feeding(found: dict[str, Any], size: Size) -> None:
    from speed.feeding import feeding

    found["pipeline"] = feeding(size.rounds, small=not size.full)


def _beside(found: dict[str, Any], pair: str, size: Size) -> None:
    """One pair of `bench speed`; equality is checked before anything is timed."""
    import torch

    from speed import models
    from speed.pairs import PAIRS as ENTRIES

    package = ENTRIES[pair].package
    if importlib.util.find_spec(package) is None:
        raise UserError(f"{package} is not installed")
    options = models.Options(
        rounds=3 if size.full else 1, budget_s=20.0, batches=(size.batch // 2,), compiled=False
    )
    torch.set_deterministic_debug_mode("default")  # peers have operations without such a form
    try:
        measured = models.measure([pair], options)
    finally:
        torch.set_deterministic_debug_mode("error")
    pairs = [*found.get("pairs", ()), *measured.pop("pairs")]
    found |= {**measured, "device": found["device"], "pairs": pairs}
