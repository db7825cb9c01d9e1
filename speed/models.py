"""Our models beside their peers: saved memory, and the time of each step in both precisions."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from bench.cost import energy
from bench.cost.measure import multiply_adds
from bench.models.activations import saved_activation_bytes
from bench.process.memory import keep_freed_memory
from bench.process.meter import Meter
from speed import pairs, timing
from speed.pairs import Pair, Side, check_equal, largest_difference, outputs
from speed.timing import interleaved, peak_memory, precisions, ratios, spread

BATCHES = {"htsat": (1, 4), "ast": (1, 2), "pann": (1, 4)}  # what two cores finish in minutes
GPU_BATCHES = (32, 128)
MODES = ("training", "inference")


@dataclass(frozen=True)
class Options:
    """How much is measured, and how: at most `rounds`, fewer once `budget_s` is spent on a step."""

    rounds: int
    budget_s: float
    batches: tuple[int, ...] | None  # None: BATCHES, or GPU_BATCHES


def measure(names: list[str], options: Options) -> dict[str, Any]:
    """Every pair, with the machine's matrix-multiply peaks before and after.

    Raises:
        UserError: the sides of a pair are not equal.
    """
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kinds = precisions(device)
    peaks = {name: timing.matmul_peak(device, kind) for name, kind in kinds.items()}
    rows = []
    with Meter("speed", len(names), "pairs") as meter:
        for name in names:
            rows.append(_measure_pair(name, device, options))
            gc.collect()
            meter.add(1)
    peaks = {
        name: max(peaks[name], timing.matmul_peak(device, kind)) for name, kind in kinds.items()
    }
    for row in rows:
        for point in row["points"]:
            _add_shares(point, row["macs_per_clip"], peaks)
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "rounds": options.rounds,
        "matmul_peak_flops": peaks,
        "pairs": rows,
    }


def _measure_pair(name: str, device: torch.device, options: Options) -> dict[str, Any]:
    """Both sides of one pair: equality, memory, multiply-adds, and the time of each step."""
    entry = pairs.PAIRS[name]
    torch.manual_seed(0)
    pair = entry.build()
    difference = check_equal(pair)
    pair.ours.to(device)
    pair.peer.to(device)
    on_device = largest_difference(*outputs(pair, device))
    activations = {}
    for side_name, side in (("ours", pair.ours), ("peer", pair.peer)):
        for precision in precisions(device):
            activations[f"{side_name} {precision}"] = _saved_per_clip(side, device, precision)
    batches = options.batches or (GPU_BATCHES if device.type == "cuda" else BATCHES[entry.model])
    points = []
    for batch in batches:
        for mode in MODES:
            points.append(_measure_point(pair, mode, batch, device, options))
    macs = multiply_adds(pair.ours, (1, *pair.ours.shape))
    return {
        "pair": name,
        "model": entry.model,
        "peer": entry.title,
        "largest_difference": difference,
        "largest_difference_on_device": on_device,
        "macs_per_clip": macs,
        "saved_activation_bytes_per_clip": activations,
        "points": points,
    }


def _saved_per_clip(side: Side, device: torch.device, precision: str) -> int:
    """Bytes saved for the backward pass per clip: the difference between batches of two and one.

    Copies of the weights in another precision, which do not grow, are thus excluded. Stochastic
    depth is off, because it would drop different branches in each batch.
    """
    rates = {part: vars(part)["drop_path"] for part in side.modules() if "drop_path" in vars(part)}
    kept = []
    for part in rates:
        vars(part)["drop_path"] = 0.0
    for batch in (1, 2):
        x = torch.randn(batch, *side.shape, device=device)
        with _autocast(device, precision):
            kept.append(saved_activation_bytes(side, x))
    for part, rate in rates.items():
        vars(part)["drop_path"] = rate
    return kept[1] - kept[0]


def _measure_point(
    pair: Pair, mode: str, batch: int, device: torch.device, options: Options
) -> dict[str, Any]:
    steps = {}
    for side_name, side in (("ours", pair.ours), ("peer", pair.peer)):
        for precision in precisions(device):
            steps[f"{side_name} {precision}"] = _step(side, mode, batch, device, precision)
    memory = {}
    for name, step in steps.items():
        step()
        for side in (pair.ours, pair.peer):
            side.zero_grad(set_to_none=True)
        memory[name] = peak_memory(step, device)
    seconds = interleaved(steps, options.rounds, options.budget_s)
    rounds = len(seconds["peer fp32"])
    joules = {}
    for name, step in steps.items():
        if spent := energy.meter(energy.gpu_uuid(device)):
            interleaved({name: step}, rounds)
            joules[name] = spent() / (batch * (rounds + 1))
    base = seconds["peer fp32"]
    return {
        "mode": mode,
        "batch": batch,
        "rounds": rounds,
        "clips_per_second": {
            name: spread([batch / value for value in values]) for name, values in seconds.items()
        },
        "times_peer_fp32": {
            name: ratios(base, values) for name, values in seconds.items() if name != "peer fp32"
        },
        "times_peer_bf16": (
            ratios(seconds["peer bf16"], seconds["ours bf16"]) if "ours bf16" in seconds else None
        ),
        "peak_bytes": memory,
        "joules_per_clip": joules,
    }


def _step(side: Side, mode: str, batch: int, device: torch.device, precision: str) -> Any:
    """A training step or an inference pass on random input."""
    x = 0.1 * torch.randn(batch, *side.shape, device=device)
    if mode == "inference":
        return partial(_infer, side, x, precision)
    return partial(training_step(side, precision), x)


def training_step(side: Side, precision: str) -> Callable[[torch.Tensor], None]:
    """Forward, backward and fused AdamW, on a batch on the network's device."""
    parameters = [p for p in side.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-6, fused=True)

    def step(x: torch.Tensor) -> None:
        side.train()
        with _autocast(x.device, precision):
            output = side(x)
        optimizer.zero_grad(set_to_none=True)
        output.float().square().mean().backward()
        optimizer.step()

    return step


def _infer(side: Side, x: torch.Tensor, precision: str) -> None:
    side.eval()
    with torch.no_grad(), _autocast(x.device, precision):
        side(x)


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def _add_shares(point: dict[str, Any], macs: float, peaks: dict[str, float]) -> None:
    """Share of the peak: operations of our network, three times as many for a training step."""
    work = 2 * macs * (3 if point["mode"] == "training" else 1)
    point["share_of_peak"] = {
        name: work * rate["median"] / peaks[name.split()[1]]
        for name, rate in point["clips_per_second"].items()
    }
