"""The report in a real browser, and its tables through a real LaTeX."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import factories
import pytest
from browser import answer

from bench.reporting.build import build
from bench.reporting.latex import to_latex
from bench.reporting.tables import Column, Entry, Row, Table

pytestmark = pytest.mark.system

PAPER = r"""
\documentclass[twocolumn]{article}
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""
SORT = """
const table = document.querySelector('#audioset table');
const head = [...table.querySelectorAll('thead button')].find(b => b.innerText.startsWith('mAP'));
const column = head.parentElement.cellIndex;
const values = () => [...table.tBodies[0].rows].map(r => parseFloat(r.cells[column].dataset.sort));
head.click();
const down = values();
head.click();
return JSON.stringify([down, values(), head.parentElement.getAttribute('aria-sort')]);
"""
FILTER = """
const field = document.querySelector('#desed .filter input');
const rows = () => [...document.querySelectorAll('#desed tbody tr:not(.section)')]
  .filter(r => r.offsetParent !== null).map(r => r.cells[0].innerText);
const all = rows().length;
field.value = 'pann event-based';
field.dispatchEvent(new Event('input', {bubbles: true}));
const some = rows();
field.value = '';
field.dispatchEvent(new Event('input', {bubbles: true}));
return JSON.stringify([all, some, rows().length]);
"""
AUDIO = """
const audio = document.querySelector('#desed audio');
audio.load();
await new Promise(done => { audio.oncanplay = done; audio.onerror = done; });
return JSON.stringify([document.querySelectorAll('#desed audio').length, audio.duration,
  audio.error && audio.error.code]);
"""
PROVENANCE = """
document.querySelector('#desed td a.from').click();
const drawer = document.getElementById('drawer');
const open = [drawer.open, drawer.innerText];
drawer.querySelector('button').click();
return JSON.stringify([...open, drawer.open]);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = factories.make_config(tmp_path_factory.mktemp("report"), seeds=(0, 1, 2))
    factories.make_results(config)
    return build(config)


def test_the_page_opens_without_an_error_or_a_request(page: Path, tmp_path: Path) -> None:
    requests = "performance.getEntriesByType('resource').map(e => e.name)"
    outside = f"return 'OUTSIDE ' + {requests}.filter(n => !n.startsWith('data:')).length"
    assert answer(page, tmp_path, outside) == "OUTSIDE 0"


@pytest.mark.parametrize("width", [400, 1280, 1920])
def test_nothing_but_tables_scrolls_sideways(page: Path, tmp_path: Path, width: int) -> None:
    wide = "return 'WIDTH ' + document.documentElement.scrollWidth"
    title = answer(page, tmp_path, wide, f"--window-size={width},900")
    assert int(title.removeprefix("WIDTH ")) <= max(width, 500)  # Chromium's narrowest window


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_widest_tables_fit_a_screen(page: Path, tmp_path: Path, width: int) -> None:
    over = (
        "return JSON.stringify([...document.querySelectorAll('.scroll')]"
        ".filter(s => s.scrollWidth > s.clientWidth + 1).map(s => s.ariaLabel))"
    )
    assert json.loads(answer(page, tmp_path, over, f"--window-size={width},900")) == []


def test_a_heading_sorts_its_column_both_ways(page: Path, tmp_path: Path) -> None:
    down, up, state = json.loads(answer(page, tmp_path, SORT))
    assert down == sorted(down, reverse=True)
    assert up == sorted(up)
    assert len(set(up)) > 1
    assert state == "ascending"


def test_typed_words_leave_the_rows_that_hold_them(page: Path, tmp_path: Path) -> None:
    everything, some, again = json.loads(answer(page, tmp_path, FILTER))
    assert again == everything > len(some) > 0
    assert all("PANN" in label for label in some)


def test_the_soundscapes_can_be_heard(page: Path, tmp_path: Path) -> None:
    players, seconds, error = json.loads(answer(page, tmp_path, AUDIO))
    assert players == 3
    assert error is None
    assert seconds == pytest.approx(factories.SECONDS, abs=0.01)


def test_a_number_opens_the_records_behind_it(page: Path, tmp_path: Path) -> None:
    opened, words, after = json.loads(answer(page, tmp_path, PROVENANCE))
    assert (opened, after) == (True, False)
    assert "python -m bench train desed/htsat/base/seed0" in words
    assert "config digest" in words


def test_every_table_compiles_in_a_two_column_paper(page: Path, tmp_path: Path) -> None:
    tables = sorted((page.parent / "tables").glob("*.tex"))
    assert len(tables) >= 6
    said = compiled(tmp_path, "\n".join(rf"\input{{{table}}}" for table in tables))
    assert "Float too large" not in said  # every part fits its page
    assert "Overfull" not in said  # and its width


def test_names_of_signs_alone_compile(tmp_path: Path) -> None:
    draw = random.Random(0)
    names = ["[1ex]", "*", "\\input{x}", "a\n\nb", "?`!`--''", "%", "^^41", 'say "é"']
    names += ["".join(draw.choices("$_&%#{}~^\\<>\"'|`*[]-a \n", k=14)) for _ in range(60)]
    columns = [Column("f1", "[F1] {%}"), Column("why", names[0], words=True)]
    rows = [
        Row(name, {"f1": Entry(0.5), "why": Entry(words=name)}, section=names[number // 20])
        for number, name in enumerate(names)
    ]
    table = Table("t", names[1], " ".join(names), columns, rows, notes=names)
    compiled(tmp_path, to_latex(table))


def compiled(folder: Path, text: str) -> str:
    """What LaTeX says of a paper that holds `text`; it finds no error."""
    (folder / "paper.tex").write_text(PAPER % text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=folder,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert (folder / "paper.pdf").stat().st_size > 10_000
    return done.stdout
