"""Measuring on busy machines: interleaved rounds, ratios of pairs, measured peaks."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bench.models.torch_setup import emulates_bf16
from bench.process.memory import give_back_freed, peak_bytes, start_peak

Step = Callable[[], Any]
FEWEST_ROUNDS = 3  # for a meaningful median


def interleaved(
    steps: Mapping[str, Step],
    rounds: int,
    budget_s: float = math.inf,
    clock: Callable[[], float] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each step in each round; every round runs all of them, in rotating order.

    A warm-up round before allocates what stays (optimizer state, caches).

    Args:
        budget_s: once this many seconds are spent, rounds beyond FEWEST_ROUNDS are left out.
        clock: by default CPU time for a single thread without a GPU, which other processes do not
            affect, else wall-clock time.
    """
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    clock = clock or (time.process_time if alone else time.perf_counter)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    end = time.monotonic() + budget_s
    for turn in range(rounds + 1):
        if turn > FEWEST_ROUNDS and time.monotonic() > end:
            break
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            _synchronize()
            start = clock()
            steps[name]()
            _synchronize()
            if turn:
                seconds[name].append(clock() - start)
    return seconds


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(slow: list[float], fast: list[float]) -> dict[str, float]:
    """How many times faster `fast` is: spread of the ratios of each round."""
    return spread([a / b for a, b in zip(slow, fast, strict=True)])


def slope(sizes: list[float], seconds: list[float]) -> float:
    """Least-squares slope of log seconds over log size: 1 is linear growth, 0 none."""
    import numpy as np

    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def precisions(device: torch.device) -> dict[str, torch.dtype]:
    """What is measured on `device`: bf16 is left out where it is emulated, since a full-size step
    would take minutes."""
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return {k: kinds[k] for k in kinds if k == "fp32" or not emulates_bf16(device.type)}


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of the fastest of some large matrix products."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = interleaved({"product": lambda: a @ b}, rounds=8)["product"]
    return 2 * size**3 / min(seconds)


def peak_memory(step: Step, device: torch.device) -> int | None:
    """Peak bytes of `step` beyond what is held before it; None if unknown."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    give_back_freed()
    if not start_peak():
        return None
    before = peak_bytes()
    step()
    return peak_bytes() - before


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
