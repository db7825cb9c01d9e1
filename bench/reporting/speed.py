"""Speed beside installed peers, from the committed measurement: a chart and a table."""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures.drawing import COLOURS, INK, MARKERS, Picture, new_figure, picture
from bench.reporting.tables import Column, Entry, Row, Table
from bench.results.names import ARCHITECTURES
from bench.results.speed import Pair, Speed
from bench.results.words import counted

MODES = ("training", "inference")


def speed_chart(found: Speed) -> Picture:
    """Clips per second as multiples of each peer's: medians, bars from least to most.

    Of every pair and step, the largest batch.
    """
    rows = [
        (f"{_network(pair)},\n{mode}", point)
        for pair in found.pairs
        for mode, point in pair.largest.items()
    ]
    figure, axes = new_figure(5.0, 1.1 + 0.42 * len(rows))
    said = []
    for number, (ours, peer) in enumerate(rows[0][1].ratios):
        ratios = [point.ratios[ours, peer] for _, point in rows]
        middle = [ratio.median for ratio in ratios]
        axes.errorbar(
            middle,
            [row + 0.2 * (number - 1) for row in range(len(rows))],
            xerr=[
                [ratio.median - ratio.min for ratio in ratios],
                [ratio.max - ratio.median for ratio in ratios],
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
        f"Medians, bars from least to most of up to {found.rounds} interleaved rounds.",
    )


def speed_table(found: Speed) -> Table:
    """The ratios of the chart as numbers, with the share of the device's peak that each reaches."""
    made = found.provenance
    where = made.cpu if found.device == "cpu" else found.device
    points = [point for pair in found.pairs for point in pair.largest.values()]
    batches = " or ".join(map(str, sorted({point.batch for point in points})))
    return Table(
        name="speed",
        title="Speed beside other implementations",
        caption=(
            "Clips per second as multiples of the peer's (medians), and as a share of the device's "
            "peak."
        ),
        columns=[
            *(Column(f"{mode}_ratio", f"{mode}, times the peer", 2, short=mode) for mode in MODES),
            *(
                Column(f"{mode}_peak_percent", f"{mode}, % of peak", 0, 100.0, short="% of peak")
                for mode in MODES
            ),
        ],
        rows=[row for pair in found.pairs for row in _rows(pair)],
        head="Precision, ours / peer",
        notes=[
            f"Full-size models on random clips of 10 s, batch {batches}, beside installed "
            "implementations of the same model. Peak: large matrix products in our precision.",
            f"{where}, {counted(found.threads, 'thread')}, torch {made.packages['torch']}, commit "
            f"{str(made.git_sha)[:7]}; again: `python -m bench speed --output docs/speed.json`.",
        ],
    )


def _rows(pair: Pair) -> Iterator[Row]:
    rows: dict[tuple[str, str], dict[str, Entry]] = {}
    for mode, point in pair.largest.items():
        for (ours, peer), ratio in point.ratios.items():
            entries = rows.setdefault((ours, peer), {})
            entries[f"{mode}_ratio"] = Entry(ratio.median)
            share = (point.share_of_peak or {}).get(f"ours {ours}")
            entries[f"{mode}_peak_percent"] = Entry(share)
    for (ours, peer), entries in rows.items():
        section = f"{_model(pair)} beside {pair.peer}"
        yield Row(f"{ours} / {peer}", entries, section=section)


def _model(pair: Pair) -> str:
    return ARCHITECTURES.get(pair.model, pair.model)


def _network(pair: Pair) -> str:
    """The model, and its input if the peer's name says it ("…, from features")."""
    return " ".join([_model(pair), *pair.peer.split(", ")[1:]])
