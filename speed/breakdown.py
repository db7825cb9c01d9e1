"""Where a training step of our models spends its time: shares by kind of operator, from torch's
profiler."""

from __future__ import annotations

import os
import re
import statistics
from collections import Counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from bench import registry
from bench.process.memory import keep_freed_memory
from speed import timing
from speed.models import training_step
from speed.pairs import Side

SHAPES = {"htsat": (1001, 64), "ast": (1024, 128), "pann": (1001, 64)}  # of 10 s
WARM_UP = 4  # steps until the process holds all memory that a step needs
BATCHES, GPU_BATCH = {"htsat": 4, "ast": 1, "pann": 4}, 128
PRODUCTS = "matrix products"  # of linear layers, and where attention is not batched
CONVOLUTIONS = "convolutions"
# The first matching pattern decides an operator's kind; without a match it is in the rest.
KINDS = {
    PRODUCTS: r"aten::(mm|addmm)$",
    CONVOLUTIONS: r"conv",
    "batched products, fused attention": r"bmm|scaled_dot_product|flash|efficient_attention",
    "softmax": r"softmax",
    "GELU, ReLU": r"gelu|relu|threshold",
    "norms": r"layer_norm|batch_norm",
    "copies, casts, gathers": r"aten::(copy_|_to_copy|clone|index_select|index_add_?|cat)$",
    "sums and residuals": r"aten::(sum|add|add_|addcmul|mul|div)$",
    "AdamW and gradients set to zero": r"adamw|Optimizer",
}
REST = "rest (views, random numbers, autograd, Python)"


def measure(*, quick: bool) -> list[dict[str, Any]]:
    """One row for each model and precision: `shares` of the step by kind, which sum to 1.

    `of_peak` is the speed of the matrix products and of the convolutions over that of the fastest
    large matrix product; it is None where a model has none.
    """
    keep_freed_memory()
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler would log each start and stop
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kinds = timing.precisions(device)
    peaks = {name: timing.matmul_peak(device, kind) for name, kind in kinds.items()}
    steps = 1 if quick else 3
    return [
        _profile(name, precision, device, peak, steps)
        for name in SHAPES
        for precision, peak in peaks.items()
    ]


def _profile(
    name: str, precision: str, device: torch.device, peak: float, steps: int
) -> dict[str, Any]:
    model = registry.find(name, registry.ARCHITECTURES)(527).to(device)
    side = Side(model, SHAPES[name], lambda x: model(x).clip_logits.sigmoid())
    batch = GPU_BATCH if device.type == "cuda" else BATCHES[name]
    step, x = training_step(side, precision), torch.randn(batch, *SHAPES[name], device=device)
    with FlopCounterMode(display=False) as counter:
        step(x)
    work = {str(kind): flops for kind, flops in counter.get_flop_counts()["Global"].items()}
    for _ in range(WARM_UP):
        step(x)
    rounds = [_seconds_by_kind(step, x) for _ in range(steps)]
    seconds = {kind: statistics.median(found[kind] for found in rounds) for kind in rounds[0]}
    total = sum(seconds.values())
    flops = {
        PRODUCTS: work.get("aten.mm", 0) + work.get("aten.addmm", 0),
        CONVOLUTIONS: sum(flops for kind, flops in work.items() if "conv" in kind),
    }
    return {
        "model": name,
        "precision": precision,
        "batch": batch,
        "shares": {kind: value / total for kind, value in seconds.items()},
        "of_peak": {
            kind: value / seconds[kind] / peak if value and seconds[kind] else None
            for kind, value in flops.items()
        },
    }


def _seconds_by_kind(step: Any, x: torch.Tensor) -> Counter[str]:
    """Own time of all operators of a step, on the GPU where they run there."""
    on_gpu = x.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as found, record_function("step"):
        step(x)
        if on_gpu:
            torch.cuda.synchronize()
    seconds = Counter(dict.fromkeys([*KINDS, REST], 0.0))
    for event in found.key_averages():
        if event.device_type == torch.autograd.DeviceType.CPU:
            own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            kind = next((kind for kind, name in KINDS.items() if re.search(name, event.key)), REST)
            seconds[kind] += own / 1e6
    return seconds
