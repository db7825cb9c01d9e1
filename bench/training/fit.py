"""The training loop: one plain loop that every model shares, resumable at every batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import nn

from bench.data.task import Task
from bench.data.windows import drawn_windows
from bench.experiment.config import Recipe
from bench.files import UserError
from bench.metrics.tagging import tagging_metrics
from bench.models.scoring import AT_ONCE, score_clips
from bench.process.signals import held_signals
from bench.process.team import Team
from bench.training.headroom import Batch, within_memory
from bench.training.loading import read_ahead
from bench.training.losses import Objective
from bench.training.progress import Progress, finish_epoch, progress_line, select_weights
from bench.training.sampling import epoch_batches, with_partners
from bench.training.schedule import learning_rate
from bench.training.state import StateFolder
from bench.training.streams import generator, stream_seed
from modelkit.augment import Augment, Mixup, SpecAugment
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

    Raises:
        DivergedError: naming epoch and batch; the last good state stays on disk.
        UserError: a batch has fewer clips than there are processes.
    """
    team = team or Team()
    _check_shares(recipe, team)
    optimizer = make_optimizer(model, recipe)
    batch_loss = BatchLoss(model, Objective(task, loss, recipe.supervision, team))
    progress = _resume(model, optimizer, state)
    take_step = partial(train_step, team.wrap(batch_loss), optimizer, recipe=recipe, team=team)
    steps = recipe.steps(len(task.rows["train"]))
    clock = time.perf_counter()

    def spend() -> None:
        nonlocal clock
        now = time.perf_counter()
        progress.seconds += now - clock
        clock = now

    try:
        while progress.epoch < recipe.epochs:
            epoch = progress.epoch
            order = epoch_batches(task, recipe, seed, epoch)
            todo = range(progress.step, steps)
            batches = read_batches(task, recipe, order, todo, seed, epoch, team, workers)
            model.train()
            for step, batch in zip(todo, batches, strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(recipe, epoch * steps + step, steps)
                torch.manual_seed(stream_seed(seed, "dropout", epoch, step))
                with held_signals():
                    value = within_memory(take_step, batch, alone=team.size == 1)
                    if not math.isfinite(value):
                        first = task.corpus.clips["clip"].iloc[order[step, 0]]
                        raise DivergedError(
                            f"the loss or its gradient is {value} at epoch {epoch + 1}, batch "
                            f"{step + 1} of {steps} (first clip {first}); the last good state is "
                            "kept; lower learning_rate or check the features"
                        )
                    progress.epoch_loss += value
                    progress.clips_seen += recipe.batch_size
                    progress.step += 1
                    spend()
                team.leave_together()
                if state.due():
                    _save(state, model, optimizer, progress, team)
            figure = validate(model, task, loss, selection, team)
            with held_signals():
                finish_epoch(progress, model, recipe, figure)
                spend()
                progress.curve.append(
                    {
                        "epoch": progress.epoch,
                        "step": progress.epoch * steps,
                        "train_loss": progress.epoch_loss / steps,
                        "learning_rate": optimizer.param_groups[0]["lr"],
                        f"validation_{selection}": figure,
                        "seconds": round(progress.seconds, 3),
                    }
                )
                progress.step, progress.epoch_loss = 0, 0.0
            _save(state, model, optimizer, progress, team)
            log(progress_line(progress, recipe, selection))
    except (SystemExit, KeyboardInterrupt):
        _save(state, model, optimizer, progress, team)
        log(f"stopped after epoch {progress.epoch}, batch {progress.step} of {steps}; saved")
        raise
    select_weights(progress, model, recipe)
    return progress


def _check_shares(recipe: Recipe, team: Team) -> None:
    """Refuse batches of which some process would get nothing."""
    pairs = recipe.mixup is not None and recipe.mixup.pairing == "pairs"
    clips = recipe.batch_size // 2 if pairs else recipe.batch_size
    if clips < team.size:
        raise UserError(
            f"batch_size {recipe.batch_size} leaves {clips} to train on for {team.size} processes; "
            "raise it, or use fewer GPUs"
        )


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


def draw_augment(recipe: Recipe, batch: int, rng: np.random.Generator) -> Augment | None:
    """The batch's SpecAugment and mixup numbers, or None where the recipe has neither."""
    if recipe.specaugment is None and recipe.mixup is None:
        return None
    stripes = SpecAugment(**dict(recipe.specaugment)) if recipe.specaugment else None
    mixup = Mixup(**dict(recipe.mixup)) if recipe.mixup else None
    return Augment.draw(batch, rng, stripes=stripes, mixup=mixup)


def read_batches(
    task: Task,
    recipe: Recipe,
    order: np.ndarray,
    steps: range,
    seed: int,
    epoch: int,
    team: Team,
    workers: int,
) -> Iterator[Batch]:
    """This process's part of the batches `steps` of an epoch with the clips `order` (steps, B).

    Of a clip that is longer than the model takes, each epoch sees one window, drawn anew.
    """

    def read(step: int) -> Batch:
        rows = with_partners(task, recipe, order[step], generator(seed, "partners", epoch, step))
        weight, share = 1.0, None
        lengths, length = task.lengths(rows), task.front_end.frames
        starts = drawn_windows(lengths, length, generator(seed, "window", epoch, step))
        rng = generator(seed, "augment", epoch, step)
        augment = draw_augment(recipe, len(rows), rng)
        if team.size > 1:
            whole = augment or Augment.draw(len(rows), rng)
            mine, needed, augment = whole.part(team.rank, team.size)
            rows, starts = rows[needed], starts[needed]
            weight, share = len(mine) * team.size / whole.size, (whole.size, mine)
        features = torch.from_numpy(task.features(rows, starts))
        return Batch(features, rows, augment, weight, share, starts)

    return read_ahead(read, steps, workers)


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
    return whole / team.size


def validate(model: nn.Module, task: Task, loss: str, selection: str, team: Team) -> float:
    """The selection metric on the validation split."""
    rows = task.rows["validation"]
    scores = score_clips(model, task, rows, loss, team, at_once=AT_ONCE).clip_scores
    metrics = tagging_metrics(
        scores, task.targets[rows], task.corpus.classes, multilabel=task.corpus.multilabel
    )
    return metrics[selection].value


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
