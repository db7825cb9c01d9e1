"""The processes that train one run together, one per GPU, as torchrun starts them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import distributed, nn

from bench.files import UserError
from bench.process.signals import held_signals

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Team:
    """Process `rank` of `world_size`; a single process is a team of one.

    `signals` are those that told this process to end and that wait for `leave_together`.
    """

    rank: int = 0
    world_size: int = 1
    signals: Sequence[int] = ()

    def share(self, items: np.ndarray) -> np.ndarray:
        """This process's part of `items`; the parts are consecutive and disjoint."""
        return np.array_split(items, self.world_size)[self.rank]

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """`value` summed over the processes, on its device, without waiting for the sum."""
        if self.world_size == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total

    def gather(self, part: Any) -> list[Any]:
        """The values of all processes, by rank."""
        if self.world_size == 1:
            return [part]
        parts: list[Any] = [None] * self.world_size
        distributed.all_gather_object(parts, part)
        return parts

    def leave_together(self) -> None:
        """End all processes here if one of them was told to end; otherwise they would wait.

        Raises:
            SystemExit: one was.
        """
        if self.world_size > 1 and self.total(torch.tensor(len(self.signals))):
            raise SystemExit(128 + signal.SIGTERM)

    def wrap(self, model: nn.Module) -> nn.Module:
        """`model` with gradients averaged over the processes; `model` itself when alone.

        Raises:
            UserError: batch norm would train on CPUs, where its statistics cannot be synchronised.
        """
        if self.world_size == 1:
            return model
        device = next(model.parameters()).device
        model.train()
        if device.type == "cpu" and any(
            isinstance(module, BATCH_NORMS) and module.training for module in model.modules()
        ):
            raise UserError(
                "this model has batch normalisation, whose statistics can be "
                "synchronised on GPUs only; train it in one process or on GPUs"
            )
        return nn.parallel.DistributedDataParallel(
            model,
            device_ids=None if device.type == "cpu" else [device],
            broadcast_buffers=False,  # synchronised batch norm keeps them equal
            find_unused_parameters=True,  # of the clip head, where only time ranges are trained
        )


@contextmanager
def join_team() -> Iterator[Team]:
    """The team that torchrun started this process in, connected during the block.

    In a team of several, signals to end wait for `leave_together` or the end of the block.
    """
    if "RANK" not in os.environ:
        yield Team()
        return
    backend = "cpu:gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend += ",cuda:nccl"
    distributed.init_process_group(backend)
    try:
        with held_signals() as came:
            yield Team(distributed.get_rank(), distributed.get_world_size(), came)
    finally:
        distributed.destroy_process_group()


def synchronised(model: nn.Module, team: Team) -> nn.Module:
    """`model` with batch norm over the whole batch, as published, where several GPUs train it."""
    if team.world_size == 1 or next(model.parameters()).device.type == "cpu":
        return model
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)
