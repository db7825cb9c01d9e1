"""Tables as data, and their Markdown and CSV; `reporting.latex` writes the third format.

A cell is a number with its spread, or words. The CSV carries full precision, the spread and the
record keys behind each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from bench.reporting.escape import markdown, prose
from bench.results.columns import Column
from bench.results.decisions import Decision
from bench.results.summary import Summary
from bench.results.words import sentence
from bench.text_tables import text_of

DASH = "–"
DIFFERENCE = Column(
    "difference_points", "difference (points)", 1, 100.0, signed=True, spread=False, short="diff."
)


@dataclass(frozen=True)
class Entry:
    """A number (`value`, with its spread over runs if it is a mean) or words.

    `unit` says how the number is shown if the rows of a column differ in their metric; the row's
    section then names it.
    """

    value: float | None = None
    summary: Summary | None = None
    words: str = ""
    best: bool = False
    unit: Column | None = None

    @classmethod
    def of(
        cls, summary: Summary | None, *, best: bool = False, unit: Column | None = None
    ) -> Entry:
        """The mean of a summary; a dash if there is none."""
        if summary is None:
            return cls()
        return cls(summary.mean, summary, best=best, unit=unit)

    def number(self, column: Column) -> str:
        """The value as shown, without its spread."""
        assert self.value is not None
        return (self.unit or column).text(self.value)

    def spread(self, column: Column) -> str:
        """The standard deviation as shown; empty if there is none."""
        if not column.spread or self.summary is None or self.summary.sd is None:
            return ""
        return (self.unit or column).spread_text(self.summary.mean, self.summary.sd)

    def shown(self, column: Column) -> str:
        """The cell's text."""
        if self.value is None:
            return self.words or DASH
        spread = self.spread(column)
        return f"{self.number(column)} ± {spread}" if spread else self.number(column)


def p_values(decision: Decision) -> dict[str, Entry]:
    """The cells of a decision's p-values; none, shown as dashes, where there is no test."""
    if decision.limit:
        return {}
    return {
        "p": Entry(decision.p),
        "p_holm": Entry(decision.p_holm),
        "p_sign_flip": Entry(decision.sign_flip_p),
    }


@dataclass(frozen=True)
class Row:
    """One line of a table.

    `group` names the run group that its numbers come from; `groups` does so by column, if they come
    from several.
    """

    label: str
    entries: Mapping[str, Entry]
    records: tuple[str, ...] = ()
    group: str = ""
    section: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)

    def origin(self, column: Column) -> str:
        """The run group that a number comes from; empty if there is none."""
        return self.groups.get(column.key, self.group)


@dataclass(frozen=True)
class Table:
    """A table with everything needed to understand it on its own.

    Attributes:
        caption: one line: what the figures are.
        data: what kind of data they are of, where that must be told; empty if all are real.
        notes: everything else that only this table needs.
        reading: notes that other tables of the report share; the page shows them once.
    """

    name: str
    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    head: str = "Model"
    notes: Sequence[str] = field(default_factory=tuple)
    reading: Sequence[str] = field(default_factory=tuple)
    data: str = ""

    @property
    def full_caption(self) -> str:
        """The caption where nothing beside the table tells the kind of data."""
        return f"{self.caption} {sentence(self.data)}." if self.data else self.caption

    @property
    def shown(self) -> list[Column]:
        """The columns that readers see."""
        return [column for column in self.columns if not column.csv_only]

    def sections(self) -> Iterator[tuple[str, list[Row]]]:
        """Consecutive rows of one section."""
        for section, rows in groupby(self.rows, key=lambda row: row.section):
            yield section, list(rows)


def to_csv(table: Table) -> str:
    """One line per row: section, label, numbers in the shown unit at full precision, records.

    Number columns hold numbers only; words in place of one ("cannot localize") are the `remark`.
    Columns for programs alone come last, so that the others are in the order of the Markdown.
    """
    columns = sorted(table.columns, key=lambda column: column.csv_only)
    header = ["section", table.head.lower()]
    spread = [column.key for column in columns if _has_spread(table, column)]
    for column in columns:
        header.append(column.key)
        if column.key in spread:
            header += [f"{column.key}_{part}" for part in ("sd", "ci95_low", "ci95_high", "n")]
    lines = [[*header, "remark", "records"]]
    for row in table.rows:
        line, remarks = [row.section, row.label], []
        for column in columns:
            entry = row.entries.get(column.key, Entry())
            words = "" if entry.value is not None or entry.words == DASH else entry.words
            scale = (entry.unit or column).scale
            line.append(words if column.words else _number(entry.value, scale))
            if words and not column.words:
                remarks.append(words)
            if column.key in spread:
                line += _spread(entry.summary, scale)
        lines.append([*line, "; ".join(remarks), " ".join(row.records)])
    return text_of(lines, ",")


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


def to_markdown(table: Table) -> str:
    """A pipe table with its caption; sections are bold lines."""
    lines = [f"# {markdown(table.title)}", "", _prose(table.full_caption), ""]
    if table.rows:
        titles = [table.head, *(column.title for column in table.shown)]
        lines += ["| " + " | ".join(map(markdown, titles)) + " |"]
        rule = (" --- " if column.words else " ---: " for column in table.shown)
        lines += ["|" + "|".join([" --- ", *rule]) + "|"]
    for section, rows in table.sections():
        if section:
            lines.append(f"| **{markdown(section.strip())}** |" + " |" * len(table.shown))
        for row in rows:
            cells = [markdown(row.label)]
            for column in table.shown:
                entry = row.entries.get(column.key, Entry())
                text = _prose(entry.shown(column))
                cells.append(f"**{text}**" if entry.best else text)
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(f"- {_prose(note)}" for note in (*table.notes, *table.reading))]
    keyed = dict.fromkeys((row.label, row.records) for row in table.rows if row.records)
    lines += ["", "Records behind the rows:", ""] if keyed else []
    lines += [
        f"- {markdown(label)}: {', '.join(f'`{key}`' for key in records)}"
        for label, records in keyed
    ]
    return "\n".join(lines).rstrip() + "\n"


def _prose(text: str) -> str:
    return prose(text, markdown, lambda command: f"`{command}`")
