"""`python -m bench plan`: the jobs of an experiment, and the hours and disk that lie ahead."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from bench.experiment import config
from bench.experiment.cells import list_cells
from bench.experiment.config import Config
from bench.experiment.estimate import Estimate, wall_seconds, workers
from bench.experiment.jobs import STAGES, list_jobs
from bench.experiment.wanted import starts
from bench.files import UserError
from bench.ops import preflight


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--jobs", action="store_true", help="list every job as a command")


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    settings = config.load(args.config)
    if args.jobs:
        for job in list_jobs(settings):
            print(f"python -m bench {job.stage} {job.name}".rstrip(), f"--config {args.config}")
        return 0
    print(table(settings))
    obstacles = [
        *_obstacles(lambda: preflight.check(settings)),
        *_obstacles(lambda: preflight.check_starts(settings, starts(settings))),
        *_obstacles(lambda: preflight.check_space(settings, list_jobs(settings))),
    ]
    if obstacles:
        print("\nIn the way:")
        print("\n".join(f"  {line}" for line in obstacles))
    return 2 if obstacles else 0


def _obstacles(check: Callable[[], None]) -> list[str]:
    try:
        check()
    except UserError as error:
        return str(error).splitlines()
    return []


def table(settings: Config) -> str:
    """Jobs and hours by stage, the time on this machine, and the disk ahead."""
    estimate = Estimate.of(settings)
    lines = [f"{settings.title}", "", f"{'stage':<12}{'jobs':>6}{'done':>6}{'hours ahead':>14}"]
    ahead, unknown = [], 0
    jobs = list_jobs(settings)
    for stage in STAGES:
        mine = [job for job in jobs if job.stage == stage]
        if not mine:
            continue
        todo = [(job, estimate.seconds(job)) for job in mine if not job.done]
        ahead += todo
        unknown += sum(seconds is None for _, seconds in todo)
        hours = sum(seconds or 0.0 for _, seconds in todo) / 3600
        lines.append(f"{stage:<12}{len(mine):>6}{len(mine) - len(todo):>6}{hours:>14.2f}")
    total = sum(seconds or 0.0 for _, seconds in ahead) / 3600
    lines.append(f"{'together':<12}{len(jobs):>6}{len(jobs) - len(ahead):>6}{total:>14.2f}")
    for name, runs, seconds in estimate.studies():
        lines.append(f"  of these, ablation '{name}': {runs} runs, {seconds / 3600:.2f} hours")
    time = duration(wall_seconds(ahead))
    lines += ["", f"time on this machine: about {time} ({_side_by_side()})"]
    if estimate.full_size:
        training = sum(seconds or 0.0 for job, seconds in ahead if job.stage == "train") / 3600
        devices = {rate.device for rate in estimate.measured.values()}
        on = f"hours ({', '.join(sorted(devices))})" if devices else "GPU-hours (one V100 each)"
        lines.append(f"training: about {training:,.0f} {on}")
    if not estimate.finished:
        lines.append(f"no run has finished here yet: {_where_from(estimate)}")
    if unknown:
        lines.append(f"{unknown} jobs are not counted: their corpora have not been read yet")
    disk = estimate.disk_ahead(jobs)
    lines.append(
        f"disk ahead: about {sum(disk.values()) / 1e9:.1f} GB ("
        + ", ".join(f"{name} {size / 1e9:.1f}" for name, size in disk.items() if size)
        + ")"
    )
    return "\n".join(lines)


def _where_from(estimate: Estimate) -> str:
    """What the hours of trainings are from, before one has finished."""
    cells = list_cells(estimate.settings)
    measured = sum(estimate.rate(cell) is not None for cell in cells)
    if not measured:
        return "hours are from rough rates, right to a factor"
    rest = "" if measured == len(cells) else ", the others from rough rates"
    return f"hours of {measured} of {len(cells)} trainings are from steps measured here{rest}"


def duration(seconds: float) -> str:
    """A time span as a person says it: 40 s, 12 min, 3 h 05 min, 4 d 2 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def _side_by_side() -> str:
    count = workers()
    return f"{count} runs side by side" if count > 1 else "one run at a time"
