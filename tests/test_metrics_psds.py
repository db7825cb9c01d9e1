"""PSDS by hand and against psds_eval and sed_scores_eval."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bench.metrics import Metric
from bench.metrics.event_arrays import FrameScores, encode
from bench.metrics.psds import PSDS1, PSDS2, psds

COLUMNS = ["filename", "onset", "offset", "event_label"]
CLASSES = ("bell", "cat", "dog")


def random_case(seed: int, levels: int) -> tuple[np.ndarray, float, list, pd.DataFrame, dict]:
    """Frame scores on `levels` values, seconds per frame, clips, reference, durations."""
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(4, 12))
    clips = [f"{i}.wav" for i in range(rng.integers(2, 8))]
    step = 8.0 / frames
    scores = rng.random((len(clips), frames, len(CLASSES)))
    events = []
    for n, clip in enumerate(clips):
        for c, name in enumerate(CLASSES):
            time = rng.uniform(0, 3)
            while time < 7 and (rng.random() < 0.6 or n == 0):
                end = min(8.0, time + rng.uniform(0.3, 4))
                events.append((clip, round(time, 5), round(end, 5), name))
                scores[n, int(time / step) : int(np.ceil(end / step)), c] += rng.uniform(0, 1)
                time = end + rng.uniform(0.1, 3)
    scores = np.ceil(scores / 2 * levels) / levels
    durations = dict.fromkeys(clips, 8.0)
    return scores, step, clips, pd.DataFrame(events, columns=COLUMNS), durations


def psds_of(scores, step, clips, reference, durations, classes, scenario) -> Metric:
    """`psds`, by a table."""
    own = {clip: durations[clip] for clip in clips}
    seconds = np.array(list(own.values()))
    frames = FrameScores(scores, step, tuple(clips), tuple(classes), seconds)
    return psds(frames, encode(reference, own, classes), scenario)


def runs(scores: np.ndarray, threshold: float, step: float, clips: list) -> pd.DataFrame:
    """Events of frames at or above a threshold, the slow and obvious way."""
    events = []
    for n, clip in enumerate(clips):
        for c, name in enumerate(CLASSES):
            start = None
            for t in range(scores.shape[1] + 1):
                active = t < scores.shape[1] and scores[n, t, c] >= threshold
                if active and start is None:
                    start = t
                if not active and start is not None:
                    events.append((clip, start * step, t * step, name))
                    start = None
    return pd.DataFrame(events, columns=COLUMNS)


@pytest.mark.parametrize("scenario", [PSDS1, PSDS2], ids=lambda s: s.name)
def test_psds_equals_psds_eval_at_every_threshold(scenario):
    import psds_eval

    for seed in range(8):
        case = scores, step, clips, reference, durations = random_case(seed, levels=6)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = psds_eval.PSDSEval(
                dtc_threshold=scenario.dtc,
                gtc_threshold=scenario.gtc,
                cttc_threshold=scenario.cttc,
                ground_truth=reference,
                metadata=pd.DataFrame(durations.items(), columns=["filename", "duration"]),
            )
            for threshold in np.unique(scores):
                evaluator.add_operating_point(runs(scores, threshold, step, clips))
            theirs = evaluator.psds(scenario.alpha_ct, scenario.alpha_st)
        ours = psds_of(*case, CLASSES, replace(scenario, max_efpr=theirs.max_efpr))
        assert ours.value == pytest.approx(theirs.value, abs=1e-9), seed


@pytest.mark.long
@pytest.mark.parametrize("scenario", [PSDS1, PSDS2], ids=lambda s: s.name)
def test_psds_equals_sed_scores_eval(scenario):
    import sed_scores_eval as package  # `make test-long` installs it

    for seed in range(2500):
        case = scores, step, clips, reference, durations = random_case(seed, levels=1000)
        end = np.round(np.arange(scores.shape[1] + 1) * step, 6)
        frames = {
            clip: package.base_modules.scores.create_score_dataframe(part, end, list(CLASSES))
            for clip, part in zip(clips, scores, strict=True)
        }
        truth: dict[str, list] = {clip: [] for clip in clips}
        for clip, *event in reference.itertuples(index=False):
            truth[clip].append(tuple(event))
        theirs, per_class, *_ = package.intersection_based.psds(
            frames,
            truth,
            durations,
            dtc_threshold=scenario.dtc,
            gtc_threshold=scenario.gtc,
            cttc_threshold=scenario.cttc if scenario.alpha_ct else None,
            alpha_ct=scenario.alpha_ct,
            alpha_st=scenario.alpha_st,
            max_efpr=scenario.max_efpr * 5,
        )
        ours = psds_of(*case, CLASSES, replace(scenario, max_efpr=scenario.max_efpr * 5))
        assert ours.value == pytest.approx(theirs, abs=1e-9), seed
        assert ours.per_class == pytest.approx(per_class, abs=1e-9), seed


def test_psds_by_hand():
    # One clip of 36 s: a false alarm there is 100 per hour. The true event scores 0.9, a false
    # one 0.5: up to 100 per hour everything is found without an error, so the area is 1; with
    # the scores swapped the event is only found at 100 per hour.
    reference = pd.DataFrame([("a", 0.0, 12.0, "cat")], columns=COLUMNS)
    for high, low, expected in ((0.9, 0.5, 1.0), (0.5, 0.9, 0.5)):
        scores = np.array([[[high], [0.0], [low]]])
        metric = psds_of(
            scores, 12.0, ["a"], reference, {"a": 36.0}, ["cat"], replace(PSDS1, max_efpr=200)
        )
        assert metric.value == pytest.approx(expected)


def test_classes_without_reference_take_no_part():
    scores, *others = random_case(0, levels=50)
    whole = psds_of(scores, *others, CLASSES, PSDS2)
    wider = psds_of(
        np.concatenate([scores, scores[:, :, :1]], axis=2), *others, (*CLASSES, "harp"), PSDS2
    )
    assert wider.value == whole.value
    assert np.isnan(wider.per_class["harp"])
