"""The tables that `python -m bench speed` prints, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

MEGA = 1e6


def render(found: dict[str, Any]) -> str:
    """Every part that was measured, as Markdown."""
    parts = []
    if "pairs" in found:
        parts += [_machine(found), _speeds(found), _memory(found)]
    if "breakdown" in found:
        parts.append(_breakdown(found["breakdown"]))
    for name in ("pipeline", "growth"):
        if name in found:
            rows = [[row["what"], row["value"], row["unit"]] for row in found[name]]
            parts.append(_table(["what", name, "unit"], rows))
    return "\n\n".join(parts)


def _machine(found: dict[str, Any]) -> str:
    provenance = found["provenance"]
    where = provenance["cpu"] if found["device"] == "cpu" else found["device"]
    peaks = ", ".join(
        f"{name} {found['matmul_peak_flops'][name] / 1e9:,.0f} GFLOP/s" for name in ("fp32", "bf16")
    )
    compiled = ", compiled" if found["compiled"] else ""
    return (
        f"{where}, {found['threads']} threads, torch {provenance['packages']['torch']}{compiled}; "
        f"medians (and range) of up to {found['rounds']} interleaved rounds, fewer where steps are "
        f"slow; matrix products: {peaks}."
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
                    *(rate[name]["median"] for name in _columns(rate)),
                    _ratio(against["ours fp32"]),
                    _ratio(against["ours bf16"]),
                    _ratio(point["times_peer_bf16"]),
                    *(f"{share[name]:.0%}" for name in ("ours fp32", "ours bf16", "peer fp32")),
                ]
            )
    return _table(header, rows)


def _memory(found: dict[str, Any]) -> str:
    header = ["pair", "GMAC per clip", "saved MB per clip: ours fp32", "bf16", "peer fp32", "bf16"]
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
                *(saved[name] / MEGA for name in _columns(saved)),
                f"training, {point['batch']}",
                *(
                    "unknown" if peaks[name] is None else peaks[name] / MEGA
                    for name in _columns(peaks)
                ),
            ]
        )
    return _table(header, rows)


def _breakdown(steps: list[dict[str, Any]]) -> str:
    """Shares of a training step, and how near to the peak its products come."""
    header = [f"{step['model']} {step['precision']}, {step['batch']} clips" for step in steps]
    rows = [
        [kind, *(f"{step['shares'][kind]:.1%}" for step in steps)] for kind in steps[0]["shares"]
    ]
    for kind in steps[0]["of_peak"]:
        speeds = (step["of_peak"][kind] for step in steps)
        rows.append(
            [f"speed of {kind} / peak", *("-" if s is None else f"{s:.0%}" for s in speeds)]
        )
    return _table(["share of a training step", *header], rows)


def _columns(values: dict[str, Any]) -> list[str]:
    wanted = ("ours fp32", "ours bf16", "peer fp32", "peer bf16")
    return [name for name in wanted if name in values]


def _ratio(values: dict[str, float]) -> str:
    return f"{values['median']:.2f} ({values['min']:.2f} to {values['max']:.2f})"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header)]
    lines += [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
