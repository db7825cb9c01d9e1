"""Figures of finished runs by other software than the project's: scikit-learn, SciPy, sed_eval,
psds_eval and sed_scores_eval, from scores.npz, the corpus tables and the thresholds that the record
names."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import median_filter
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

COLUMNS = ["filename", "onset", "offset", "event_label"]


def clip_figures(folder: Path) -> dict[str, float]:
    """Clip-level test metrics; by class, average precision under its name, and accuracy."""
    with np.load(folder / "scores.npz") as arrays:
        test = arrays["split"] == "test"
        scores, targets = arrays["clip_scores"][test], arrays["targets"][test]
        classes = arrays["classes"].tolist()
    present = np.flatnonzero(targets.any(axis=0))
    area = roc_auc_score(targets[:, present], scores[:, present], average="macro")
    by_class = {
        classes[c]: float(average_precision_score(targets[:, c], scores[:, c])) for c in present
    }
    right = scores.argmax(axis=1) == targets.argmax(axis=1)
    recall = {f"accuracy {classes[c]}": float(right[targets[:, c] > 0].mean()) for c in present}
    return {
        "mAP": float(np.mean(list(by_class.values()))),
        "mAUC": float(area),
        "d_prime": float(np.sqrt(2) * norm.ppf(area)),
        "accuracy": float(right.mean()),
        "chance": float(targets[:, present].mean()),
        **by_class,
        **recall,
    }


@dataclass(frozen=True)
class Truth:
    """The clips of one split of a corpus folder: their seconds by name, and their events."""

    seconds: dict[str, float]
    events: pd.DataFrame
    classes: list[str]

    @classmethod
    def read(cls, corpus: Path, split: str = "test") -> Truth:
        clips = pd.read_parquet(corpus / "clips.parquet")
        chosen = clips[clips["split"] == split]
        seconds = dict(zip(chosen["clip"], chosen["duration_s"].astype(float), strict=True))
        events = pd.read_csv(corpus / "events.tsv", sep="\t")[COLUMNS]
        own = events[events["filename"].isin(seconds) & events["event_label"].notna()]
        return cls(seconds, own.reset_index(drop=True), sorted(own["event_label"].unique()))

    def whole(self, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
        """An event for each (clip, class), from the clip's start to its end."""
        rows = [(name, 0.0, self.seconds[name], label) for name, label in pairs]
        return pd.DataFrame(rows, columns=COLUMNS)

    def always(self) -> pd.DataFrame:
        """Every class in every clip."""
        return self.whole(product(self.seconds, self.classes))


def decided(folder: Path, point: dict, truth: Truth) -> pd.DataFrame:
    """Events from frame scores: above the class's threshold, then its median filter."""
    with np.load(folder / "scores.npz") as arrays:
        test = arrays["split"] == "test"
        names = arrays["clip_ids"][test].tolist()
        frames = arrays["frame_scores"][test].astype(np.float32)
        step = float(arrays["seconds_per_frame"])
    rows = []
    for c, label in enumerate(point["classes"]):
        for name, column in zip(names, frames[:, :, c], strict=True):
            active = (column > np.float32(point["thresholds"][c])).astype(int)
            active = median_filter(active, size=point["median_filters"][c], mode="reflect")
            edges = np.flatnonzero(np.diff(np.concatenate([[0], active, [0]])))
            for first, last in edges.reshape(-1, 2) * step:
                end = min(last, truth.seconds[name])
                rows += [(name, first, end, label)] if first < end else []
    return pd.DataFrame(rows, columns=COLUMNS)


def event_figures(made: pd.DataFrame, truth: Truth) -> dict[str, dict[str, float]]:
    """F1 by class in the three families; a class that is never found counts as zero, one that
    never sounds takes no part."""
    import psds_eval
    import sed_eval

    made = made[made["event_label"].isin(truth.classes)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clips = pd.DataFrame(truth.seconds.items(), columns=["filename", "duration"])
        evaluator = psds_eval.PSDSEval(ground_truth=truth.events, metadata=clips)
        _, found = evaluator.compute_macro_f_score(made)
        collars = sed_eval.sound_event.EventBasedMetrics(
            truth.classes, t_collar=0.2 + 1e-9, percentage_of_length=0.2 * (1 + 1e-9)
        )
        segments = sed_eval.sound_event.SegmentBasedMetrics(truth.classes, time_resolution=1.0)
        for name, seconds in truth.seconds.items():
            pair = [
                table[table["filename"] == name]
                .rename(columns={"filename": "file"})
                .to_dict("records")
                for table in (truth.events, made)
            ]
            collars.evaluate(*pair)
            segments.evaluate(*pair, evaluated_length_seconds=seconds)
        theirs = {
            "intersection_f1": found,
            **{
                family: {k: metric.class_wise_f_measure(k)["f_measure"] for k in truth.classes}
                for family, metric in (("event_based_f1", collars), ("segment_based_f1", segments))
            },
        }
    return {
        family: {k: float(np.nan_to_num(figures[k])) for k in truth.classes}
        for family, figures in theirs.items()
    }


def intersection_counts(made: pd.DataFrame, truth: Truth) -> np.ndarray:
    """True positives, false positives and misses of the intersection rule, (clips, classes, 3), by
    its definition; events of one class must not overlap."""
    counts = np.zeros((len(truth.seconds), len(truth.classes), 3))
    for (c, name), (k, label) in product(enumerate(truth.seconds), enumerate(truth.classes)):
        pair = [
            t[(t["filename"] == name) & (t["event_label"] == label)] for t in (truth.events, made)
        ]
        (begin, end), (onset, offset) = (
            (t["onset"].to_numpy(), t["offset"].to_numpy()) for t in pair
        )
        shared = np.minimum(end[:, None], offset) - np.maximum(begin[:, None], onset)
        shared = np.maximum(shared, 0)
        right = shared.sum(axis=0) >= 0.5 * (offset - onset)
        found = shared[:, right].sum(axis=1) >= 0.5 * (end - begin)
        counts[c, k] = found.sum(), (~right).sum(), (~found).sum()
    return counts


def resampled_clips(
    folder: Path, draws: np.ndarray, truth: Truth, point: dict | None
) -> np.ndarray:
    """mAP, or intersection F1 at an operating point, of a run on clips drawn with replacement:
    (R, n) places of its test clips -> (R,)."""
    if point is not None:
        counts = intersection_counts(decided(folder, point, truth), truth)[draws].sum(axis=1)
        found, false, missed = np.moveaxis(counts, 2, 0)
        with np.errstate(invalid="ignore"):
            return np.nanmean(2 * found / (2 * found + false + missed), axis=1)
    with np.load(folder / "scores.npz") as arrays:
        test = arrays["split"] == "test"
        scores, targets = arrays["clip_scores"][test], arrays["targets"][test]
    figures = []
    for drawn in draws:
        own, said = targets[drawn], scores[drawn]
        present = np.flatnonzero(own.any(axis=0))
        figures.append(np.mean([average_precision_score(own[:, c], said[:, c]) for c in present]))
    return np.array(figures)


def clip_label_events(folder: Path, validation: Truth, test: Truth, grid: int) -> pd.DataFrame:
    """Clip decisions over whole clips. Each class's threshold is the middle one of those with the
    best intersection F1 on validation clips, in closed form: a whole clip is right where the class
    sounds for half of it, and then finds all of its events."""
    with np.load(folder / "scores.npz") as arrays:
        split, scores = arrays["split"], arrays["clip_scores"].astype(np.float32)
        names, classes = arrays["clip_ids"], arrays["classes"].tolist()
    by_clip = {
        part: pd.DataFrame(scores[split == part], names[split == part], classes)
        for part in ("validation", "test")
    }
    logits = np.linspace(-6, 6, grid) if grid > 1 else np.zeros(1)
    levels = (1 / (1 + np.exp(-logits))).astype(np.float32)
    pairs: list[tuple[str, str]] = []
    for label, column in by_clip["validation"].items():
        own = validation.events[validation.events["event_label"] == label]
        events = own.groupby("filename").size().reindex(column.index, fill_value=0)
        sounding = (own["offset"] - own["onset"]).groupby(own["filename"]).sum()
        share = sounding.reindex(column.index, fill_value=0) / pd.Series(validation.seconds)
        right = share.reindex(column.index) >= 0.5
        f1 = []
        for level in levels:
            found, false = events[(column > level) & right].sum(), ((column > level) & ~right).sum()
            f1.append(2 * found / (found + false + events.sum()) if events.sum() else 0.0)
        equal = np.flatnonzero(np.array(f1) == max(f1))
        level = levels[equal[len(equal) // 2]]
        tested = by_clip["test"][label]
        pairs += [(name, str(label)) for name in tested.index[tested > level]]
    return test.whole(pairs)


def psds_figures(folder: Path, truth: Truth) -> dict[str, dict[str, float]]:
    """PSDS in the scenarios of DCASE task 4, over all thresholds: of all classes as "", and by
    class."""
    from sed_scores_eval.base_modules.scores import create_score_dataframe
    from sed_scores_eval.intersection_based import psds

    with np.load(folder / "scores.npz") as arrays:
        test = arrays["split"] == "test"
        names, classes = arrays["clip_ids"][test].tolist(), arrays["classes"].tolist()
        present = [classes.index(label) for label in truth.classes]
        frames = arrays["frame_scores"][test][:, :, present].astype(np.float32)
        step = float(arrays["seconds_per_frame"])
    scores = {}
    for name, table in zip(names, frames, strict=True):
        seconds = truth.seconds[name]
        own = table[: int(np.ceil(round(seconds / step, 6)))]  # the last frame ends with the clip
        edges = np.minimum(np.arange(len(own) + 1) * step, seconds)
        scores[name] = create_score_dataframe(own, edges, truth.classes)
    events: dict[str, list[tuple]] = {name: [] for name in names}
    for name, *event in truth.events.itertuples(index=False):
        events[name].append(tuple(event))
    figures = {}
    # A share of 30 % on paper can be less in binary; sed_scores_eval rounds to six decimals.
    for name, tolerance, crossed in (
        ("psds1", 0.7, {"cttc_threshold": None, "alpha_ct": 0}),
        ("psds2", 0.1, {"cttc_threshold": 0.3 + 1e-6, "alpha_ct": 0.5}),
    ):
        tolerances = {"dtc_threshold": tolerance, "gtc_threshold": tolerance, **crossed}
        score, by_class, *_ = psds(
            scores, events, truth.seconds, **tolerances, alpha_st=1, max_efpr=100
        )
        figures[name] = {"": score, **by_class}
    return figures
