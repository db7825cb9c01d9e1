"""Pictures of HTS-AT's token orders: where each patch of the spectrogram goes in the trunk."""

from __future__ import annotations

import numpy as np

from bench.experiment.config import Config
from bench.figures.drawing import Picture, new_figure, picture

WINDOWS, FREQUENCIES, TIMES = 4, 16, 64
"""Patches of the paper's fold: four windows of 256 frames, 64 mel bands, patches of 4 x 4."""
BANDS, MERGED, ATTENTION = 2, 8, 8
"""Final tokens along frequency, patches per side of one, patches per side of an attention window"""
ORDERS = {
    "time_frequency_window": "time, frequency, window (the paper's)",
    "frequency_time_window": "frequency, time, window",
    "interleaved": "as the paper's, windows alternating band by band",
}


def grid(order: str) -> np.ndarray:
    """The patch at each place of the trunk's grid, (W F, T / W); patches count as `htsat.fold`'s.

    Patches are numbered by window, then frequency (low to high), then time.
    """
    plain = np.arange(WINDOWS * FREQUENCIES * TIMES).reshape(WINDOWS, FREQUENCIES, TIMES)
    moved = {
        "time_frequency_window": plain,
        "frequency_time_window": plain.transpose(0, 2, 1),
        "interleaved": plain.reshape(WINDOWS, BANDS, MERGED, TIMES).swapaxes(0, 1),
    }
    return moved[order].reshape(WINDOWS * FREQUENCIES, TIMES)


def pictures(config: Config) -> list[Picture]:
    """One picture per order, where the experiment has HTS-AT."""
    if not any(model.architecture == "htsat" for model in config.models.values()):
        return []
    return [_draw(name, words) for name, words in ORDERS.items()]


def _draw(order: str, words: str) -> Picture:
    figure, panels = new_figure(4.4, 4.6, 2, 2, height_ratios=[1.0, 2.2])
    places = grid(order)
    window, frequency = places // (FREQUENCIES * TIMES), places // TIMES % FREQUENCIES
    time = window * TIMES + places % TIMES
    plain_time, plain_frequency = np.meshgrid(
        np.arange(WINDOWS * TIMES), np.arange(FREQUENCIES), indexing="xy"
    )
    for column, (title, plain, moved, colours) in enumerate(
        (
            ("colour: time", plain_time, time, "viridis"),
            ("colour: frequency", plain_frequency, frequency, "magma"),
        )
    ):
        top, bottom = panels[0][column], panels[1][column]
        top.imshow(plain, cmap=colours, aspect="auto", origin="lower", interpolation="nearest")
        for edge in range(1, WINDOWS):
            top.axvline(edge * TIMES - 0.5, color="white", linewidth=1.2)
        top.set_title(title, loc="left", fontsize=9.5)
        bottom.imshow(moved, cmap=colours, aspect="auto", interpolation="nearest")
        for edge in range(ATTENTION, WINDOWS * FREQUENCIES, ATTENTION):
            bottom.axhline(edge - 0.5, color="white", linewidth=0.3)
            bottom.axvline(edge - 0.5, color="white", linewidth=0.3)
        for axes in (top, bottom):
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(visible=False)
    panels[0][0].set_ylabel("spectrogram", fontsize=9)
    panels[1][0].set_ylabel("the trunk's grid", fontsize=9)
    return picture(
        figure,
        f"Token order {words}: the spectrogram's patches coloured by time and by frequency, above "
        "as they are and below in their places in the trunk's grid of 64 by 64.",
        f"Order {words}. Above, the spectrogram in its four windows; below, its patches "
        "in the trunk's 64 × 64 grid, with the 8 × 8 attention windows.",
        "png",
    )
