"""Digests of each job's settings, inputs and outputs, which show what is up to date.

A job leaves a receipt in RESULTS/receipts. The job is up to date as long as the receipt matches the
present state: the same config, code and pins, the same inputs as their own jobs wrote them, and
every file that it wrote. Nothing else counts, neither dates of files nor Snakemake's metadata.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from bench.data.fingerprint import fingerprint
from bench.experiment import config, folders
from bench.experiment.cells import Layout, find_cell
from bench.experiment.config import Config
from bench.experiment.jobs import Job, jobs_on_request, list_jobs
from bench.experiment.triggers import Triggers
from bench.files import UserError, digest_file, write_json
from bench.strict import Strict, read_as

KEEP = "BENCH_KEEP"
"""Set for the jobs of a Snakemake call without forced jobs: up-to-date outputs are kept."""
READ_WHOLE = 1 << 20  # bytes: larger files are known by their size before work starts,
HASHED = 1 << 31  # and by their sha256 when a job opens them, unless they are larger than this
NAMES = {
    "fetch": ("name",),
    "embed": (),
    "corpus": ("dataset",),
    "featurize": ("dataset", "front_end"),
    "train": ("cell",),
    "evaluate": ("cell",),
    "released": ("cell",),
    "ensemble": ("name",),
    "cost": ("model",),
    "rescore": (),
    "tune": ("pair",),
    "track": (),
    "report": (),
}
"""Which arguments of a verb name the job."""
NO_JOB = {"live", "links", "store", "released", "folder"}
"""Options with which a verb is not the DAG's job."""


class Receipt(Strict):
    """Digests of one job.

    Attributes:
        asked: of its settings: config, code, pins, and the data set's files.
        read: of its inputs, by path; as their jobs wrote them.
        wrote: bytes and sha256 of its outputs, by path.
    """

    asked: dict[str, str]
    read: dict[str, str]
    wrote: dict[str, tuple[int, str]]


class Receipts:
    """The receipts of an experiment, compared with the present state.

    Args:
        forced: gives stages and files that a person wants remade, whatever their receipts say.
    """

    def __init__(self, settings: Config, forced: Callable[[], Collection[str]] = frozenset) -> None:
        self.settings, self._forced = settings, forced
        self.layout = Layout.of(settings)
        self._triggers = Triggers(settings)
        self._kept: dict[Job, Receipt | None] = {}
        self._due: dict[Job, str] = {}

    @cached_property
    def jobs(self) -> dict[tuple[str, str], Job]:
        """Every job by its stage and name."""
        every = (*list_jobs(self.settings), *jobs_on_request(self.settings))
        return {(job.stage, job.name): job for job in every}

    @cached_property
    def _makers(self) -> dict[Path, Job]:
        return {path: job for job in self.jobs.values() for path in job.writes}

    def due(self, stage: str, name: str) -> str:
        """Why a job has to run; empty if its outputs are up to date.

        Outputs in the work folder, which may be deleted at any time, may be missing: what was made
        from them stays up to date.
        """
        job = self.jobs[stage, name]
        if job not in self._due:
            if {job.stage, *map(str, job.writes)} & set(self._forced()):
                self._due[job] = "forced"
                return self._due[job]
            makers = (self._makers[path] for path in job.reads if path in self._makers)
            changed = next((one for one in makers if self.due(one.stage, one.name)), None)
            self._due[job] = (
                f"{changed.stage} {changed.name} is out of date" if changed else self.changed(job)
            )
        return self._due[job]

    def maker_due(self, path: Path) -> bool:
        """Whether the job that makes a file has to run."""
        maker = self._makers.get(path)
        return maker is not None and bool(self.due(maker.stage, maker.name))

    def all_due(self) -> Iterator[Job]:
        """The jobs of the report that are done and out of date."""
        for job in list_jobs(self.settings):
            if job.done and self.due(job.stage, job.name):
                yield job

    def changed(self, job: Job) -> str:
        """What no longer matches a job's receipt, regardless of the jobs before it."""
        receipt = self.receipt(job)
        if receipt is None:
            return "no receipt"
        for key, value in self.asked(job).items():
            if receipt.asked.get(key) != value:
                return f"another {key}"
        for path in job.reads:
            if receipt.read.get(str(path), "") != self.digest(path):
                return f"another {path}"
        return self.spoiled(job)

    def spoiled(self, job: Job) -> str:
        """Which output of a job does not match its receipt; empty if all do."""
        receipt = self.receipt(job)
        if receipt is None or (self._in_work(job) and not job.done):
            return ""
        for name, (size, sha256) in receipt.wrote.items():
            path = Path(name)
            if not path.is_file() or path.stat().st_size != size:
                return f"{name} is not what was written"
            if size <= READ_WHOLE and digest_file(path) != sha256:
                return f"{name} is not what was written"
        missed = set(map(str, self.outputs(job))) - set(receipt.wrote)
        return f"{min(missed)} was not written" if missed else ""

    def asked(self, job: Job) -> dict[str, str]:
        """Digests of a job's settings."""
        names = [job.name] if job.stage in ("train", "evaluate", "released") else job.name.split()
        if job.stage == "tune":
            names = ["/".join(names)]
        asked = dict(getattr(self._triggers, job.stage)(*names))
        if job.stage == "corpus" and not self.settings.built_here(job.name):
            chosen = self.settings.datasets[job.name]
            asked["files"] = fingerprint(Path(chosen.root), chosen.options)[:16]
        return asked

    def digest(self, path: Path) -> str:
        """sha256 of an input as its job wrote it, or of any other file as it is; empty if
        missing."""
        if written := self._written(path):
            return written[1]
        return digest_file(path) if path not in self._makers and path.is_file() else ""

    def _written(self, path: Path) -> tuple[int, str] | None:
        """Bytes and sha256 of a file by the receipt of its job, if there is one."""
        maker = self._makers.get(path)
        receipt = self.receipt(maker) if maker is not None else None
        return receipt.wrote.get(str(path)) if receipt is not None else None

    def receipt(self, job: Job) -> Receipt | None:
        """A job's receipt; None if it did not finish, or its receipt is damaged."""
        if job not in self._kept:
            self._kept[job] = None
            path = self.place(job)
            if path.is_file():
                with suppress(UserError):  # a damaged one is as good as none
                    self._kept[job] = read_as(Receipt, path, "delete it and run again")
        return self._kept[job]

    def place(self, job: Job) -> Path:
        name = "/".join(job.name.split()) or "all"
        return self.layout.results / "receipts" / job.stage / f"{name}.json"

    def outputs(self, job: Job) -> list[Path]:
        """Every file that a job writes."""
        if job.stage != "report":
            return [*job.writes]
        from bench.reporting.listed import SUFFIXES, table_names  # late: no other job needs it

        folder, names = self.layout.report / "tables", table_names(self.settings)
        return [*job.writes, *(folder / f"{name}.{kind}" for name in names for kind in SUFFIXES)]

    def perform(self, job: Job, work: Callable[[], int]) -> int:
        """Check a job's inputs against their receipts, run it, and write its own; returns its exit
        code.

        Raises:
            UserError: an input is not what its job wrote.
        """
        whole = all(path.exists() for path in self.outputs(job))
        if KEEP in os.environ and whole and not self.changed(job):
            print(f"{job.stage} {job.name}: up to date", flush=True)
            return 0
        for path in job.reads:
            self._check(path)
        asked, read = self.asked(job), {str(path): self.digest(path) for path in job.reads}
        if self.spoiled(job) and self._in_work(job):
            job.output.unlink(missing_ok=True)  # or the stage would resume from what is there
        self.place(job).unlink(missing_ok=True)
        code = work()
        if code == 0:
            wrote = {str(path): _sealed(path) for path in self.outputs(job) if path.is_file()}
            receipt = Receipt(asked=asked, read=read, wrote=wrote)
            write_json(self.place(job), receipt.model_dump(mode="json"))
        return code

    def _check(self, path: Path) -> None:
        known = self._written(path)
        if known is None or not path.exists():
            return  # the job says itself what it lacks
        if _sealed(path) != known:
            maker = self._makers[path]
            raise UserError(
                f"{path}: not what `bench {maker.stage} {maker.name}` wrote; delete it, and run "
                "the plain command, which remakes it"
            )

    def _in_work(self, job: Job) -> bool:
        return job.output.is_relative_to(self.layout.work)


def _sealed(path: Path) -> tuple[int, str]:
    size = path.stat().st_size
    return size, digest_file(path) if size <= HASHED else f"{size} bytes"


def run_verb(args: argparse.Namespace) -> int:
    """Run a verb; if it is a job of the DAG, with receipts."""
    other = any(vars(args).get(option) for option in NO_JOB)
    if args.verb not in NAMES or other:
        return int(args.run(args))
    values = (vars(args)[name] for name in NAMES[args.verb])
    name = " ".join(" ".join(value) if isinstance(value, list) else value for value in values)
    receipts = Receipts(config.load(args.config))
    job = receipts.jobs.get((args.verb, name))
    if (
        job is None or "RANK" in os.environ
    ):  # in a team, the process that started it writes the receipt
        return int(args.run(args))  # it says itself that there is no such job
    folders.take(receipts.settings)  # before the receipt is the first file in them
    code = receipts.perform(job, lambda: int(args.run(args)))
    if code == 0 and job.stage == "train":
        from bench.training.train import drop_state  # late: no other job needs it

        drop_state(receipts.layout, find_cell(receipts.settings, job.name))
    return code
