"""Tables as LaTeX that compiles as it is: booktabs only, sized to fit a two-column page."""

from __future__ import annotations

from collections.abc import Sequence

from reports.tables import Column, Entry, Row, Table

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
SIZES = ((r"\small", 4.5), (r"\footnotesize", 4.0), (r"\scriptsize", 3.6), (r"\tiny", 2.7))
"""Font sizes with the mean width of a character in points."""
TEXT_WIDTH = 480.0
"""Points across both columns of common paper styles, rounded down."""
SEPARATION = 3
"""Points on either side of a column."""
LABEL_WRAP, WORDS_WRAP = 26, 20
"""Characters after which labels and text columns are broken into lines."""


def latex(text: str) -> str:
    """`text` with every character that LaTeX would interpret escaped."""
    return "".join(LATEX.get(character, character) for character in text)


def to_latex(table: Table) -> str:
    r"""A floating table over both columns of a paper; needs \usepackage{booktabs}.

    Every row is followed by a comment with the keys of its records.
    """
    columns = [column for column in table.columns if column.in_latex]
    widths = _widths(table, columns)
    size, character = _size(widths)
    layout = "".join(
        ("l" if width < wrap else f"p{{{width * character:.0f}pt}}") if wrap else "r"
        for width, wrap in zip(widths, _wraps(columns), strict=True)
    )
    titles = [table.head, *(_heading(column) for column in columns)]
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table*}[t]",
        r"\centering",
        size,
        rf"\setlength{{\tabcolsep}}{{{SEPARATION}pt}}",
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
            lines += [_row(row, columns), f"% records: {' '.join(row.records) or 'none'}"]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        notes = r"\newline ".join(latex(note) for note in table.notes)
        lines += [r"\par\smallskip", rf"\parbox{{\textwidth}}{{\raggedright {notes}}}"]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _heading(column: Column) -> str:
    return column.short or column.title


def _wraps(columns: Sequence[Column]) -> list[int]:
    """Where the text of each column breaks, the labels first; 0 for numbers, which never do."""
    return [LABEL_WRAP, *(WORDS_WRAP if column.words else 0 for column in columns)]


def _widths(table: Table, columns: Sequence[Column]) -> list[int]:
    """Characters that each column takes, the labels first."""
    texts = [[table.head, *(row.label for row in table.rows)]]
    for column in columns:
        cells = (row.entries.get(column.key, Entry()).shown(column) for row in table.rows)
        texts.append([_heading(column), *cells])
    longest = [max(map(len, cells)) for cells in texts]
    return [
        min(width, wrap) if wrap else width
        for width, wrap in zip(longest, _wraps(columns), strict=True)
    ]


def _size(widths: Sequence[int]) -> tuple[str, float]:
    """The largest font in which the columns fit, and its character width."""
    gaps = 2 * SEPARATION * (len(widths) - 1)
    for size, character in SIZES:
        if sum(widths) * character + gaps <= TEXT_WIDTH:
            return size, character
    return SIZES[-1]


def _row(row: Row, columns: Sequence[Column]) -> str:
    cells = [_cell(row.label, LABEL_WRAP)]
    for column in columns:
        entry = row.entries.get(column.key, Entry())
        text = _cell(entry.shown(column), WORDS_WRAP if column.words else 0)
        cells.append(rf"\textbf{{{text}}}" if entry.best else text)
    return " & ".join(cells) + r" \tabularnewline"


def _cell(text: str, wrap: int) -> str:
    """Escaped text; ragged where its column breaks it (so rows end in \\tabularnewline)."""
    if wrap and len(text) >= wrap:
        return rf"\raggedright {latex(text)}"
    return latex(text)
