"""`python -m bench status`: what has run, is running and is left."""

from __future__ import annotations

import argparse
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.experiment import config
from bench.experiment.cells import Cell, Layout, list_cells
from bench.experiment.config import Config
from bench.experiment.estimate import Estimate, wall_seconds
from bench.experiment.jobs import STAGES, Job, list_jobs
from bench.experiment.running import Running, running_trainings
from bench.files import UserError
from bench.ops.plan import duration
from bench.ops.receipts import Receipts
from bench.process import locks

if TYPE_CHECKING:
    from bench.results.record import Record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results", action="store_true", help="show the main figures, and where the report is"
    )


def run(args: argparse.Namespace) -> int:
    settings = config.load(args.config)
    print(results(settings) if args.results else overview(settings))
    return 0


def snakemake_lock(settings: Config) -> Path:
    """The lock that a live Snakemake call holds on an experiment."""
    return Layout.of(settings).results / ".snakemake.lock"


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
    """Jobs by stage, running training, and the time left."""
    jobs = list_jobs(settings)
    todo = [job for job in jobs if not job.done]
    running = running_trainings(settings)
    lines = [settings.title]
    for stage in STAGES:
        mine = [job for job in jobs if job.stage == stage]
        if mine:
            lines.append(f"  {stage:<12}{sum(job.done for job in mine):>5,} of {len(mine):,} done")
    for item in running:
        left = "" if item.seconds_left is None else f", {duration(item.seconds_left)} left"
        lines.append(f"  training {item.cell}: epoch {item.epoch} of {item.epochs}{left}")
    supervisor = locks.holder(snakemake_lock(settings))
    if supervisor:
        lines.append(f"snakemake is running: process {supervisor['pid']} on {supervisor['host']}")
    if todo:
        left = duration(seconds_left(settings, todo, running))
        lines.append(f"{len(todo):,} of {len(jobs):,} jobs left, about {left} on this machine")
    receipts = Receipts(settings)
    if stale := list(receipts.all_due()):
        first = f"{stale[0].stage} {stale[0].name}".strip()
        reason = receipts.due(stale[0].stage, stale[0].name)
        told = f"{len(stale):,} jobs are done and out of date, the first {first} ({reason})"
        lines.append(f"{told}; the plain command remakes them")
    elif not todo:
        lines.append("every job is done, and none is out of date")
    return "\n".join(lines)


def results(settings: Config) -> str:
    """Each data set's leading figure by model and variant, and where to look.

    Only records that the report would use count.
    """
    layout = Layout.of(settings)
    records: dict[str, dict[str, list[Record | None]]] = defaultdict(lambda: defaultdict(list))
    faults: Counter[str] = Counter()
    for cell in list_cells(settings):
        record, fault = _usable(settings, layout, cell)
        records[cell.dataset][_label(cell)].append(record)
        faults[fault] += 1
    lines = [f"{settings.title}: test figures in percent, mean ± standard deviation over runs"]
    for dataset, by_label in records.items():
        metric = settings.datasets[dataset].metric
        lines += ["", f"{dataset}, {metric}"]
        for label, runs in by_label.items():
            lines.append(f"  {label:<28}{_figure(runs, metric)}")
        some = [run for runs in by_label.values() for run in runs if run is not None]
        chance = some[0].chance.get(metric) if some else None
        if chance is not None:
            lines.append(f"  {'chance':<28}{100 * chance:5.1f}")
    lines += ["", few_seeds(len(settings.seeds))]
    lines += [
        f"left out, {fault}: {n:,} of {faults.total():,} runs"
        for fault, n in faults.items()
        if fault
    ]
    store = f"sqlite:///{layout.results}/mlflow.db"
    lines += [
        "",
        f"report   {layout.report}/index.html",
        f"tables   {layout.report}/tables/",
        f"records  {layout.results}/runs/",
        f"MLflow   make ui EXPERIMENT={settings.experiment}   ({store})",
    ]
    return "\n".join(lines)


def few_seeds(seeds: int) -> str:
    """Whether this many seeds can show a difference between models at all."""
    if seeds < 2:
        return "no model is shown to be better than another: one seed has no test"
    return "the report says which differences are significant"


def _usable(settings: Config, layout: Layout, cell: Cell) -> tuple[Record | None, str]:
    """The record, or the reason why it does not count."""
    from bench.results.load import usable_record  # late: `supervise` imports this module

    try:
        return usable_record(settings, layout, cell)
    except UserError:
        return None, "the record is not what was written"


def _label(cell: Cell) -> str:
    return cell.model if cell.variant == "base" else f"{cell.model} ({cell.variant})"


def _figure(runs: Sequence[Record | None], metric: str) -> str:
    """Mean and spread of the usable runs, and how many are absent."""
    known = [run for run in runs if run is not None]
    found = [run.metrics.test.get(metric) for run in known]
    values = [100 * one.value for one in found if one and one.value is not None]
    if not known:
        return "no record"
    if not values:
        return "cannot localize"
    spread = f" ± {statistics.stdev(values):4.1f}" if len(values) > 1 else ""
    some = "" if len(known) == len(runs) else f"   ({len(known)} of {len(runs)} runs)"
    return f"{statistics.mean(values):5.1f}{spread}{some}"
