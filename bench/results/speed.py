"""The committed measurement of speed beside installed peers (docs/speed.json)."""

from __future__ import annotations

from pathlib import Path

from bench.code_digest import ROOT
from bench.results.sealed import Open
from bench.results.training import Origin

PATH = ROOT / "docs" / "speed.json"


class Ratio(Open):
    """Clips per second as multiples of a peer's: median, least and most of the rounds."""

    median: float
    min: float
    max: float


class Point(Open):
    """One step of a pair at one batch size.

    Attributes:
        mode: training or inference.
        times_peer_fp32: by ours and its precision ("ours bf16").
        times_peer_bf16: None where bf16 was not measured.
        share_of_peak: of the device's peak; None where that was not measured.
    """

    mode: str
    batch: int
    times_peer_fp32: dict[str, Ratio]
    times_peer_bf16: Ratio | None
    share_of_peak: dict[str, float | None] | None

    @property
    def ratios(self) -> dict[tuple[str, str], Ratio]:
        """By precision of (this implementation, the peer), equal ones first."""
        found = {
            ("fp32", "fp32"): self.times_peer_fp32["ours fp32"],
            ("bf16", "bf16"): self.times_peer_bf16,
            ("bf16", "fp32"): self.times_peer_fp32.get("ours bf16"),
        }
        return {precisions: ratio for precisions, ratio in found.items() if ratio is not None}


class Pair(Open):
    """This implementation of a model beside an installed one."""

    model: str
    peer: str
    points: tuple[Point, ...]

    @property
    def largest(self) -> dict[str, Point]:
        """Of each step, the point with the largest batch."""
        return {point.mode: point for point in sorted(self.points, key=lambda p: p.batch)}


class Speed(Open):
    """The part of the file of `python -m bench speed --output` that the report shows."""

    pairs: tuple[Pair, ...] = ()
    device: str
    threads: int
    rounds: int
    provenance: Origin


def load_speed(path: Path = PATH) -> Speed | None:
    """The measurement; None if there is none, or none of pairs.

    Raises:
        UserError: the file is not what `python -m bench speed --output` writes.
    """
    if not path.is_file():
        return None
    found = Speed.read(path, f"write it again: python -m bench speed --output {path}")
    return found if found.pairs else None
