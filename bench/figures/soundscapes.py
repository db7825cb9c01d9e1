"""Test soundscapes as pictures: spectrogram, true events, and each model's event map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.experiment.config import Config
from bench.figures.drawing import (
    FAINT,
    INK,
    WIDTH,
    Picture,
    colour,
    new_figure,
    picture,
    spectrogram,
)
from bench.results.names import CANNOT, class_name, model_name
from bench.results.soundscapes import Output, Soundscape
from bench.results.words import counted


@dataclass(frozen=True)
class Scene:
    """A soundscape on the page: its classes, its audio, and one picture per group."""

    title: str
    audio: str
    silence: str
    groups: list[str]
    pictures: list[Picture]


def scenes(config: Config, scapes: Sequence[Soundscape]) -> list[Scene]:
    """Each soundscape with its pictures."""
    return [_scene(config, scape) for scape in scapes]


def _scene(config: Config, scape: Soundscape) -> Scene:
    sounding = ", ".join(dict.fromkeys(map(class_name, scape.events["event_label"])))
    return Scene(
        f"{scape.clip}: {counted(len(scape.events), 'event')} ({sounding})",
        scape.audio,
        scape.silence,
        [output.group.name for output in scape.outputs],
        [_draw(config, output, scape) for output in scape.outputs],
    )


def _draw(config: Config, output: Output, scape: Soundscape) -> Picture:
    group = output.group
    name = model_name(config, group.model)
    figure, panels = new_figure(
        WIDTH, 4.6, 3, 1, height_ratios=[0.8, 0.7, 2.0], sharex=group.can_localize
    )
    spectrogram(panels[0], scape.frames, scape.seconds)
    panels[0].set_title(f"{name}", loc="left", fontsize=11, fontweight="bold")
    _true_events(panels[1], scape, output.classes)
    if output.frame_scores is None:
        _clip_scores(panels[2], output, colour(config, group.model))
        said = f"{name} gives clip scores only: {CANNOT}."
    else:
        _event_map(panels[2], output, output.frame_scores)
        said = f"{name}: {output.matched}."
    for axes in panels[:2]:
        axes.set_xlim(0, scape.seconds)
    return picture(
        figure,
        f"Soundscape {scape.clip}: spectrogram, true: {_events(scape.events)}, and below what "
        f"{name} gives for it. {said}",
        f"{said} ({output.run.key})",
        "png",
    )


def _events(events: pd.DataFrame) -> str:
    """3 events of 2 classes."""
    classes = counted(events["event_label"].nunique(), "class", "classes")
    return f"{counted(len(events), 'event')} of {classes}"


def _true_events(axes: Any, scape: Soundscape, classes: tuple[str, ...]) -> None:
    present = [name for name in classes if name in set(scape.events["event_label"])]
    for place, name in enumerate(present):
        own = scape.events[scape.events["event_label"] == name]
        spans = list(zip(own["onset"], own["offset"] - own["onset"], strict=True))
        axes.broken_barh(spans, (place - 0.35, 0.7), facecolor=INK, edgecolor="white")
    axes.set_yticks(range(len(present)), [class_name(name) for name in present], fontsize=8.5)
    axes.set_ylim(len(present) - 0.5, -0.5)
    axes.set_title("true events", loc="left", fontsize=9.5)


def _event_map(axes: Any, output: Output, scores: np.ndarray) -> None:
    end, count = len(scores) * output.seconds_per_frame, len(output.classes)
    found = output.events
    axes.imshow(
        scores.T, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest",
        extent=(0, end, count - 0.5, -0.5),
    )  # fmt: skip
    for label, onset, offset in zip(
        found["event_label"], found["onset"], found["offset"], strict=True
    ):
        place = output.classes.index(label)
        axes.broken_barh(
            [(onset, offset - onset)],
            (place - 0.42, 0.84),
            facecolor="none",
            edgecolor="#c2410c",
            linewidth=1.8,
        )
    axes.set_yticks(range(count), [class_name(name) for name in output.classes], fontsize=8.5)
    axes.grid(visible=False)
    axes.hlines(np.arange(count - 1) + 0.5, 0, end, color=FAINT, linewidth=0.5)
    axes.set_title("event map; found events outlined", loc="left", fontsize=9.5)
    axes.set_xlabel("time in s")


def _clip_scores(axes: Any, output: Output, shade: str) -> None:
    count = len(output.classes)
    axes.barh(range(count), output.clip_scores, color=shade)
    axes.set_yticks(range(count), [class_name(name) for name in output.classes], fontsize=8.5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    axes.set_title(f"clip scores only: {CANNOT}", loc="left", fontsize=9.5)
    axes.set_xlabel("clip score")
