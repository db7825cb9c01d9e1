"""Several processes for one run: torchrun, one process per GPU, inside one claim on the GPUs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.files import UserError
from bench.process.locks import SUPERVISOR
from bench.process.slots import gpu_slot

if TYPE_CHECKING:
    import torch


def run_team(gpus: int, purpose: str) -> int:
    """Run this very command in `gpus` processes; returns torchrun's exit code."""
    with gpu_slot(purpose, gpus):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(gpus), "-m", "bench", *sys.argv[1:]]
        # Should this process be killed, its processes end too.
        team = subprocess.Popen(command, env={**os.environ, SUPERVISOR: str(os.getpid())})
        try:
            return team.wait()
        except (SystemExit, KeyboardInterrupt):
            team.send_signal(signal.SIGTERM)  # which torchrun passes on
            team.wait()
            raise


def in_team() -> bool:
    """Whether torchrun started this process."""
    return "RANK" in os.environ


def rank() -> int:
    """The rank of this process among those that train a run together; rank 0 writes."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes train this run together."""
    return int(os.environ.get("WORLD_SIZE", "1")) if in_team() else 1


def find_device(gpus: int | None) -> torch.device:
    """The device of this process.

    Args:
        gpus: the requested number; None takes a GPU if there is one.

    Raises:
        UserError: GPUs were requested and PyTorch sees none.
    """
    import torch

    if gpus != 0 and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if gpus:
        raise UserError(
            f"--gpus {gpus}, but PyTorch sees no GPU here (CUDA_VISIBLE_DEVICES is "
            f"{os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}); see `nvidia-smi`, "
            "or train on CPUs with --gpus 0"
        )
    return torch.device("cpu")
