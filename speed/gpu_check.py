"""`python -m bench gpu-check`: parity, reproducibility and speed on a GPU, most important first.

It builds and fetches nothing: features are random, and a peer that is not installed is left out.
The JSON is written after each step, so that an early end loses nothing, and a step that takes too
long is ended; `python -m bench speed --show FILE` makes its tables. `--device cpu` rehearses it
with the small presets.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import importlib.util
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench import registry
from bench.code_digest import ROOT
from bench.files import UserError, write_json
from bench.provenance import environment, source
from speed.checks import Row, Size, parity, rate, train_twice
from speed.tables import render

FIRST = ("htsat", "ast", "pann")
RIVALS = ("passt", "mobilenet", "atst_frame", "dasheng")
LONGEST = 0.25  # of the time, for one step
GRACE_S = 30.0  # in which a step that is to end must have ended
STDERR = 2  # the descriptor: `sys.stderr` may have been replaced
PAIRS = (
    *("htsat/official-network", "htsat/timm", "htsat/clap"),
    *("ast/transformers", "pann/official-network"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--device",
        choices=("cuda", "cpu"),
        default="cuda",
        help="cpu: a rehearsal, with small presets (default: cuda)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=12.0,
        help="no step begins later, and each ends within a quarter of that (default: 12)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("work/gpu-check.json"),
        metavar="FILE",
        help="the JSON of its results (default: work/gpu-check.json)",
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
        taken = {"step": name, "seconds": 0.0, "outcome": "left out: no time was left"}
        found["steps"].append(taken)
        if begun < end:
            print(f"{name} …", flush=True)
            taken["outcome"] = "not finished: ended from outside, or hung (see the end of the log)"
            write_json(args.output, found)
            taken["outcome"] = _taken(step, min(60 * LONGEST * args.minutes, end - begun))
            taken["seconds"] = round(time.monotonic() - begun, 1)
        write_json(args.output, found)
    print(render(found))
    return 0 if all(step["outcome"] == "done" for step in found["steps"]) else 1


def _taken(step: Callable[[], None], seconds: float) -> str:
    """How a step ended, at the latest after these seconds; a failed step does not stop the
    others."""
    try:
        with _limited(seconds):
            step()
    except (Exception, OutOfTimeError) as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        print(said, flush=True)
        return said
    finally:
        gc.collect()
    return "done"


class OutOfTimeError(BaseException):
    """A step took too long. No `except Exception` on the way keeps or renames it."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raises OutOfTimeError in the block after `seconds`. Where it hangs in one call, which Python
    cannot leave, this process ends GRACE_S later and tells where that was."""

    def stop(*_: object) -> None:
        raise OutOfTimeError(f"ended after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    faulthandler.dump_traceback_later(seconds + GRACE_S, exit=True, file=STDERR)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


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
            for pair in PAIRS if size.full else PAIRS[: int(size.bf16)]:
                yield f"beside {pair}", partial(_beside, found, pair, size)


def _add(found: dict[str, Any], part: str, measure: Callable[..., Row], *arguments: Any) -> None:
    found.setdefault(part, []).append(measure(*arguments))


def _peaks(found: dict[str, Any], size: Size) -> None:
    from speed import timing

    kinds = timing.precisions(size.device)
    peaks = {name: timing.matmul_peak(size.device, kind) for name, kind in kinds.items()}
    found["matmul_peak_flops"] = peaks


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
        rounds=3 if size.full else 1, budget_s=20.0, batches=(size.batch // 2,)
    )
    torch.set_deterministic_debug_mode("default")  # peers have operations without such a form
    try:
        measured = models.measure([pair], options)
    finally:
        torch.set_deterministic_debug_mode("error")
    pairs = [*found.get("pairs", ()), *measured.pop("pairs")]
    found |= {**measured, "device": found["device"], "pairs": pairs}
