"""Figures of finished runs by other software than the project's: scikit-learn, SciPy, sed_eval and
psds_eval, from scores.npz, the corpus tables and the thresholds that the record names."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import median_filter
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

COLUMNS = ["filename", "onset", "offset", "event_label"]


def clip_figures(folder: Path) -> dict[str, float]:
    """Clip-level test metrics, and average precision by class under the class's name."""
    with np.load(folder / "scores.npz") as arrays:
        test = arrays["split"] == "test"
        scores, targets = arrays["clip_scores"][test], arrays["targets"][test]
        classes = arrays["classes"].tolist()
    present = np.flatnonzero(targets.any(axis=0))
    area = roc_auc_score(targets[:, present], scores[:, present], average="macro")
    by_class = {
        classes[c]: float(average_precision_score(targets[:, c], scores[:, c])) for c in present
    }
    return {
        "mAP": float(np.mean(list(by_class.values()))),
        "mAUC": float(area),
        "d_prime": float(np.sqrt(2) * norm.ppf(area)),
        "accuracy": float(np.mean(scores.argmax(axis=1) == targets.argmax(axis=1))),
        "chance": float(targets[:, present].mean()),
        **by_class,
    }


@dataclass(frozen=True)
class Truth:
    """The test clips of a corpus folder: their seconds by name, and their events."""

    seconds: dict[str, float]
    events: pd.DataFrame
    classes: list[str]

    @classmethod
    def read(cls, corpus: Path) -> Truth:
        clips = pd.read_parquet(corpus / "clips.parquet")
        test = clips[clips["split"] == "test"]
        seconds = dict(zip(test["clip"], test["duration_s"].astype(float), strict=True))
        events = pd.read_csv(corpus / "events.tsv", sep="\t")[COLUMNS]
        own = events[events["filename"].isin(seconds) & events["event_label"].notna()]
        return cls(seconds, own.reset_index(drop=True), sorted(own["event_label"].unique()))

    def always(self) -> pd.DataFrame:
        """Every class in every clip from its start to its end."""
        rows = [(n, 0.0, s, k) for n, s in self.seconds.items() for k in self.classes]
        return pd.DataFrame(rows, columns=COLUMNS)


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
    """F1 by class in the three families; a class that is never found counts as zero."""
    import psds_eval
    import sed_eval

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
