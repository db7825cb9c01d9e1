"""GPU slots: Snakemake counts GPUs but hands out no ids, so runs side by side claim them here."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.files import UserError
from bench.process.locks import Lock

VISIBLE = "CUDA_VISIBLE_DEVICES"
JOB = ("SLURM_JOB_ID", "SLURM_STEP_ID")
DRIVER = Path("/dev/nvidiactl")


def devices() -> list[str]:
    """Ids of the GPUs that this process may use: CUDA_VISIBLE_DEVICES, or all by their UUIDs.

    Raises:
        UserError: the driver is there, but nvidia-smi does not list its GPUs.
    """
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return [name for name in names if name not in ("", "-1", "NoDevFiles")]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        failure = str(error)
    else:
        if listed.returncode == 0:
            return listed.stdout.split()
        failure = (listed.stdout + listed.stderr).strip()
    if not DRIVER.exists() or "No devices were found" in failure:
        return []
    raise UserError(
        f"this machine has an NVIDIA driver, but its GPUs cannot be listed ({failure}): repair "
        f"nvidia-smi, or set {VISIBLE} to their numbers (0,1,...), or to -1 to use the CPU"
    )


@contextmanager
def gpu_slot(purpose: str = "a run", count: int = 1) -> Iterator[list[str]]:
    """Hold `count` GPUs of this machine during the block and make only them visible.

    Enter it before CUDA starts. It waits until enough are free; the kernel frees those of a process
    that dies. Without any GPU it yields an empty list. Inside a Slurm job the GPUs are those that
    Slurm assigned, and the runs of this job share them.

    Raises:
        UserError: the machine has GPUs, but fewer than `count`.
    """
    names = devices()
    if names and len(names) < count:
        raise UserError(f"{purpose} needs {count} GPUs, this machine shows {len(names)}")
    if not names:
        yield []
        return
    held = _wait_for(names, count, purpose)
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = ",".join(held)
    try:
        yield list(held)
    finally:
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before
        for lock in held.values():
            lock.release()


def own_folder(path: Path) -> Path:
    """A folder of this user alone in a place where everybody may write; created if missing.

    Raises:
        UserError: another user made it, it is a link, or others may write there.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    state = path.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise UserError(
            f"{path}: is not this user's own folder; remove it, or set TMPDIR to another place"
        )
    return path


def _wait_for(names: list[str], count: int, purpose: str) -> dict[str, Lock]:
    """Locks of the first `count` free GPUs; all or none are held, so that no two claims block."""
    folder = own_folder(Path(tempfile.gettempdir()) / f"bench-gpu-{os.getuid()}")
    # Slurm may number the GPUs of each job, and of each of its steps, from 0.
    job = "".join(f"{os.environ[key]}-" for key in JOB if key in os.environ)
    announced = False
    while True:
        held: dict[str, Lock] = {}
        for name in names:
            if len(held) == count:
                return held
            try:
                held[name] = Lock(folder / f"{job}{name}.lock", purpose).acquire(patience=0)
            except UserError:
                continue
        if len(held) == count:
            return held
        for lock in held.values():
            lock.release()
        if not announced:
            announced = True
            print(f"{purpose} waits for {count} of {len(names)} GPUs", flush=True)
        time.sleep(1.0)
