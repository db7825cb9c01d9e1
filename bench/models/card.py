"""What must be known of weights to use them: written into every model.pt beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from bench.experiment.cells import Plan
from bench.experiment.config import FrontEnd
from bench.experiment.released import Released


@dataclass(frozen=True)
class Card:
    """How to rebuild a model, feed it, and read its outputs.

    Attributes:
        name: the run or the released checkpoint.
        loss: "bce": outputs are sigmoid, several labels; "ce": softmax, one label.
        scale: (mean, standard deviation) that features are normalised with, if they are.
    """

    name: str
    architecture: str
    arguments: Mapping[str, Any]
    front_end: FrontEnd
    classes: tuple[str, ...]
    loss: Literal["bce", "ce"]
    scale: tuple[float, float] | None

    @classmethod
    def of_run(
        cls, plan: Plan, classes: tuple[str, ...], scale: tuple[float, float] | None
    ) -> Card:
        return cls(
            str(plan.cell),
            plan.model.architecture,
            plan.model.arguments,
            plan.front_end,
            classes,
            plan.dataset.loss,
            scale,
        )

    @classmethod
    def of_released(cls, name: str, entry: Released) -> Card:
        return cls(
            name,
            entry.architecture,
            entry.arguments,
            entry.front_end,
            entry.class_names(),
            entry.loss,
            entry.front_end.fixed_scale,
        )

    def to_plain(self) -> dict[str, Any]:
        """Plain containers, which `torch.load(weights_only=True)` reads."""
        return {
            **asdict(self),
            "arguments": dict(self.arguments),
            "front_end": self.front_end.model_dump(mode="json"),
            "classes": list(self.classes),
            "scale": None if self.scale is None else [float(value) for value in self.scale],
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Card:
        """What `to_plain` made; raises ValueError for anything else."""
        found: Card = TypeAdapter(cls).validate_python(values)
        return found
