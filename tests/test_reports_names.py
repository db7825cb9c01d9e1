"""Names are text wherever they are written: LaTeX, Markdown, HTML and CSV draw what they are."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import factories
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.experiment.cells import Layout, list_cells
from bench.reporting.build import build
from bench.reporting.escape import latex, markdown, one_line
from bench.reporting.latex import latex_notes, to_latex
from bench.reporting.page import anchor
from bench.reporting.tables import Column, Entry, Row, Table, to_csv, to_markdown

SIGNS = [
    *"$_&%#{}~^\\<>\"'|`*[]!-+=.:;,()@/ab1 ",
    "\n",
    "\t",
    "&lt;",
    "<b>",
    "犬",
    "й",
    "é",
    "\x1b",
]


def worth(name: str) -> bool:
    """Whether a name has something to draw, up to its ends."""
    return one_line(name).strip() == one_line(name) != ""


NAMES = st.lists(st.sampled_from(SIGNS), min_size=1, max_size=12).map("".join).filter(worth)
WORST = "a_$x$ & 5% #{b} ~^\\c <i>d</i> \"q\" 'r' |s| `t` *u* [v](w) é"
DRAWN = {
    r"\textbackslash{}": "\\",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
    r"\textasciigrave{}": "`",
    "$<$": "<",
    "$>$": ">",
    r"\textbar{}": "|",
    r"\symbol{34}": '"',
    **{rf"\{sign}": sign for sign in "{}$&#%_"},
    "{}": "",
}
TOKEN = re.compile("|".join([*map(re.escape, DRAWN), "--|''|,,|[?!]`|.|\n"]))


def drawn_by_latex(source: str) -> str:
    """What LaTeX draws of a source that holds nothing but text; all else is an error."""
    drawn = []
    for token in TOKEN.findall(source):
        assert token in DRAWN or (len(token) == 1 and token not in '\\{}$&#%_^~<>|"`\n'), source
        drawn.append(DRAWN.get(token, token))
    return "".join(drawn)


def drawn_by_markdown(source: str) -> list[str]:
    """The text of each piece (heading, paragraph, table cell, list item) that Markdown makes."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    pieces = [token for token in reader.parse(source) if token.type == "inline"]
    marks = {"strong_open", "strong_close", "code_inline"}
    for piece in pieces:
        assert {child.type for child in piece.children} <= {"text", "text_special", *marks}, source
    return ["".join(child.content for child in piece.children) for piece in pieces]


@given(NAMES)
def test_latex_draws_a_name_as_it_is(name: str) -> None:
    assert drawn_by_latex(latex(name)) == one_line(name)
    assert latex(name)[:1] not in ("[", "*")


@given(NAMES)
def test_markdown_draws_a_name_as_it_is(name: str) -> None:
    assert drawn_by_markdown(markdown(name)) == [one_line(name)]


def table(name: str) -> Table:
    """A table with a name in every place."""
    columns = [Column("f1", name), Column("why", "why", words=True)]
    row = Row(name, {"f1": Entry(0.5, best=True), "why": Entry(words=name)}, ("d/m/base/seed0",))
    other = Row(name, {"f1": Entry(words=name)}, section=name)
    notes = [name, f"see `snakemake -n`: {name}"]
    return Table("t", name, name, columns, [row, other], notes=notes)


@given(NAMES)
def test_markdown_keeps_a_table_in_shape(name: str) -> None:
    drawn, name = drawn_by_markdown(to_markdown(table(name))), one_line(name)
    assert drawn[:2] == [name, name]
    assert drawn[2:5] == ["Model", name, "why"]
    assert drawn[5:8] == [name, "0.5", name]
    assert drawn[8:14] == [name, "", "", name, name, "–"]
    assert drawn[14:16] == [name, f"see snakemake -n: {name}"]
    assert drawn[17:] == [f"{name}: d/m/base/seed0"]


@given(NAMES)
def test_latex_keeps_a_table_in_shape(name: str) -> None:
    lines = to_latex(table(name)).splitlines()
    assert sum(line.startswith("%") for line in lines) == 3 + ("needs Xe" in lines[1])
    rows = [line for line in lines if line.endswith(r" \tabularnewline")]
    assert len(rows) == 2
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == 2
    (note,) = re.findall(r"^see \\texttt\{snakemake -n\}: (.*)$", latex_notes(table(name)), re.M)
    assert drawn_by_latex(note) == one_line(name)


@given(NAMES)
def test_csv_holds_the_name_itself(name: str) -> None:
    rows = list(csv.reader(io.StringIO(to_csv(table(name)), newline="")))
    assert rows[1][1] == name


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_places_in_the_page_are_not_shared(names: list[str]) -> None:
    places = [anchor(name) for name in names]
    assert len(set(places)) == 2
    assert all(re.fullmatch(r"[\w-]+", place, re.ASCII) for place in places)


class Texts(HTMLParser):
    """The texts between a page's tags, and the values of its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_report_draws_names_of_classes_data_and_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(factories.CLASSES, "desed", (f"{WORST} 犬", "rain", "[clock", "saw"))
    values = factories.make_config(tmp_path, seeds=(0, 1)).model_dump(mode="json")
    datasets = {"desed": {**values["datasets"]["desed"], "title": f"data {WORST}"}}
    models = {"htsat": {**values["models"]["htsat"], "title": f"model {WORST}"}}
    config = factories.make_config(
        tmp_path,
        seeds=(0, 1),
        datasets=datasets,
        models=models,
        recipes={"base": values["recipes"]["base"]},
        title=f"all {WORST}",
        **{name: {} for name in ("ablations", "cost", "targets", "localization", "released")},
        ensembles={},
    )
    factories.make_inputs(config)
    for cell in list_cells(config):
        factories.make_run(config, cell)
    page = Texts()
    page.feed(build(config).read_text(encoding="utf-8"))
    text = "\n".join(page.texts)
    shown = WORST.replace("_", " ")  # of classes
    for name in (f"data {WORST}", f"model {WORST}", f"all {WORST}", f"{shown} 犬", "[clock"):
        assert name in text
    assert not page.tags & {"i", "b"}
    tables = Layout.of(config).report / "tables"
    assert "% needs XeLaTeX or LuaLaTeX, and a font that has: 犬" in (
        tables / "desed.tex"
    ).read_text(encoding="utf-8")
    pieces = drawn_by_markdown((tables / "desed.md").read_text(encoding="utf-8"))
    assert {f"{shown} 犬", "[clock", f"model {WORST}"} <= set(pieces)
