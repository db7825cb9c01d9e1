"""`python -m bench plan`: the jobs of an experiment, and the hours and disk that it still needs."""

from __future__ import annotations

import argparse

from bench.experiment import cells, config
from bench.experiment.cells import Cell
from bench.experiment.config import Config
from bench.experiment.estimate import Estimate, wall_seconds, workers
from bench.experiment.jobs import STAGES, Job, list_jobs
from bench.experiment.wanted import start_name
from bench.ops import preflight
from bench.process import slots
from bench.results.words import counted
from bench.sources.registry import CHECKPOINTS
from bench.strict import Mistakes, known


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", action="store_true", help="list every job as a command")
    parser.add_argument(
        "--target", metavar="NAME", help="only what `snakemake NAME` makes (a key of `targets`)"
    )
    parser.add_argument(
        "--dataset", metavar="NAME", help="only the runs on one data set, and what they start from"
    )


def run(args: argparse.Namespace) -> int:
    settings = config.load(args.config)
    jobs = jobs_of(settings, args.target, args.dataset)
    if args.jobs:
        for job in jobs:
            print(f"python -m bench {job.stage} {job.name}".rstrip(), f"--config {args.config}")
        return 0
    print(table(settings, args.target, args.dataset))
    names = [job.name.partition("/")[2] for job in jobs if job.name.startswith(f"{CHECKPOINTS}/")]
    found = Mistakes()
    with found():
        preflight.check(settings)
    with found():
        preflight.check_starts(settings, names)
    with found():
        preflight.check_space(settings, jobs)
    if found.lines:
        print("\nBlocking problems:")
        print("\n".join(f"  {line}" for line in found.lines))
    return 2 if found.lines else 0


def jobs_of(settings: Config, target: str | None, dataset: str | None = None) -> list[Job]:
    """The jobs of the experiment, or of one target or data set: its runs, the runs that they start
    from, and what these read.

    Raises:
        UserError: the experiment has no such target or data set.
    """
    if target is None and dataset is None:
        return list_jobs(settings)
    if dataset is not None:
        known(dataset, settings.datasets, f"datasets of experiment '{settings.experiment}'")
    if target is None:
        asked = cells.list_cells(settings)
    else:
        known(target, settings.targets, f"targets of experiment '{settings.experiment}'")
        asked = cells.target_cells(settings, target)
    runs: set[Cell] = set()
    read: set[str] = set()
    for cell in asked:
        if dataset not in (None, cell.dataset):
            continue
        run: Cell | None = cell
        while run is not None and run not in runs:
            runs.add(run)
            resolved = cells.plan(settings, run)
            read |= {run.dataset, f"{run.dataset} {settings.models[run.model].front_end}"}
            if resolved.recipe.start is not None:
                read.add(start_name(resolved.recipe.start))
            run = resolved.parent
    return [
        job
        for job in list_jobs(settings)
        if (job.cell in runs if job.cell else job.name in read or job.stage in ("embed", "report"))
    ]


def table(settings: Config, target: str | None = None, dataset: str | None = None) -> str:
    """Jobs and hours by stage, the time on this machine, and the disk space still needed."""
    estimate = Estimate.of(settings)
    lines = [f"{settings.title}", "", f"{'stage':<12}{'jobs':>6}{'done':>6}{'hours ahead':>14}"]
    ahead, unknown = [], 0
    jobs = jobs_of(settings, target, dataset)
    for stage in STAGES:
        mine = [job for job in jobs if job.stage == stage]
        if not mine:
            continue
        todo = [(job, estimate.seconds(job)) for job in mine if not job.done]
        ahead += todo
        unknown += sum(seconds is None for _, seconds in todo)
        hours = sum(seconds or 0.0 for _, seconds in todo) / 3600
        lines.append(f"{stage:<12}{len(mine):>6,}{len(mine) - len(todo):>6,}{hours:>14,.2f}")
    total = sum(seconds or 0.0 for _, seconds in ahead) / 3600
    lines.append(f"{'together':<12}{len(jobs):>6,}{len(jobs) - len(ahead):>6,}{total:>14,.2f}")
    for name, runs, seconds in estimate.studies() if (target, dataset) == (None, None) else ():
        lines.append(f"  of these, ablation '{name}': {runs:,} runs, {seconds / 3600:,.2f} hours")
    if estimate.full_size and not (slots.devices() or estimate.measured):
        lines += ["", "time on this machine: not estimated, full-size models need a GPU"]
    else:
        count = workers()
        side_by_side = f"{count} runs in parallel" if count > 1 else "one run at a time"
        time = duration(wall_seconds(ahead))
        lines += ["", f"time on this machine: about {time} ({side_by_side})"]
    if estimate.full_size:
        training = sum(seconds or 0.0 for job, seconds in ahead if job.stage == "train") / 3600
        devices = {rate.device for rate in estimate.measured.values()}
        on = f"hours ({', '.join(sorted(devices))})" if devices else "GPU-hours (one V100 each)"
        lines.append(f"training: about {training:,.0f} {on}")
    if not estimate.finished:
        lines.append(f"no run has finished here yet: {_where_from(estimate)}")
    if unknown:
        lines.append(f"{counted(unknown, 'job')} without hours: their data have not been read yet")
    disk = estimate.disk_ahead(jobs)
    lines.append(
        f"disk ahead: about {sum(disk.values()) / 1e9:,.1f} GB ("
        + ", ".join(f"{name} {size / 1e9:,.1f}" for name, size in disk.items() if size)
        + ")"
    )
    return "\n".join(lines)


def _where_from(estimate: Estimate) -> str:
    """The source of the hours of trainings, before one has finished."""
    runs = cells.list_cells(estimate.settings)
    measured = sum(estimate.rate(cell) is not None for cell in runs)
    if not measured:
        return "the hours are rough estimates"
    rest = "" if measured == len(runs) else ", the others rough estimates"
    return (
        f"the hours of {measured:,} of {len(runs):,} training runs are from steps measured "
        f"here{rest}"
    )


def duration(seconds: float) -> str:
    """A readable time span: 40 s, 12 min, 3 h 05 min, 4 d 2 h."""
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
