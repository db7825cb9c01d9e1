"""Speed beside installed peers, drawn from the committed measurement (docs/speed.json)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.code_digest import ROOT
from bench.files import UserError, read_json
from reports.drawing import COLOURS, INK, MARKERS, Picture, legend_above, new_figure, picture
from reports.names import ARCHITECTURES

PATH = ROOT / "docs" / "speed.json"
MODES = ("training", "inference")
SIDES = {"ours fp32": "fp32", "ours bf16": "bf16"}


def speed_chart(path: Path = PATH) -> Picture | None:
    """Clips per second as multiples of each peer's in fp32: medians, bars from least to most.

    Of every pair and step, the largest batch; None where nothing was measured.

    Raises:
        UserError: the file is not what `python -m bench speed --output` writes.
    """
    if not path.is_file():
        return None
    try:
        return _draw(read_json(path))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a measurement of speed ({error!r}); write it anew: "
            f"python -m bench speed --output {path}"
        ) from error


def _draw(found: dict[str, Any]) -> Picture | None:
    rows = [
        (f"{_title(pair)}, {mode}", max(points, key=lambda p: p["batch"]))
        for pair in found.get("pairs", [])
        for mode in MODES
        if (points := [point for point in pair["points"] if point["mode"] == mode])
    ]
    if not rows:
        return None
    figure, axes = new_figure(7.6, 0.9 + 0.34 * len(rows))
    said = []
    for number, (side, name) in enumerate(SIDES.items()):
        ratios = [point["times_peer_fp32"][side] for _, point in rows]
        middle = [ratio["median"] for ratio in ratios]
        axes.errorbar(
            middle,
            [row + 0.16 * (number - 0.5) for row in range(len(rows))],
            xerr=[
                [ratio["median"] - ratio["min"] for ratio in ratios],
                [ratio["max"] - ratio["median"] for ratio in ratios],
            ],
            color=COLOURS[number],
            marker=MARKERS[number],
            capsize=3,
            linestyle="none",
            label=f"this one in {name}",
        )
        said += [f"{row} in {name} {m:.2f}" for (row, _), m in zip(rows, middle, strict=True)]
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(range(len(rows)), [row for row, _ in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("clips per second, as multiples of the peer in fp32")
    legend_above(axes)
    made = found["provenance"]
    where = made["cpu"] if found["device"] == "cpu" else found["device"]
    batches = sorted({point["batch"] for _, point in rows})
    return picture(
        figure,
        f"Speed as multiples of the peer in fp32: {'; '.join(said)}.",
        "Full-size models on random clips of 10 s beside installed implementations of the same "
        f"model, batch {' or '.join(map(str, batches))}; medians, bars from least to most of up to "
        f"{found['rounds']} interleaved rounds. {where}, {found['threads']} threads, torch "
        f"{made['packages']['torch']}, commit {str(made['git_sha'])[:7]}; again: python -m bench "
        "speed --output docs/speed.json.",
    )


def _title(pair: dict[str, Any]) -> str:
    return f"{ARCHITECTURES.get(pair['model'], pair['model'])} beside {pair['peer']}"
