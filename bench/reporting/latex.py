"""Tables as LaTeX that compiles unchanged: booktabs only, sized to fit a two-column page."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil
from typing import NamedTuple

from bench.reporting.escape import latex, one_line, prose
from bench.reporting.tables import DASH, Column, Entry, Row, Table


class Font(NamedTuple):
    """A size; in points, a character's mean width, a line's height, the gap beside a column."""

    command: str
    character: float
    line: float
    gap: int


FONTS = (
    Font(r"\small", 4.5, 13.5, 3),
    Font(r"\footnotesize", 4.0, 12.0, 3),
    Font(r"\scriptsize", 3.6, 10.0, 3),
    Font(r"\tiny", 2.7, 7.5, 2),
)
SMALLEST = FONTS[2]
"""The size in which a table is set before it is split."""
PROSE_FONTS = FONTS[2:]
"""For tables with sentences in their cells."""
TEXT_WIDTH = 465.0
"""Points across both columns of common paper styles, rounded down."""
COLUMN_WIDTH = 222.0
"""Points of one column of such a paper, rounded down."""
ROWS_HEIGHT = 540.0
"""Points that the rows of one float may take, so that the caption fits the page too."""
FILLED = 0.85
"""Share of the width up to which text columns grow: figures are wider than the mean character."""
WIDEST_GAP = 6
"""Points beside a column where the width has room for them: LaTeX's own."""
UNIT = re.compile(r" (?=\([^()]*\)$)")
"""The space before a heading's unit, where no line ends."""
HEAD_WRAP, LABEL_WRAP, WORDS_WRAP, WIDEST_WORDS = 12, 26, 20, 80
"""Characters after which labels and text columns are broken into lines; text takes what is free."""


def prose_latex(text: str) -> str:
    """A sentence of ours, commands in it as code."""
    return prose(text, latex, lambda command: rf"\texttt{{{latex(command)}}}")


def to_latex(table: Table) -> str:
    r"""A floating table for a two-column paper; needs \usepackage{booktabs}.

    It spans one column if it fits there in a usual size, else both. A table taller than a page even
    in the smallest usual size becomes several floats. Every row is followed by a comment with the
    keys of its records. `latex_notes` has what the caption leaves out.
    """
    columns = [c for c in table.shown if c.in_latex and not _is_empty(table, c)]
    place, wraps, widths, font = _fit(table, columns)
    parts = _parts(table, columns, wraps, widths, font.line)
    for smaller in range(FONTS.index(font) + 1, FONTS.index(SMALLEST) + 1):
        fitted = _fit(table, columns, smaller)
        whole = _parts(table, columns, *fitted[1:3], fitted[3].line)
        if len(parts) > 1 and len(whole) == 1:
            parts, (place, wraps, widths, font) = whole, fitted
    layout = "".join(
        ("l" if width < wrap else f"p{{{width * font.character:.0f}pt}}") if wrap else "r"
        for width, wrap in zip(widths, wraps, strict=True)
    )
    gap = font.gap
    if font not in PROSE_FONTS:
        free = (COLUMN_WIDTH if place == "table" else TEXT_WIDTH) - sum(widths) * font.character
        gap = max(gap, min(int(free / (2 * max(len(columns), 1))), WIDEST_GAP))
    head = [
        r"\centering",
        font.command,
        rf"\setlength{{\tabcolsep}}{{{gap}pt}}",
    ]
    top = [
        rf"\begin{{tabular}}{{@{{}}{layout}@{{}}}}",
        r"\toprule",
        " & ".join(map(_stacked, _headings(table, columns))) + r" \\",
    ]
    spreads = _spreads(table, columns)
    lines: list[str] = []
    for number, part in enumerate(parts, 1):
        caption = table.full_caption if number == 1 else f"{table.title}, continued."
        if len(parts) > 1:
            caption = f"{caption} Part {number} of {len(parts)}."
        lines += [rf"\begin{{{place}}}[t]", *head, rf"\caption{{{prose_latex(caption)}}}"]
        lines += [rf"\label{{tab:{table.name}}}"] if number == 1 else []
        lines += [
            r"\par\smallskip",
            *top,
            *_body(part, columns, wraps, spreads),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        lines.append(rf"\end{{{place}}}")
    return "\n".join([*_needs(lines), *lines]) + "\n"


def latex_notes(table: Table) -> str:
    """What a table needs besides its caption, as paragraphs for the text or an appendix."""
    notes = [prose_latex(note) for note in (*table.notes, *table.reading)]
    heading = rf"\paragraph{{{prose_latex(table.title)}}}"
    lines = [heading, *(line for note in notes for line in (note, ""))]
    return "\n".join([*_needs(lines), *lines]).rstrip() + "\n"


def _needs(lines: Sequence[str]) -> Iterator[str]:
    """What a paper needs for these lines, as comments. pdfLaTeX only knows European letters."""
    yield r"% needs \usepackage{booktabs}"
    other = sorted({c for line in lines for c in line if c > "\u017f"})
    if other:
        yield f"% needs XeLaTeX or LuaLaTeX, and a font that has: {' '.join(other)}"


def _body(
    table: Table, columns: Sequence[Column], wraps: Sequence[int], spreads: Sequence[str]
) -> list[str]:
    """The lines of all rows, under the names of their sections."""
    lines = []
    for section, rows in table.sections():
        lines.append(r"\midrule")
        if section:
            span = len(columns) + 1
            lines.append(rf"\multicolumn{{{span}}}{{@{{}}l}}{{\textit{{{latex(section)}}}}} \\")
        for row in rows:
            lines += [
                _row(row, columns, wraps, spreads),
                f"% records: {one_line(' '.join(row.records)) or 'none'}",
            ]
    return lines


def _parts(
    table: Table,
    columns: Sequence[Column],
    wraps: Sequence[int],
    widths: Sequence[int],
    line: float,
) -> list[Table]:
    """The table in parts that fit a page; a single part, maybe without rows, if all of it does."""
    parts: list[list[Row]] = [[]]
    height = 0.0
    for row in table.rows:
        opens = not parts[-1] or parts[-1][-1].section != row.section
        cells = zip(_texts(row, columns), wraps, widths, strict=True)
        # A fifth more than the characters: lines break between words.
        deep = max(
            ceil(1.2 * len(text) / width) if wrap and len(text) >= wrap else 1
            for text, wrap, width in cells
        )
        heading = 2 if row.section else 0
        needed = (deep + (heading if opens else 0)) * line
        if height + needed > ROWS_HEIGHT and parts[-1]:
            parts.append([])
            height, needed = 0.0, (deep + heading) * line  # a part repeats its section's name
        parts[-1].append(row)
        height += needed
    return [replace(table, rows=part) for part in parts]


def _is_empty(table: Table, column: Column) -> bool:
    """Whether no row has anything in a column: energy on hardware that does not report it."""
    entries = (row.entries.get(column.key, Entry()) for row in table.rows)
    return bool(table.rows) and all(entry.shown(column) == DASH for entry in entries)


def _headings(table: Table, columns: Sequence[Column]) -> list[list[str]]:
    """The lines of each heading: as narrow as the cells below it, or as HEAD_WRAP."""
    titles = [table.head, *(column.short or column.title for column in columns)]
    cells = zip(*(_texts(row, columns) for row in table.rows), strict=True)
    widths = [max(map(len, below)) for below in cells] or [0] * len(titles)
    return [
        textwrap.wrap(
            UNIT.sub("\0", one_line(title)),
            max(width, HEAD_WRAP),
            break_long_words=False,
            break_on_hyphens=False,
        )
        or [""]
        for title, width in zip(titles, widths, strict=True)
    ]


def _stacked(lines: Sequence[str]) -> str:
    """A heading, over several lines where it is long; a unit stays with its word."""
    lines = [line.replace("\0", " ") for line in lines]
    if len(lines) == 1:
        return latex(lines[0])
    stacked = r"\\".join(map(latex, lines))
    return rf"\shortstack[r]{{{stacked}}}"


def _texts(row: Row, columns: Sequence[Column]) -> list[str]:
    """The texts of a row's cells, the label first."""
    entries = (row.entries.get(column.key, Entry()).shown(column) for column in columns)
    return [row.label, *entries]


def _fit(
    table: Table, columns: Sequence[Column], largest: int = 0
) -> tuple[str, list[int], list[int], Font]:
    """The float environment, the width at which the text of each column breaks (0: never), its
    characters, and the font.

    The font is the largest, from the place `largest` of FONTS on, in which the narrowest layout
    fits; text then takes what is free.
    """
    heads = [max(map(len, lines)) for lines in _headings(table, columns)]
    texts = zip(*(_texts(row, columns) for row in table.rows), strict=True)
    cells = [max(map(len, column)) for column in texts] or [0] * len(heads)
    longest = [max(pair) for pair in zip(heads, cells, strict=True)]

    def layout(words: int) -> tuple[list[int], list[int]]:
        labels = max(LABEL_WRAP, words)
        wraps = [labels, *(words if column.words else 0 for column in columns)]
        pairs = zip(longest, wraps, strict=True)
        return wraps, [min(width, wrap) if wrap else width for width, wrap in pairs]

    def width(words: int, font: Font) -> float:
        return sum(layout(words)[1]) * font.character + 2 * font.gap * (len(heads) - 1)

    prose = any(n > WORDS_WRAP for n, c in zip(longest[1:], columns, strict=True) if c.words)
    usual = FONTS[largest : max(largest + 1, 2)]
    narrow = [f for f in usual if width(WORDS_WRAP, f) <= COLUMN_WIDTH]
    if narrow and not prose:
        return "table", *layout(WORDS_WRAP), narrow[0]
    fonts = PROSE_FONTS if prose else FONTS[largest:]
    font = next((f for f in fonts if width(WORDS_WRAP, f) <= TEXT_WIDTH), FONTS[-1])
    wider = range(WIDEST_WORDS, WORDS_WRAP, -1)
    room = (words for words in wider if width(words, font) <= FILLED * TEXT_WIDTH)
    return "table*", *layout(next(room, WORDS_WRAP)), font


def _spreads(table: Table, columns: Sequence[Column]) -> list[str]:
    """The longest spread of each column."""
    shown = ([row.entries.get(c.key, Entry()).spread(c) for row in table.rows] for c in columns)
    return [max(column, key=len, default="") for column in shown]


def _row(row: Row, columns: Sequence[Column], wraps: Sequence[int], spreads: Sequence[str]) -> str:
    cells = [_cell(row.label, wraps[0])]
    for column, wrap, longest in zip(columns, wraps[1:], spreads, strict=True):
        entry = row.entries.get(column.key, Entry())
        text = _cell(entry.shown(column), wrap)
        if entry.value is not None and longest:
            text = _aligned(entry, column, longest)
        cells.append(rf"\textbf{{{text}}}" if entry.best else text)
    return " & ".join(cells) + r" \tabularnewline"


def _aligned(entry: Entry, column: Column, longest: str) -> str:
    """A number that takes the width of the longest spread, so that means stand below each other."""
    number, spread = latex(entry.number(column)), entry.spread(column)
    if not spread:
        return rf"{number}\phantom{{ $\pm$ {longest}}}"
    short = len(longest) - len(spread)
    return rf"{number} $\pm$ " + (rf"\phantom{{{'0' * short}}}" if short else "") + spread


def _cell(text: str, wrap: int) -> str:
    """Escaped text; ragged where its column breaks it (so rows end in \\tabularnewline)."""
    if wrap and len(text) >= wrap:
        return rf"\raggedright {prose_latex(text)}".replace(r"\_", r"\_\allowbreak{}")
    return prose_latex(text)
