"""The training loop: one plain loop that every network shares, resumable at every batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from bench.data.task import Task
from bench.experiment.config import Recipe
from bench.files import write_json_lines
from bench.models.team import Team
from bench.models.torch_setup import emulates_bf16
from bench.process.signals import held_signals
from bench.steps import steps_per_epoch
from bench.training.batches import check_shares, on_device, read_batches
from bench.training.excerpt import WHOLE, Excerpt
from bench.training.headroom import within_memory
from bench.training.progress import Progress, validate
from bench.training.schedule import learning_rate
from bench.training.state import StateFolder
from bench.training.step import Ledger, make_loss, make_optimizer, set_rate, train_step
from bench.training.streams import stream_seed


def fit(
    model: nn.Module,
    task: Task,
    recipe: Recipe,
    loss: str,
    selection: str,
    seed: int,
    state: StateFolder,
    log: Callable[[str], None] = print,
    *,
    team: Team | None = None,
    workers: int = 0,
    excerpt: Excerpt = WHOLE,
) -> Progress:
    """Train `model` in place and leave the selected weights in it.

    Resumes from `state`, which is saved after each epoch, by time in between, and when the process
    is told to end. Every random number depends only on (seed, purpose, epoch, step), so a resumed
    run equals an uninterrupted one.

    Args:
        loss: "bce" (sigmoid, several labels) or "ce" (softmax, one label).
        selection: validation metric that picks the epoch when the recipe selects "best".
        team: the processes that share each batch; each calls this function.
        workers: threads that read batches ahead; results do not depend on them.
        excerpt: which part of the recipe is trained.

    Raises:
        DivergedError: naming epoch and batch; the last good state stays on disk.
        UserError: a batch has fewer clips than there are processes.
    """
    team, recipe = team or Team(), excerpt.recipe(recipe)
    check_shares(recipe, team)
    steps = steps_per_epoch(len(task.rows["train"]), recipe.batch_size)
    optimizer = make_optimizer(model, recipe)
    objective, batch_loss = make_loss(model, task, recipe, loss, team)
    device = next(model.parameters()).device
    on_gpu = device.type == "cuda"
    if recipe.precision == "bf16" and emulates_bf16(device.type):
        log("this CPU has no bf16 instructions: precision fp32 is 4 to 100 times as fast here")
    take_step = partial(train_step, batch_loss, optimizer, recipe=recipe, team=team)
    progress = _resume(model, optimizer, state)
    ledger = Ledger(task, progress, steps)
    save = partial(_save, state, model, optimizer, ledger, team)
    watch = Stopwatch()
    try:
        for epoch in [n for n in excerpt.taken(recipe.epochs) if n >= progress.epoch]:
            progress.epoch = epoch
            todo = [n for n in excerpt.taken(steps) if n >= progress.step]
            batches = read_batches(
                task, recipe, objective, seed, epoch, todo, team, workers, pinned=on_gpu
            )
            model.train()
            for progress.step, batch in zip(todo, on_device(batches, device), strict=True):
                step = epoch * steps + progress.step
                set_rate(optimizer, learning_rate(recipe, step, steps))
                torch.manual_seed(stream_seed(seed, "dropout", epoch, progress.step))
                with held_signals():
                    figures = within_memory(take_step, batch, alone=team.world_size == 1)
                    ledger.note(figures, batch)
                    progress.count_batch(recipe.batch_size, watch.lap())
                excerpt.stepped(epoch, progress.step - 1)
                team.leave_together()
                if state.due():
                    save()
            ledger.settle()
            figure = validate(model, task, loss, selection, team)
            with held_signals():
                progress.finish_epoch(model, recipe, figure)
                progress.seconds += watch.lap()
                progress.note(
                    step=progress.epoch * steps,
                    train_loss=progress.epoch_loss / steps,
                    learning_rate=optimizer.param_groups[0]["lr"],
                    **{f"validation_{selection}": figure},
                    seconds=round(progress.seconds, 3),
                )
            save()
            log(progress.line(recipe, selection))
    except (SystemExit, KeyboardInterrupt):
        save()
        log(f"stopped after epoch {progress.epoch}, batch {progress.step} of {steps}; saved")
        raise
    progress.select_weights(model, recipe)
    return progress


class Stopwatch:
    """Seconds from one lap to the next."""

    def __init__(self) -> None:
        self.last = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last call, or since this was made."""
        before, self.last = self.last, time.perf_counter()
        return self.last - before


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer, state: StateFolder) -> Progress:
    saved = state.load()
    if saved is None:
        return Progress()
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return Progress(**saved["progress"])


def _save(
    state: StateFolder,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ledger: Ledger,
    team: Team,
) -> None:
    ledger.settle()
    if team.rank:
        return
    progress = ledger.progress
    with held_signals():
        state.save(
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "progress": dict(vars(progress)),
            }
        )
        write_json_lines(state.folder / "metrics.jsonl", progress.curve)  # for those who watch
