"""Frame scores to events, the choice of thresholds on validation data, and the baselines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.evaluation import localization
from bench.evaluation.localization import always_active, median_filtered
from bench.evaluation.locate import as_one_frame
from bench.evaluation.operating_point import PUBLISHED_THRESHOLDS, published_operating_point
from bench.metrics.event_arrays import FrameScores, decode, encode
from bench.metrics.event_scores import score_tables
from bench.models.scores import Scores
from bench.results.record import Localized, OperatingPoint, threshold_grid

COLUMNS = ["filename", "onset", "offset", "event_label"]
CLASSES = ("cat", "dog")


def point(thresholds=(0.5, 0.5), filters=(1, 1)) -> OperatingPoint:
    return OperatingPoint(CLASSES, thresholds, filters, "by hand")


def frames_of(scores, step, clips, classes, durations) -> FrameScores:
    seconds = np.array([durations[clip] for clip in clips])
    return FrameScores(scores, step, tuple(clips), tuple(classes), seconds)


def detect(scores, step, clips, classes, point, durations) -> pd.DataFrame:
    """`localization.detect`, as a table."""
    frames = frames_of(scores, step, clips, classes, durations)
    return decode(localization.detect(frames, point), clips, classes)


def choose_operating_point(
    scores, step, clips, reference, durations, classes, **options
) -> OperatingPoint:
    """`localization.choose_operating_point`, by a table."""
    frames = frames_of(scores, step, clips, classes, durations)
    truth = encode(reference, {clip: durations[clip] for clip in clips}, classes)
    return localization.choose_operating_point(frames, truth, **options)


def rows(events: pd.DataFrame) -> list[tuple]:
    return list(events[COLUMNS].itertuples(index=False, name=None))


def corpus(seed: int, clips: int = 24, frames: int = 16):
    """Noisy scores that rise where events are, with their reference."""
    rng = np.random.default_rng(seed)
    names = [f"{i}.wav" for i in range(clips)]
    durations = {name: float(rng.choice([10.0, 7.3])) for name in names}
    scores = rng.random((clips, frames, len(CLASSES)))
    step = 10 / frames
    events = []
    for n, name in enumerate(names):
        for c, label in enumerate(CLASSES):
            if rng.random() < 0.6:
                onset = rng.uniform(0, durations[name] - 1)
                offset = min(onset + rng.uniform(0.5, 5), durations[name])
                events.append((name, onset, offset, label))
                scores[n, int(onset / step) : int(np.ceil(offset / step)), c] += 0.8
    return (scores / 1.8, step, names, pd.DataFrame(events, columns=COLUMNS), durations)


def test_runs_become_events_and_end_with_the_clip():
    scores = np.zeros((2, 4, 2))
    scores[0, [0, 1, 3], 0] = 0.9
    scores[0, :, 1] = 0.5  # not above the threshold
    scores[1, 2:, 1] = 0.6
    events = detect(scores, 2.5, ["a", "b"], CLASSES, point(), {"b": 8.2, "a": 10.0})
    assert rows(events) == [
        ("a", 0.0, 5.0, "cat"),
        ("a", 7.5, 10.0, "cat"),
        ("b", 5.0, 8.2, "dog"),
    ]


def test_a_run_that_starts_after_the_clip_is_dropped():
    scores = np.array([[[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]])
    assert detect(scores, 1.0, ["a"], CLASSES, point(), {"a": 2.0}).empty


def test_thresholds_and_filters_are_per_class():
    scores = np.zeros((1, 5, 2))
    scores[0, [0, 2, 3], :] = 0.4
    events = detect(scores, 1.0, ["a"], CLASSES, point((0.3, 0.3), (1, 3)), {"a": 5.0})
    assert rows(events) == [
        ("a", 0.0, 1.0, "cat"),
        ("a", 2.0, 4.0, "cat"),
        ("a", 0.0, 4.0, "dog"),  # mirrored edge: frame 0 counts twice; frame 1 is filled
    ]
    assert detect(scores, 1.0, ["a"], CLASSES, point((0.4, 0.5)), {"a": 5.0}).empty


def test_filtering_scores_equals_filtering_decisions():
    scores = np.random.default_rng(0).random((5, 20, 3)).astype(np.float32)
    for length in (3, 5, 7):
        decisions = median_filtered((scores > 0.5).astype(np.float32), length) > 0.5
        assert np.array_equal(median_filtered(scores, length) > 0.5, decisions)


def test_the_chosen_point_scores_what_it_promises_and_nothing_beats_it():
    scores, step, clips, reference, durations = corpus(0)
    grid, filters = threshold_grid(9), (1, 3)
    chosen = choose_operating_point(
        scores,
        step,
        clips,
        reference,
        durations,
        CLASSES,
        thresholds=grid,
        median_filters=filters,
    )

    def f1(candidate: OperatingPoint) -> list[float]:
        events = detect(scores, step, clips, CLASSES, candidate, durations)
        result = score_tables(reference, events, durations, CLASSES)
        return list(result["intersection"]["per_class"].values())

    assert f1(chosen) == pytest.approx(chosen.validation_f1, abs=1e-12)
    for threshold in grid:
        for length in filters:
            tried = f1(point((threshold, threshold), (length, length)))
            assert all(np.array(tried) <= np.array(chosen.validation_f1) + 1e-12)
    assert min(chosen.validation_f1) > 0.1


def exclusive(seed: int):
    """The cases of `corpus` as a single-label model scores them: softmax over the classes."""
    scores, *rest = corpus(seed)
    likely = np.exp(3 * scores)
    return likely / likely.sum(axis=2, keepdims=True), *rest


@pytest.mark.parametrize("filters", [(1, 1), (3, 1), (5, 3), (7, 7)])
@pytest.mark.parametrize("seed", range(5))
def test_events_of_a_single_label_model_never_overlap(seed: int, filters: tuple[int, int]):
    scores, step, clips, _, durations = exclusive(seed)
    low = OperatingPoint(CLASSES, (0.1, 0.2), filters, "by hand", exclusive=True)
    events = detect(scores, step, clips, CLASSES, low, durations)
    assert set(events["event_label"]) == set(CLASSES)
    for _, own in events.sort_values("onset").groupby("filename"):
        assert (own["offset"].to_numpy()[:-1] <= own["onset"].to_numpy()[1:]).all()
    free = OperatingPoint(CLASSES, (0.1, 0.2), filters, "by hand")
    assert len(detect(scores, step, clips, CLASSES, free, durations)) != len(events)


@pytest.mark.parametrize("seed", range(3))
def test_an_exclusive_point_scores_what_it_promises_with_one_filter_for_all(seed: int):
    scores, step, clips, reference, durations = exclusive(seed)
    grid, filters = threshold_grid(9), (1, 3, 5)

    def chosen(filters: tuple[int, ...]) -> OperatingPoint:
        return choose_operating_point(
            scores, step, clips, reference, durations, CLASSES,
            thresholds=grid, median_filters=filters, exclusive=True,
        )  # fmt: skip

    best = chosen(filters)
    events = detect(scores, step, clips, CLASSES, best, durations)
    found = score_tables(reference, events, durations, CLASSES)["intersection"]["per_class"]
    assert list(found.values()) == pytest.approx(best.validation_f1, abs=1e-12)
    assert best.exclusive
    assert len(set(best.median_filters)) == 1
    alone = [np.mean(chosen((length,)).validation_f1) for length in filters]
    assert np.mean(best.validation_f1) == pytest.approx(max(alone), abs=1e-12)


def test_nothing_is_left_of_a_frame_that_begins_as_its_clip_ends():
    """A clip of 5.0004 s: a frame of 0.4 ms is no event, and 4 ms are one."""
    scores = np.zeros((2, 3, 2))
    scores[:, 2] = 1.0
    events = detect(scores, 2.5, ["a", "b"], CLASSES, point(), {"a": 5.0004, "b": 5.004})
    assert rows(events) == [("b", 5.0, 5.004, "cat"), ("b", 5.0, 5.004, "dog")]


def test_thresholds_are_even_as_logits():
    grid = threshold_grid(39)
    steps = np.diff(np.log(grid / (1 - grid)))
    assert steps == pytest.approx(12 / 38)
    assert (grid[0], grid[19], grid[-1]) == pytest.approx((1 / (1 + np.exp(6)), 0.5, 0.99753), 1e-5)
    assert threshold_grid(1) == [0.5]


def test_among_equal_thresholds_the_middle_one_is_taken():
    scores = np.array([[[0.05, 0.0], [0.95, 0.0]]])
    reference = pd.DataFrame([("a", 1.0, 2.0, "cat")], columns=COLUMNS)
    grid = threshold_grid(19)
    equal = grid[grid < 0.95]  # a whole clip, half of it right, is found as well
    chosen = choose_operating_point(
        scores, 1.0, ["a"], reference, {"a": 2.0}, CLASSES, thresholds=grid
    )
    assert chosen.thresholds == (equal[len(equal) // 2], pytest.approx(0.5))
    assert chosen.validation_f1 == (1.0, None)  # no dog to choose by


def test_reference_events_of_other_clips_are_refused():
    scores, step, clips, reference, durations = corpus(1)
    durations["test.wav"] = 10.0
    leak = pd.DataFrame([("test.wav", 0.0, 1.0, "cat")], columns=COLUMNS)
    with pytest.raises(ValueError, match=r"test\.wav"):
        choose_operating_point(
            scores,
            step,
            clips,
            pd.concat([reference, leak]),
            durations,
            CLASSES,
            thresholds=[0.5],
        )


def test_the_baselines_span_the_clips():
    durations = {"a": 10.0, "b": 4.5}
    always = always_active(np.array([10.0, 4.5]), 1)
    assert rows(decode(always, ["a", "b"], ["cat"])) == [
        ("a", 0.0, 10.0, "cat"),
        ("b", 0.0, 4.5, "cat"),
    ]
    clips = Scores.of(np.array([[0.9, 0.1], [0.2, 0.8]]), (), 0.0)
    frames = as_one_frame(clips, 10.0).frame_scores
    assert rows(detect(frames, 10.0, ["a", "b"], CLASSES, point(), durations)) == [
        ("a", 0.0, 10.0, "cat"),
        ("b", 0.0, 4.5, "dog"),
    ]


def test_the_record_of_a_point_holds_every_choice():
    chosen = OperatingPoint(CLASSES, (0.25, 0.5), (1, 5), "validation", (0.5, None), "ab")
    located = Localized(can_localize=True, operating_point=chosen, seconds_per_frame=0.1)
    assert located.model_dump(mode="json")["operating_point"] == {
        "source": "validation",
        "classes": ["cat", "dog"],
        "thresholds": [0.25, 0.5],
        "median_filters": [1, 5],
        "validation_f1": [0.5, None],
        "chosen_on": "ab",
        "exclusive": False,
    }


def test_published_lists_follow_the_class_order():
    assert published_operating_point("htsat", ["Speech", "Cat"]).thresholds == (0.275, 0.51)
    assert published_operating_point("pann", ["Vacuum_cleaner"]).thresholds == (0.05,)
    assert [len(values) for values in PUBLISHED_THRESHOLDS.values()] == [10, 10]
    with pytest.raises(ValueError, match="'Cow'"):
        published_operating_point("htsat", ["Cow"])
    with pytest.raises(ValueError, match="not among htsat, pann"):
        published_operating_point("ast", ["Cat"])


def test_bad_input_is_refused():
    scores = np.zeros((1, 4, 2))
    with pytest.raises(ValueError, match="odd"):
        point(filters=(1, 2))
    with pytest.raises(ValueError, match="another order"):
        detect(scores, 1.0, ["a"], ("dog", "cat"), point(), {"a": 4.0})
    with pytest.raises(ValueError, match="2 clips and 2 classes"):
        detect(scores, 1.0, ["a", "b"], CLASSES, point(), {"a": 4.0, "b": 4.0})
    with pytest.raises(ValueError, match="score of a is NaN"):
        detect(scores * np.nan, 1.0, ["a"], CLASSES, point(), {"a": 4.0})
