"""Hours and bytes to come: from finished runs on this machine, else from a rehearsal on it, else
from stated rough rates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench import registry
from bench.experiment.cells import Cell, Layout, Plan, list_cells, plan
from bench.experiment.config import Config, FrontEnd
from bench.experiment.jobs import Job
from bench.experiment.rates import Rate, read_rates
from bench.experiment.wanted import fetched_here
from bench.files import UserError, read_json
from bench.process import slots
from bench.sources.registry import find_entry
from bench.steps import steps_per_epoch

# Before a first run has finished. Full size: training on one V100, from published GPU hours
# (HTS-AT 80 h for 30 epochs of AudioSet, AST 192 h for 5 epochs, PANN 72 h for 19.2M clips). For
# EfficientAT none are published: mn10 steps eight times as fast as PANN on a CPU.
FULL_SIZE_SECONDS_PER_CLIP = {"htsat": 0.005, "ast": 0.07, "pann": 0.0135, "mobilenet": 0.0017}
FULL_SIZE_VALUES = {  # of such a clip
    "htsat": 1001 * 64,
    "ast": 1024 * 128,
    "pann": 1001 * 64,
    "mobilenet": 1000 * 128,
}
# Presets: one CPU core with AVX2, per clip and 1000 feature values of the clip.
PRESET_SECONDS_PER_KILOVALUE = {"htsat": 1.2e-3, "ast": 0.4e-3, "pann": 2.0e-3, "piczak": 1.0e-3}
OTHER_SECONDS_PER_KILOVALUE = 0.5e-3
PARAMETERS = {"htsat": 31e6, "ast": 87e6, "pann": 81e6, "mobilenet": 4.9e6}
PRESET_PARAMETERS = 1e6
STARTED = {  # seconds that a job of the stage takes besides its work on clips
    "embed": 60.0,
    "corpus": 3.0,
    "featurize": 4.0,
    "train": 6.0,
    "evaluate": 4.0,
    "cost": 40.0,
    "rescore": 5.0,
    "track": 20.0,
    "report": 20.0,
}
FETCH_RATE = 20e6  # bytes a second
TRAINING_SHARE = 0.7  # of a corpus' clips, before its splits are known
EMBEDDED_CLIPS = 1000  # of each embedded corpus, before it is built
EMBEDDED_BYTES = 500e6  # of all embedded corpora
AUDIO_SPEED = 300.0  # seconds of audio that one core turns into features in a second


@dataclass(frozen=True)
class Finished:
    """What a finished training shows: seconds per clip seen, clips per epoch, parameters."""

    seconds_per_clip: float
    clips_per_epoch: int
    parameters: int

    @classmethod
    def read(cls, path: Path) -> Finished | None:
        """Of a training.json; None if it is missing or does not show it."""
        try:
            training = read_json(path)
            cost = training["cost"]
            return cls(
                seconds_per_clip=cost["train_seconds"] / cost["clips_seen"],
                clips_per_epoch=training["splits"]["train"],
                parameters=training["parameters"],
            )
        except (UserError, KeyError, TypeError, ZeroDivisionError):
            return None


@dataclass(frozen=True)
class Estimate:
    """What is known of an experiment's clips, its finished runs, and the steps of its runs."""

    settings: Config
    clips: Mapping[str, int | None]
    finished: Mapping[Cell, Finished]
    measured: Mapping[str, Rate] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Config) -> Estimate:
        """Read corpora and finished runs from disk."""
        layout = Layout.of(settings)
        found = {
            cell: Finished.read(layout.run(cell) / "training.json") for cell in list_cells(settings)
        }
        finished = {cell: run for cell, run in found.items() if run is not None}
        clips = {name: _clips(settings, layout, name) for name in settings.datasets}
        return cls(settings, clips, finished, read_rates(settings))

    def seconds(self, job: Job) -> float | None:
        """Seconds of one job on one core or GPU; None where nothing is known of its clips."""
        if job.stage == "featurize":
            dataset, name = job.name.split()
            clips = self.clips[dataset]
            front_end = self.settings.datasets[dataset].front_ends[name]
            if clips is None:
                return None
            return STARTED["featurize"] + clips * front_end.seconds / AUDIO_SPEED
        if job.stage == "fetch":
            return sum(source_parts(self.settings, job.name).values()) / FETCH_RATE
        if job.stage == "train" and job.cell is not None:
            return self.training_seconds(job.cell)
        return STARTED[job.stage]

    @property
    def full_size(self) -> bool:
        """Whether the networks are meant for GPUs."""
        plans = (plan(self.settings, cell) for cell in list_cells(self.settings))
        return any(not _is_preset(resolved) for resolved in plans)

    def training_seconds(self, cell: Cell) -> float | None:
        """Seconds of one training; None where its number of clips is unknown."""
        resolved = plan(self.settings, cell)
        if resolved.model.architecture in registry.SOLVED:
            return STARTED["train"]
        per_epoch = self._clips_per_epoch(resolved)
        if per_epoch is None:
            return None
        recipe, rate = resolved.recipe, self.rate(cell)
        seen = steps_per_epoch(per_epoch, recipe.batch_size) * recipe.batch_size * recipe.epochs
        if rate is None or self._finished_like(cell):
            return STARTED["train"] + seen * self._seconds_per_clip(resolved)
        others = max(0, (self.clips[cell.dataset] or 0) - per_epoch)
        return STARTED["train"] + rate.seconds(seen, recipe.epochs, others)

    def rate(self, cell: Cell) -> Rate | None:
        """What a rehearsal measured of such runs."""
        return self.measured.get(f"{cell.dataset}/{cell.model}/{cell.variant}")

    def _finished_like(self, cell: Cell) -> list[Finished]:
        """The finished runs of the model on the data set."""
        wanted = (cell.dataset, cell.model)
        return [run for own, run in self.finished.items() if (own.dataset, own.model) == wanted]

    def studies(self) -> Iterator[tuple[str, int, float]]:
        """Of each ablation study: its runs besides the base ones, and the seconds of the trainings
        that are still to be done (0 if their clips are unknown)."""
        cells = list_cells(self.settings)
        for name, study in self.settings.ablations.items():
            names = {variant.name for variant in study.variants()}
            own = [
                cell
                for cell in cells
                if cell.variant in names
                and cell.model in study.models
                and cell.dataset in study.datasets
            ]
            todo = [cell for cell in own if cell not in self.finished]
            yield name, len(own), sum(self.training_seconds(cell) or 0.0 for cell in todo)

    @cached_property
    def urgency(self) -> dict[str, float]:
        """Seconds from a training's start to the end of the longest chain that begins with it."""
        cells = list_cells(self.settings)
        waiting: dict[Cell | None, list[Cell]] = {}
        for cell in cells:
            waiting.setdefault(plan(self.settings, cell).parent, []).append(cell)

        def chain(cell: Cell) -> float:
            own = self.training_seconds(cell) or 0.0
            return own + max(map(chain, waiting.get(cell, [])), default=0.0)

        return {str(cell): chain(cell) for cell in cells}

    def data_urgency(self, dataset: str, front_end: str | None = None) -> float:
        """The greatest urgency of the trainings that read this data set (and front end)."""
        return max(
            self.urgency[str(cell)]
            for cell in list_cells(self.settings)
            if cell.dataset == dataset
            and front_end in (None, self.settings.models[cell.model].front_end)
        )

    def _clips_per_epoch(self, resolved: Plan) -> int | None:
        known = [
            run.clips_per_epoch
            for cell, run in self.finished.items()
            if cell.dataset == resolved.cell.dataset
        ]
        total = self.clips[resolved.cell.dataset]
        if known:
            return sum(known) // len(known)
        if total is None:
            return None
        listed = _listed_for_training(self.settings, resolved.cell.dataset)
        return listed or int(TRAINING_SHARE * total)

    def _seconds_per_clip(self, resolved: Plan) -> float:
        """Of finished runs of this model: on the same data set, else on any, scaled by size."""
        cell, size = resolved.cell, _values(resolved.front_end)
        same_dataset = [run.seconds_per_clip for run in self._finished_like(cell)]
        same_model = []
        for other, run in self.finished.items():
            if other.model == cell.model:
                scale = size / _values(plan(self.settings, other).front_end)
                same_model.append(scale * run.seconds_per_clip)
        for rates in (same_dataset, same_model):
            if rates:
                return sum(rates) / len(rates)
        architecture = resolved.model.architecture
        if _is_preset(resolved):
            rate = PRESET_SECONDS_PER_KILOVALUE.get(architecture, OTHER_SECONDS_PER_KILOVALUE)
            return rate * size / 1000
        return FULL_SIZE_SECONDS_PER_CLIP[architecture] * size / FULL_SIZE_VALUES[architecture]

    def disk_ahead(self, jobs: Iterable[Job]) -> dict[str, float]:
        """Bytes that these jobs will still write below each folder, by the folder's key in the
        config.

        Fetched data counts under "fetched NAME"; data sets may share a folder.
        """
        settings, ahead = self.settings, {"paths.work": 0.0, "paths.results": 0.0}
        weights, fetched = [0.0], set()
        for job in (job for job in jobs if not job.done):
            if job.stage == "fetch":
                folder = fetched_here(settings)[job.name].folder
                parts = source_parts(settings, job.name)
                new = {part: size for part, size in parts.items() if (folder, part) not in fetched}
                fetched |= {(folder, part) for part in new}
                ahead[f"fetched {job.name}"] = sum(new.values())
            elif job.stage == "embed":
                ahead["embedded.root"] = EMBEDDED_BYTES
            elif job.stage == "featurize":
                dataset, name = job.name.split()
                front_end = settings.datasets[dataset].front_ends[name]
                ahead["paths.work"] += 2.0 * (self.clips[dataset] or 0) * _values(front_end)
            elif job.stage == "train" and job.cell is not None:
                weights.append(4.0 * self._parameters(plan(settings, job.cell)))
            elif job.stage == "report":
                ahead["paths.report"] = 10e6
        running = 8 * max(weights)  # Adam's moments, best and averaged weights, twice
        ahead["paths.work"] += workers() * running
        ahead["paths.results"] += sum(weights) + 1e6 * (len(weights) - 1)
        return ahead

    def _parameters(self, resolved: Plan) -> float:
        for cell, run in self.finished.items():
            if cell.model == resolved.cell.model:
                return run.parameters
        if (rate := self.rate(resolved.cell)) is not None:
            return rate.parameters
        if _is_preset(resolved):
            return PRESET_PARAMETERS
        return PARAMETERS[resolved.model.architecture]


def wall_seconds(jobs: Iterable[tuple[Job, float | None]]) -> float:
    """Seconds on this machine: runs share its cores or GPUs; the cost stage takes it whole."""
    shared = whole = 0.0
    for job, seconds in jobs:
        if job.stage == "cost":
            whole += seconds or 0.0
        else:
            shared += seconds or 0.0
    return whole + shared / workers()


def workers() -> int:
    """How many runs work in parallel: one per GPU, else one per core."""
    return len(slots.devices()) or len(os.sched_getaffinity(0))


def _clips(settings: Config, layout: Layout, dataset: str) -> int | None:
    try:
        return int(read_json(layout.corpus_file(dataset))["coverage"]["found"])
    except (UserError, KeyError, TypeError):
        chosen = settings.datasets[dataset]
        if chosen.source is None:
            return None if settings.embedded is None else EMBEDDED_CLIPS
        parts = find_entry(chosen.source).wanted(chosen.options)
        return sum(part.clips for part in parts.values())


def _listed_for_training(settings: Config, dataset: str) -> int | None:
    """Clips of the training lists as the registry states them; None if it does not."""
    chosen = settings.datasets[dataset]
    if chosen.source is None:
        return None
    entry = find_entry(chosen.source)
    optional = {part for parts in entry.training.values() for part in parts} or {"train"}
    read = entry.wanted(chosen.options).items()
    return sum(part.clips for name, part in read if name in optional) or None


def source_parts(settings: Config, name: str) -> dict[str, float]:
    """Bytes on disk by part of what is fetched under this name; of a file, unless it is here."""
    wanted = fetched_here(settings)[name]
    parts = wanted.entry.wanted(wanted.options)
    return {
        part: 1e9 * facts.gigabytes
        for part, facts in parts.items()
        if not (wanted.folder / part).is_file()
    }


def _values(front_end: FrontEnd) -> int:
    return front_end.frames * front_end.mels


def _is_preset(resolved: Plan) -> bool:
    preset = resolved.model.arguments.get("preset", "paper")
    return preset != "paper" or resolved.model.architecture not in PARAMETERS
