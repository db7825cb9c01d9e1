"""Locks that the kernel releases when their holder dies: none is ever stale, none needs a reset."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.files import UserError, open_own

SUPERVISOR = "BENCH_SUPERVISOR"
GLANCE = 1.0  # seconds to wait at least: `holder` takes the lock for an instant to look at it


class Lock:
    """An exclusive lock on a small file that says who holds it."""

    def __init__(self, path: str | Path, purpose: str) -> None:
        self.path = Path(path)
        self.purpose = purpose
        self._descriptor = -1

    def acquire(self, patience: float = GLANCE) -> Lock:
        """Take the lock, waiting up to `patience` seconds (math.inf: as long as it takes).

        Raises:
            UserError: another live process holds it, the file cannot be written, or its file system
            has no locks.
        """
        start = time.monotonic()
        announced = False
        while (other := self._try()) is not None:
            waited = time.monotonic() - start
            if waited >= patience:
                raise UserError(f"{self.path}: {other} is at work here; wait for it or stop it")
            if waited > GLANCE and not announced:
                announced = True
                print(f"{self.purpose} waits for {other} ({self.path})", flush=True)
            time.sleep(0.05)
        return self

    def _try(self) -> str | None:
        """None when the lock is ours now, else who has it."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_file(descriptor, self.path):  # removed by its last holder meanwhile
                raise BlockingIOError
        except BlockingIOError:
            other = _describe(_read(descriptor))
            os.close(descriptor)
            return other
        except OSError as error:  # some network drives are mounted without
            os.close(descriptor)
            raise UserError(
                f"{self.path}: its file system grants no lock ({error.strerror}); mount it with "
                "locks (Lustre: option flock), or set `paths` to one that has them"
            ) from error
        with suppress(OSError):  # a full disk: the lock holds, only its holder's name is lost
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(_self(self.purpose)).encode(), 0)
        self._descriptor = descriptor
        return None

    def release(self) -> None:
        """Release the lock and remove its file."""
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _open(self) -> int:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return open_own(self.path)
        except OSError as error:
            link = "; it is a link, which somebody else may have put there: remove it"
            told = f"{error.strerror}{link if self.path.is_symlink() else ''}"
            raise UserError(f"{self.path}: cannot be written ({told})") from error


@contextmanager
def hold(path: str | Path, purpose: str, patience: float = GLANCE) -> Iterator[None]:
    """Hold a lock during a block; see `Lock.acquire`."""
    lock = Lock(path, purpose).acquire(patience)
    try:
        yield
    finally:
        lock.release()


def holder(path: str | Path) -> dict[str, Any] | None:
    """Who holds the lock (`purpose`, `pid`, `host`, `started`), or None when it is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


@contextmanager
def run_lock(state: Path, purpose: str) -> Iterator[None]:
    """Hold a run's training state, by a file beside its folder that outlives the folder's removal.

    A job left over from a killed Snakemake ends on its own; its successor waits until then.

    Raises:
        UserError: another live process trains this run.
    """
    with hold(state.with_name(f"{state.name}.lock"), purpose, patience=60.0):
        yield


def stop_with_supervisor() -> None:
    """Send this process SIGTERM when the Snakemake that started it is gone.

    After a kill -9 of Snakemake its jobs would run on as orphans beside those of the next call.
    Does nothing where a person started the process or the kernel has no pidfd (before Linux 5.3).
    """
    pid = os.environ.get(SUPERVISOR)
    if not pid or not hasattr(os, "pidfd_open"):
        return
    try:
        descriptor = os.pidfd_open(int(pid))
    except ProcessLookupError:
        raise UserError(f"the Snakemake that started this job (process {pid}) is gone") from None
    except OSError:
        return

    def watch() -> None:
        import select

        select.select([descriptor], [], [])  # readable once that process has ended
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _self(purpose: str) -> dict[str, Any]:
    return {
        "purpose": purpose,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": time.time(),
    }


def _read(descriptor: int) -> dict[str, Any]:
    with suppress(ValueError, OSError):
        found = json.loads(os.pread(descriptor, 4096, 0))
        if isinstance(found, dict):
            return found
    return {}


def _describe(other: dict[str, Any]) -> str:
    if not other:
        return "another process"
    return f"{other.get('purpose')} (process {other.get('pid')} on {other.get('host')})"
