"""Figures, differences and counts as words, the same on every page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.results.columns import metric_column, significant, time_column
from bench.results.names import METRICS
from bench.results.summary import Summary


def figure_words(summary: Summary, metric: str) -> str:
    """81.2 ± 0.9 %, or 0.912 ± 0.011 for a metric that is not a percentage."""
    column = metric_column(metric)
    spread = f" ± {column.spread_text(summary.mean, summary.sd)}" if summary.sd else ""
    return f"{column.text(summary.mean)}{spread}{_unit(metric)}"


def value_words(value: float, metric: str) -> str:
    """81.2 %, or 0.912 for a metric that is not a percentage."""
    return f"{metric_column(metric).text(value)}{_unit(metric)}"


def _unit(metric: str) -> str:
    return " %" if metric_column(metric).scale == 100 else ""


def points(difference: float, metric: str) -> str:
    """+1.3 points, or +0.012 mAUC for a metric that is not a percentage."""
    column = metric_column(metric)
    unit = "points" if column.scale == 100 else METRICS[metric]
    return f"{replace(column, signed=True).text(difference)} {unit}"


def gap_words(difference: Summary, metric: str) -> str:
    """+1.3 points [-5.4, 8.1], with the 95 % interval where there is one."""
    words = points(difference.mean, metric)
    if difference.low is None:
        return words
    return f"{words} {metric_column(metric).interval(difference)}"


def sentence(text: str) -> str:
    """`text` with a capital; names such as mAP and keys such as window_size stay as they are."""
    first = text.partition(" ")[0]
    return text if first[1:2].isupper() or "_" in first else text[:1].upper() + text[1:]


def counted(number: int, one: str, several: str = "") -> str:
    """1 event, 2,000 events."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def counted_names(name: str, numbers: Sequence[int]) -> str:
    """seed 0, or seeds 0, 1."""
    return f"{name}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def duration_words(hours: float) -> str:
    """41 s, 5.2 min or 12 h."""
    column = time_column("time", "time", [hours])
    unit = column.title.rpartition("(")[2].rstrip(")")
    return f"{significant(hours * column.scale, 2)} {unit}"


def listed(names: Sequence[str]) -> str:
    """A, B and C."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
