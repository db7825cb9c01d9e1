"""`python -m bench ensemble NAME`: the mean of several runs' probabilities, as a run of its own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.code_digest import stage_digest
from bench.data.task import open_task
from bench.evaluation.evaluate import evaluate_cell
from bench.experiment import cells, config, folders
from bench.experiment.cells import Layout
from bench.files import UserError, digest_of
from bench.models.scores import Scores, StoredScores, read_scores
from bench.results.record import Record
from bench.results.training import Training
from bench.strict import known
from bench.training.description import SCORED, Origin, Outcome, write_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a key of the config's ensembles")


def run(args: argparse.Namespace) -> int:
    settings = folders.load(args.config)
    known(args.name, settings.ensembles, "ensembles")
    evaluate_ensemble(settings, args.name)
    return 0


def evaluate_ensemble(settings: config.Config, name: str) -> Record:
    """Average the members' scores and write the record of the result.

    The mean of the probabilities of clips and frames, as HTS-AT's and AST's authors take it.

    Raises:
        UserError: a member has not been scored, or the members were scored on different clips.
    """
    cell, members = cells.ensemble_cells(settings, name)
    plan, layout = cells.plan(settings, cell), Layout.of(settings)
    trained = [Training.read(layout.run(member) / "training.json") for member in members]
    scores = {}
    for split in SCORED:
        stored = [read_scores(layout.run(member) / "scores.npz", split) for member in members]
        scores[split] = mean_scores(stored, str(cell))
    digests = {
        "code_train": stage_digest("ensemble"),
        "members": digest_of([one.identity for one in trained]),
        "data": trained[0].digests.data,
        "features": trained[0].digests.features,
    }
    task = open_task(
        plan, layout.corpus(cell.dataset), layout.features(cell.dataset, plan.model.front_end)
    )
    made = Outcome(
        scores=scores,
        network=trained[0].network,
        parameters=sum(one.parameters for one in trained),
        cost={
            "train_seconds": sum(one.cost.train_seconds for one in trained),
            "score_seconds": sum(one.cost.score_seconds for one in trained),
        },
    )
    write_run(layout.run(cell), Origin(plan, digests, threads=1), task, made)
    return evaluate_cell(settings, cell)


def mean_scores(members: Sequence[StoredScores], where: str) -> Scores:
    """Mean probabilities of clips, and of frames where all members have them.

    Raises:
        UserError: the members' clips, classes or frames differ.
    """
    first = members[0]
    for other in members[1:]:
        alike = np.array_equal(first.clip_ids, other.clip_ids) and first.classes == other.classes
        if not alike:
            raise UserError(
                f"{where}: its members were scored on other clips or classes (folds that differ "
                "from seed to seed?); an ensemble needs the same ones"
            )
    clips = _mean([one.scores.clip_scores for one in members]).astype(np.float32)
    frames = [one.scores.frame_scores for one in members if one.scores.frame_scores is not None]
    if len(frames) < len(members):
        return Scores(clips, None, 0.0, None)
    grids = {(one.scores.seconds_per_frame, *map(len, one.scores.frames())) for one in members}
    if len(grids) > 1:
        raise UserError(f"{where}: its members' frames differ in length; leave one kind out")
    return replace(first.scores, clip_scores=clips, frame_scores=_mean(frames).astype(np.float16))


def _mean(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([part.astype(np.float64) for part in parts]).mean(axis=0)
