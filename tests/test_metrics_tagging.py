"""Clip-level metrics against scikit-learn and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.metrics.tagging import (
    accuracy,
    average_precision,
    d_prime,
    macro_f1,
    ranking_metrics,
    tagging_metrics,
)

SHORT = pytest.param(500, id="500")
LONG = pytest.param(5000, id="5000", marks=pytest.mark.long)


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (with ties in two of three cases) and 0/1 targets; some classes all or none."""
    rng = np.random.default_rng(seed)
    clips, classes = rng.integers(2, 40), rng.integers(1, 6)
    scores = rng.random((clips, classes))
    if seed % 3:
        scores = scores.round(1)
    return scores, (rng.random((clips, classes)) < rng.random(classes)).astype(int)


@pytest.mark.parametrize("cases", [SHORT, LONG])
def test_ranking_metrics_equal_scikit_learn(cases):
    from sklearn.metrics import average_precision_score, roc_auc_score

    for seed in range(cases):
        scores, targets = random_case(seed)
        precision, area = ranking_metrics(scores, targets)
        some = targets.any(axis=0)
        both = some & ~targets.all(axis=0)
        for ours, defined, reference in (
            (precision, some, average_precision_score),
            (area, both, roc_auc_score),
        ):
            assert np.array_equal(np.isfinite(ours), defined), seed
            for c in np.flatnonzero(defined)[-1:]:
                expected = reference(targets[:, c], scores[:, c])
                assert ours[c] == pytest.approx(expected, abs=1e-12), seed


@pytest.mark.parametrize("cases", [SHORT, LONG])
def test_accuracy_equals_scikit_learn(cases):
    from sklearn.metrics import accuracy_score, recall_score

    for seed in range(cases):
        scores, _ = random_case(seed)
        clips, classes = scores.shape
        labels = np.random.default_rng(seed).integers(0, classes, clips)
        names = [str(c) for c in range(classes)]
        ours = accuracy(scores, np.eye(classes, dtype=int)[labels], names)
        made = scores.argmax(axis=1)
        assert ours.value == pytest.approx(accuracy_score(labels, made), abs=1e-12), seed
        assert ours.per_class is not None
        seen = int(labels[0])
        recall = recall_score(labels, made, labels=[seen], average="macro")
        assert ours.per_class[names[seen]] == pytest.approx(recall, abs=1e-12), seed


@pytest.mark.parametrize("cases", [SHORT, LONG])
def test_macro_f1_equals_scikit_learn(cases):
    from sklearn.metrics import f1_score

    for seed in range(cases):
        scores, targets = random_case(seed)
        ours = macro_f1(scores, targets, [str(c) for c in range(targets.shape[1])])
        seen = np.flatnonzero(targets.any(axis=0))
        if not len(seen):
            assert np.isnan(ours.value)
            continue
        one = np.ones((len(targets), 1))  # a single column would count as two classes
        truth, made = np.hstack([targets, one]), np.hstack([scores > 0.5, one])
        expected = f1_score(truth, made, labels=seen, average=None, zero_division=0)
        found = [ours.per_class[str(c)] for c in seen]
        assert found == pytest.approx(list(expected), abs=1e-12), seed
        assert ours.value == pytest.approx(expected.mean(), abs=1e-12), seed


def test_average_precision_by_hand():
    # Ranked: hit, miss, hit, miss -> (1/1 + 2/3) / 2
    assert average_precision([[0.9], [0.8], [0.7], [0.1]], [[1], [0], [1], [0]]) == pytest.approx(
        5 / 6
    )
    # All tied: one step with precision 2/4
    assert average_precision([[0.5]] * 4, [[1], [0], [1], [0]]) == pytest.approx(0.5)


def test_classes_without_positives_are_counted_and_left_out():
    scores = np.array([[0.9, 0.2], [0.1, 0.3]])
    metrics = tagging_metrics(scores, [[1, 0], [0, 0]], ["dog", "harp"], multilabel=True)
    assert metrics["mAP"].value == 1
    assert metrics["mAP"].parameters["classes_without_positives"] == 1
    assert np.isnan(metrics["mAP"].per_class["harp"])
    assert metrics["mAUC"].value == 1
    assert metrics["d_prime"].value == np.inf
    stored = {name: metric.to_json() for name, metric in metrics.items()}
    assert stored["d_prime"]["value"] is None
    assert stored["mAP"]["per_class"] == {"dog": 1.0, "harp": None}
    json.dumps(stored, allow_nan=False)


def test_d_prime_by_hand():
    assert d_prime(0.5) == 0
    # Normals one standard deviation of their difference apart: AUC = Phi(1), d' = sqrt(2)
    assert d_prime(0.8413447460685429) == pytest.approx(2**0.5)


def test_accuracy_by_hand():
    scores = [[0.6, 0.4], [0.7, 0.3], [0.5, 0.5], [0.2, 0.8]]
    metric = accuracy(scores, [[1, 0], [0, 1], [1, 0], [0, 1]], ["a", "b"])
    assert metric.value == 0.75  # the tie goes to the first class, which is right there
    assert metric.per_class == {"a": 1.0, "b": 0.5}


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        ([[0.1, np.nan]], [[1, 0]], "clip 0, class 1 is NaN"),
        ([[0.1, 0.2]], [[0.5, 0.5]], "0 or 1"),
        ([[0.1, 0.2]], [[1, 0, 0]], "equal"),
    ],
)
def test_bad_input_is_refused(scores, targets, message):
    with pytest.raises(ValueError, match=message):
        average_precision(scores, targets)


def test_accuracy_needs_one_label_per_clip():
    with pytest.raises(ValueError, match="clip 1 has 2"):
        accuracy([[0.1, 0.9], [0.3, 0.2]], [[0, 1], [1, 1]], ["a", "b"])
