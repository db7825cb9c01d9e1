"""How a figure is shown: unit, decimals and sign; the same in tables, sentences and `explain`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.results.names import METRICS
from bench.results.summary import Summary

MINUS = "−"
NO_PERCENTAGES = ("mAUC", "d_prime")
TIMES = (("seconds", "s", 3600.0, 2 / 60), ("minutes", "min", 60.0, 2.0), ("hours", "h", 1.0, 0.0))
"""Unit, its symbol, how many make an hour, and the hours up to which it is used."""
SMALLEST_P = 0.001
"""Below it, only this bound of a p-value is printed."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: name in the CSV, with the unit.
        title: heading, with the unit.
        digits: decimals shown; for `significant` columns, significant digits.
        scale: what a stored value is multiplied by (100 for percent).
        signed: whether positive values get a plus sign.
        spread: whether "± sd" is shown; the CSV always has it where it exists.
        words: a text column.
        p_value: whether the numbers are p-values, see `p_text`.
        short: LaTeX heading where the title is too long for a paper.
        in_latex: whether the LaTeX table has the column; a note carries what it leaves out.
        csv_only: for programs; readers see the same in another column.
    """

    key: str
    title: str
    digits: int = 1
    scale: float = 1.0
    significant: bool = False
    signed: bool = False
    spread: bool = True
    words: bool = False
    p_value: bool = False
    short: str = ""
    in_latex: bool = True
    csv_only: bool = False

    def text(self, value: float) -> str:
        """A stored value as shown; what rounds to zero has no sign."""
        if self.p_value:
            return p_text(value)
        if self.significant:
            return significant(value * self.scale, self.digits)
        text = f"{value * self.scale:{'+' if self.signed else ''},.{self.digits}f}"
        return text.replace("-", MINUS) if text.strip("+-0.") else text.lstrip("+-")

    def interval(self, summary: Summary) -> str:
        """The interval of a mean as the column shows numbers, or why there is none."""
        if summary.low is None or summary.high is None:
            return "one run: none" if summary.n == 1 else "none"
        low, high = (self.text(bound).removeprefix("+") for bound in (summary.low, summary.high))
        return f"[{low}, {high}]"

    def spread_text(self, mean: float, sd: float) -> str:
        """A standard deviation with the decimals of its mean."""
        decimals = len(self.text(mean).partition(".")[2])
        return f"{sd * self.scale:,.{decimals}f}"


def metric_column(metric: str) -> Column:
    """The column of a metric: percent, except for the two that are not shares."""
    if metric in NO_PERCENTAGES:
        return Column(metric, METRICS[metric], 3)
    return Column(f"{metric}_percent", f"{METRICS.get(metric, metric)} (%)", 1, 100.0)


def p_column(key: str, title: str, *, in_latex: bool = True) -> Column:
    return Column(key, title, p_value=True, spread=False, in_latex=in_latex)


def p_text(p: float) -> str:
    """A p-value: 0.020, or < 0.001."""
    return f"< {SMALLEST_P:g}" if p < SMALLEST_P else f"{p:.3f}"


def p_words(p: float) -> str:
    """A p-value in a sentence: p = 0.020, or p < 0.001."""
    text = p_text(p)
    return f"p {text}" if p < SMALLEST_P else f"p = {text}"


def time_column(key: str, title: str, hours: Iterable[float], short: str = "") -> Column:
    """A column of times, stored in hours, in the unit that fits the longest."""
    longest = max(hours, default=0.0)
    unit, sign, per_hour, _ = next((row for row in TIMES if longest <= row[3]), TIMES[-1])
    return Column(
        f"{key}_{unit}", f"{title} ({sign})", 3, per_hour, significant=True,
        short=f"{short or title} ({sign})",
    )  # fmt: skip


def memory_column(key: str, title: str, megabytes: Iterable[float], short: str = "") -> Column:
    """A column of memory, stored in MB, in MB or GB as fits the most."""
    unit, scale = ("GB", 1e-3) if max(megabytes, default=0.0) >= 10_000 else ("MB", 1.0)
    return Column(
        f"{key}_{unit}", f"{title} ({unit})", 3, scale, significant=True,
        short=f"{short or title} ({unit})",
    )  # fmt: skip


def significant(value: float, digits: int = 3) -> str:
    """`value` with this many significant digits, without an exponent: 0.00123, 12.3, 1,230."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    exponent = int(f"{abs(rounded):e}".split("e")[1])
    return f"{rounded:,.{max(digits - 1 - exponent, 0)}f}"
