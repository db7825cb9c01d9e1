"""`python -m bench status`: what ran, what runs, what is left."""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench.experiment import config
from bench.experiment.cells import Cell, Layout, list_cells
from bench.experiment.config import Config
from bench.experiment.estimate import Estimate, wall_seconds
from bench.experiment.jobs import STAGES, Job, list_jobs
from bench.files import UserError, read_sealed
from bench.process import locks
from bench.running.plan import duration
from bench.training.running import Running, running_trainings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--results", action="store_true", help="show the leading figures and where the report is"
    )


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    settings = config.load(args.config)
    print(results(settings) if args.results else overview(settings))
    return 0


def snakemake_lock(settings: Config) -> Path:
    """The lock that a live Snakemake call holds on a profile."""
    return Layout.of(settings).results / ".snakemake.lock"


def resolved_path(settings: Config) -> Path:
    """The profile as the commands read it, overrides included."""
    return Layout.of(settings).results / "config.json"


def seconds_left(settings: Config, todo: Sequence[Job], running: Sequence[Running]) -> float:
    """Seconds until the jobs `todo` are done on this machine, at the pace of what has finished."""
    estimate = Estimate.of(settings)
    under_way = {item.cell: item for item in running}

    def seconds(job: Job) -> float | None:
        expected = estimate.seconds(job)
        item = under_way.get(job.cell) if job.cell and job.stage == "train" else None
        if item is None or item.seconds_left is None:
            return expected
        return item.seconds_left

    return wall_seconds((job, seconds(job)) for job in todo)


def overview(settings: Config) -> str:
    """Jobs by stage, the trainings at work, and the time left."""
    jobs = list_jobs(settings)
    todo = [job for job in jobs if not job.done]
    running = running_trainings(settings)
    lines = [settings.title]
    for stage in STAGES:
        mine = [job for job in jobs if job.stage == stage]
        if mine:
            lines.append(f"  {stage:<12}{sum(job.done for job in mine):>5} of {len(mine)} done")
    for item in running:
        left = "" if item.seconds_left is None else f", {duration(item.seconds_left)} left"
        lines.append(f"  training {item.cell}: epoch {item.epoch} of {item.epochs}{left}")
    supervisor = locks.holder(snakemake_lock(settings))
    if supervisor:
        lines.append(f"snakemake is at work: process {supervisor['pid']} on {supervisor['host']}")
    if todo:
        left = duration(seconds_left(settings, todo, running))
        lines.append(f"{len(todo)} of {len(jobs)} jobs left, about {left} on this machine")
    else:
        lines.append("every job is done; `snakemake -n` says whether any is out of date")
    return "\n".join(lines)


def results(settings: Config) -> str:
    """Each data set's leading figure by model and variant, and the paths to open."""
    layout = Layout.of(settings)
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    missing = 0
    for cell in list_cells(settings):
        name = (cell.dataset, _label(cell))
        try:
            record = read_sealed(layout.run(cell) / "record.json")
        except UserError:
            missing += 1
            continue
        found = record["metrics"]["test"].get(settings.datasets[cell.dataset].metric)
        values[name] += [found["value"]] if found else []
    lines = [f"{settings.title}: test figures in percent, mean ± standard deviation over seeds"]
    for dataset, chosen in settings.datasets.items():
        lines += ["", f"{dataset} ({chosen.metric})"]
        for (of, label), runs in values.items():
            if of == dataset:
                lines.append(f"  {label:<28}{_spread(runs)}")
    if missing:
        lines += ["", f"{missing} runs have no record yet, or one that was changed"]
    store = f"sqlite:///{layout.results}/mlflow.db"
    lines += [
        "",
        f"report   {layout.report}/index.html",
        f"tables   {layout.report}/tables/",
        f"records  {layout.results}/runs/",
        f"MLflow   make ui PROFILE={settings.profile}   ({store})",
    ]
    return "\n".join(lines)


def _label(cell: Cell) -> str:
    return cell.model if cell.variant == "base" else f"{cell.model} ({cell.variant})"


def _spread(runs: list[float]) -> str:
    if not runs:
        return "cannot localize"
    mean = 100 * statistics.mean(runs)
    spread = f" ± {100 * statistics.stdev(runs):4.1f}" if len(runs) > 1 else ""
    return f"{mean:5.1f}{spread}   n = {len(runs)}"
