"""What makes a finished job run again, besides its input files: digests of values, code and pins.

A job's receipt holds them (`bench.ops.receipts`). A comment changes none of them; an edit of one
model's code changes those of that model's trainings; a recipe value changes those of its own cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.code_digest import ROOT, loader_stage_digest, model_stage_digest, stage_digest
from bench.experiment.cells import (
    ON_READING,
    Plan,
    ensemble_cells,
    list_cells,
    plan,
    released_cells,
)
from bench.experiment.config import Config
from bench.experiment.released import file_of
from bench.experiment.trials import first_cell, pairs, path_of
from bench.experiment.wanted import fetched_here
from bench.files import digest_file, digest_of
from bench.provenance import environment

READ_BY_REPORT = (
    "bench/reporting",
    "bench/results",
    "config/registry/fingerprints.yaml",
    "config/registry/classes",
    "config/paper.yaml",
    "config/modern.yaml",
    "config/piczak.yaml",
)


class Triggers:
    """Digests of every job of an experiment."""

    def __init__(self, settings: Config) -> None:
        self.settings = settings
        self._read: dict[str, str] = {}

    @cached_property
    def plans(self) -> dict[str, Plan]:
        """Every run of the experiment by its name."""
        return {str(cell): plan(self.settings, cell) for cell in list_cells(self.settings)}

    def fetch(self, name: str) -> dict[str, str]:
        """Of one fetch: what is requested. Changed code does not fetch verified data again."""
        wanted = fetched_here(self.settings)[name]
        entry = wanted.entry.model_dump(mode="json")
        value = digest_of([entry, str(wanted.folder), wanted.options, wanted.ways])
        return {"config": value[:16]}

    def embed(self) -> dict[str, str]:
        embedded = self.settings.embedded
        if embedded is None:
            return {}
        return _digests("embed", embedded.model_dump(mode="json"))

    def corpus(self, dataset: str) -> dict[str, str]:
        """Of one corpus table: what its loader is told."""
        chosen = self.settings.datasets[dataset]
        values = [chosen.loader, chosen.root, chosen.options, self.settings.data_kind(dataset)]
        return _digests("corpus", values, loader_stage_digest(chosen.loader))

    def featurize(self, dataset: str, front_end: str) -> dict[str, str]:
        """Of one feature store: what changes the stored values."""
        chosen = self.settings.datasets[dataset].front_ends[front_end]
        return _digests("featurize", chosen.model_dump(mode="json", exclude=ON_READING))

    def train(self, cell: str) -> dict[str, str]:
        """Of one run; a teacher's scores count wherever they are."""
        chosen = self.plans[cell]
        code = model_stage_digest("train", chosen.model.architecture)
        digests = _digests("train", chosen.resolved, code)
        if chosen.recipe.distill is not None:
            digests["teacher"] = self._given(chosen.recipe.distill.scores)
        return digests

    def _given(self, name: str) -> str:
        """Of a file that no job makes, read once; empty if it is missing."""
        if name not in self._read:
            path = Path(name)
            self._read[name] = digest_file(path)[:16] if path.is_file() else ""
        return self._read[name]

    @cached_property
    def released_plans(self) -> dict[str, Plan]:
        """Every evaluation of a released checkpoint by its name."""
        return {str(cell): plan(self.settings, cell) for cell in released_cells(self.settings)}

    def obtainable(self, cell: str) -> bool:
        """Whether a run needs no released file, or one that is here or can be fetched."""
        if cell not in self.released_plans:
            return True
        entry = self.released_plans[cell].released
        assert entry is not None
        folder = Path(self.settings.paths.checkpoints)
        return bool(entry.urls) or file_of(entry, folder) is not None

    def released(self, cell: str) -> dict[str, str]:
        chosen = self.released_plans[cell]
        code = model_stage_digest("released", chosen.model.architecture)
        located = self.settings.localization.model_dump(mode="json")
        return _digests("released", [chosen.resolved, located], code)

    def ensemble(self, name: str) -> dict[str, str]:
        cell, _ = ensemble_cells(self.settings, name)
        located = self.settings.localization.model_dump(mode="json")
        return _digests("ensemble", [plan(self.settings, cell).resolved, located])

    def evaluate(self, cell: str) -> dict[str, str]:
        chosen = self.plans[cell]
        located = self.settings.localization if chosen.dataset.localize else None
        choice = located.model_dump(mode="json") if located else None
        names = [self.settings.experiment, self.settings.data_kind(chosen.cell.dataset)]
        values = [chosen.resolved, chosen.dataset.metric, choice, names]
        return _digests("evaluate", values)

    def cost(self, model: str) -> dict[str, str]:
        cost = self.settings.cost
        values = cost.model_dump(mode="json", exclude={"models"})
        code = model_stage_digest("cost", cost.models[model]["architecture"])
        return _digests("cost", [values, cost.models[model]], code)

    def tune(self, pair: str) -> dict[str, str]:
        """Of the trials of one DATASET/MODEL pair."""
        chosen = self.plans[str(first_cell(self.settings, *pair.split("/")))]
        tuning = self.settings.tuning.model_dump(mode="json")
        return self.train(str(chosen.cell)) | {"tuning": digest_of(tuning)[:16]}

    def rescore(self) -> dict[str, str]:
        wanted = self.settings.rescore
        return _digests("rescore", wanted and wanted.model_dump(mode="json"))

    def track(self) -> dict[str, str]:
        return _digests("track", None)

    def report(self) -> dict[str, str]:
        """Of the report: it shows the whole experiment, and what trials chose its recipes."""
        values = self.settings.model_dump(mode="json")
        paths = (path_of(self.settings, *pair) for pair in pairs(self.settings))
        recorded = {str(path): digest_file(path) for path in paths if path.is_file()}
        return _digests("report", [values, recorded])


def _digests(stage: str, values: Any, code: str | None = None) -> dict[str, str]:
    digests = {
        "config": digest_of(values),
        "code": code or stage_digest(stage),
        "pins": environment()["pins_sha256"],
    }
    if stage == "report":
        digests["files"] = _files_digest(READ_BY_REPORT)
    return {name: digest[:16] for name, digest in digests.items()}


def _files_digest(places: Iterable[str]) -> str:
    """Digest of what is read like code but is not code: templates, published values."""
    roots = [ROOT / place for place in places]
    found = [path for root in roots for path in (root, *root.rglob("*"))]
    paths = (path for path in found if path.is_file())
    kept = [p for p in paths if p.suffix not in (".py", ".pyc")]
    return digest_of({str(path.relative_to(ROOT)): digest_file(path) for path in sorted(kept)})
