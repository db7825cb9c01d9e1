"""The HTS-AT authors' own predictions, scored again, beside what the paper prints."""

from __future__ import annotations

from bench.experiment.cells import Layout
from bench.experiment.config import Config
from bench.results import published
from bench.results.columns import Column
from bench.results.identity import other_reference
from bench.results.measured import RESCORED, Rescored, System

PRINTED = 0.0005
"""Half a unit of the last digit that the paper prints."""
OFF = Column("off_points", "off by (points)", 2, 100.0, signed=True)


def load(config: Config) -> Rescored | None:
    """What `python -m bench rescore` has written for this experiment; None if it has not run."""
    path = Layout.of(config).results / RESCORED
    return Rescored.read(path) if path.is_file() else None


def paper(system: str) -> published.Published | None:
    """The published row of a rescored system."""
    return next((entry for entry in published.load() if entry.rescored == system), None)


def unlike(scores: System) -> str:
    """Why scores of a system use a reference other than the paper's; empty if they do not."""
    return other_reference(scores, "DESED-public-eval")


def printed(name: str, scores: System, class_name: str | None = None) -> float | None:
    """The paper's figure for a system, if it was scored against the same reference."""
    entry = paper(name)
    return None if entry is None or unlike(scores) else entry.figure("intersection_f1", class_name)


def agrees(measured: float | None, printed: float | None) -> bool:
    """Whether a figure rounds to the printed one."""
    return (
        measured is not None and printed is not None and abs(measured - printed) <= PRINTED + 1e-9
    )


def off_by(measured: float, printed: float) -> str:
    """+0.12 points."""
    return f"{OFF.text(measured - printed)} points"
