"""Events located by a run's frame scores, their metrics, and the trivial baselines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from bench.corpora import Corpus
from bench.evaluation import localization
from bench.evaluation.operating_point import published_operating_point
from bench.experiment.config import Localization
from bench.files import UserError
from bench.metrics import finite_or_none
from bench.metrics.event_arrays import EventArrays, Floats, FrameScores, decode, encode
from bench.metrics.event_scores import score_events
from bench.metrics.psds import PSDS1, PSDS2, mean_over_classes, psds
from bench.models.scores import Scores, StoredScores
from bench.results.record import FAMILIES, OperatingPoint, threshold_grid

MEDIAN_S = 0.36  # of the filter before the mean PSDS1


@dataclass(frozen=True)
class Split:
    """The clips of one split: their scores and their events."""

    stored: StoredScores
    durations: Floats
    truth: EventArrays

    @classmethod
    def of(cls, corpus: Corpus, stored: StoredScores) -> Split:
        """The clips that were scored, in their order."""
        assert corpus.events is not None
        seconds = dict(zip(corpus.clips["clip"], corpus.clips["duration_s"], strict=True))
        own = {clip: seconds[clip] for clip in stored.clip_ids}
        events = corpus.events[corpus.events["filename"].isin(own)]
        durations = np.array(list(own.values()), np.float64)
        return cls(stored, durations, encode(events, own, corpus.classes))

    def frames(self, scores: Scores) -> FrameScores:
        assert scores.frame_scores is not None
        return FrameScores(
            scores.frame_scores,
            scores.seconds_per_frame,
            tuple(map(str, self.stored.clip_ids)),
            self.stored.classes,
            self.durations,
            scores.frame_counts,
        )

    def scored(self, events: EventArrays) -> dict[str, dict[str, Any]]:
        """The metrics of predicted events, by name."""
        found = score_events(events, self.truth, self.durations, self.stored.classes)
        return {
            FAMILIES[family]: {"value": values.pop("macro_f1"), **values, "n": len(self.durations)}
            for family, values in found.items()
        }


def locate(
    settings: Localization,
    corpus: Corpus,
    validation: StoredScores,
    test: StoredScores,
    hand_set: str | None = None,
    exclusive: bool = False,
) -> dict[str, Any]:
    """Located events of the test split, their metrics, and the trivial baselines beside them.

    Args:
        hand_set: a published list of thresholds that the events are scored at as well, with
            figures of their own.
        exclusive: the scores are of a single-label model, whose events never overlap.

    Returns:
        `localization` and `trivial`, and `hand_set` where it is given, as a record holds them;
        `metrics` of the test split, and its `events` as a table.

    Raises:
        UserError: the corpus has no events, or the list does not name one of its classes.
    """
    if corpus.events is None:
        raise UserError(
            f"{corpus.name}: no events to localize; set datasets.{corpus.name}.localize to false"
        )
    tried, tested = Split.of(corpus, validation), Split.of(corpus, test)
    choose = partial(
        localization.choose_operating_point,
        thresholds=threshold_grid(settings.thresholds),
        median_filters=settings.median_filters,
        exclusive=exclusive,
    )
    localizes = test.scores.frame_scores is not None and validation.scores.frame_scores is not None
    point, events, metrics = None, None, {}
    if localizes:
        frames = tested.frames(test.scores)
        point = choose(tried.frames(validation.scores), tried.truth)
        events = localization.detect(frames, point)
        metrics = tested.scored(events) | threshold_free(frames, tested.truth, exclusive)
    table = decode(events or nothing(), test.clip_ids, corpus.classes)
    result: dict[str, Any] = {
        "trivial": trivial(corpus, tried, tested, choose),
        "localization": {
            "can_localize": test.scores.frame_scores is not None,
            "operating_point": point,
            "seconds_per_frame": test.scores.seconds_per_frame if localizes else None,
        },
        "metrics": metrics,
        "events": table,
    }
    if localizes and hand_set:
        result["hand_set"] = at_hand_set(hand_set, corpus, tested, exclusive)
    return result


def trivial(
    corpus: Corpus, tried: Split, tested: Split, choose: Callable[..., OperatingPoint]
) -> dict[str, dict[str, float | None]]:
    """Macro F1 of two baselines without times.

    `always_active`: every class in every clip from start to end. `clip_label`: so are the classes
    whose clip scores are above thresholds, which `choose` finds on the validation split.
    """
    longest = corpus.clips[
        "duration_s"
    ].max()  # so that the one frame has the same length in both splits
    heard, asked = (
        split.frames(as_one_frame(split.stored.scores, longest)) for split in (tried, tested)
    )
    events = {
        "always_active": localization.always_active(tested.durations, len(corpus.classes)),
        "clip_label": localization.detect(asked, choose(heard, tried.truth)),
    }
    return {
        name: {key: finite_or_none(values["value"]) for key, values in tested.scored(made).items()}
        for name, made in events.items()
    }


def at_hand_set(name: str, corpus: Corpus, tested: Split, exclusive: bool) -> dict[str, Any]:
    """The metrics at a published list of thresholds.

    Raises:
        UserError: the list does not name one of the classes.
    """
    try:
        listed = published_operating_point(name, corpus.classes, exclusive=exclusive)
    except ValueError as error:
        raise UserError(f"{corpus.name}: localization.hand_set: {error}") from error
    events = localization.detect(tested.frames(tested.stored.scores), listed)
    return {"operating_point": listed, "metrics": tested.scored(events)}


def as_one_frame(scores: Scores, seconds: float) -> Scores:
    """Clip scores as one frame of this many seconds, at least as long as the longest clip.

    Thresholded like frames, this is the baseline that knows which classes are active, but not when:
    each class above its threshold is active from start to end.
    """
    frames = scores.clip_scores[:, None, :]
    return Scores(scores.clip_scores, frames, seconds, np.ones(len(frames), np.int64))


def threshold_free(frames: FrameScores, truth: EventArrays, exclusive: bool) -> dict[str, Any]:
    """PSDS in both scenarios, from the frame scores alone: no operating point is needed."""
    if exclusive:
        frames = replace(frames, scores=localization.winning(frames.scores))
    return {
        scenario.name.lower(): {
            **psds(frames, truth, scenario).to_json(),
            "n": len(frames.clips),
        }
        for scenario in (PSDS1, PSDS2)
    }


def mean_psds1(stored: StoredScores, corpus: Corpus) -> dict[str, Any]:
    """The mean PSDS1 of the classes, without its weight on their spread, as published on
    AudioSet-strong (PretrainedSED, EfficientSED): of the classes that occur in these clips, on
    clips with events alone, after a median filter over 0.36 s (nine of their frames)."""
    assert corpus.events is not None
    kept = np.isin(stored.clip_ids, corpus.events["filename"].unique())
    scores = stored.scores
    assert scores.frame_scores is not None
    counts = None if scores.frame_counts is None else scores.frame_counts[kept]
    length = max(1, 2 * round((MEDIAN_S / scores.seconds_per_frame - 1) / 2) + 1)
    frames = scores.frame_scores[kept].astype(np.float32)
    frames = localization.median_filtered(frames, length, counts)
    sounding = replace(
        stored,
        clip_ids=stored.clip_ids[kept],
        targets=stored.targets[kept],
        scores=replace(
            scores,
            clip_scores=scores.clip_scores[kept],
            frame_scores=frames,
            frame_counts=counts,
        ),
    )
    tested = Split.of(corpus, sounding)
    mean = mean_over_classes(psds(tested.frames(sounding.scores), tested.truth, PSDS1))
    parameters = mean.parameters | {"median_filter": length}
    return {**mean.to_json(), "parameters": parameters, "n": int(kept.sum())}


def nothing() -> EventArrays:
    ints, floats = np.zeros(0, np.int64), np.zeros(0)
    return EventArrays(ints, ints, floats, floats)
