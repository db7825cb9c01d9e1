"""`python -m bench train CELL`: train one run and score its validation and test clips."""

from __future__ import annotations

import argparse
import resource
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.code_digest import model_stage_digest
from bench.data.checkpoints import start_of
from bench.data.task import Task, open_task
from bench.experiment import cells, config, folders
from bench.experiment.cells import Layout, Plan
from bench.files import digest_of, read_json, write_json_lines
from bench.models.card import Card
from bench.models.scores import Scores, write_scores
from bench.process.launch import find_device, in_team, is_follower, run_team, team_size
from bench.process.locks import run_lock
from bench.process.memory import keep_freed_memory
from bench.process.sampler import Sampler
from bench.process.slots import gpu_slot
from bench.provenance import environment
from bench.registry import CLASSIC, SOLVED
from bench.training.description import SCORED, describe_run
from bench.training.streams import stream_seed

if TYPE_CHECKING:
    from torch import nn

    from bench.process.team import Team


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("cell", help="DATASET/MODEL/VARIANT/[foldF-]seedS, as `plan` lists them")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (results depend on it)")
    parser.add_argument(
        "--gpus",
        type=int,
        help="GPUs that share each batch; 0: CPU (default: 1 where there is one)",
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="threads that read ahead; results are the same"
    )
    parser.add_argument(
        "--save-every", type=float, default=300.0, metavar="SECONDS", help="besides each epoch"
    )


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    settings = folders.load(args.config)
    cell = cells.find_cell(settings, args.cell)
    network = settings.models[cell.model].architecture not in SOLVED
    if network and (args.gpus or 0) > 1 and not in_team():
        return run_team(args.gpus, str(cell))
    train_cell(settings, cell, Resources(args.threads, args.gpus, args.workers, args.save_every))
    return 0


@dataclass(frozen=True)
class Resources:
    """What a run may use. Only `threads` and the number of processes can change a digit.

    Attributes:
        threads: CPU threads.
        gpus: GPUs that it asked for; 0 = CPU, None = one where there is one.
        workers: threads that read batches ahead.
        save_every: seconds after which the state is saved within an epoch.
    """

    threads: int = 1
    gpus: int | None = None
    workers: int = 0
    save_every: float = 300.0


def train_cell(
    settings: config.Config, cell: cells.Cell, resources: Resources, layout: Layout | None = None
) -> None:
    """Train a run, score it, and write model.pt, metrics.jsonl, scores.npz and training.json.

    training.json is written last: where it stands, the others are whole.

    Args:
        layout: other folders than the experiment's.

    Raises:
        UserError: a stage before is missing, or another process trains this run.
    """
    keep_freed_memory()
    plan, layout = cells.plan(settings, cell), layout or Layout.of(settings)
    digests = input_digests(plan, layout)
    team = {"processes": team_size()} if team_size() > 1 else {}
    identity = digest_of(
        {"resolved": plan.resolved, "digests": digests, "threads": resources.threads, **team}
    )
    started = datetime.now(UTC)
    task = open_task(
        plan, layout.corpus(cell.dataset), layout.features(cell.dataset, plan.model.front_end)
    )
    train = _solve if plan.model.architecture in SOLVED else _train_network
    folder, state = layout.run(cell), layout.state(identity)
    if is_follower():  # it computes with the others; the first of them writes
        train(plan, layout, task, identity, resources)
        return
    with run_lock(state, str(cell)):
        with Sampler() as system:
            outcome = train(plan, layout, task, identity, resources)
        outcome.save(folder / "model.pt")
        write_json_lines(folder / "metrics.jsonl", outcome.curve)
        write_json_lines(folder / "system.jsonl", system.samples)
        write_scores(folder / "scores.npz", task, outcome.scores)
        describe_run(
            folder,
            plan,
            task,
            digests,
            identity,
            started,
            threads=resources.threads,
            network=outcome.network,
            parameters=outcome.parameters,
            cost=outcome.cost,
            device=outcome.device,
        )
        shutil.rmtree(state, ignore_errors=True)


@dataclass(frozen=True)
class Outcome:
    """What training hands over; `save` writes the weights to a path."""

    save: Callable[[Path], None]
    scores: dict[str, Scores]
    curve: list[dict[str, Any]]
    network: dict[str, Any] | None
    parameters: int
    cost: dict[str, Any]
    device: str


def input_digests(plan: Plan, layout: Layout) -> dict[str, str]:
    """Digests of everything besides the config that decides this run's result."""
    digests = {
        "code_train": model_stage_digest("train", plan.model.architecture),
        "data": read_json(layout.corpus(plan.cell.dataset) / "corpus.json")["digest"],
        "features": read_json(
            layout.features(plan.cell.dataset, plan.model.front_end) / "digest.json"
        )["digest"],
        "pins": environment()["pins_sha256"],
    }
    if plan.parent is not None:
        digests["parent"] = read_json(layout.run(plan.parent) / "training.json")["identity"]
    if (start := start_of(plan)) is not None:
        digests["start"] = start.sha256
    return digests


def _train_network(
    plan: Plan, layout: Layout, task: Task, identity: str, resources: Resources
) -> Outcome:
    import torch

    from bench.models import networks
    from bench.models.activations import saved_activation_bytes
    from bench.process.team import join_team, synchronised
    from bench.process.torch_setup import set_up
    from bench.training import fit
    from bench.training.state import StateFolder

    slot = nullcontext() if in_team() or resources.gpus == 0 else gpu_slot(str(plan.cell))
    with slot, join_team() as team:
        set_up(resources.threads)
        torch.manual_seed(stream_seed(plan.cell.seed, "init"))
        model = networks.build(plan, len(task.corpus.classes))
        if plan.parent is not None:
            networks.start_from_run(model, layout.run(plan.parent) / "model.pt")
        elif (start := start_of(plan)) is not None:
            print(networks.start_from_file(model, plan.recipe.init, start.path), flush=True)
        device = find_device(resources.gpus)
        model = synchronised(model.to(device), team)
        sample = torch.from_numpy(task.features(task.rows["train"][:4])).to(device)
        activation_bytes = saved_activation_bytes(model, sample) / len(sample)
        progress = fit.fit(
            model,
            task,
            plan.recipe,
            plan.dataset.loss,
            plan.dataset.selection,
            plan.cell.seed,
            StateFolder(layout.state(identity), identity, resources.save_every),
            log=lambda line: print(f"{plan.cell}: {line}", flush=True),
            team=team,
            workers=resources.workers,
        )
        return _outcome(
            model,
            plan,
            task,
            progress.curve,
            progress.seconds,
            team=team,
            clips_seen=progress.clips_seen,
            epochs=progress.epoch,
            selected_epoch=progress.selected_epoch,
            activation_bytes_per_clip=activation_bytes,
        )


def _solve(plan: Plan, layout: Layout, task: Task, identity: str, resources: Resources) -> Outcome:
    from bench.models import networks
    from bench.process.torch_setup import set_up
    from bench.training import classic, linear

    set_up(resources.threads)
    model = networks.build(plan, len(task.corpus.classes))
    clock = time.perf_counter()
    fit = classic.fit if plan.model.architecture in CLASSIC else linear.fit
    curve, selected = fit(model, task, plan.dataset.loss)
    return _outcome(
        model,
        plan,
        task,
        curve,
        time.perf_counter() - clock,
        clips_seen=len(task.rows["train"]),
        epochs=len(curve),
        selected_epoch=selected,
        activation_bytes_per_clip=None,
    )


def _outcome(
    model: nn.Module,
    plan: Plan,
    task: Task,
    curve: list[dict[str, Any]],
    seconds: float,
    *,
    team: Team | None = None,
    **cost: Any,
) -> Outcome:
    """Score the clips of a trained model; `seconds` are those of its training."""
    import torch

    from bench.models import networks
    from bench.models.shifts import score_shifted

    clock = time.perf_counter()
    shifts = {"test": plan.recipe.test_shifts}
    scores = {
        name: score_shifted(
            model, task, task.rows[name], plan.dataset.loss, shifts.get(name, ()), team
        )
        for name in SCORED
    }
    score_seconds = time.perf_counter() - clock
    card = Card.of_run(plan, task.corpus.classes, task.scale)
    device = next(model.parameters()).device
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else None
    return Outcome(
        save=lambda path: networks.save_run(model, card, path),
        scores=scores,
        curve=curve,
        network=networks.resolved_values(model),
        parameters=networks.live_parameters(model),
        cost=_cost(seconds, score_seconds, gpu_peak=peak, **cost),
        device=torch.cuda.get_device_name(device) if on_gpu else "cpu",
    )


def _cost(
    seconds: float, score_seconds: float, clips_seen: int, *, gpu_peak: int | None, **rest: Any
) -> dict[str, Any]:
    """Cost fields of a record; peak memory is the GPU's allocations, else the resident set."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "train_seconds": seconds,
        "train_hours": seconds / 3600,
        "score_seconds": score_seconds,
        "clips_seen": clips_seen,
        "clips_per_second": clips_seen / seconds,
        "peak_memory_mb": (resident if gpu_peak is None else gpu_peak) / 2**20,
        **rest,
    }
