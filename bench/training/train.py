"""`python -m bench train RUN`: train one run and score its validation and test clips."""

from __future__ import annotations

import argparse
import shutil
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import registry
from bench.code_digest import model_stage_digest
from bench.corpora.listing import corpus_facts
from bench.data.store import store_facts
from bench.data.task import Task, open_task
from bench.experiment import cells, config, folders
from bench.experiment.cells import Layout, Plan
from bench.experiment.checkpoints import start_of
from bench.files import UserError, digest_file
from bench.models.card import Card
from bench.process.launch import find_device, in_team, rank, run_team
from bench.process.locks import run_lock
from bench.process.memory import keep_freed_memory
from bench.process.sampler import Sampler
from bench.process.slots import gpu_slot
from bench.provenance import environment
from bench.results.training import Training
from bench.training.description import SCORED, Origin, Outcome, write_run
from bench.training.excerpt import WHOLE, Excerpt
from bench.training.streams import run_seed, stream_seed
from bench.training.teacher import digest_of_scores

if TYPE_CHECKING:
    from torch import nn

    from bench.models.team import Team
    from bench.training.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    settings = folders.load(args.config)
    cell = cells.find_cell(settings, args.cell)
    solved = settings.models[cell.model].architecture in registry.SOLVED
    gpus = 0 if solved else args.gpus
    if (gpus or 0) > 1 and not in_team():
        return run_team(gpus, str(cell))
    train_cell(settings, cell, Resources(args.threads, gpus, args.workers, args.save_every))
    return 0


@dataclass(frozen=True)
class Resources:
    """What a run may use. Only `threads` and the number of processes can change a digit.

    Attributes:
        threads: CPU threads.
        gpus: requested GPUs; 0 = CPU, None = one if there is one.
        workers: threads that read batches ahead.
        save_every: seconds after which the state is saved within an epoch.
        excerpt: which part of the recipe is trained.
    """

    threads: int = 1
    gpus: int | None = None
    workers: int = 0
    save_every: float = 300.0
    excerpt: Excerpt = WHOLE


def train_cell(
    settings: config.Config, cell: cells.Cell, resources: Resources, layout: Layout | None = None
) -> None:
    """Train a run, score it, and write model.pt, metrics.jsonl, scores.npz and training.json.

    training.json is written last: if it exists, the others are complete. The state stays: see
    `drop_state`.

    Args:
        layout: other folders than the experiment's.

    Raises:
        UserError: a stage before is missing, or another process trains this run.
    """
    keep_freed_memory()
    plan, layout = cells.plan(settings, cell), layout or Layout.of(settings)
    origin = Origin(plan, input_digests(plan, layout), resources.threads)
    features = layout.features(cell.dataset, plan.model.front_end)
    task = open_task(plan, layout.corpus(cell.dataset), features)
    state = layout.state(origin.identity)
    if rank():  # it computes with the others; rank 0 writes
        train(origin, layout, task, resources)
        return
    with run_lock(state, str(cell)):
        with Sampler() as system:
            made = train(origin, layout, task, resources)
        write_run(layout.run(cell), origin, task, replace(made, system=system.samples))


def drop_state(layout: Layout, cell: cells.Cell) -> None:
    """Remove the state of a finished training, once nothing can ask for the training again: until
    then a repetition goes on from its last epoch."""
    made = Training.read(layout.run(cell) / "training.json")
    shutil.rmtree(layout.state(made.identity), ignore_errors=True)


def input_digests(plan: Plan, layout: Layout) -> dict[str, str]:
    """Digests of everything besides the config that decides this run's result."""
    digests = {
        "code_train": model_stage_digest("train", plan.model.architecture),
        "data": corpus_facts(layout.corpus(plan.cell.dataset))["digest"],
        "features": store_facts(layout.features(plan.cell.dataset, plan.model.front_end))["digest"],
        "pins": environment()["pins_sha256"],
    }
    if plan.parent is not None:
        digests["parent"] = weights_digest(layout.run(plan.parent) / "model.pt")
    if (start := start_of(plan)) is not None:
        digests["start"] = start.sha256
    if plan.recipe.distill is not None:
        digests["teacher"] = digest_of_scores(plan.recipe.distill)
    return digests


def weights_digest(path: Path) -> str:
    """The identity of a parent run for the runs that start from it: sha256 of its weights.

    Raises:
        UserError: they are not there.
    """
    try:
        return digest_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; train the run it belongs to first") from error


def train(origin: Origin, layout: Layout, task: Task, resources: Resources) -> Outcome:
    """Build a run's model, train or solve it, and score its clips."""
    import torch

    from bench.models import networks
    from bench.models.activations import saved_activation_bytes
    from bench.models.team import join_team, synchronised
    from bench.models.torch_setup import set_up
    from bench.training import fit, solve
    from bench.training.state import StateFolder

    plan = origin.plan
    cell, goal = plan.cell, (plan.dataset.loss, plan.dataset.selection)
    seed = run_seed(cell.seed, plan.recipe.streams)
    slot = nullcontext() if in_team() or resources.gpus == 0 else gpu_slot(str(cell))
    with slot, join_team() as team:
        set_up(resources.threads)
        torch.manual_seed(stream_seed(seed, "init"))
        model = networks.build(plan, len(task.corpus.classes))
        solved = plan.model.architecture in registry.SOLVED
        if plan.parent is not None and not solved:
            weights = layout.run(plan.parent) / "model.pt"
            print(networks.start_from_run(model, plan, weights), flush=True)
        elif (start := start_of(plan)) is not None:
            print(networks.start_from_file(model, plan.recipe.init, start.path), flush=True)
        device = find_device(resources.gpus)
        model = synchronised(model.to(device), team)
        if solved:
            return _outcome(model, plan, task, solve.fit(model, task, *goal), team)
        sample = torch.from_numpy(task.features(task.rows["train"][:4])).to(device)
        activation_bytes = saved_activation_bytes(model, sample) / len(sample)
        progress = fit.fit(
            model,
            task,
            plan.recipe,
            *goal,
            seed,
            StateFolder(layout.state(origin.identity), origin.identity, resources.save_every),
            log=lambda line: print(f"{cell}: {line}", flush=True),
            team=team,
            workers=resources.workers,
            excerpt=resources.excerpt,
        )
        return _outcome(model, plan, task, progress, team, activation_bytes)


def _outcome(
    model: nn.Module,
    plan: Plan,
    task: Task,
    progress: Progress,
    team: Team,
    activation_bytes: float | None = None,
) -> Outcome:
    """Score the clips of a trained model."""
    from bench.models import networks
    from bench.models.shifts import score_splits

    clock = time.perf_counter()
    scores = score_splits(model, task, SCORED, plan, team)
    score_seconds = time.perf_counter() - clock
    card = Card.of_run(plan, task.corpus.classes, task.scale)
    return Outcome(
        scores=scores,
        network=networks.resolved_values(model),
        parameters=networks.live_parameters(model),
        cost={
            "train_seconds": progress.seconds,
            "train_hours": progress.seconds / 3600,
            "score_seconds": score_seconds,
            "clips_seen": progress.clips_seen,
            "clips_per_second": progress.clips_seen / progress.seconds,
            "peak_memory_mb": networks.peak_memory(model) / 2**20,
            "epochs": progress.epoch,
            "selected_epoch": progress.selected_epoch,
            "activation_bytes_per_clip": activation_bytes,
        },
        device=networks.device_name(model),
        curve=progress.curve,
        save=lambda path: networks.save_run(model, card, path),
    )
