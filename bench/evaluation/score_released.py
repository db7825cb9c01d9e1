"""`python -m bench released RUN`: evaluate checkpoints as their authors released them."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.code_digest import model_stage_digest
from bench.corpora.listing import corpus_facts
from bench.data.store import store_facts
from bench.data.task import Task, open_task
from bench.evaluation.evaluate import evaluate_cell
from bench.experiment import cells, config, folders
from bench.experiment.cells import RELEASED, Cell, Layout
from bench.experiment.checkpoints import obtain
from bench.experiment.released import Released
from bench.files import UserError
from bench.models.card import Card
from bench.models.scores import Scores
from bench.process.launch import find_device
from bench.process.locks import run_lock
from bench.process.slots import gpu_slot
from bench.results.record import Record
from bench.strict import known
from bench.training.description import SCORED, Origin, Outcome, write_run

DESED_FROM_AUDIOSET = {
    # AudioSet outputs behind each DESED class, as HTS-AT's code maps them (config.py, lines
    # 117-128), its slips included: chopping and microwave ovens count as frying, rain and the
    # ocean as running water, and taps and sinks as nothing.
    "Alarm_bell_ringing": (310, *range(388, 403)),
    "Blender": (369,),
    "Cat": tuple(range(81, 86)),
    "Dishes": (364,),
    "Dog": tuple(range(74, 80)),
    "Electric_shaver_toothbrush": (382,),
    "Frying": (366, 367, 368),
    "Running_water": tuple(range(288, 298)),
    "Speech": tuple(range(8)),
    "Vacuum_cleaner": (377,),
}
DESED_CORRECTED = DESED_FROM_AUDIOSET | {
    # The slips corrected: what rings in DESED (bells, doorbells, telephones, alarms), and what its
    # other classes are named after.
    "Alarm_bell_ringing": (*range(200, 204), 355, 356, *range(388, 392), 395, *range(398, 401)),
    "Dishes": (364, 365),
    "Dog": tuple(range(74, 81)),
    "Electric_shaver_toothbrush": (376, 382),
    "Frying": (367,),
    "Running_water": (288, 370, 371, 372),
}
DESED_CLASSES = {"published": DESED_FROM_AUDIOSET, "corrected": DESED_CORRECTED}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "cell", help="DATASET/MODEL/released-NAME/[foldF-]seedS, as `plan` lists them"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")


def run(args: argparse.Namespace) -> int:
    """Entry of the verb.

    Raises:
        UserError: no such evaluation, no file, or one that does not fit.
    """
    settings = folders.load(args.config)
    found = {str(cell): cell for cell in cells.released_cells(settings)}
    known(args.cell, found, f"`released` of experiment '{settings.experiment}'")
    evaluate_released(settings, found[args.cell], args.threads)
    return 0


def evaluate_released(settings: config.Config, cell: Cell, threads: int = 1) -> Record:
    """Score validation and test clips with a released file and write the record.

    Raises:
        UserError: a stage before is missing, or the file is absent, damaged or another model's.
    """
    plan, layout = cells.plan(settings, cell), Layout.of(settings)
    assert plan.released is not None
    file = obtain(plan.released, Path(settings.paths.checkpoints))
    corpus, features = (
        layout.corpus(cell.dataset),
        layout.features(cell.dataset, plan.model.front_end),
    )
    task = open_task(plan, corpus, features)
    digests = {
        "code_train": model_stage_digest("released", plan.model.architecture),
        "data": corpus_facts(corpus)["digest"],
        "features": store_facts(features)["digest"],
        "start": file.sha256,
    }
    origin = Origin(plan, digests, threads)
    with run_lock(layout.state(origin.identity), str(cell)):
        write_run(layout.run(cell), origin, task, _score(origin, task, file.path))
    return evaluate_cell(settings, cell)


def _score(origin: Origin, task: Task, path: Path) -> Outcome:
    """Scores in the corpus's classes, and what they cost."""
    from bench.models import networks
    from bench.models.shifts import score_splits
    from bench.models.torch_setup import set_up
    from modelkit.checkpoint import CheckpointError

    plan = origin.plan
    entry = plan.released
    assert entry is not None
    outputs = outputs_of(entry, task.corpus.classes)
    with gpu_slot(str(plan.cell)):
        set_up(origin.threads)
        try:
            card = Card.of_released(plan.cell.variant.removeprefix(RELEASED), entry)
            model = networks.open_released(card, path)
        except CheckpointError as error:
            raise UserError(str(error)) from error
        model.to(find_device(None))
        clock = time.perf_counter()
        scores = {
            name: in_classes(found, outputs)
            for name, found in score_splits(model, task, SCORED, plan).items()
        }
        return Outcome(
            scores=scores,
            network=networks.resolved_values(model),
            parameters=networks.live_parameters(model),
            cost={"train_seconds": 0.0, "score_seconds": time.perf_counter() - clock},
            device=networks.device_name(model),
        )


def in_classes(scores: Scores, outputs: list[tuple[int, ...]]) -> Scores:
    """Scores of a model's outputs as scores of a corpus's classes."""
    frames = scores.frame_scores
    return replace(
        scores,
        clip_scores=mapped(scores.clip_scores, outputs),
        frame_scores=None if frames is None else mapped(frames, outputs),
    )


def outputs_of(entry: Released, classes: tuple[str, ...]) -> list[tuple[int, ...]]:
    """The outputs for each of a corpus's classes: that of its name, or, for the
    classes of DESED, those that the authors map to it (or the corrected map).

    Raises:
        UserError: a class without an output.
    """
    places = {name: (place,) for place, name in enumerate(entry.class_names())}
    if entry.classes == "audioset" and set(classes) <= set(DESED_FROM_AUDIOSET):
        places = DESED_CLASSES[entry.desed_classes]
    unknown = [name for name in classes if name not in places]
    if unknown:
        raise UserError(f"{entry.file}: no output for class '{unknown[0]}'")
    return [places[name] for name in classes]


def mapped(scores: np.ndarray, outputs: list[tuple[int, ...]]) -> np.ndarray:
    """Scores (..., outputs) as scores (..., classes): the largest among those of each class."""
    return np.stack([scores[..., list(places)].max(axis=-1) for places in outputs], axis=-1)
