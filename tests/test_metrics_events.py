"""Event metrics by hand: criteria, collars at the edge, empty files, missing classes, overlaps."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bench.metrics.event_scores import score_tables


def table(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["filename", "onset", "offset", "event_label"])


def score(reference, predictions, durations=None, classes=("cat", "dog")) -> dict:
    durations = durations or {"a": 10.0, "b": 10.0}
    result = score_tables(table(*reference), table(*predictions), durations, classes)
    json.dumps(result, allow_nan=False)
    return result


def test_a_perfect_detector_scores_one():
    events = [("a", 1.0, 2.0, "cat"), ("a", 1.5, 4.0, "dog"), ("b", 0.0, 10.0, "dog")]
    result = score(events, events)
    for family in ("intersection", "event_based", "segment_based"):
        assert result[family]["macro_f1"] == 1
        assert result[family]["per_class"] == {"cat": 1, "dog": 1}


def test_intersection_by_hand():
    # DTC: the prediction of a lies half inside: accepted; GTC: it covers half: found.
    # The prediction of b lies 40 % inside: false, and its reference is missed.
    reference = [("a", 0.0, 2.0, "cat"), ("b", 0.0, 2.0, "cat")]
    predictions = [("a", 1.0, 3.0, "cat"), ("b", 1.2, 3.2, "cat")]
    counts = score(reference, predictions)["intersection"]["counts"]["cat"]
    assert counts == {"true_positives": 1, "false_positives": 1, "false_negatives": 1}


def test_an_accepted_prediction_below_the_gtc_is_neither_hit_nor_false():
    result = score([("a", 0.0, 4.0, "cat")], [("a", 1.0, 2.0, "cat")])
    assert result["intersection"]["counts"]["cat"] == {
        "true_positives": 0,
        "false_positives": 0,
        "false_negatives": 1,
    }


def test_fragments_together_reach_the_gtc():
    parts = [("a", 0.0, 1.0, "cat"), ("a", 1.5, 2.5, "cat")]
    result = score([("a", 0.0, 4.0, "cat")], parts)
    assert result["intersection"]["per_class"]["cat"] == 1
    assert result["event_based"]["per_class"]["cat"] == 0


def test_overlaps_of_one_class_are_merged_for_the_intersection_only():
    pieces = [("a", 0.0, 3.0, "cat"), ("a", 2.0, 4.0, "cat"), ("a", 4.0, 5.0, "cat")]
    result = score([("a", 0.0, 4.0, "cat"), ("a", 4.0, 5.0, "cat")], pieces)
    assert result["intersection"]["counts"]["cat"]["true_positives"] == 2
    assert result["event_based"]["counts"]["cat"] == {
        "true_positives": 1,
        "false_positives": 2,
        "false_negatives": 1,
    }


@pytest.mark.parametrize(
    ("reference", "predicted", "found"),
    [
        ((0.7, 3.0), (0.9, 3.0), True),  # 0.9 - 0.7 > 0.2 in binary; 0.2 s is inside
        ((1.0, 3.0), (1.2, 3.0), True),
        ((1.0, 3.0), (1.2001, 3.0), False),
        ((1.0, 2.0), (1.0, 2.2), True),  # 20 % of 1 s is 0.2 s
        ((1.0, 2.0), (1.0, 2.201), False),
        ((1.0, 4.0), (1.0, 4.6), True),  # 20 % of 3 s is 0.6 s
        ((1.0, 4.0), (1.0, 3.4), True),
        ((1.0, 4.0), (1.0, 4.601), False),
        ((1.0, 1.3), (1.0, 1.5), True),  # a short event keeps the collar
    ],
)
def test_the_collar_includes_its_edge(reference, predicted, found):
    result = score([("a", *reference, "cat")], [("a", *predicted, "cat")])
    assert result["event_based"]["per_class"]["cat"] == float(found)


def test_matching_is_one_to_one_and_as_large_as_possible():
    # The first prediction fits both references, the second only the first reference.
    reference = [("a", 1.0, 2.0, "cat"), ("a", 1.2, 2.2, "cat")]
    predictions = [("a", 1.1, 2.1, "cat"), ("a", 0.9, 1.9, "cat")]
    result = score(reference, predictions)
    assert result["event_based"]["counts"]["cat"]["true_positives"] == 2
    again = score(reference, [*predictions, ("a", 1.15, 2.15, "cat")])
    assert again["event_based"]["counts"]["cat"]["false_positives"] == 1


def test_any_touch_fills_a_segment_and_the_clip_ends_it():
    result = score([("a", 0.95, 2.05, "cat")], [("a", 0.0, 3.0, "cat")], {"a": 2.5})
    assert result["segment_based"]["counts"]["cat"] == {
        "true_positives": 3,
        "false_positives": 0,
        "false_negatives": 0,
    }
    beyond = score([("a", 0.0, 1.0, "cat")], [("a", 0.0, 9.0, "cat")], {"a": 2.5})
    assert beyond["segment_based"]["counts"]["cat"]["false_positives"] == 2


def test_false_alarms_in_an_event_free_file_count():
    result = score([("a", 0.0, 1.0, "cat")], [("a", 0.0, 1.0, "cat"), ("b", 0.0, 1.0, "cat")])
    for family in ("intersection", "event_based", "segment_based"):
        assert result[family]["per_class"]["cat"] == pytest.approx(2 / 3)


def test_a_missed_class_counts_as_zero():
    result = score([("a", 0.0, 1.0, "cat"), ("a", 0.0, 1.0, "dog")], [("a", 0.0, 1.0, "cat")])
    for family in ("intersection", "event_based", "segment_based"):
        assert result[family]["per_class"] == {"cat": 1, "dog": 0}
        assert result[family]["macro_f1"] == 0.5
        assert result[family]["macro_f1_found"] == 1  # what the packages' own means say


def test_a_class_without_reference_events_is_in_no_macro_mean_but_in_the_micro_one():
    result = score([("a", 0.0, 1.0, "cat")], [("a", 0.0, 1.0, "cat"), ("a", 0.0, 1.0, "dog")])
    for family in ("intersection", "event_based", "segment_based"):
        assert result[family]["per_class"] == {"cat": 1, "dog": None}
        assert result[family]["macro_f1"] == 1
        assert result[family]["counts"]["dog"]["false_positives"] == 1
    assert result["event_based"]["micro_f1"] == pytest.approx(2 / 3)
    assert result["intersection"]["micro_f1"] is None


def test_no_events_at_all_gives_no_figure():
    result = score([], [])
    for family in ("intersection", "event_based", "segment_based"):
        assert result[family]["macro_f1"] is None
        assert result[family]["per_class"] == {"cat": None, "dog": None}


def test_the_class_order_is_the_given_one():
    events = [("a", 0.0, 1.0, "cat"), ("a", 0.0, 1.0, "dog")]
    result = score(events, events, classes=("dog", "cat"))
    assert list(result["intersection"]["per_class"]) == ["dog", "cat"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("c", 0.0, 1.0, "cat"), "filename 'c' is not in the durations"),
        (("a", 0.0, 1.0, "cow"), "event_label 'cow' is not in the class list"),
        (("a", 2.0, 1.0, "cat"), "no valid times"),
        (("a", float("nan"), 1.0, "cat"), "no valid times"),
    ],
)
def test_tables_that_cannot_be_scored_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        score([("a", 0.0, 1.0, "cat")], [row])
