"""What a run trains and is tested on: features, targets and splits, joined by clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.corpora import SPLITS, Corpus, open_corpus
from bench.corpora.folds import with_test_fold
from bench.data.store import FeatureStore
from bench.experiment.cells import Plan
from bench.experiment.config import FrontEnd
from bench.files import UserError


@dataclass(frozen=True)
class Task:
    """Clips of one corpus under one front end, in the corpus table's order.

    `targets` (N, C) uint8 are 0/1; `rows` maps a split to indices of usable clips; `position`
    maps a clip to its place in the feature store; `scale` is the (mean, standard deviation)
    that the front end normalises with: its own, or of the training split's frames.
    """

    corpus: Corpus
    store: FeatureStore
    front_end: FrontEnd
    targets: np.ndarray
    rows: dict[str, np.ndarray]
    position: np.ndarray
    scale: tuple[float, float] | None

    def features(self, rows: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
        """What a model sees of these clips: (B, T, F) float32, from the frames `starts` (B,) on,
        else from their beginnings; short clips are filled to the front end's frames."""
        front_end = self.front_end
        batch = self.store.batch(
            self.position[rows], frames=front_end.frames, fill=front_end.fill, starts=starts
        )
        return scaled(batch, self.scale)

    def clips(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """All stored frames of each of these clips, float16 (frames, F)."""
        return (self.store.clip(position) for position in self.position[rows])

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """(B,) how many frames are stored of each of these clips."""
        return self.store.frames[self.position[rows]]


def assembled(
    parts: Sequence[np.ndarray], front_end: FrontEnd, scale: tuple[float, float] | None
) -> np.ndarray:
    """Stored features, each (T, F), as the batch (B, frames, F) that a model sees of them."""
    lengths = np.array([len(part) for part in parts])
    first = np.cumsum(lengths) - lengths
    silence = front_end.silence
    store = FeatureStore(np.concatenate(parts), [], first, lengths, silence, "")
    rows = np.arange(len(parts))
    return scaled(store.batch(rows, frames=front_end.frames, fill=front_end.fill), scale)


def scaled(batch: np.ndarray, scale: tuple[float, float] | None) -> np.ndarray:
    """(x - mean) / (2 deviation) in place, as AST does; without a scale, the batch unchanged."""
    if scale is not None:
        mean, deviation = scale
        batch -= np.float32(mean)
        batch /= np.float32(2 * deviation)
    return batch


def open_task(plan: Plan, corpus_folder: Path, feature_folder: Path) -> Task:
    """Join corpus and features for a plan; clips whose audio was unusable are left out.

    Two fold protocols leave no validation split. Under `published`, selection uses the test fold,
    as the published recipes do; under `piczak_baselines` nothing is selected, and the training
    clips are reported in place of validation clips. Strong supervision trains only on the clips
    with strong labels: the others would contribute no loss.

    Raises:
        UserError: a stage before is missing, a split is empty, the loss or a metric needs one label
            per clip and clips have several, or strong labels are requested and no training clip has
            them.
    """
    corpus = split_corpus(plan, corpus_folder)
    if plan.released is None:
        plan.dataset.check_labels(corpus.multilabel, f"datasets.{plan.cell.dataset}")
    store = FeatureStore.open(feature_folder)
    place = {clip: number for number, clip in enumerate(store.clips)}
    position = np.array([place.get(clip, -1) for clip in corpus.clips["clip"]])
    split = corpus.clips["split"].to_numpy()
    rows = {name: np.flatnonzero((position >= 0) & (split == name)) for name in SPLITS}
    if plan.cell.fold >= 0 and not len(rows["validation"]):
        published = plan.dataset.fold_protocol == "published"
        rows["validation"] = rows["test" if published else "train"]
    if plan.released is None and plan.recipe.supervision != "weak":
        timed = corpus.clips["strong"].to_numpy(bool)[rows["train"]]
        if corpus.events is None or not timed.any():
            raise UserError(
                f"{plan.cell}: supervision '{plan.recipe.supervision}' needs training clips with "
                f"strong labels, and {corpus.name} has none; set it to weak"
            )
        if plan.recipe.supervision == "strong":
            rows["train"] = rows["train"][timed]
    for name in SPLITS if plan.released is None else ("validation", "test"):
        if not len(rows[name]):
            raise UserError(f"{corpus_folder}: no usable clip in the {name} split")
    scale = plan.front_end.fixed_scale
    if plan.front_end.normalise is True:
        scale = store.mean_std(position[rows["train"]])
    return Task(corpus, store, plan.front_end, multi_hot(corpus), rows, position, scale)


def split_corpus(plan: Plan, corpus_folder: Path) -> Corpus:
    """The corpus of a plan, with the splits that its fold gives.

    Raises:
        UserError: it has no such fold.
    """
    corpus = open_corpus(corpus_folder)
    if plan.cell.fold < 0:
        return corpus
    try:
        return with_test_fold(corpus, plan.cell.fold, plan.dataset.fold_protocol)
    except ValueError as error:
        where = f"datasets.{plan.cell.dataset}.folds"
        raise UserError(f"{where}: {plan.dataset.folds} are too many: {error}") from error


def multi_hot(corpus: Corpus) -> np.ndarray:
    """Targets (N, C) uint8 of a corpus, in its class order."""
    position = {name: index for index, name in enumerate(corpus.classes)}
    targets = np.zeros((len(corpus.clips), len(position)), np.uint8)
    for row, labels in enumerate(corpus.clips["labels"]):
        for label in labels:
            targets[row, position[label]] = 1
    return targets
