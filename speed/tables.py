"""The tables that `python -m bench speed` prints, in Markdown, and those of docs/performance.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from bench.files import UserError

MEGA = 1e6
NONE = "-"
COLUMNS = ("ours fp32", "ours bf16", "peer fp32", "peer bf16")


def render(found: dict[str, Any]) -> str:
    """Every part that was measured, as Markdown."""
    return "\n\n".join(sections(found).values())


def put_into(text: str, found: dict[str, Any]) -> str:
    """`text` with each measured part between its marks `<!-- speed: NAME -->` and `<!-- end -->`.

    Parts that were not measured stay unchanged.

    Raises:
        UserError: the text has a mark for none of the parts.
    """
    parts = sections(found)
    marks = re.compile(r"(<!-- speed: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    if not {mark[2] for mark in marks.finditer(text)} & set(parts):
        raise UserError(f"no '<!-- speed: NAME -->' for any of {', '.join(parts)} in that file")
    return marks.sub(
        lambda mark: f"{mark[1]}{parts[mark[2]]}\n{mark[3]}" if mark[2] in parts else mark[0], text
    )


def sections(found: dict[str, Any]) -> dict[str, str]:
    """The parts that were measured by name, each as Markdown."""
    parts = {}
    if found.get("rehearsal"):
        parts["rehearsal"] = "A rehearsal with small presets on a CPU: its figures mean nothing."
    if "pairs" in found:
        parts |= {
            "machine": _machine(found),
            "models": _speeds(found),
            "memory": _memory(found),
        }
    for name, table in CHECKS.items():
        if name in found:
            parts[name] = table(found)
    if "breakdown" in found:
        parts["breakdown"] = _breakdown(found["breakdown"])
    for name in ("pipeline", "growth"):
        if name in found:
            rows = [[row["what"], row["value"], row["unit"]] for row in found[name]]
            parts[name] = _table(["what", name, "unit"], rows)
    return {name: part for name, part in parts.items() if part}


def _machine(found: dict[str, Any]) -> str:
    provenance = found["provenance"]
    where = provenance["cpu"] if found["device"] == "cpu" else found["device"]
    measured = found["matmul_peak_flops"]
    peaks = ", ".join(
        f"{name} {speed / 1e9:,.0f} GFLOP/s"
        for name, speed in sorted(measured.items(), reverse=True)
    )
    peaks += "" if "bf16" in measured else "; bf16, emulated here, is not measured"
    load = f" Load before it began: {found['load']:.2f}." if "load" in found else ""
    return (
        f"{where}, {found['threads']} threads, torch {provenance['packages']['torch']}; "
        f"medians (and range) of up to {found['rounds']} interleaved rounds, fewer where steps are "
        f"slow; matrix products: {peaks}.{load}"
    )


def _speeds(found: dict[str, Any]) -> str:
    header = ["pair", "step", "batch", "clips/s: ours fp32", "bf16", "peer fp32", "bf16"]
    header += ["ours fp32 / peer fp32", "ours bf16 / peer fp32", "ours bf16 / peer bf16"]
    header += ["share of peak: ours fp32", "bf16", "peer fp32"]
    rows = []
    for row in found["pairs"]:
        for point in row["points"]:
            rate, share = point["clips_per_second"], point["share_of_peak"]
            against = point["times_peer_fp32"]
            rows.append(
                [
                    row["pair"],
                    point["mode"],
                    point["batch"],
                    *(rate[name]["median"] if name in rate else NONE for name in COLUMNS),
                    _ratio(against["ours fp32"]),
                    _ratio(against.get("ours bf16")),
                    _ratio(point["times_peer_bf16"]),
                    *(_share(share.get(name)) for name in ("ours fp32", "ours bf16", "peer fp32")),
                ]
            )
    return _table(header, rows)


def _memory(found: dict[str, Any]) -> str:
    header = ["pair", "GMAC per clip", "activations (MB per clip): ours fp32"]
    header += ["bf16", "peer fp32", "bf16"]
    header += ["step, batch", "peak MB: ours fp32", "bf16", "peer fp32", "bf16"]
    rows = []
    for row in found["pairs"]:
        saved = row["saved_activation_bytes_per_clip"]
        point = [point for point in row["points"] if point["mode"] == "training"][-1]
        peaks = point["peak_bytes"]
        rows.append(
            [
                row["pair"],
                row["macs_per_clip"] / 1e9,
                *(saved[name] / MEGA if name in saved else NONE for name in COLUMNS),
                f"training, {point['batch']}",
                *(_memory_cell(peaks, name) for name in COLUMNS),
            ]
        )
    return _table(header, rows)


def _breakdown(steps: list[dict[str, Any]]) -> str:
    """Shares of a training step, the first one's largest first, and its products' speed."""
    header = [f"{step['model']} {step['precision']}, batch {step['batch']}" for step in steps]
    first = steps[0]["shares"]
    rows = [
        [kind, *(f"{step['shares'][kind]:.1%}" for step in steps)]
        for kind in sorted(first, key=lambda kind: (-first[kind], kind))
    ]
    for kind in sorted(steps[0]["of_peak"], reverse=True):
        speeds = (step["of_peak"][kind] for step in steps)
        rows.append([f"speed of {kind} / peak", *map(_share, speeds)])
    return _table(["share of a training step", *header], rows)


def _steps(found: dict[str, Any]) -> str:
    rows = [[step["step"], step["seconds"], step["outcome"]] for step in found["steps"]]
    return _table(["step", "seconds", "outcome"], rows)


def _parity(found: dict[str, Any]) -> str:
    keys = ("model", "largest_difference", "largest_logit", "gradient_difference")
    header = ["model", "largest difference of logits from the CPU's", "largest logit"]
    rows = [[row[key] for key in keys] for row in found["parity"]]
    return _table([*header, "difference of gradients, relative"], rows)


def _trainings(found: dict[str, Any]) -> str:
    rows = [
        [
            row["model"],
            row["features"],
            _yes(row["compiled"]),
            _yes(row["equal"]),
            ", ".join(map(_cell, row["losses"])),
        ]
        for row in found["trainings"]
    ]
    header = ["training", "features", "compiled", "interrupted equals straight", "losses"]
    return _table(header, rows)


def _rates(found: dict[str, Any]) -> str:
    """The benchmark's own training step."""
    peak = found.get("matmul_peak_flops", {}).get("bf16")
    rows = []
    for row in found["rates"]:
        speed = row["clips_per_second"]["median"]
        rows.append(
            [
                *(row["model"], _yes(row["compiled"]), row["batch"], speed),
                f"{row['flops_per_clip'] * speed / peak:.0%}" if peak else "unknown",
                "unknown" if row["peak_bytes"] is None else row["peak_bytes"] / MEGA,
                "unknown" if row["joules_per_clip"] is None else row["joules_per_clip"],
                row["first_step_seconds"],
            ]
        )
    header = ["training in bf16", "compiled", "batch", "clips/s", "share of peak"]
    header += ["peak MB beyond weights and optimizer", "J per clip", "first step, s"]
    return _table(header, rows)


def _hours(found: dict[str, Any]) -> str:
    rows = [
        [
            *(row["model"], row["clips"] / MEGA),
            "not measured" if row["hours"] is None else row["hours"],
            row["published_gpu_hours"],
        ]
        for row in found["hours"]
    ]
    return _table(
        ["model", "million clips of its recipe", "hours here", "published GPU hours"], rows
    )


CHECKS = {
    "steps": _steps,
    "parity": _parity,
    "trainings": _trainings,
    "rates": _rates,
    "hours": _hours,
}
"""Parts of `python -m bench gpu-check`, in its order."""


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _memory_cell(peaks: dict[str, int | None], name: str) -> Any:
    if name not in peaks:
        return NONE
    peak = peaks[name]
    return "unknown" if peak is None else peak / MEGA


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}"


def _ratio(values: dict[str, float] | None) -> str:
    if values is None:
        return NONE
    return f"{values['median']:.2f} ({values['min']:.2f} to {values['max']:.2f})"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header)]
    lines += [[_cell(value) for value in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
