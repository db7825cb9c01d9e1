"""What each ablation study can detect at all, and whether its controls came out as expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from bench.results.decisions import Decision, detectable
from bench.results.effects import Effect


@dataclass(frozen=True)
class Detectable:
    """One study on one model and data set, in one metric.

    Attributes:
        changes: its decided changes; none if it has only controls.
        controls: its decided controls.
        effect: the mean difference that the changes' family finds with 80 % power at its spread
            and number of pairs (without changes, the controls'); None below two pairs.
    """

    study: str
    model: str
    dataset: str
    metric: str
    changes: tuple[Effect, ...]
    controls: tuple[Effect, ...]
    effect: float | None

    @property
    def family(self) -> tuple[Effect, ...]:
        """The differences whose spread `effect` uses."""
        return self.changes or self.controls

    @property
    def pairs(self) -> int:
        """The fewest pairs of a difference."""
        return min(e.decision.pairs for e in self.family if e.decision)

    def control(self, kind: str) -> str:
        """Whether each control of a kind was found, and whether that is as expected."""
        own = (e.decision for e in self.controls if e.control == kind)
        return ", ".join(_outcome(kind, decision) for decision in own if decision) or "none"


def _outcome(kind: str, decision: Decision) -> str:
    if decision.limit:
        return "not testable"
    found = "found" if decision.differs else "not found"
    return found if decision.differs is (kind == "positive") else f"{found}: suspect"


def studies(effects: Sequence[Effect]) -> Iterator[Detectable]:
    """Every study with a decided difference, in the order of `effects`."""
    for key, own in groupby(effects, lambda e: (e.study, e.model, e.dataset, e.metric)):
        decided = [effect for effect in own if effect.decision]
        changes = tuple(effect for effect in decided if not effect.control)
        controls = tuple(effect for effect in decided if effect.control)
        if decided:
            known = [e.decision for e in changes or controls if e.decision]
            yield Detectable(*key, changes, controls, detectable(known))
