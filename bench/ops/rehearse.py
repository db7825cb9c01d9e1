"""`python -m bench rehearse [RUN...]`: try every distinct run of an experiment with its real code
before the full runs, and report failures, the time of a step, and what was replaced by stand-ins.

Runs that differ only by seed and fold count as one. Each trains for the first and the last step of
its first and last epoch at its real size, on the real data if it is here, else on a stand-in; it is
interrupted after the first step and resumed, then scored, recorded, tracked and reported. Batches
are reduced if a step would take too long or too much memory here; everything else is as declared.
The scratch folder is `work/NAME/rehearsal`; the time of a step is kept in
`work/NAME/rehearsal.json`, from which `plan` estimates hours.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

import psutil

from bench.code_digest import ROOT
from bench.experiment import folders
from bench.experiment.cells import Cell, Layout, list_cells, plan
from bench.experiment.config import Config
from bench.experiment.estimate import workers
from bench.experiment.rates import Rate, write_rates
from bench.files import read_json, write_json, write_text
from bench.ops.rehearsal import scratch
from bench.ops.rehearsal.outcome import FAILED, Limits, Outcome, Rehearsal
from bench.ops.rehearsal.page import page, summary
from bench.ops.rehearsal.scratch import Group, group_of
from bench.process import slots
from bench.process.locks import SUPERVISOR, hold
from bench.tracking.server import SERVER

SPARE = 0.5  # of the free memory, for all processes together
OneRun = Callable[[Config, Cell, Limits, Path], Outcome]
Broken = Mapping[tuple[str, str], tuple[str, str]]
"""By data set and front end: the stage before training that failed, and its message."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="DATASET, DATASET/MODEL or a run; default: all"
    )
    parser.add_argument(
        "--memory",
        type=float,
        metavar="GB",
        help="of the device that the experiment is for: a batch that needs more is a failure "
        "(default: that of the GPU here; without one, nothing is a failure)",
    )
    parser.add_argument(
        "--step-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="longest training step here; larger batches are reduced (default: 10)",
    )
    parser.add_argument(
        "--no-stand-ins",
        dest="stand_in",
        action="store_false",
        help="missing data sets, and checkpoints that runs start from, are failures",
    )
    parser.add_argument("--write", metavar="FILE", type=Path, help="write the page there as well")
    parser.add_argument("--keep", action="store_true", help="leave the scratch folder behind")


def run(args: argparse.Namespace) -> int:
    settings = folders.load(args.config)
    work = Layout.of(settings).work
    with hold(work / "rehearsal.lock", f"rehearsal of {settings.experiment}"):
        limits = _limits(args.memory, args.step_seconds)
        done = rehearse(settings, args.runs, limits, stand_in=args.stand_in)
        if not args.keep:
            shutil.rmtree(work / "rehearsal", ignore_errors=True)
    text = page(settings, done)
    if args.write is not None:
        write_text(args.write, text)
    print(f"\n{text}", flush=True)
    return 1 if done.failures else 0


def rehearse(
    settings: Config,
    names: Iterable[str],
    limits: Limits,
    *,
    stand_in: bool = True,
    one_run: OneRun | None = None,
) -> Rehearsal:
    """Rehearse the runs whose names begin with these, and keep the time of a step.

    Args:
        stand_in: whether stand-ins are made for missing data sets and checkpoints.
        one_run: rehearses one run; each in a process of its own by default.

    Raises:
        UserError: a name begins no run, or a cell of the experiment cannot be resolved.
    """
    began, folder = time.monotonic(), Layout.of(settings).work / "rehearsal"
    groups = scratch.chosen(settings, names)
    done = Rehearsal(limits, partial=len(groups) < len(scratch.groups_of(settings)))
    shutil.rmtree(folder, ignore_errors=True)
    small = scratch.scratch_of(settings, folder, groups)
    folders.take(small)
    small, broken = _with_data(small, done, folder / "data", stand_in)
    path = folder / "config.json"
    write_json(path, small.model_dump(mode="json"))
    cells = {group_of(cell): cell for cell in list_cells(small)}
    todo = {group: cells[group] for group in groups}
    there = Path(settings.paths.checkpoints)
    done.starts = scratch.with_checkpoints(there, small, todo.values(), stand_in)
    _run_all(small, todo, broken, limits, one_run or Processes(), done)
    _views(small, path, done)
    for group, outcome in done.outcomes.items():
        outcome.run, outcome.digest = str(group), plan(settings, groups[group]).digest
    done.seconds = time.monotonic() - began
    write_rates(
        settings,
        {str(group): rate_of(one) for group, one in done.outcomes.items() if one.step_seconds},
    )
    return done


def rate_of(outcome: Outcome) -> Rate:
    """The part of a rehearsed run that estimated hours depend on."""
    return Rate(
        digest=outcome.digest,
        step_seconds=outcome.step_seconds / outcome.rehearsed,
        score_seconds=outcome.score_seconds,
        parameters=outcome.parameters,
        device=outcome.device,
    )


def _limits(memory: float | None, step_seconds: float) -> Limits:
    """What a run may use here: its share of free memory, or the stated memory if that is less."""
    here = SPARE * psutil.virtual_memory().available / workers()
    stated = None if memory is None else 1e9 * memory
    if slots.devices():
        here = _gpu_memory()
        stated = stated or here
    return Limits(min(here, stated or here), step_seconds, stated=stated)


def _gpu_memory() -> float:
    """Bytes of the smallest GPU here, queried without CUDA, which would use some of them."""
    asked = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return 2**20 * min(float(line) for line in listed.split())


def _with_data(
    small: Config, done: Rehearsal, folder: Path, stand_in: bool
) -> tuple[Config, Broken]:
    """Every data set with its table and features; and what failed."""
    broken: dict[tuple[str, str], tuple[str, str]] = {}
    names = dict.fromkeys(model.front_end for model in small.models.values())
    for dataset in small.datasets:
        try:
            small, done.data[dataset] = scratch.with_data(small, dataset, folder, stand_in)
            scratch.make_corpus(small, dataset)
        except Exception as error:
            broken |= {(dataset, name): ("corpus", str(error)) for name in names}
            continue
        for name in names:
            try:
                scratch.make_features(small, dataset, name)
            except Exception as error:
                broken[dataset, name] = (f"featurize {name}", str(error))
        _say(f"{dataset}: {done.data[dataset]}; its table and features are made")
    return small, broken


def _run_all(
    small: Config,
    todo: Mapping[Group, Cell],
    broken: Broken,
    limits: Limits,
    one_run: OneRun,
    done: Rehearsal,
) -> None:
    """Every run after the one that it starts from, as many in parallel as for the experiment."""
    folder = Layout.of(small).work.parent / "outcomes"
    waiting = dict(todo)
    with ThreadPoolExecutor(workers()) as pool:
        try:
            while waiting:
                ready = [group for group in waiting if _parent(small, todo[group]) not in waiting]
                at_work: dict[Future[Outcome], Group] = {}
                for group in ready:
                    cell = waiting.pop(group)
                    stage, said = _obstacle(small, group, cell, broken)
                    if said:
                        batch = plan(small, cell).recipe.batch_size
                        done.outcomes[group] = Outcome(str(cell), "", batch, 0, stage, said)
                    else:
                        at_work[pool.submit(one_run, small, cell, limits, folder)] = group
                for future in as_completed(at_work):
                    group = at_work[future]
                    done.outcomes[group] = future.result()
                    _say(summary(group, done.outcomes[group]))
        except BaseException:  # told to end: end the processes too
            pool.shutdown(wait=False, cancel_futures=True)
            for child in psutil.Process().children():
                child.terminate()
            raise
    done.outcomes = {group: done.outcomes[group] for group in todo}


def _obstacle(small: Config, group: Group, cell: Cell, broken: Broken) -> tuple[str, str]:
    """The stage before a run that failed, and the message; empty if the run can start."""
    before = broken.get((group.dataset, small.models[group.model].front_end))
    if before is not None:
        return before
    parent = plan(small, cell).parent
    if parent is None or (Layout.of(small).run(parent) / "training.json").exists():
        return "", ""
    return "start", f"it starts from {group_of(parent)}, which failed"


def _parent(small: Config, cell: Cell) -> Group | None:
    parent = plan(small, cell).parent
    return None if parent is None else group_of(parent)


class Processes:
    """Rehearses one run in a process of its own, on a GPU of its own if there are any."""

    def __init__(self) -> None:
        self.free: SimpleQueue[str] = SimpleQueue()
        for name in slots.devices():
            self.free.put(name)

    def __call__(self, small: Config, cell: Cell, limits: Limits, folder: Path) -> Outcome:
        """The outcome of the run, also if its process died."""
        name = str(cell).replace("/", "_")
        out, log = folder / f"{name}.json", folder / f"{name}.log"
        folder.mkdir(parents=True, exist_ok=True)
        config = Layout.of(small).work.parent / "config.json"
        command = [sys.executable, "-m", "bench.ops.rehearsal.one", str(config), str(cell)]
        command += [json.dumps(asdict(limits)), str(out)]
        gpu = None if self.free.empty() else self.free.get()
        environment = _environment() | ({} if gpu is None else {slots.VISIBLE: gpu})
        with open(log, "wb") as file:
            ended = subprocess.run(command, stdout=file, stderr=file, env=environment)
        if gpu is not None:
            self.free.put(gpu)
        if ended.returncode == 0:
            return Outcome(**read_json(out))
        last = (log.read_text(encoding="utf-8", errors="replace").splitlines() or [""])[-1]
        said = f"its process ended with {ended.returncode} (-9: memory ran out here); {last}"
        batch = plan(small, cell).recipe.batch_size
        return Outcome(str(cell), "", batch, stage="process", said=said)


def _environment() -> dict[str, str]:
    """The environment of a rehearsal's processes: this code, one thread each, no tracking
    server."""
    ours = {key: value for key, value in os.environ.items() if key != SERVER}
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    ours |= {"PYTHONPATH": os.pathsep.join(places), SUPERVISOR: str(os.getpid())}
    return {"OMP_NUM_THREADS": "1"} | ours


def _views(small: Config, path: Path, done: Rehearsal) -> None:
    """The verbs after the last run, on the records that exist."""
    layout = Layout.of(small)
    absent = [path for path in layout.records(small) if not path.exists()]
    verbs = [["cost", model] for model in small.cost.models] if not done.partial else []
    for verb in (*verbs, ["track"], ["report"]):
        name = " ".join(verb)
        if verb == ["track"] and absent:
            done.stages[name] = (
                f"not rehearsed: it needs every record, and {len(absent)} are absent"
            )
        elif verb == ["report"] and len(absent) == len(list_cells(small)):
            done.stages[name] = "not rehearsed: there is no record"
        else:
            done.stages[name] = _verb([*verb, "--config", str(path)])
        _say(f"{name}: {done.stages[name]}")


def _verb(arguments: list[str]) -> str:
    """The outcome of `python -m bench`: ok, or its last line."""
    command = [sys.executable, "-m", "bench", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=_environment())
    said = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
    return "ok" if ended.returncode == 0 else f"{FAILED}{said}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
