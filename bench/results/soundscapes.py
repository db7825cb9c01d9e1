"""Test soundscapes: audio, spectrogram, true events, and each model's predictions."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.audio.decode import AudioError, read
from bench.corpora import Corpus, open_corpus
from bench.data.store import FeatureStore
from bench.experiment.config import FrontEnd
from bench.files import UserError
from bench.metrics.event_arrays import encode
from bench.metrics.event_scores import count_events
from bench.metrics.events import read_events
from bench.models.scores import read_scores
from bench.results.choices import scored_clips
from bench.results.groups import Group, Run
from bench.results.load import Results

SHOWN = 3
RATE = 16_000


@dataclass(frozen=True)
class Output:
    """The predictions of a group's first run for one clip.

    Attributes:
        clip_scores: (C,) in the order of `classes`.
        frame_scores: (T, C) float32; None where the model cannot localize.
        events: located events, with the columns of events.tsv.
        matched: how they match the true events by the intersection rule, in words.
    """

    group: Group
    run: Run
    classes: tuple[str, ...]
    clip_scores: np.ndarray
    frame_scores: np.ndarray | None
    seconds_per_frame: float
    events: pd.DataFrame
    matched: str


@dataclass(frozen=True)
class Soundscape:
    """A test clip: its duration, its log-mel features (T, F), its true events, its audio.

    `audio` is a data URI, or empty where the file cannot be read, which `silence` then explains.
    """

    clip: str
    seconds: float
    frames: np.ndarray
    events: pd.DataFrame
    audio: str
    silence: str
    outputs: tuple[Output, ...]


def soundscapes(results: Results, dataset: str) -> tuple[list[Soundscape], str]:
    """The busiest test soundscapes, or the reason why there are none."""
    groups = [g for g in results.base_groups(dataset) if not results.is_baseline(g.model)]
    if not groups:
        return [], "no usable records"
    try:
        corpus = open_corpus(results.layout.corpus(dataset))
        front_end = results.config.models[groups[0].model].front_end
        store = FeatureStore.open(results.layout.features(dataset, front_end))
        tested = (scored_clips(group.runs[0])[1] for group in groups)
        clips = choose_clips(corpus, set(store.clips).intersection(*tested))
        settings = results.config.datasets[dataset].front_ends[front_end]
        return [_open(groups, settings, store, corpus, clip) for clip in clips], ""
    except UserError as error:
        return [], f"no pictures of soundscapes: {error}"


def choose_clips(corpus: Corpus, tested: Collection[str], count: int = SHOWN) -> list[str]:
    """The tested clips with the most events, those with at least two classes first.

    Ties go to more classes, then to the first name. The choice does not depend on any model's
    scores.

    Args:
        tested: the test clips that every model scored: a clip without usable audio is none of them.

    Raises:
        UserError: none of them has events.
    """
    events = corpus.events
    if events is None or not events["filename"].isin(tested).any():
        raise UserError(f"{corpus.name}: no clip that every model scored has events to show")
    counts = events[events["filename"].isin(tested)].groupby("filename")["event_label"]
    table = pd.DataFrame({"events": counts.size(), "classes": counts.nunique()}).reset_index()
    table["several"] = table["classes"] >= 2
    order = table.sort_values(
        ["several", "events", "classes", "filename"], ascending=[False, False, False, True]
    )
    return [str(name) for name in order["filename"].iloc[:count]]


def _open(
    groups: Sequence[Group], front_end: FrontEnd, store: FeatureStore, corpus: Corpus, clip: str
) -> Soundscape:
    """A clip with its log-mel features."""
    assert corpus.events is not None
    row = corpus.clips[corpus.clips["clip"] == clip].iloc[0]
    events = corpus.events[corpus.events["filename"] == clip]
    seconds = float(row["duration_s"])
    once = 1 + round(seconds * front_end.sample_rate) // front_end.hop  # where it repeats
    frames = np.asarray(store.clip(store.clips.index(clip))[:once], np.float32)
    try:
        audio, silence = _playable(corpus, row), ""
    except AudioError as error:
        audio, silence = "", f"no audio to play: {error}"
    outputs = tuple(_output(group, clip, events, seconds) for group in groups)
    return Soundscape(clip, seconds, frames, events, audio, silence, outputs)


def _playable(corpus: Corpus, row: Any) -> str:
    """The clip as a data URI: FLAC, mono, 16 bits at 16 kHz, which every browser plays."""
    import soundfile

    samples = read(
        corpus.root / row["path"], RATE, start_s=row["start_s"], duration_s=row["duration_s"]
    )
    data = io.BytesIO()
    soundfile.write(data, samples.clip(-1, 1), RATE, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(data.getvalue()).decode()


def _output(group: Group, clip: str, truth: pd.DataFrame, seconds: float) -> Output:
    run = group.runs[0]
    stored = read_scores(run.file("scores.npz"), "test")
    row, frames = list(stored.clip_ids).index(clip), stored.scores.frame_scores
    events = pd.DataFrame()
    if frames is not None:
        found = read_events(
            run.file("events.tsv"), dict.fromkeys(stored.clip_ids.tolist(), seconds)
        )
        events = found[found["filename"] == clip]
    return Output(
        group,
        run,
        tuple(stored.classes),
        stored.scores.clip_scores[row],
        None if frames is None else np.asarray(frames[row], np.float32),
        stored.scores.seconds_per_frame,
        events,
        "" if frames is None else matched_words(events, truth, seconds, tuple(stored.classes)),
    )


def matched_words(
    found: pd.DataFrame, truth: pd.DataFrame, seconds: float, classes: tuple[str, ...]
) -> str:
    """2 correct, 1 false, 1 missed: the events of one clip, by the intersection rule."""
    clip = {str(name): seconds for name in truth["filename"].unique()}
    made, true = (encode(events, clip, classes) for events in (found, truth))
    durations = np.array([seconds], np.float64)
    counts = count_events(made, true, durations, len(classes))["intersection"]
    correct, false, missed = (
        int(part.sum())
        for part in (counts.true_positives, counts.false_positives, counts.false_negatives)
    )
    return f"{correct} correct, {false} false, {missed} missed"
