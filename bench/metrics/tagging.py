"""Clip-level metrics: mAP, mAUC and d-prime, accuracy, macro F1.

Scores and targets are (N, C) arrays, clips by classes. Scores may be logits or probabilities
where only their order counts (AP, AUC, accuracy). Targets are 0/1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from bench.metrics import Metric

Floats = NDArray[np.float64]


def average_precision(scores: ArrayLike, targets: ArrayLike) -> Floats:
    """Average precision per class, shape (C,); NaN for a class without positives.

    AP = sum over distinct scores of (recall step) x precision: no interpolation, and clips that
    share a score enter together (scikit-learn's `average_precision_score`).
    """
    return ranking_metrics(scores, targets)[0]


def ranking_metrics(scores: ArrayLike, targets: ArrayLike) -> tuple[Floats, Floats]:
    """Average precision and area under the ROC curve per class, two (C,) arrays from one sort.

    AUC = P(positive above negative) + P(tie) / 2; NaN for a class without positives or negatives.

    Raises:
        ValueError: shapes differ, scores are NaN, or targets are not 0/1.
    """
    scores, positive = _checked(scores, targets)
    classes = scores.shape[1]
    precision = np.full(classes, np.nan)
    area = np.full(classes, np.nan)
    # One contiguous column at a time: sorting in cache is faster than one large strided sort.
    for c, (column, truth) in enumerate(
        zip(np.ascontiguousarray(scores.T), np.ascontiguousarray(positive.T), strict=True)
    ):
        positives = int(truth.sum())
        negatives = truth.size - positives
        if positives == 0:
            continue
        order = np.argsort(column)[::-1]
        ranked = column[order]
        last_of_tie = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
        hits = np.cumsum(truth[order])[last_of_tie].astype(np.float64)
        taken = last_of_tie + 1.0
        steps = np.diff(hits, prepend=0.0)
        precision[c] = np.sum(steps * hits / taken) / positives
        if negatives:
            below = negatives - (taken - hits)  # negatives ranked strictly below each tie
            tied = np.diff(taken - hits, prepend=0.0)
            area[c] = np.sum(steps * (below + tied / 2)) / (positives * negatives)
    return precision, area


def tagging_metrics(
    scores: ArrayLike,
    targets: ArrayLike,
    classes: Sequence[str],
    *,
    multilabel: bool,
) -> dict[str, Metric]:
    """Every metric that fits the task, by name.

    Multi-label tasks get mAP, mAUC, d_prime and macro_f1; single-label tasks accuracy and mAP.
    """
    precision, area = ranking_metrics(scores, targets)
    metrics = [_macro("mAP", precision, classes, "average_precision", {})]
    if multilabel:
        mean_area = _macro("mAUC", area, classes, "ranking_metrics", {})
        metrics += [
            mean_area,
            Metric(
                "d_prime",
                d_prime(mean_area.value),
                f"{__name__}.d_prime",
                parameters=mean_area.parameters | {"of": "mAUC"},
                per_class={k: d_prime(v) for k, v in (mean_area.per_class or {}).items()},
            ),
            macro_f1(scores, targets, classes),
        ]
    else:
        metrics.append(accuracy(scores, targets, classes))
    return {metric.name: metric for metric in metrics}


def d_prime(area: float) -> float:
    """Distance of two unit-variance normals with this AUC: sqrt(2) x inverse normal CDF.

    AudioSet's convention (Gemmeke et al. 2017; PANNs) applies it to the mean AUC. AUC 1 gives
    infinity, which records hold as null.
    """
    return float(np.sqrt(2.0) * ndtri(area))


def accuracy(scores: ArrayLike, targets: ArrayLike, classes: Sequence[str]) -> Metric:
    """Share of clips whose highest score is the labelled class; per class: its recall.

    Among equal highest scores the first class counts.

    Raises:
        ValueError: a clip has no label or several.
    """
    scores, positive = _checked(scores, targets)
    if np.any(positive.sum(axis=1) != 1):
        clip = int(np.flatnonzero(positive.sum(axis=1) != 1)[0])
        raise ValueError(
            f"accuracy needs one label per clip; clip {clip} has {int(positive[clip].sum())}"
        )
    labels = positive.argmax(axis=1)
    correct = scores.argmax(axis=1) == labels
    clips = np.bincount(labels, minlength=len(classes))
    hits = np.bincount(labels, weights=correct, minlength=len(classes))
    with np.errstate(invalid="ignore"):
        recall = hits / clips
    return Metric(
        "accuracy",
        float(correct.mean()),
        f"{__name__}.accuracy",
        parameters={"clips": len(labels), "ties": "first class"},
        per_class=_by_class(classes, recall),
    )


def macro_f1(scores: ArrayLike, targets: ArrayLike, classes: Sequence[str]) -> Metric:
    """Mean over classes of the F1 of `score > 0.5` for clip labels."""
    scores, positive = _checked(scores, targets)
    decided = scores > 0.5
    hits = np.sum(decided & positive, axis=0)
    sums = decided.sum(axis=0) + positive.sum(axis=0)
    f1 = np.where(positive.any(axis=0), 2.0 * hits / np.maximum(sums, 1), np.nan)
    return _macro("macro_f1", f1, classes, "macro_f1", {"threshold": 0.5})


def _macro(
    name: str, values: Floats, classes: Sequence[str], function: str, parameters: dict
) -> Metric:
    """The mean over the classes that have a value; the others are only counted."""
    defined = np.isfinite(values)
    return Metric(
        name,
        float(values[defined].mean()) if defined.any() else float("nan"),
        f"{__name__}.{function}",
        parameters=parameters
        | {
            "average": "macro",
            "classes_averaged": int(defined.sum()),
            "classes_without_positives": int((~defined).sum()),
        },
        per_class=_by_class(classes, values),
    )


def _by_class(classes: Sequence[str], values: Floats) -> dict[str, float]:
    if len(classes) != len(values):
        raise ValueError(f"{len(classes)} class names for {len(values)} columns of scores")
    return dict(zip(classes, values.tolist(), strict=True))


def _checked(scores: ArrayLike, targets: ArrayLike) -> tuple[NDArray, NDArray[np.bool_]]:
    scores, targets = np.asarray(scores), np.asarray(targets)
    if scores.ndim != 2 or scores.shape != targets.shape or scores.size == 0:
        raise ValueError(
            f"scores {scores.shape} and targets {targets.shape} must be two equal, non-empty "
            "(clips, classes) arrays"
        )
    if np.isnan(scores).any():
        clip, column = np.argwhere(np.isnan(scores))[0]
        raise ValueError(f"score of clip {clip}, class {column} is NaN; did the training diverge?")
    positive = targets.astype(bool)
    if not np.array_equal(positive, targets):
        raise ValueError("targets must be 0 or 1; soft or mixed labels cannot be scored")
    return scores, positive
