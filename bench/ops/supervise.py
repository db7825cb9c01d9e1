"""What a Snakemake call does besides its jobs: a lock on the experiment, checks, a progress
line."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import TextIO

from bench.experiment import folders
from bench.experiment.cells import Layout, plan
from bench.experiment.config import Config
from bench.experiment.jobs import Job, list_jobs
from bench.experiment.running import Running, running_trainings
from bench.files import UserError, write_text
from bench.ops import preflight
from bench.ops.plan import duration
from bench.ops.status import seconds_left, snakemake_lock
from bench.process.locks import Lock
from bench.tracking.server import reachable, server

LOG_EVERY_S = 15.0
TERMINAL_EVERY_S = 2.0
BAR = 24  # characters
SCHEDULING = ("Select jobs to execute", "Execute ")


def begin(settings: Config, outputs: Iterable[str]) -> Lock:
    """Take the experiment, write its resolved config, check its parts, start the progress line.

    Args:
        outputs: outputs of the jobs that are about to run.

    Returns:
        The lock, which the caller keeps as long as it lives.

    Raises:
        UserError: a folder is another experiment's, another live call works on this one, a part of
            it cannot be built, a checkpoint that runs start from is not the right one or has to be
            downloaded by hand, or the disk has no room for what the jobs write.
    """
    folders.take(settings)
    lock = Lock(
        snakemake_lock(settings), f"snakemake on experiment '{settings.experiment}'"
    ).acquire()
    _write_resolved(settings)
    jobs = {str(job.output): job for job in list_jobs(settings)}
    todo = [jobs[name] for name in outputs if name in jobs]
    cells = [job.cell for job in todo if job.stage == "train" and job.cell is not None]
    needed = (plan(settings, cell).recipe.start for cell in cells)
    preflight.check_starts(settings, dict.fromkeys(name for name in needed if name is not None))
    preflight.check_space(settings, todo)
    if any(job.stage in ("embed", "train") for job in todo):
        _check_parts(settings)
    if todo and server() is not None:
        training = any(job.stage == "train" for job in todo)
        if settings.tracking.unreachable == "stop" or not training:
            reachable(settings)
        if training:
            _show_live(settings)  # it says what the server lacks
    if todo:
        Watcher(settings, todo, sys.stderr).start()
    return lock


def _write_resolved(settings: Config) -> None:
    """Write the config that the commands read, overrides included, if it differs.

    Its keys keep their order, which is that of tables and figures.
    """
    path = Layout.of(settings).resolved_config
    text = json.dumps(settings.model_dump(mode="json"), indent=1) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _show_live(settings: Config) -> None:
    """Show running trainings on the tracking server, from a process that ends with this one.

    If it loses the server and `tracking.unreachable` says stop, this process ends as after Ctrl-C.
    """
    command = [sys.executable, "-m", "bench", "track", "--live"]
    process = subprocess.Popen(
        [*command, "--config", str(Layout.of(settings).resolved_config)], stdin=subprocess.DEVNULL
    )

    def watch() -> None:
        if process.wait() == 2 and settings.tracking.unreachable == "stop":
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, name="live tracking", daemon=True).start()


def _check_parts(settings: Config) -> None:
    """`python -m bench check` in its own process, so that this one does not hold torch for days."""
    command = [sys.executable, "-m", "bench", "check", "--parts"]
    command += ["--config", str(Layout.of(settings).resolved_config)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        message = done.stderr.strip() or f"{' '.join(command)} failed"
        raise UserError(message.removeprefix("error: "))


class Watcher:
    """Shows the progress of the jobs `todo` from time to time, based only on files.

    A job is done when its output exists and differs from that at the start. On a terminal one live
    line is shown below Snakemake's own, which erase it first.
    """

    def __init__(self, settings: Config, todo: Sequence[Job], stream: TextIO) -> None:
        self.settings = settings
        self.stream = stream
        self.live = stream.isatty()
        self.before = {job: _stamp(job) for job in todo}

    def start(self) -> None:
        """Show progress from a thread that ends with the process."""
        logging.getLogger("snakemake.logging").addFilter(self._beside_snakemake)
        threading.Thread(target=self._run, name="progress", daemon=True).start()

    def line(self) -> str:
        todo = [job for job, stamp in self.before.items() if _stamp(job) in (None, stamp)]
        running = running_trainings(self.settings)
        left = seconds_left(self.settings, todo, running)
        return progress_line(len(self.before) - len(todo), len(self.before), running, left)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(TERMINAL_EVERY_S if self.live else LOG_EVERY_S):
            line = self.line()
            if self.live:
                line = f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}"
            self.stream.write(line if self.live else f"{line}\n")
            self.stream.flush()

    def _beside_snakemake(self, record: logging.LogRecord) -> bool:
        """Make room for one of Snakemake's lines; leave out its two per scheduling round."""
        if str(record.msg).startswith(SCHEDULING):
            return False
        if self.live:
            self.stream.write("\r\x1b[K")
        return True


def progress_line(done: int, total: int, running: Sequence[Running], left: float) -> str:
    """A bar, the jobs done of all, the running trainings with their epochs, the time left."""
    full = BAR * done // total
    parts = [f"[{'#' * full}{'.' * (BAR - full)}] {done:,} of {total:,} jobs"]
    parts += [f"{item.cell} {item.epoch}/{item.epochs}" for item in running]
    if done < total:
        parts.append(f"about {duration(left)} left")
    return ", ".join(parts)


def _stamp(job: Job) -> int | None:
    try:
        return job.output.stat().st_mtime_ns
    except OSError:
        return None
