"""`python -m bench cost MODEL`: what the full-size models cost, measured on a few steps."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench import registry
from bench.cost import energy
from bench.experiment import config, folders
from bench.experiment.cells import Layout
from bench.files import UserError
from bench.process.memory import keep_freed_memory
from bench.provenance import environment, source
from bench.results.measured import Measurement
from bench.results.training import Origin
from bench.strict import known

if TYPE_CHECKING:
    import torch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a key of the config's cost.models")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: all)")


def run(args: argparse.Namespace) -> int:
    settings = folders.load(args.config)
    known(args.model, settings.cost.models, "cost.models")
    values = measure(settings.cost, args.model, args.threads)
    values.write(Layout.of(settings).results / "cost" / f"{args.model}.json")
    return 0


def measure(settings: config.Cost, name: str, threads: int | None) -> Measurement:
    """Parameters, saved activations, multiply-adds, speed, memory and energy of a full-size model.

    Speed is the median over `settings.steps` training steps (forward, backward, AdamW) and as many
    inference passes, after one warm-up of each, on random features.

    Raises:
        UserError: the model cannot be trained on a single clip.
    """
    import torch

    from bench.models.activations import saved_activation_bytes
    from bench.models.networks import device_name, live_parameters, peak_memory, resolved_values
    from bench.models.torch_setup import leave_compiler_out

    keep_freed_memory()
    leave_compiler_out()
    torch.backends.cudnn.allow_tf32 = False  # as trainings: fp32 means fp32 in convolutions too
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    arguments = dict(settings.models[name])
    constructor = registry.find(arguments.pop("architecture"), registry.ARCHITECTURES)
    published = arguments.pop("published_parameters", None)
    arguments.pop(
        "published_training_clips", None
    )  # for the report: the clips that a training would see
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = constructor(settings.classes, **arguments)
    model.to(device)
    shape = (settings.batch_size, arguments["frames"], arguments["mels"])
    features = torch.randn(shape, device=device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(features).clip_logits.square().mean().backward()
        optimizer.step()

    @torch.no_grad()
    def infer() -> None:
        model(features)

    model.train()
    try:
        activations = saved_activation_bytes(model, features)
    except ValueError as error:  # batch norm of the clips' outputs
        if settings.batch_size > 1:
            raise
        raise UserError(
            f"cost.batch_size: cost.models.{name} cannot be trained on 1 clip ({error}); set it to "
            "2 or more"
        ) from error
    spent = energy.meter(energy.gpu_uuid(device))
    train_seconds = _median_seconds(train, settings.steps)
    joules = spent() / ((settings.steps + 1) * settings.batch_size) if spent else None
    model.eval()
    inference_seconds = _median_seconds(infer, settings.steps)
    parameters = live_parameters(model)
    taken, where = peak_memory(model), device_name(model)  # before the weights are lost
    return Measurement(
        model=name,
        network=resolved_values(model),
        parameters=parameters,
        published_parameters=published,
        activation_bytes_per_clip=activations / settings.batch_size,
        macs_per_clip=multiply_adds(model, shape) / settings.batch_size,
        train_clips_per_second=settings.batch_size / train_seconds,
        train_joules_per_clip=joules,
        inference_clips_per_second=settings.batch_size / inference_seconds,
        peak_memory_mb=taken / 2**20,
        batch_size=settings.batch_size,
        steps=settings.steps,
        precision="fp32",
        threads=torch.get_num_threads(),
        device=where,
        provenance=Origin.model_validate({**source(), **environment()}),
    )


def _median_seconds(step: Callable[[], None], rounds: int) -> float:
    """Wall-clock seconds of `rounds` steps, after one warm-up step."""
    import torch

    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def multiply_adds(model: torch.nn.Module, shape: tuple[int, ...]) -> float:
    """Half of the floating-point operations that torch counts in one forward pass.

    Counted on the meta device: only shapes are used, nothing is computed. The model's weights are
    lost.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model.to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(shape, device="meta"))
    return counter.get_total_flops() / 2
