"""One training step, which never waits for the device; its figures are read one step later."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bench.data.task import Task
from bench.experiment.config import Recipe
from bench.files import UserError
from bench.models.team import Team
from bench.models.torch_setup import compile_in_place
from bench.process.signals import held_signals
from bench.training.batches import Batch
from bench.training.losses import Grid, Objective, Targets, frame_grid
from bench.training.progress import Progress
from modelkit.augment import Augment
from modelkit.draws import share_of_batch

MOMENTUM = 0.9  # of SGD


class DivergedError(UserError):
    """The loss or its gradient is not finite."""


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
    """A batch's loss under a model: the part of a step that is compiled. The processes of a team
    share it as one module, so that weights on which the loss does not depend are recognised."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, features: Tensor, augment: Augment | None, targets: Targets) -> Tensor:
        """The mean loss of this process's part, weighted by its share of the batch."""
        return self.objective(self.model(features, augment=augment), targets, augment)


def make_loss(
    model: nn.Module, task: Task, recipe: Recipe, loss: str, team: Team
) -> tuple[Objective, nn.Module]:
    """The objective of a training, and its `BatchLoss`, compiled and shared as recipe and team
    require.

    Raises:
        UserError: a model without frame logits would train on time ranges, or the teacher's scores
            do not fit.
    """
    grid = None if recipe.supervision == "weak" else _grid(model, task)
    objective = Objective(task, loss, recipe.supervision, grid, recipe.distill)
    batch_loss = BatchLoss(model, objective)
    if is_compiled(recipe, next(model.parameters()).device.type, team.world_size):
        # torch counts the graphs of all trainings in this process; beyond 8 it computes eagerly.
        torch._dynamo.reset()
        compile_in_place(batch_loss)
    return objective, team.wrap(batch_loss)


def is_compiled(recipe: Recipe, device: str, processes: int = 1) -> bool:
    """Whether steps on a device of this type ("cuda", "cpu") are compiled."""
    alone_on_gpu = device == "cuda" and processes == 1
    return alone_on_gpu if recipe.compile == "auto" else recipe.compile


@torch.no_grad()
def _grid(model: nn.Module, task: Task) -> Grid:
    """The frames of a model's output for the task's features."""
    features = torch.from_numpy(task.features(task.rows["train"][:1]))
    return frame_grid(model.eval()(features.to(next(model.parameters()).device)))


def train_step(
    batch_loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    recipe: Recipe,
    team: Team,
) -> Tensor:
    """One optimisation step on a batch that is on the model's device.

    Returns the loss of the whole batch and the norm of its gradient, (2,) float64, on the device.
    Once one of them is not finite, neither this step nor a later one of this optimizer changes the
    weights; the device ensures this, without any waiting.
    """
    optimizer.zero_grad(set_to_none=True)
    kind = batch.features.device.type
    with share_of_batch(batch.share):
        with torch.autocast(kind, torch.bfloat16, enabled=recipe.precision == "bf16"):
            value = batch_loss(batch.features, batch.augment, batch.targets)
        value.backward()
    norm = nn.utils.clip_grad_norm_(batch_loss.parameters(), recipe.gradient_clip or math.inf)
    loss = team.total(value.detach().double()) / team.world_size
    figures = torch.stack([loss, norm.double()])
    stop = figures.isfinite().logical_not_().any().float()
    # Fused optimizers read this on the device: 1 makes them leave the weights unchanged.
    before = getattr(optimizer, "found_inf", stop)
    optimizer.found_inf = torch.maximum(before, stop)  # type: ignore[attr-defined]
    optimizer.step()
    return figures


@dataclass
class Ledger:
    """The losses of an epoch's steps, each read after the next step has begun: by then it is there,
    and the device has work to do meanwhile.

    Attributes:
        steps: of an epoch.
        unread: figures of the last step, their place in the epoch, and the first clip.
    """

    task: Task
    progress: Progress
    steps: int
    unread: tuple[Arriving, str, int] | None = field(default=None, init=False)

    def note(self, figures: Tensor, batch: Batch) -> None:
        """Take the figures of the current step of `progress`, and read those of the previous one.

        Raises:
            DivergedError: see `settle`.
        """
        self.settle()
        place = f"epoch {self.progress.epoch + 1}, batch {self.progress.step + 1} of {self.steps}"
        self.unread = Arriving(figures), place, int(batch.rows[0])

    def settle(self) -> None:
        """Read what is unread, and add the loss to the epoch's.

        Raises:
            DivergedError: a figure is not finite; names the batch. The weights are those
                before it.
        """
        if self.unread is None:
            return
        with held_signals():
            arriving, place, row = self.unread
            loss, norm = arriving.read()
            if not (math.isfinite(loss) and math.isfinite(norm)):
                value = norm if math.isfinite(loss) else loss
                raise DivergedError(
                    f"the loss or its gradient is {value} at {place} (first clip "
                    f"{self.task.corpus.clips['clip'].iloc[row]}); the last good state is kept; "
                    "lower learning_rate or check the features"
                )
            self.progress.epoch_loss += loss
            self.unread = None


class Arriving:
    """Numbers being copied from the device: reading them waits for the work that made them, but not
    for later work."""

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers.to("cpu", non_blocking=True)  # into pinned memory
        self.done = None
        if numbers.device.type == "cuda":
            self.done = torch.cuda.Event()
            self.done.record()

    def read(self) -> list[float]:
        if self.done is not None:
            self.done.synchronize()
        found: list[float] = self.numbers.tolist()
        return found
