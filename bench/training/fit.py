"""The training loop: one plain loop that every network shares, resumable at every batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from bench.data.task import Task
from bench.experiment.config import Recipe
from bench.files import UserError
from bench.models.team import Team
from bench.process.signals import held_signals
from bench.training.batches import Batch, check_shares, read_batches
from bench.training.excerpt import WHOLE, Excerpt
from bench.training.headroom import within_memory
from bench.training.losses import Objective
from bench.training.progress import Progress, validate
from bench.training.schedule import learning_rate
from bench.training.state import StateFolder
from bench.training.streams import stream_seed
from modelkit.draws import share_of_batch

MOMENTUM = 0.9  # of SGD


class DivergedError(UserError):
    """The loss or its gradient is no longer a number."""


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
    is told to end. Every random number depends on (seed, purpose, epoch, step) alone, so a resumed
    run equals an uninterrupted one.

    Args:
        loss: "bce" (sigmoid, several labels) or "ce" (softmax, one label).
        selection: validation metric that picks the epoch when the recipe selects "best".
        team: the processes that share each batch; each calls this function.
        workers: threads that read batches ahead; results do not depend on them.
        excerpt: what of the recipe is trained.

    Raises:
        DivergedError: naming epoch and batch; the last good state stays on disk.
        UserError: a batch has fewer clips than there are processes.
    """
    team, recipe = team or Team(), excerpt.recipe(recipe)
    check_shares(recipe, team)
    steps = recipe.steps(len(task.rows["train"]))
    optimizer = make_optimizer(model, recipe)
    objective = Objective(task, loss, recipe.supervision, team, recipe.distill)
    batch_loss = team.wrap(BatchLoss(model, objective))
    take_step = partial(train_step, batch_loss, optimizer, recipe=recipe, team=team)
    progress = _resume(model, optimizer, state)
    save = partial(_save, state, model, optimizer, progress, team)
    watch = Stopwatch()
    try:
        for epoch in [n for n in excerpt.taken(recipe.epochs) if n >= progress.epoch]:
            progress.epoch = epoch
            todo = [n for n in excerpt.taken(steps) if n >= progress.step]
            batches = read_batches(task, recipe, seed, epoch, todo, team, workers)
            model.train()
            for progress.step, batch in zip(todo, batches, strict=True):
                step = epoch * steps + progress.step
                set_rate(optimizer, learning_rate(recipe, step, steps))
                torch.manual_seed(stream_seed(seed, "dropout", epoch, progress.step))
                with held_signals():
                    value = within_memory(take_step, batch, alone=team.world_size == 1)
                    _check_finite(value, task, batch, progress, steps)
                    progress.count_batch(value, recipe.batch_size, watch.lap())
                excerpt.stepped(epoch, progress.step - 1)
                team.leave_together()
                if state.due():
                    save()
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


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD over all trainable parameters in one group, as the published recipes do.

    The fused form computes the same in one pass over the weights.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=recipe.learning_rate,
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(
        parameters,
        lr=recipe.learning_rate,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        amsgrad=recipe.amsgrad,
        fused=True,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class BatchLoss(nn.Module):
    """A batch's loss under a model. The processes of a team share it as one module, so that weights
    on which the loss does not depend are known as such."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch) -> torch.Tensor:
        """The mean loss of this process's part, weighted as its share of the batch asks."""
        device = next(self.model.parameters()).device
        output = self.model(batch.features.to(device), augment=batch.augment)
        return self.objective(output, batch.rows, batch.augment, batch.weight, batch.starts)


def train_step(
    batch_loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    recipe: Recipe,
    team: Team,
) -> float:
    """One optimisation step on a batch; returns the loss of the whole batch.

    Where loss or gradient is no finite number the weights stay as they were, and it returns that.
    """
    kind = next(batch_loss.parameters()).device.type
    optimizer.zero_grad(set_to_none=True)
    with share_of_batch(batch.share):
        with torch.autocast(kind, torch.bfloat16, enabled=recipe.precision == "bf16"):
            value = batch_loss(batch)
        value.backward()
    norm = nn.utils.clip_grad_norm_(batch_loss.parameters(), recipe.gradient_clip or math.inf)
    (whole,) = team.add_up(float(value.detach()))
    if not (math.isfinite(whole) and math.isfinite(float(norm))):
        return whole if not math.isfinite(whole) else float(norm)
    optimizer.step()
    return whole / team.world_size


def _check_finite(value: float, task: Task, batch: Batch, progress: Progress, steps: int) -> None:
    if not math.isfinite(value):
        first = task.corpus.clips["clip"].iloc[batch.rows[0]]
        raise DivergedError(
            f"the loss or its gradient is {value} at epoch {progress.epoch + 1}, batch "
            f"{progress.step + 1} of {steps} (first clip {first}); the last good state is "
            "kept; lower learning_rate or check the features"
        )


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
    progress: Progress,
    team: Team,
) -> None:
    if team.rank:
        return
    with held_signals():
        state.save(
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "progress": dict(vars(progress)),
            }
        )
        state.save_curve(progress.curve)
