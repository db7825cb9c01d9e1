"""Locks and GPU slots: one holder at a time, none left behind by the dead."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from workflow_copy import ROOT

from bench.files import UserError
from bench.process import slots
from bench.process.locks import Lock, hold, holder, run_lock, stop_with_supervisor
from bench.process.slots import VISIBLE, devices, gpu_slot, own_folder

HOLD_UNTIL_KILLED = """
import sys, time
from bench.process.locks import Lock
lock = Lock(sys.argv[1], "another run").acquire()
print("held", flush=True)
time.sleep(60)
"""
COUNT = """
import math, sys
from pathlib import Path
from bench.process.locks import hold
counter = Path(sys.argv[2])
for _ in range(20):
    with hold(sys.argv[1], "count", patience=math.inf):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_held_lock_names_its_holder_and_a_killed_holder_leaves_it_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    other = python(HOLD_UNTIL_KILLED, str(path))
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    found = holder(path)
    assert found is not None
    assert (found["purpose"], found["pid"]) == ("another run", other.pid)
    with pytest.raises(UserError, match=rf"another run \(process {other.pid} on .*at work here"):
        Lock(path, "this run").acquire(patience=0)
    other.kill()
    other.wait()
    assert path.exists()
    assert holder(path) is None
    with hold(path, "this run"):
        found = holder(path)
        assert found is not None
        assert found["purpose"] == "this run"
    assert not path.exists()


def test_one_holder_at_a_time_however_many_want_it(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    others = [python(COUNT, str(tmp_path / "lock"), str(counter)) for _ in range(4)]
    assert [other.wait() for other in others] == [0] * 4
    assert counter.read_text() == "80"


def test_a_look_does_not_take_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("not what a holder writes")
    assert holder(path) is None
    assert holder(tmp_path / "absent") is None
    with hold(path, "a run", patience=0):
        pass


def test_a_run_lock_outlives_the_state_folder(tmp_path: Path) -> None:
    state = tmp_path / "state" / "0123"
    state.mkdir(parents=True)
    with run_lock(state, "a run"):
        shutil.rmtree(state)
        assert holder(tmp_path / "state" / "0123.lock") is not None
    assert list((tmp_path / "state").iterdir()) == []


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/lock: cannot be written"):
        Lock(tmp_path / "file" / "lock", "a run").acquire()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_drive_without_locks_is_named_and_no_file_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """What Lustre without its option flock, NFS without its lock service, and others say."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(UserError, match=r"lock: its file system grants no lock .*set `paths` to"):
        Lock(tmp_path / "lock", "a run").acquire()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_job_without_its_snakemake_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    monkeypatch.setenv("BENCH_SUPERVISOR", str(gone.pid))
    with pytest.raises(UserError, match=f"process {gone.pid}.* is gone"):
        stop_with_supervisor()
    monkeypatch.delenv("BENCH_SUPERVISOR")
    stop_with_supervisor()  # started by a person


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "GPU-a,GPU-b")
    for key in slots.JOB:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.usefixtures("two_gpus")
def test_runs_side_by_side_get_different_gpus_and_a_third_waits() -> None:
    third: list[str] = []

    def claim() -> None:
        with gpu_slot("the third run") as names:
            third.extend(names)

    with gpu_slot("the first run") as first:
        assert first == ["GPU-a"]
        assert os.environ[VISIBLE] == "GPU-a"
        os.environ[VISIBLE] = "GPU-a,GPU-b"  # what another process would see
        with gpu_slot("the second run") as second:
            assert second == ["GPU-b"]
            os.environ[VISIBLE] = "GPU-a,GPU-b"
            waiting = threading.Thread(target=claim)
            waiting.start()
            waiting.join(timeout=0.2)
            assert third == []
        waiting.join(timeout=30)
    assert third == ["GPU-b"]


@pytest.mark.usefixtures("two_gpus")
def test_several_gpus_are_claimed_together() -> None:
    with gpu_slot(count=2) as names:
        assert names == ["GPU-a", "GPU-b"]
    with pytest.raises(UserError, match="needs 3 GPUs, this machine shows 2"), gpu_slot(count=3):
        pass


@pytest.mark.usefixtures("two_gpus")
def test_runs_of_one_slurm_job_get_different_gpus_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with gpu_slot() as first:
        assert os.environ[VISIBLE] == "GPU-a"
        os.environ[VISIBLE] = "GPU-a,GPU-b"
        with gpu_slot() as second:
            os.environ[VISIBLE] = "GPU-a,GPU-b"
            monkeypatch.setenv("SLURM_JOB_ID", "8")  # its numbers may mean other GPUs
            with gpu_slot(count=2) as other:
                pass
    assert (first, second, other) == (["GPU-a"], ["GPU-b"], ["GPU-a", "GPU-b"])


@pytest.mark.parametrize("value", ["-1", "", "NoDevFiles"])
def test_without_a_gpu_nothing_is_claimed(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, value)
    assert devices() == []
    with gpu_slot() as names:
        assert names == []


@pytest.mark.parametrize("driver", [True, False])
@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo GPU-a; echo GPU-b", ["GPU-a", "GPU-b"]),
        ("echo No devices were found; exit 6", []),
        ("echo Driver/library version mismatch; exit 18", None),
        (None, None),  # absent
    ],
)
def test_gpus_that_cannot_be_listed_are_no_reason_to_train_on_the_cpu(
    script: str | None,
    found: list[str] | None,
    driver: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a device file of the driver, nvidia-smi may find GPUs all the same (WSL2)."""
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(slots, "DRIVER", tmp_path if driver else tmp_path / "absent")
    if script is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    if found is None and driver:
        with pytest.raises(UserError, match=VISIBLE):
            devices()
    else:
        assert devices() == (found or [])


def test_patience_is_in_seconds(tmp_path: Path) -> None:
    with hold(tmp_path / "lock", "a run"):
        taken: list[bool] = []
        waiting = threading.Thread(
            target=lambda: taken.append(
                bool(Lock(tmp_path / "lock", "another").acquire(patience=math.inf))
            )
        )
        waiting.start()
        waiting.join(timeout=0.2)
        assert taken == []
    waiting.join(timeout=30)
    assert taken == [True]


def test_a_link_in_a_lock_s_place_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "lock").symlink_to(precious)
    with pytest.raises(UserError, match="it is a link"):
        Lock(tmp_path / "lock", "this run").acquire()
    assert holder(tmp_path / "lock") is None
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a plain file"):
        Lock(tmp_path / "pipe", "this run").acquire()
    assert precious.read_text() == "mine"


def test_the_folder_of_gpu_locks_is_this_user_s_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = own_folder(tmp_path / "made")
    assert made.stat().st_mode & 0o777 == 0o700
    assert own_folder(made) == made
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(made)
    for name in ("open", "link"):
        with pytest.raises(UserError, match="not this user's own folder"):
            own_folder(tmp_path / name)
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    with pytest.raises(UserError, match="not this user's own folder"):
        own_folder(made)


def test_files_are_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    code = "import sys; from bench.files import write_text; write_text(sys.argv[1], 'x')"
    for umask, mode in ((0o077, 0o600), (0o002, 0o664)):
        command = [sys.executable, "-c", code, str(tmp_path / "file")]
        subprocess.run(command, cwd=ROOT, check=True, umask=umask)
        assert (tmp_path / "file").stat().st_mode & 0o777 == mode
