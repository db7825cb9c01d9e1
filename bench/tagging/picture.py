"""The picture of a tagged recording: spectrogram over event map, on one time axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.figures.drawing import FAINT, legible, new_figure, spectrogram
from bench.results.names import class_name
from bench.tagging.shown import best
from bench.tagging.tag import Tagged

ROWS = 12  # classes that stay legible
COLUMNS = 2400  # more than the picture has pixels: longer recordings are reduced to this many


def draw(tagged: Tagged, path: Path, kind: str) -> None:
    """Write the picture as png, svg or pdf."""
    shown = _classes(tagged)
    figure, (above, below) = new_figure(
        9.0, 2.9 + 0.27 * len(shown), 2, 1, height_ratios=[1.7, 0.3 + 0.27 * len(shown)]
    )
    _spectrogram(above, tagged)
    if tagged.frame_scores is None:
        _clip_scores(below, tagged, shown)
    else:
        _event_map(figure, below, tagged, shown)
        above.sharex(below)
    _time_axis(above if tagged.frame_scores is None else below, tagged.duration_s)
    figure.savefig(path, format=kind, dpi=150)


def _classes(tagged: Tagged) -> list[str]:
    """The classes of located events first, then those with the highest clip scores."""
    found: dict[str, float] = {}
    for event in tagged.events:
        found[event.label] = max(event.score, found.get(event.label, 0.0))
    located = sorted(found, key=lambda name: -found[name])
    labels = [name for name, _ in best(tagged, ROWS)]
    return list(dict.fromkeys([*located, *labels]))[:ROWS]


def _spectrogram(axes: Any, tagged: Tagged) -> None:
    spectrogram(axes, _reduced(tagged.features.astype(np.float32)), tagged.duration_s)
    name = Path(tagged.audio).name
    axes.set_title(legible(f"{name}: predictions of {tagged.card.name}"), loc="left", fontsize=11)


def _event_map(figure: Any, axes: Any, tagged: Tagged, shown: list[str]) -> None:
    assert tagged.frame_scores is not None
    places = [tagged.card.classes.index(name) for name in shown]
    end = len(tagged.frame_scores) * tagged.seconds_per_frame
    scores = _reduced(tagged.frame_scores[:, places].astype(np.float32))
    image = axes.imshow(
        scores.T, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest",
        extent=(0, end, len(shown) - 0.5, -0.5),
    )  # fmt: skip
    for event in tagged.events:
        if event.label in shown:
            axes.broken_barh(
                [(event.onset, event.offset - event.onset)],
                (shown.index(event.label) - 0.42, 0.84),
                facecolor="none",
                edgecolor="#c2410c",
                linewidth=1.4,
            )
    _rows(axes, shown)
    axes.hlines(np.arange(len(shown) - 1) + 0.5, 0, end, color=FAINT, linewidth=0.5)
    axes.set_xlim(0, tagged.duration_s)
    axes.grid(visible=False)
    left_out = len({event.label for event in tagged.events} - set(shown))
    more = f"; {left_out} more classes with events are not shown" if left_out else ""
    axes.set_title(f"event map, located events outlined{more}", loc="left", fontsize=9.5)
    figure.colorbar(image, ax=axes, label="probability", pad=0.01, fraction=0.03)


def _clip_scores(axes: Any, tagged: Tagged, shown: list[str]) -> None:
    values = [tagged.clip_scores[tagged.card.classes.index(name)] for name in shown]
    axes.barh(range(len(shown)), values, color="#2b8cbe")
    _rows(axes, shown)
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability over the whole recording (this model cannot localize)")


def _rows(axes: Any, shown: list[str]) -> None:
    short = [name if len(name) <= 32 else f"{name[:31]}…" for name in shown]
    axes.set_yticks(range(len(shown)), [class_name(name) for name in short], fontsize=8.5)
    axes.set_ylim(len(shown) - 0.5, -0.5)


def _time_axis(axes: Any, duration_s: float) -> None:
    if duration_s < 180:
        axes.set_xlabel("time in s")
        return
    from matplotlib.ticker import FuncFormatter

    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{int(s // 60)}:{int(s % 60):02d}"))
    axes.set_xlabel("time in min:s")


def _reduced(frames: np.ndarray) -> np.ndarray:
    """At most COLUMNS frames (T, F), each the largest value of a run of equal length."""
    step = -(-len(frames) // COLUMNS)
    if step == 1:
        return frames
    return np.maximum.reduceat(frames, np.arange(0, len(frames), step), axis=0)
