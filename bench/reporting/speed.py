"""Speed beside installed peers, from the committed measurement (docs/speed.json)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from bench.code_digest import ROOT
from bench.files import UserError, read_json
from bench.reporting.drawing import COLOURS, INK, MARKERS, Picture, new_figure, picture
from bench.reporting.names import ARCHITECTURES
from bench.reporting.tables import Column, Entry, Row, Table

PATH = ROOT / "docs" / "speed.json"
MODES = ("training", "inference")
PRECISIONS = (("fp32", "fp32"), ("bf16", "bf16"), ("bf16", "fp32"))
"""(this implementation, the peer): like beside like first."""

Made = TypeVar("Made")


def measured(path: Path = PATH) -> bool:
    """Whether there is anything to show.

    Raises:
        UserError: as `speed_chart`.
    """
    return bool(_of(path, lambda found: True))


def speed_chart(path: Path = PATH) -> Picture | None:
    """Clips per second as multiples of each peer's: medians, bars from least to most.

    Of every pair and step, the largest batch; None where nothing was measured.

    Raises:
        UserError: the file is not what `python -m bench speed --output` writes.
    """
    return _of(path, _draw)


def speed_table(path: Path = PATH) -> Table | None:
    """The ratios of the chart as numbers, with the share of the device's peak that each reaches.

    Raises:
        UserError: as `speed_chart`.
    """
    return _of(path, _tabulate)


def _of(path: Path, make: Callable[[dict[str, Any]], Made | None]) -> Made | None:
    if not path.is_file():
        return None
    try:
        found = read_json(path)
        return make(found) if found.get("pairs") else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a measurement of speed ({error!r}); write it anew: "
            f"python -m bench speed --output {path}"
        ) from error


def _largest(pair: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of each step, the point with the largest batch."""
    points = sorted(pair["points"], key=lambda point: point["batch"])
    return {point["mode"]: point for point in points}


def _ratio(point: dict[str, Any], ours: str, peer: str) -> dict[str, float]:
    """Median, least and most of the rounds' ratios."""
    return point["times_peer_fp32"][f"ours {ours}"] if peer == "fp32" else point["times_peer_bf16"]


def _draw(found: dict[str, Any]) -> Picture:
    rows = [
        (f"{_network(pair)},\n{mode}", point)
        for pair in found["pairs"]
        for mode, point in _largest(pair).items()
    ]
    figure, axes = new_figure(5.0, 1.1 + 0.42 * len(rows))
    said = []
    for number, (ours, peer) in enumerate(PRECISIONS):
        ratios = [_ratio(point, ours, peer) for _, point in rows]
        middle = [ratio["median"] for ratio in ratios]
        axes.errorbar(
            middle,
            [row + 0.2 * (number - 1) for row in range(len(rows))],
            xerr=[
                [ratio["median"] - ratio["min"] for ratio in ratios],
                [ratio["max"] - ratio["median"] for ratio in ratios],
            ],
            color=COLOURS[number],
            marker=MARKERS[number],
            markersize=5,
            capsize=3,
            linestyle="none",
            label=f"{ours}, peer {peer}",
        )
        said += [
            f"{' '.join(row.splitlines())} in {ours} beside {peer} {m:.2f}"
            for (row, _), m in zip(rows, middle, strict=True)
        ]
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(range(len(rows)), [row for row, _ in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("clips per second, as multiples of the peer's")
    figure.legend(loc="outside upper left", ncols=3)
    return picture(
        figure,
        f"Speed as multiples of the peer's: {'; '.join(said)}.",
        f"Medians, bars from least to most of up to {found['rounds']} interleaved rounds.",
    )


def _tabulate(found: dict[str, Any]) -> Table:
    made = found["provenance"]
    where = made["cpu"] if found["device"] == "cpu" else found["device"]
    points = [point for pair in found["pairs"] for point in _largest(pair).values()]
    batches = " or ".join(map(str, sorted({point["batch"] for point in points})))
    return Table(
        name="speed",
        title="Speed beside other implementations",
        caption=(
            "Clips per second as multiples of the peer's (medians), and the share of the device's "
            "peak, measured with large matrix products in our precision, that this reaches. "
            f"Full-size models on random clips of 10 s, batch {batches}, beside installed "
            f"implementations of the same model. {where}, {found['threads']} threads, torch "
            f"{made['packages']['torch']}, commit {str(made['git_sha'])[:7]}; again: python -m "
            "bench speed --output docs/speed.json."
        ),
        columns=[
            *(Column(f"{mode}_ratio", f"{mode}, times the peer", 2, short=mode) for mode in MODES),
            *(
                Column(f"{mode}_peak_percent", f"{mode}, % of peak", 0, 100.0, short="% of peak")
                for mode in MODES
            ),
        ],
        rows=[row for pair in found["pairs"] for row in _rows(pair)],
        head="Precision, ours / peer",
    )


def _rows(pair: dict[str, Any]) -> Iterator[Row]:
    for ours, peer in PRECISIONS:
        entries = {}
        for mode, point in _largest(pair).items():
            share = (point["share_of_peak"] or {}).get(f"ours {ours}")
            entries[f"{mode}_ratio"] = Entry(_ratio(point, ours, peer)["median"])
            entries[f"{mode}_peak_percent"] = Entry(share)
        section = f"{_model(pair)} beside {pair['peer']}"
        yield Row(f"{ours} / {peer}", entries, section=section)


def _model(pair: dict[str, Any]) -> str:
    return ARCHITECTURES.get(pair["model"], pair["model"])


def _network(pair: dict[str, Any]) -> str:
    """The model, and what it starts from where the peer's name says it ("…, from features")."""
    return " ".join([_model(pair), *pair["peer"].split(", ")[1:]])
