"""`python -m bench speed`: our models beside installed peers, and what else must be fast.

Both sides of a pair are built in one process with equal weights. That they compute the same
function is checked before anything is timed. Then their steps take turns, so that whatever else
runs on the machine slows both, and what counts are the medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import gc
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import UserError, read_json, write_json
from bench.process.memory import keep_freed_memory
from bench.provenance import environment, source

if TYPE_CHECKING:
    import torch

    from bench.speed.peers import Pair, Side

BATCHES = {"htsat": (1, 4), "ast": (1, 2), "pann": (1, 4)}  # what two cores finish in minutes
GPU_BATCHES = (32, 128)
TOLERATED = 0.9  # a ratio below this share of the committed one is called a regression
MODES = ("training", "inference")


@dataclass(frozen=True)
class Options:
    """How much is measured, and how."""

    rounds: int
    batches: tuple[int, ...] | None  # None: BATCHES, or GPU_BATCHES
    precisions: tuple[str, ...]
    compiled: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--quick", action="store_true", help="one batch size, two rounds")
    parser.add_argument("--pairs", nargs="+", metavar="PAIR", help="such as htsat/clap (all)")
    parser.add_argument(
        "--only", choices=("models", "pipeline", "growth"), help="one of the three parts"
    )
    parser.add_argument("--batches", nargs="+", type=int, metavar="N", help="clips per step")
    parser.add_argument("--rounds", type=int, help="measured rounds (default: 7; 2 with --quick)")
    parser.add_argument(
        "--threads",
        type=int,
        help="CPU threads (default: all); 1 counts CPU time, which a busy machine hardly changes",
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile both sides")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the JSON here")
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="name ratios worse than in this earlier JSON"
    )


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    import torch

    from bench.speed import growth, pipeline
    from bench.speed.tables import render

    if args.threads:
        torch.set_num_threads(args.threads)
    earlier = read_json(args.against) if args.against else None
    found: dict[str, Any] = {"provenance": {**source(), **environment()}}
    parts = (args.only,) if args.only else ("models", "pipeline", "growth")
    if "pipeline" in parts:
        found["pipeline"] = pipeline.measure(quick=args.quick)
    if "growth" in parts:
        found["growth"] = growth.measure(quick=args.quick)
    if "models" in parts:
        found |= measure_models(args.pairs, _options(args))
    if args.output:
        write_json(args.output, found)
    print(json.dumps(found, indent=1) if args.json else render(found))
    if earlier is not None:
        worse = regressions(earlier, found)
        print("\n".join(worse) or f"no ratio is more than {1 - TOLERATED:.0%} below {args.against}")
        return 1 if worse else 0
    return 0


def _options(args: argparse.Namespace) -> Options:
    batches = tuple(args.batches) if args.batches else (1,) if args.quick else None
    return Options(
        rounds=args.rounds or (2 if args.quick else 7),
        batches=batches,
        precisions=("fp32", "bf16"),
        compiled=args.compile,
    )


def measure_models(names: list[str] | None, options: Options) -> dict[str, Any]:
    """Every pair, with the machine's matrix-multiply peaks before and after.

    Raises:
        UserError: an unknown pair, a peer that is not installed, or sides that are not equal.
    """
    import torch

    from bench.speed.peers import PAIRS
    from bench.speed.timing import matmul_peak

    unknown = set(names or ()) - set(PAIRS)
    if unknown:
        raise UserError(f"unknown pair '{min(unknown)}'; valid: {', '.join(PAIRS)}")
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    peaks = {name: matmul_peak(device, kinds[name]) for name in options.precisions}
    rows = []
    for name in names or PAIRS:
        rows.append(measure_pair(name, device, options))
        gc.collect()
    for kind in options.precisions:
        peaks[kind] = max(peaks[kind], matmul_peak(device, kinds[kind]))
    for row in rows:
        for point in row["points"]:
            _add_shares(point, row["macs_per_clip"], peaks)
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "rounds": options.rounds,
        "compiled": options.compiled,
        "matmul_peak_flops": peaks,
        "pairs": rows,
    }


def measure_pair(name: str, device: torch.device, options: Options) -> dict[str, Any]:
    """Both sides of one pair: equality, memory, multiply-adds, and the time of each step."""
    import torch

    from bench.speed.cost import multiply_adds
    from bench.speed.peers import PAIRS, check_equal

    model, title, build = PAIRS[name]
    torch.manual_seed(0)
    pair = build()
    difference = check_equal(pair)
    sides = {"ours": pair.ours, "peer": pair.peer}
    activations = {}
    for side_name, side in sides.items():
        side.to(device)
        for precision in options.precisions:
            activations[f"{side_name} {precision}"] = _saved_per_clip(side, device, precision)
        if options.compiled:
            side.compile(mode="reduce-overhead" if device.type == "cuda" else None)
    batches = options.batches or (GPU_BATCHES if device.type == "cuda" else BATCHES[model])
    points = []
    for batch in batches:
        for mode in MODES:
            points.append(_measure_point(pair, mode, batch, device, options))
    macs = multiply_adds(pair.ours, (1, *pair.ours.shape))
    return {
        "pair": name,
        "model": model,
        "peer": title,
        "largest_difference": difference,
        "macs_per_clip": macs,
        "saved_activation_bytes_per_clip": activations,
        "points": points,
    }


def _saved_per_clip(side: Side, device: torch.device, precision: str) -> int:
    """Bytes that one clip more keeps for the backward pass: what a batch of two adds to one.

    Copies of the weights in another precision, which do not grow, thus do not count. Stochastic
    depth is off, for it would drop other branches in each batch.
    """
    import torch

    from bench.models.activations import saved_activation_bytes

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
    from bench.speed.timing import EnergyCounter, interleaved, peak_memory, ratios, spread

    steps = {}
    for side_name, side in (("ours", pair.ours), ("peer", pair.peer)):
        for precision in options.precisions:
            steps[f"{side_name} {precision}"] = _step(side, mode, batch, device, precision)
    memory = {}
    for name, step in steps.items():
        step()
        for side in (pair.ours, pair.peer):
            side.zero_grad(set_to_none=True)
        memory[name] = peak_memory(step, device)
    seconds = interleaved(steps, options.rounds)
    counter = EnergyCounter()
    energy: dict[str, float] = {}
    for name, step in steps.items() if counter.joules() is not None else ():
        before = counter.joules()
        interleaved({name: step}, options.rounds)
        after = counter.joules()
        assert before is not None
        assert after is not None
        energy[name] = (after - before) / (batch * (options.rounds + 1))
    base = seconds["peer fp32"]
    return {
        "mode": mode,
        "batch": batch,
        "clips_per_second": {
            name: spread([batch / value for value in values]) for name, values in seconds.items()
        },
        "times_peer_fp32": {
            name: ratios(base, values) for name, values in seconds.items() if name != "peer fp32"
        },
        "times_peer_bf16": ratios(seconds["peer bf16"], seconds["ours bf16"]),
        "peak_bytes": memory,
        "joules_per_clip": energy,
    }


def _step(side: Side, mode: str, batch: int, device: torch.device, precision: str) -> Any:
    """A training step (forward, backward, fused AdamW) or an inference pass, on random input."""
    import torch

    x = 0.1 * torch.randn(batch, *side.shape, device=device)
    if mode == "inference":
        return partial(_infer, side, x, precision)
    parameters = [p for p in side.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-6, fused=True)
    return partial(_train, side, x, precision, optimizer)


def _train(side: Side, x: torch.Tensor, precision: str, optimizer: torch.optim.Optimizer) -> None:
    side.train()
    with _autocast(x.device, precision):
        output = side(x)
    optimizer.zero_grad(set_to_none=True)
    output.float().square().mean().backward()
    optimizer.step()


def _infer(side: Side, x: torch.Tensor, precision: str) -> None:
    import torch

    side.eval()
    with torch.no_grad(), _autocast(x.device, precision):
        side(x)


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def _add_shares(point: dict[str, Any], macs: float, peaks: dict[str, float]) -> None:
    """Share of the peak: operations of our network, three times as many for a training step."""
    work = 2 * macs * (3 if point["mode"] == "training" else 1)
    point["share_of_peak"] = {
        name: work * rate["median"] / peaks[name.split()[1]]
        for name, rate in point["clips_per_second"].items()
    }


def regressions(earlier: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """A line for each ratio of our speed to a peer's that fell below TOLERATED of the earlier."""
    before, now = _ratios(earlier), _ratios(found)
    return [
        f"slower than it was: {' '.join(map(str, key))}: {now[key]:.2f} times the peer, "
        f"was {before[key]:.2f}"
        for key in sorted(before.keys() & now.keys())
        if now[key] < TOLERATED * before[key]
    ]


def _ratios(found: dict[str, Any]) -> dict[tuple[Any, ...], float]:
    return {
        (row["pair"], point["mode"], point["batch"], name): point["times_peer_fp32"][name]["median"]
        for row in found.get("pairs", ())
        for point in row["points"]
        for name in ("ours fp32", "ours bf16")
    }
