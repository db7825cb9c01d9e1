"""`python -m bench teach RUN --scores FILE`: a run's scores of its training clips, for students.

Distillation: a network learns from another network's scores of the training clips, besides their
labels (Hinton et al., arXiv 1503.02531; EfficientAT's and PretrainedSED's weight of the other
network is 0.9). The other network's probabilities come from a file, in the form of scores.npz with
a split `train`; this verb writes one for a run of the benchmark.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data.task import Task, open_task
from bench.experiment import cells, folders
from bench.experiment.cells import Layout
from bench.experiment.config import Distill
from bench.files import UserError, digest_file
from bench.models.scores import read_scores, write_scores

SPLIT = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", help="a finished run: DATASET/MODEL/VARIANT/[foldF-]seedS")
    parser.add_argument("--scores", type=Path, required=True, metavar="FILE", help="to be written")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")


def run(args: argparse.Namespace) -> int:
    """Entry of the verb.

    Raises:
        UserError: the run has no weights, or FILE exists or does not end in .npz.
    """
    from bench.models import networks
    from bench.models.scoring import score_clips
    from bench.models.torch_setup import set_up
    from bench.process.launch import find_device

    if args.scores.suffix != ".npz":
        raise UserError(f"--scores {args.scores}: give a name that ends in .npz")
    if args.scores.exists():
        raise UserError(f"--scores {args.scores}: exists; give another name, or remove it")
    settings = folders.load(args.config)
    cell, layout = cells.find_cell(settings, args.cell), Layout.of(settings)
    plan = cells.plan(settings, cell)
    weights = layout.run(cell) / "model.pt"
    if not weights.is_file():
        raise UserError(f"{weights}: no such file; train the run first")
    set_up(args.threads)
    model, _ = networks.open_checkpoint(weights)
    corpus, features = layout.corpus(cell.dataset), plan.model.front_end
    task = open_task(plan, corpus, layout.features(cell.dataset, features))
    found = score_clips(model.to(find_device(None)), task, task.rows[SPLIT], plan.dataset.loss)
    write_scores(args.scores, task, {SPLIT: found}, trained_on=task.rows[SPLIT])
    print(f"{args.scores}: {len(task.rows[SPLIT])} training clips by {cell}")
    return 0


def digest_of_scores(distill: Distill) -> str:
    """sha256 of the file of scores.

    Raises:
        UserError: there is no such file.
    """
    if not Path(distill.scores).is_file():
        raise UserError(
            f"{distill.scores}: no such file; recipe value distill.scores names the teacher's "
            "scores of the training clips, which `python -m bench teach` writes for a run"
        )
    return digest_file(distill.scores)


@dataclass(frozen=True)
class Teacher:
    """Another network's scores of a task's clips.

    Attributes:
        weight: of its probabilities; the labels keep the rest.
        place: (clips of the corpus,) place of each in the following, -1 where it was not scored.
        clips: (N, C) probabilities in the task's class order; frames: (N, T', C) or None.
    """

    weight: float
    place: np.ndarray
    clips: np.ndarray
    frames: np.ndarray | None
    seconds_per_frame: float

    @classmethod
    def open(cls, distill: Distill, task: Task) -> Teacher:
        """Read the file of scores that a recipe names.

        Raises:
            UserError: no such file, one of other classes, without one of the training clips, or of
                a teacher that was trained on one of the validation or test clips. Where the file
                does not say on which clips, these are all that it scores.
        """
        path = Path(distill.scores)
        stored = read_scores(path, SPLIT)
        absent = [name for name in task.corpus.classes if name not in stored.classes]
        if absent:
            raise UserError(
                f"{path}: no scores of class '{absent[0]}' ({len(absent)} such classes); the "
                "teacher must know the classes of the student's data set"
            )
        places = {clip: place for place, clip in enumerate(stored.clip_ids.tolist())}
        place = np.array([places.get(clip, -1) for clip in task.corpus.clips["clip"]])
        if (place[task.rows[SPLIT]] < 0).all():
            raise UserError(
                f"{path}: scores none of the {len(task.rows[SPLIT])} training clips (it needs a "
                "split 'train', as `python -m bench teach` writes)"
            )
        trained_on = stored.clip_ids if stored.trained_on is None else stored.trained_on
        _check_held_out(path, trained_on, task)
        order = [stored.classes.index(name) for name in task.corpus.classes]
        scores = stored.scores
        frames = None if scores.frame_scores is None else scores.frame_scores[..., order]
        return cls(
            distill.weight, place, scores.clip_scores[:, order], frames, scores.seconds_per_frame
        )

    def clip_targets(self, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Labels (B, C) of these clips, moved towards the teacher's probabilities.

        Both losses are linear in their targets: the loss of the mixed ones is the weighted sum of
        the two. A clip that the teacher did not score keeps its labels.
        """
        return self._mixed(labels, self.clips[self.place[rows]], rows)

    def frame_targets(
        self,
        active: np.ndarray,
        rows: np.ndarray,
        seconds_per_frame: float,
        starts_s: np.ndarray,
    ) -> np.ndarray:
        """Frame labels (B, T', C), moved towards the teacher's scores at each frame's middle.

        Args:
            starts_s: (B,) where in each clip the first frame begins, in seconds.
        """
        if self.frames is None:
            return active
        middles = starts_s[:, None] + (np.arange(active.shape[1]) + 0.5) * seconds_per_frame
        nearest = np.minimum(middles / self.seconds_per_frame, self.frames.shape[1] - 1).astype(int)
        return self._mixed(active, self.frames[self.place[rows][:, None], nearest], rows)

    def _mixed(self, targets: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
        weight = np.where(self.place[rows] < 0, 0.0, self.weight).astype(np.float32)
        weight = weight.reshape(-1, *[1] * (targets.ndim - 1))
        return (1 - weight) * targets.astype(np.float32) + weight * scores


def _check_held_out(path: Path, trained_on: np.ndarray, task: Task) -> None:
    """Raise a UserError if the teacher was trained on clips that its student is judged by."""
    names = task.corpus.clips["clip"].to_numpy()
    judged = np.concatenate([task.rows["validation"], task.rows["test"]])
    judged = np.setdiff1d(judged, task.rows[SPLIT])  # without validation clips, training clips are
    seen = sorted(set(names[judged]) & set(trained_on.tolist()))
    if seen:
        raise UserError(
            f"{path}: its teacher was trained on clip '{seen[0]}' ({len(seen)} such clips), which "
            "is a validation or test clip of the student. With folds, let the run of the same "
            "fold teach, and give each fold an experiment (`seeds` chooses it) with its own "
            "distill.scores; the file's array trained_on names the teacher's training clips, by "
            "default all that it scores"
        )
