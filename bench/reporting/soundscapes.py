"""Test soundscapes as each model hears them: audio, spectrogram, true events, event map, finds."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.audio.decode import AudioError, read
from bench.corpora import Corpus
from bench.data.store import FeatureStore
from bench.files import UserError
from bench.models.scores import StoredScores, read_scores
from bench.reporting.charts import colour
from bench.reporting.drawing import FAINT, INK, Picture, new_figure, picture
from bench.reporting.event_tables import CANNOT
from bench.reporting.names import class_name, dataset_name, model_name
from bench.reporting.results import Group, Results, Run, corpus_of, is_baseline
from bench.reporting.words import counted

SHOWN = 3
RATE = 16_000


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


@dataclass(frozen=True)
class Scene:
    """A soundscape on the page: what sounds in it, its audio, and one picture per group."""

    title: str
    audio: str
    silence: str
    groups: list[str]
    pictures: list[Picture]


def gallery(results: Results, dataset: str) -> tuple[list[Scene], str]:
    """The busiest test soundscapes as each model hears them, or a word on why there are none."""
    groups = [g for g in results.base_groups(dataset) if not is_baseline(results, g.model)]
    if not groups:
        return [], "no usable records"
    try:
        corpus = corpus_of(results, dataset)
        scapes = [open_soundscape(results, dataset, corpus, clip) for clip in choose_clips(corpus)]
        return [_scene(results, groups, scape) for scape in scapes], ""
    except UserError as error:
        return [], f"no pictures of soundscapes: {error}"


def choose_clips(corpus: Corpus, count: int = SHOWN) -> list[str]:
    """The test clips with the most events, those with at least two classes first.

    Ties go to more classes, then to the first name. The choice knows no model's scores.

    Raises:
        UserError: the test split has no events.
    """
    test = set(corpus.clips.loc[corpus.clips["split"] == "test", "clip"])
    events = corpus.events
    if events is None or not events["filename"].isin(test).any():
        raise UserError(f"{corpus.name}: the test split has no events to show")
    counts = events[events["filename"].isin(test)].groupby("filename")["event_label"]
    table = pd.DataFrame({"events": counts.size(), "classes": counts.nunique()}).reset_index()
    table["several"] = table["classes"] >= 2
    order = table.sort_values(
        ["several", "events", "classes", "filename"], ascending=[False, False, False, True]
    )
    return [str(name) for name in order["filename"].iloc[:count]]


def open_soundscape(results: Results, dataset: str, corpus: Corpus, clip: str) -> Soundscape:
    """A clip with the log-mel features that most models see.

    Raises:
        UserError: the features are not on disk.
    """
    assert corpus.events is not None
    front_end = next(iter(results.config.models.values())).front_end
    store = FeatureStore.open(results.layout.features(dataset, front_end))
    row = corpus.clips[corpus.clips["clip"] == clip].iloc[0]
    events = corpus.events[corpus.events["filename"] == clip]
    seconds = float(row["duration_s"])
    settings = results.config.datasets[dataset].front_ends[front_end]
    once = 1 + round(seconds * settings.sample_rate) // settings.hop  # where a front end repeats
    frames = np.asarray(store.clip(store.clips.index(clip))[:once], np.float32)
    try:
        audio, silence = _playable(corpus, row), ""
    except AudioError as error:
        audio, silence = "", f"no audio to play: {error}"
    return Soundscape(clip, seconds, frames, events, audio, silence)


def _playable(corpus: Corpus, row: Any) -> str:
    """The clip as a data URI: FLAC, mono, 16 bits at 16 kHz, which every browser plays."""
    import soundfile

    samples = read(
        corpus.root / row["path"], RATE, start_s=row["start_s"], duration_s=row["duration_s"]
    )
    data = io.BytesIO()
    soundfile.write(data, samples.clip(-1, 1), RATE, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(data.getvalue()).decode()


def _scene(results: Results, groups: list[Group], scape: Soundscape) -> Scene:
    heard = ", ".join(dict.fromkeys(map(class_name, scape.events["event_label"])))
    title = f"{scape.clip}: {counted(len(scape.events), 'event')} ({heard})"
    pictures = [_draw(results, group, scape) for group in groups]
    return Scene(title, scape.audio, scape.silence, [g.name for g in groups], pictures)


def _draw(results: Results, group: Group, scape: Soundscape) -> Picture:
    run = group.runs[0]
    stored = read_scores(run.folder / "scores.npz", "test")
    row = list(stored.clip_ids).index(scape.clip)
    name = model_name(results.config, group.model)
    task = dataset_name(results.config, group.dataset)
    shade = colour(results, group.model)
    figure, panels = new_figure(
        4.4, 5.8, 3, 1, height_ratios=[1.0, 0.9, 2.0], sharex=group.can_localize
    )
    _spectrogram(panels[0], scape, name)
    classes = list(stored.classes)
    _true_events(panels[1], scape, classes)
    heard = f"true: {_events(scape.events)}"
    if stored.scores.frame_scores is None:
        _clip_scores(panels[2], stored, row, shade)
        said = f"{name} gives clip scores only: {CANNOT}."
    else:
        found = found_events(run, scape.clip)
        _event_map(panels[2], stored, row, scape, found)
        said = f"{name} finds {_events(found)}."
    for axes in panels[:2]:
        axes.set_xlim(0, scape.seconds)
    return picture(
        figure,
        f"Soundscape {scape.clip}: spectrogram, {heard}, and below what {name} makes of it. {said}",
        f"{name} ({run.key}) on {scape.clip}, {task}. {said}",
        "png",
    )


def found_events(run: Run, clip: str) -> pd.DataFrame:
    """The located events of one clip; rows of event-free clips are left out."""
    table = pd.read_csv(run.folder / "events.tsv", sep="\t", dtype={"filename": str})
    return table[(table["filename"] == clip) & table["event_label"].notna()]


def _spectrogram(axes: Any, scape: Soundscape, name: str) -> None:
    low, high = np.percentile(scape.frames, [5, 99.7])
    axes.imshow(
        scape.frames.T, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=high,
        extent=(0, scape.seconds, 0, scape.frames.shape[1]), interpolation="nearest",
    )  # fmt: skip
    axes.set_title(f"{name}", loc="left", fontsize=11, fontweight="bold")
    axes.set_ylabel("mel band")
    axes.grid(visible=False)


def _events(events: pd.DataFrame) -> str:
    """3 events of 2 classes."""
    classes = counted(events["event_label"].nunique(), "class", "classes")
    return f"{counted(len(events), 'event')} of {classes}"


def _true_events(axes: Any, scape: Soundscape, classes: list[str]) -> None:
    present = [name for name in classes if name in set(scape.events["event_label"])]
    for place, name in enumerate(present):
        own = scape.events[scape.events["event_label"] == name]
        spans = list(zip(own["onset"], own["offset"] - own["onset"], strict=True))
        axes.broken_barh(spans, (place - 0.35, 0.7), facecolor=INK, edgecolor="white")
    axes.set_yticks(range(len(present)), [class_name(name) for name in present], fontsize=8.5)
    axes.set_ylim(len(present) - 0.5, -0.5)
    axes.set_title("true events", loc="left", fontsize=9.5)


def _event_map(
    axes: Any, stored: StoredScores, row: int, scape: Soundscape, found: pd.DataFrame
) -> None:
    assert stored.scores.frame_scores is not None
    scores = np.asarray(stored.scores.frame_scores[row], np.float32)
    end = len(scores) * stored.scores.seconds_per_frame
    count = len(stored.classes)
    axes.imshow(
        scores.T, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest",
        extent=(0, end, count - 0.5, -0.5),
    )  # fmt: skip
    for label, onset, offset in zip(
        found["event_label"], found["onset"], found["offset"], strict=True
    ):
        place = list(stored.classes).index(label)
        axes.broken_barh(
            [(onset, offset - onset)],
            (place - 0.42, 0.84),
            facecolor="none",
            edgecolor="#c2410c",
            linewidth=1.8,
        )
    axes.set_yticks(range(count), [class_name(name) for name in stored.classes], fontsize=8.5)
    axes.grid(visible=False)
    axes.hlines(np.arange(count - 1) + 0.5, 0, end, color=FAINT, linewidth=0.5)
    axes.set_title("event map; found events outlined", loc="left", fontsize=9.5)
    axes.set_xlabel("time in s")


def _clip_scores(axes: Any, stored: StoredScores, row: int, shade: str) -> None:
    count = len(stored.classes)
    axes.barh(range(count), stored.scores.clip_scores[row], color=shade)
    axes.set_yticks(range(count), [class_name(name) for name in stored.classes], fontsize=8.5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    axes.set_title(f"clip scores only: {CANNOT}", loc="left", fontsize=9.5)
    axes.set_xlabel("clip score")
