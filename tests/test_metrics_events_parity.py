"""Own event metrics against psds_eval and sed_eval on random event lists."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pandas as pd
import pytest

from bench.metrics.event_scores import score_tables

COLUMNS = ["filename", "onset", "offset", "event_label"]
CLASSES = ("bell", "cat", "dog", "water")
SHORT = pytest.param(500, id="500")
LONG = pytest.param(5000, id="5000", marks=pytest.mark.long)


def random_lists(seed: int, *, overlaps: bool) -> tuple[list, list, dict]:
    """Rows of a reference, of predictions near it, and durations; some files and classes are empty.

    One in three lists has its times on a 0.1 s grid, where collars and ratios are met exactly.
    """
    rng = random.Random(seed)
    durations = {
        f"{i}.wav": round(rng.uniform(3, 11), rng.randint(0, 3)) for i in range(rng.randint(1, 4))
    }
    decimals = 1 if seed % 3 == 0 else 12
    listed = [name for name in CLASSES if rng.random() < 0.8]
    detected = [name for name in CLASSES if rng.random() < 0.8]
    reference, predictions = [], []
    for name, duration in durations.items():
        for _ in range(rng.randint(0, 4)):
            label = rng.choice(CLASSES)
            onset = rng.uniform(0, duration * 0.9)
            offset = min(onset + rng.expovariate(0.5) + 0.1, duration)
            noise = rng.choice([0.05, 0.3, 1])
            near = max(onset + rng.gauss(0, noise), 0), min(offset + rng.gauss(0, noise), duration)
            if label in listed:
                reference.append((name, onset, offset, label))
            if label in detected:
                predictions.append((name, *near, label))
        if detected and rng.random() < 0.5:
            onset = rng.uniform(0, duration * 0.9)
            offset = min(onset + rng.uniform(0.1, 3), duration)
            predictions.append((name, onset, offset, rng.choice(detected)))
    return *(tidy(rows, decimals, overlaps) for rows in (reference, predictions)), durations


def tidy(rows: list, decimals: int, overlaps: bool) -> list:
    """Rounded rows without empty or repeated ones and, if asked, without overlaps in a class."""
    kept: list = []
    end: dict = {}
    for name, onset, offset, label in sorted(rows):
        row = (name, round(onset, decimals), round(offset, decimals), label)
        free = row[1] >= end.get((name, label), 0)
        if row[2] > row[1] and (free or overlaps) and row not in kept:
            kept.append(row)
            end[name, label] = row[2]
    return kept


def frame(rows: list) -> pd.DataFrame:
    name, onset, offset, label = zip(*rows, strict=True) if rows else ((),) * 4
    values = (list(name), np.array(onset, float), np.array(offset, float), list(label))
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


@pytest.mark.parametrize("lists", [SHORT, LONG])
def test_intersection_equals_psds_eval(lists):
    import psds_eval

    pool = 10  # lists per evaluator: its cost is per call, and files and labels keep them apart
    compared = 0
    for first in range(0, lists, pool):
        drawn = {seed: random_lists(seed, overlaps=False) for seed in range(first, first + pool)}
        names = [f"{seed}/{name}" for seed in drawn for name in CLASSES]
        reference, predictions, durations = pooled(drawn)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = psds_eval.PSDSEval(
                ground_truth=reference,
                metadata=pd.DataFrame(durations.items(), columns=["filename", "duration"]),
            )
            macro, per_class = evaluator.compute_macro_f_score(predictions)
        whole = score_tables(reference, predictions, durations, names)["intersection"]
        assert whole["macro_f1_found"] == pytest.approx(macro, abs=1e-12)
        for seed, (listed, made, own) in drawn.items():
            ours = score_tables(frame(listed), frame(made), own, CLASSES)["intersection"]
            # A class without a true positive is 0 / 0 there and 0 here.
            theirs = {
                name: float(np.nan_to_num(per_class[f"{seed}/{name}"]))
                for name in CLASSES
                if f"{seed}/{name}" in per_class
            }
            found = {name: f1 for name, f1 in ours["per_class"].items() if f1 is not None}
            assert found == pytest.approx(theirs, abs=1e-12), f"list {seed}"
            if theirs:
                mean = np.mean(list(theirs.values()))
                assert ours["macro_f1"] == pytest.approx(mean, abs=1e-12), f"list {seed}"
                compared += 1
    assert compared > 0.8 * lists


def pooled(lists: dict) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Several lists as one, with files and labels of their own."""
    tables: tuple[list, list] = ([], [])
    durations = {}
    for seed, (*both, own) in lists.items():
        durations |= {f"{seed}/{name}": seconds for name, seconds in own.items()}
        for table, rows in zip(tables, both, strict=True):
            table += [(f"{seed}/{name}", *times, f"{seed}/{k}") for name, *times, k in rows]
    return frame(tables[0]), frame(tables[1]), durations


@pytest.mark.parametrize("lists", [SHORT, LONG])
def test_collars_and_segments_equal_sed_eval(lists):
    import sed_eval

    for seed in range(lists):
        reference, predictions, durations = random_lists(seed, overlaps=True)
        ours = score_tables(frame(reference), frame(predictions), durations, CLASSES)
        # The edge allowance belongs to our definition; handing it to sed_eval makes the two equal
        # on the grid of decimal times as well.
        by_collar = sed_eval.sound_event.EventBasedMetrics(
            list(CLASSES), t_collar=0.2 + 1e-9, percentage_of_length=0.2 * (1 + 1e-9)
        )
        by_segment = sed_eval.sound_event.SegmentBasedMetrics(list(CLASSES), time_resolution=1.0)
        for name, duration in durations.items():
            pair = [
                [
                    {"file": name, "event_label": label, "onset": onset, "offset": offset}
                    for file, onset, offset, label in rows
                    if file == name
                ]
                for rows in (reference, predictions)
            ]
            by_collar.evaluate(*pair)
            by_segment.evaluate(*pair, evaluated_length_seconds=duration)
        for family, theirs in (("event_based", by_collar), ("segment_based", by_segment)):
            assert_equal(ours[family], theirs, f"{family} of list {seed}")


def assert_equal(ours: dict, theirs, where: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        overall = theirs.overall_f_measure()["f_measure"]
        macro = theirs.results_class_wise_average_metrics()["f_measure"]["f_measure"]
    for name in CLASSES:
        counts = ours["counts"][name]
        expected = theirs.class_wise[name]
        assert counts["true_positives"] == expected["Ntp"], where
        assert counts["false_positives"] == expected["Nfp"], where
        assert counts["false_negatives"] == expected["Nfn"], where
        if expected["Nref"] and expected["Nsys"]:
            f1 = theirs.class_wise_f_measure(name)["f_measure"]
            assert ours["per_class"][name] == pytest.approx(f1, abs=1e-12), where
        elif expected["Nref"]:
            assert ours["per_class"][name] == 0, where  # sed_eval: NaN, left out of the mean
        else:
            assert ours["per_class"][name] is None, where
    if np.isfinite(overall):
        assert ours["micro_f1"] == pytest.approx(overall, abs=1e-12), where
    if np.isfinite(macro):
        assert ours["macro_f1_found"] == pytest.approx(macro, abs=1e-12), where
