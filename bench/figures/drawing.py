"""How figures look, and how they become part of a page. matplotlib is imported late."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.experiment.config import Config

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.4
"""Width in inches of a figure in a column."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#7a7a7a", "#a3508f", "#8a6d00", "#2b8cbe", "#444444")
MARKERS = "osD^vPX*"
INK, FAINT = "#1f2933", "#d5dbe1"
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": "#8a97a3",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # names are text: a pair of $ in one is not a formula
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "report",
}


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI, with its alternative text and its caption.

    `narrow` is the same figure in panels below one another, for narrow screens.
    """

    uri: str
    alt: str
    caption: str
    width: int
    height: int
    narrow: str = ""

    @property
    def kind(self) -> str:
        """Its file suffix: svg or png."""
        return "svg" if self.uri.startswith("data:image/svg") else "png"

    @property
    def data(self) -> bytes:
        """The file's content."""
        return base64.b64decode(self.uri.partition(",")[2])


def colour(config: Config, model: str) -> str:
    """A model's colour, the same in every figure."""
    return COLOURS[list(config.models).index(model) % len(COLOURS)]


def legible(name: str) -> str:
    """A user's name as text that can be drawn: unprintable characters become a mark."""
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **kwargs: Any) -> Any:
    """A figure of this size in inches and its axes (an array when there are several)."""
    os.environ.pop("MPLBACKEND", None)
    import matplotlib

    matplotlib.rcdefaults()  # a person's own matplotlibrc changes no figure
    matplotlib.use("Agg")
    matplotlib.rcParams.update(STYLE)  # type: ignore[arg-type]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **kwargs)


def picture(figure: Figure, alt: str, caption: str, kind: str = "svg") -> Picture:
    """Draw a figure: "svg" for lines and text, "png" if it contains images."""
    data = io.BytesIO()
    if kind == "svg":
        figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
    else:
        figure.savefig(data, format="png", dpi=130, metadata={"Software": None})
    mime = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    width, height = figure.get_size_inches() * 96
    encoded = base64.b64encode(data.getvalue()).decode()
    return Picture(f"data:{mime};base64,{encoded}", alt, caption, round(width), round(height))


def spectrogram(axes: Axes, frames: np.ndarray, seconds: float) -> None:
    """Features (T, F) of so many seconds, time from left to right."""
    import numpy as np

    low, high = np.percentile(frames, [5, 99.7])
    axes.imshow(
        frames.T, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=max(high, low + 1e-3),
        extent=(0, seconds, 0, frames.shape[1]), interpolation="nearest",
    )  # fmt: skip
    axes.set_ylabel("mel band")
    axes.grid(visible=False)


def legend_above(figure: Figure) -> None:
    """A legend of all axes above them, where it never hides data, in as many columns as fit."""
    named = [axes.get_legend_handles_labels() for axes in figure.axes]
    entries = {name: handle for found in named for handle, name in zip(*found, strict=True)}
    for columns in (4, 3, 2, 1):
        legend = figure.legend(
            entries.values(),
            entries.keys(),
            loc="outside upper left",
            ncols=columns,
            borderaxespad=0.2,
            handlelength=1.4,
            columnspacing=1.2,
        )
        if legend.get_window_extent().width <= figure.bbox.width or columns == 1:
            return
        legend.remove()
