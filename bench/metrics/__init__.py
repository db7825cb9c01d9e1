"""Pure functions from scores, labels and events to figures, and the record of each figure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

VERSION = "1.0"
"""Version of the definitions in this package; any change that moves a figure raises it."""


@dataclass(frozen=True)
class Metric:
    """One figure with everything needed to compute it again.

    Attributes:
        name: what is measured, e.g. "mAP".
        value: the figure, a fraction in [0, 1] unless the metric says otherwise; NaN = undefined.
        implementation: dotted name of the function that computed it.
        version: version of that implementation.
        parameters: everything the definition leaves open (averaging, tolerances, exclusions).
        per_class: class name -> figure, NaN where undefined; None for metrics without classes.
    """

    name: str
    value: float
    implementation: str
    version: str = VERSION
    parameters: dict[str, Any] = field(default_factory=dict)
    per_class: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """The metric as JSON values; undefined and infinite figures become null."""
        per_class = self.per_class
        return {
            "name": self.name,
            "value": finite_or_none(self.value),
            "implementation": self.implementation,
            "version": self.version,
            "parameters": self.parameters,
            "per_class": per_class and {k: finite_or_none(v) for k, v in per_class.items()},
        }


def finite_or_none(value: float) -> float | None:
    """`value` as a Python float, or None where JSON has no number for it (NaN, infinity)."""
    return float(value) if math.isfinite(value) else None
