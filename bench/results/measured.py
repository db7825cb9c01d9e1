"""Measurements besides the runs: full-size models, and published predictions scored again."""

from __future__ import annotations

from typing import Any, ClassVar

from bench.results.sealed import Open, Sealed
from bench.results.training import Origin


class Measurement(Sealed):
    """cost/MODEL.json: the cost of a few steps of a full-size model.

    Attributes:
        network: what the model's preset and arguments resolved to; None where it does not say.
        published_parameters: what its paper states.
        peak_memory_mb: of the process on a CPU, of the device otherwise.
        train_joules_per_clip: None if the hardware reports no energy.
    """

    SCHEMA: ClassVar[int] = 1
    REMEDY: ClassVar[str] = "measure it again: python -m bench cost MODEL"

    model: str
    network: dict[str, Any] | None
    parameters: int
    published_parameters: float | None
    activation_bytes_per_clip: float
    macs_per_clip: float
    train_clips_per_second: float
    train_joules_per_clip: float | None
    inference_clips_per_second: float
    peak_memory_mb: float
    batch_size: int
    steps: int
    precision: str
    threads: int
    device: str
    provenance: Origin


class Family(Open):
    """F1 by one rule of matching events, a fraction; None for a class without events."""

    macro_f1: float
    per_class: dict[str, float | None]


class System(Open):
    """A system's predictions, scored by the three rules."""

    intersection: Family
    event_based: Family
    segment_based: Family
    files: int
    reference_events: int
    predicted_events: int
    warnings: tuple[str, ...]


RESCORED = "rescore.json"


class Rescored(Sealed):
    """rescore.json: prediction files that authors published, scored here; sha256 of the files."""

    SCHEMA: ClassVar[int] = 1
    REMEDY: ClassVar[str] = "score them again: python -m bench rescore"

    systems: dict[str, System]
    files: dict[str, str]
    source: str
    command: str
    provenance: Origin
