"""Text for formats that would read some of its characters as markup.

Names come from data and configs: they are shown in full and never interpreted. Prose is text with
commands between backticks.
"""

from __future__ import annotations

import re
from collections.abc import Callable

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
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": r"$-$",
    "–": "--",
    "…": r"\dots{}",
}
BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
COMMAND = re.compile(r"`((?:snakemake|python|make)\b[^`]*)`")
LIGATURE = re.compile(r"([-',])(?=\1)")  # -- would be a dash, '' a quotation mark
MARKDOWN = re.compile(r"[\\`*_\[\]<|~$]|&(?=[#\w])")
MARKDOWN_END = re.compile(r"(?<= )(?=#+ ?$)")  # a heading drops such signs
MARKDOWN_START = re.compile(r"^( ?)(?:(\d+)(?=[.)](?: |$))|(?=>|[-+#=]+(?: |$)))")


def one_line(text: str) -> str:
    """The text with every run of blanks and control characters as one space."""
    return BLANKS.sub(" ", text)


def latex(text: str) -> str:
    """The text as LaTeX draws it; at its start [ and * would belong to the end of the last row."""
    broken = LIGATURE.sub("\\1\0", one_line(text))
    escaped = "".join(LATEX.get(character, character) for character in broken).replace("\0", "{}")
    return f"{{}}{escaped}" if escaped.lstrip()[:1] in ("[", "*") else escaped


def markdown(text: str) -> str:
    """The text as Markdown draws it (CommonMark, and GitHub's tables, formulas, strikethrough)."""
    escaped = MARKDOWN.sub(r"\\\g<0>", one_line(text))
    return MARKDOWN_END.sub(r"\\", MARKDOWN_START.sub(r"\1\2\\", escaped))


def prose(text: str, plain: Callable[[str], str], code: Callable[[str], str]) -> str:
    """Prose in a format that `plain` writes text for, and `code` commands."""
    parts = COMMAND.split(one_line(text))
    return "".join((code if n % 2 else plain)(part) for n, part in enumerate(parts))
