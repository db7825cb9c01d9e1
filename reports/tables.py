"""Tables as data, written as Markdown, LaTeX (booktabs) and CSV.

A cell is a number with its spread, or words. The CSV carries full precision, the spread and the
record keys behind each row; LaTeX names the record keys in comments.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from bench.files import write_text
from reports.summary import Summary

DASH = "–"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: name in the CSV, with the unit.
        title: heading, with the unit.
        digits: decimals shown; for `significant` columns, significant digits.
        scale: what a stored value is multiplied by (100 for percent).
        spread: whether "± sd" is shown; the CSV always has it where it exists.
        words: a text column.
        short: LaTeX heading where the title is too long for a paper.
    """

    key: str
    title: str
    digits: int = 1
    scale: float = 1.0
    significant: bool = False
    spread: bool = True
    words: bool = False
    short: str = ""

    def text(self, value: float) -> str:
        """A stored value as shown."""
        if self.significant:
            return significant(value * self.scale, self.digits)
        return f"{value * self.scale:.{self.digits}f}"


@dataclass(frozen=True)
class Entry:
    """A number (`value`, with its spread over runs where it is a mean) or words."""

    value: float | None = None
    summary: Summary | None = None
    words: str = ""
    best: bool = False

    @classmethod
    def of(cls, summary: Summary | None, words: str = DASH) -> Entry:
        """The mean of a summary; `words` where there is none."""
        return cls(words=words) if summary is None else cls(summary.mean, summary)

    def shown(self, column: Column, plus_minus: str = "±") -> str:
        """The cell's text."""
        if self.value is None:
            return self.words or DASH
        text = column.text(self.value)
        if column.spread and self.summary is not None and self.summary.sd is not None:
            text += f" {plus_minus} {column.text(self.summary.sd)}"
        return text


@dataclass(frozen=True)
class Row:
    """One line of a table; `group` names the run group that its numbers come from."""

    label: str
    entries: Mapping[str, Entry]
    records: tuple[str, ...] = ()
    group: str = ""
    section: str = ""


@dataclass(frozen=True)
class Table:
    """A table with what a reader needs to understand it alone."""

    name: str
    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    head: str = "Model"
    notes: Sequence[str] = field(default_factory=tuple)

    def sections(self) -> Iterator[tuple[str, list[Row]]]:
        """Consecutive rows of one section."""
        for section, rows in groupby(self.rows, key=lambda row: row.section):
            yield section, list(rows)


def significant(value: float, digits: int = 3) -> str:
    """`value` with this many significant digits, without an exponent: 0.00123, 12.3, 1230."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    exponent = int(f"{abs(rounded):e}".split("e")[1])
    return f"{rounded:.{max(digits - 1 - exponent, 0)}f}"


def write_table(table: Table, folder: Path) -> None:
    """Write NAME.md, NAME.tex and NAME.csv."""
    write_text(folder / f"{table.name}.md", to_markdown(table))
    write_text(folder / f"{table.name}.tex", to_latex(table))
    write_text(folder / f"{table.name}.csv", to_csv(table))


def to_csv(table: Table) -> str:
    """One line per row: section, label, numbers in the shown unit at full precision, records."""
    header = ["section", table.head.lower()]
    spread = [column.key for column in table.columns if _has_spread(table, column)]
    for column in table.columns:
        header.append(column.key)
        if column.key in spread:
            header += [f"{column.key}_{part}" for part in ("sd", "ci95_low", "ci95_high", "n")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*header, "records"])
    for row in table.rows:
        line: list[str] = [row.section, row.label]
        for column in table.columns:
            entry = row.entries.get(column.key, Entry())
            line.append(_number(entry.value, column.scale) or _plain_words(entry))
            if column.key in spread:
                line += _spread(entry.summary, column.scale)
        writer.writerow([*line, " ".join(row.records)])
    return out.getvalue()


def _has_spread(table: Table, column: Column) -> bool:
    entries = (row.entries.get(column.key) for row in table.rows)
    return any(entry is not None and entry.summary is not None for entry in entries)


def _spread(summary: Summary | None, scale: float) -> list[str]:
    if summary is None:
        return [""] * 4
    bounds = (summary.sd, summary.low, summary.high)
    return [*(_number(bound, scale) for bound in bounds), str(summary.n)]


def _number(value: float | None, scale: float) -> str:
    return "" if value is None else repr(float(value * scale))


def _plain_words(entry: Entry) -> str:
    return "" if entry.words == DASH else entry.words


def to_markdown(table: Table) -> str:
    """A pipe table with its caption; sections are bold lines."""
    titles = [table.head, *(column.title for column in table.columns)]
    lines = [f"# {table.title}", "", table.caption, ""]
    lines += ["| " + " | ".join(map(_pipe, titles)) + " |"]
    lines += [
        "|"
        + "|".join([" --- "] + [" ---: " if not c.words else " --- " for c in table.columns])
        + "|"
    ]
    for section, rows in table.sections():
        if section:
            lines.append(f"| **{_pipe(section)}** |" + " |" * len(table.columns))
        for row in rows:
            cells = [row.label]
            for column in table.columns:
                entry = row.entries.get(column.key, Entry())
                text = entry.shown(column)
                cells.append(f"**{text}**" if entry.best else text)
            lines.append("| " + " | ".join(map(_pipe, cells)) + " |")
    lines += ["", *(f"- {note}" for note in table.notes)]
    keyed = dict.fromkeys((row.label, row.records) for row in table.rows if row.records)
    lines += ["", "Records behind the rows:", ""]
    lines += [f"- {label}: {', '.join(f'`{key}`' for key in records)}" for label, records in keyed]
    return "\n".join(lines).rstrip() + "\n"


def _pipe(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": r"$-$",
    "–": "--",
    "…": r"\dots{}",
}


def latex(text: str) -> str:
    """`text` with every character that LaTeX would interpret escaped."""
    return "".join(LATEX.get(character, character) for character in text)


def to_latex(table: Table) -> str:
    r"""A floating booktabs table, over both columns of a paper; needs \usepackage{booktabs}."""
    columns = table.columns
    layout = "l" + "".join("l" if column.words else "r" for column in columns)
    titles = [table.head, *(column.short or column.title for column in columns)]
    size = r"\scriptsize" if len(columns) > 8 else r"\small"
    lines = [
        "% \\usepackage{booktabs}; every row is followed by the keys of its records",
        r"\begin{table*}[t]",
        r"\centering",
        size,
        rf"\setlength{{\tabcolsep}}{{{3 if len(columns) > 8 else 5}pt}}",
        rf"\caption{{{latex(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{@{{}}{layout}@{{}}}}",
        r"\toprule",
        " & ".join(map(latex, titles)) + r" \\",
    ]
    for section, rows in table.sections():
        lines.append(r"\midrule")
        if section:
            span = len(columns) + 1
            lines.append(rf"\multicolumn{{{span}}}{{@{{}}l}}{{\textit{{{latex(section)}}}}} \\")
        for row in rows:
            lines += [_latex_row(row, columns), f"% records: {' '.join(row.records) or 'none'}"]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\raggedright {latex(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _latex_row(row: Row, columns: Sequence[Column]) -> str:
    cells = [latex(row.label)]
    for column in columns:
        entry = row.entries.get(column.key, Entry())
        text = latex(entry.shown(column))
        cells.append(rf"\textbf{{{text}}}" if entry.best else text)
    return " & ".join(cells) + r" \\"
