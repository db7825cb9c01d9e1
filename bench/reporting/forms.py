"""A table in the formats that people paste: CSV, LaTeX with separate notes, Markdown."""

from __future__ import annotations

from pathlib import Path

from bench.files import write_text
from bench.reporting.latex import latex_notes, to_latex
from bench.reporting.listed import SUFFIXES
from bench.reporting.tables import Table, to_csv, to_markdown


def forms(table: Table) -> dict[str, str]:
    """Text by file suffix."""
    made = (to_csv(table), to_latex(table), latex_notes(table), to_markdown(table))
    return dict(zip(SUFFIXES, made, strict=True))


def write_forms(table: Table, folder: Path) -> dict[str, str]:
    """Write <folder>/<name of the table>.{csv,tex,notes.tex,md}, and return the texts."""
    texts = forms(table)
    for suffix, text in texts.items():
        write_text(folder / f"{table.name}.{suffix}", text)
    return texts
