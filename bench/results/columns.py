"""How a figure is shown: unit, decimals and sign; the same in tables, sentences and `explain`."""

from __future__ import annotations

from dataclasses import dataclass

from bench.results.names import METRICS
from bench.results.summary import Summary

MINUS = "−"


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
    short: str = ""
    in_latex: bool = True
    csv_only: bool = False

    def text(self, value: float) -> str:
        """A stored value as shown; what rounds to zero has no sign."""
        if self.significant:
            return significant(value * self.scale, self.digits)
        text = f"{value * self.scale:{'+' if self.signed else ''}.{self.digits}f}"
        return text.replace("-", MINUS) if float(text) else text.lstrip("+-")

    def interval(self, summary: Summary) -> str:
        """The interval of a mean as the column shows numbers, or why there is none."""
        if summary.low is None or summary.high is None:
            return "one run: none" if summary.n == 1 else "none"
        low, high = (self.text(bound).removeprefix("+") for bound in (summary.low, summary.high))
        return f"[{low}, {high}]"

    def spread_text(self, mean: float, sd: float) -> str:
        """A standard deviation with the decimals of its mean."""
        decimals = len(self.text(mean).partition(".")[2])
        return f"{sd * self.scale:.{decimals}f}"


def metric_column(metric: str, key: str = "", title: str = "") -> Column:
    """The column of a metric: percent for accuracy and F1, a fraction for mAP and mAUC."""
    if metric in ("accuracy",) or metric.endswith("_f1"):
        return Column(key or f"{metric}_percent", title or f"{METRICS[metric]} (%)", 1, 100.0)
    return Column(key or metric, title or METRICS[metric], 3)


def significant(value: float, digits: int = 3) -> str:
    """`value` with this many significant digits, without an exponent: 0.00123, 12.3, 1230."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    exponent = int(f"{abs(rounded):e}".split("e")[1])
    return f"{rounded:.{max(digits - 1 - exponent, 0)}f}"
