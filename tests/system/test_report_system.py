"""The report in a real browser, and its tables through a real LaTeX."""

from __future__ import annotations

import json
import random
import re
import subprocess
from pathlib import Path

import factories
import pytest
from browser import answer, chromium
from PIL import Image

from bench.reporting.build import build
from bench.reporting.latex import to_latex
from bench.reporting.tables import Column, Entry, Row, Table

pytestmark = pytest.mark.system

PAPERS = {
    "article": r"""
\documentclass[10pt,twocolumn]{article}
\usepackage[letterpaper,textwidth=7in,textheight=9.25in,columnsep=0.25in]{geometry}
""",
    "IEEEtran": r"\documentclass[conference]{IEEEtran}",
}
PAPER = r"""%s
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
const table = document.querySelector('#desed details .filter').parentElement;
table.open = true;
const field = table.querySelector('.filter input');
const rows = () => [...table.querySelectorAll('tbody tr:not(.section)')]
  .filter(r => r.offsetParent !== null).map(r => r.cells[0].innerText);
const all = rows().length;
field.value = 'pann event-based';
field.dispatchEvent(new Event('input', {bubbles: true}));
const some = rows();
field.value = '';
field.dispatchEvent(new Event('input', {bubbles: true}));
return JSON.stringify([all, some, rows().length]);
"""
FIRST_SCREEN = """
const bottom = (what) => document.querySelector(what).getBoundingClientRect().bottom;
const titles = [...document.querySelectorAll('.findings h3')];
return JSON.stringify([
  document.querySelector('h1').innerText,
  bottom('#overview figure'),
  bottom('#overview table'),
  titles.filter(title => title.getBoundingClientRect().top < 800).length,
  titles[0].getBoundingClientRect().top,
  document.documentElement.scrollHeight,
  [...document.querySelectorAll('.facts dd')].map(fact => fact.innerText),
]);
"""
SEARCH = """
const field = document.querySelector('#search input');
const hits = document.querySelector('#search > div');
const found = (words) => {
  field.value = words;
  field.dispatchEvent(new Event('input', {bubbles: true}));
  return [...hits.querySelectorAll('button')];
};
const count = (words) => [found(words).length > 0, hits.querySelector('p').innerText];
const counts = ['htsat', 'HTS-AT', 'hts_at'].map(count);
const rows = found('intervals figure htsat intersection');
rows.find(hit => /Intervals of/.test(hit.innerText)).click();
const row = document.querySelector('tr.found');
const seen = row.offsetParent !== null;
return JSON.stringify([counts, row.cells[0].innerText, seen, hits.hidden]);
"""
PLACES = """
const field = document.querySelector('#search input');
const hits = document.querySelector('#search > div');
const type = (words) => {
  field.value = words;
  field.dispatchEvent(new Event('input', {bubbles: true}));
  return [...hits.querySelectorAll('button')];
};
const missed = [];
const places = ['.facts > div', '.banner', '.notes li', '.reading li', '.caption', 'figure',
  '.source'];
for (const place of places) {
  const wanted = document.querySelector(place);
  type((wanted.querySelector('img')?.alt ?? wanted.textContent).trim().slice(0, 90))[0]?.click();
  const found = document.querySelector('.found');
  if (found !== wanted || found.offsetParent === null) missed.push(place);
}
const shown = type('a').length;
return JSON.stringify([missed, shown, hits.querySelector('p').innerText]);
"""
LANDING = """
location.hash = document.querySelector('#desed td a.from').hash;
await new Promise(done => setTimeout(done, 300));
const target = document.getElementById(location.hash.slice(1));
return JSON.stringify([target.open, target.querySelector('.seeds').offsetParent !== null]);
"""
COLOURS = "return getComputedStyle(document.body).backgroundColor"
TOO_WIDE = """
return JSON.stringify([...document.querySelectorAll('.scroll')]
  .filter(s => s.scrollWidth > s.clientWidth + 1).map(s => s.ariaLabel));
"""
NAV = "const list = document.querySelector('nav ul'); return list.scrollWidth - list.clientWidth"
PRINTED = """
const open = (what) => [...document.querySelectorAll(what)].map(fold => fold.open);
dispatchEvent(new Event('beforeprint'));
const printed = open('details.fold:not(.unprinted, .unprinted *)');
const hidden = open('.unprinted details, .unprinted, .download').filter(Boolean);
dispatchEvent(new Event('afterprint'));
const after = open('#checks details').some(Boolean);
return JSON.stringify([printed.every(Boolean), hidden.length, after]);
"""
COLUMNS = "return document.querySelectorAll('#overview thead th').length"
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
const words = drawer.innerText;
drawer.querySelector('.notes').open = true;
const open = [drawer.open, words.indexOf('python -m bench'), words, drawer.innerText];
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
    assert json.loads(answer(page, tmp_path, TOO_WIDE, f"--window-size={width},900")) == []


@pytest.fixture(scope="module")
def wide_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on six data sets."""
    folder = tmp_path_factory.mktemp("wide")
    full = factories.make_config(folder).model_dump(mode="json")
    one = full["datasets"]["audioset"]
    config = factories.make_config(
        folder,
        seeds=(0, 1),
        datasets={f"set{n}": one | {"title": f"Soundscapes of {n}, with times"} for n in range(6)},
        recipes={"base": full["recipes"]["base"]},
        ablations={},
        cost={},
    )
    factories.make_results(config)
    return build(config)


def test_an_overview_of_six_data_sets_fits_a_screen(wide_page: Path, tmp_path: Path) -> None:
    size = "--window-size=1280,900"
    assert answer(wide_page, tmp_path, COLUMNS) == "9"
    assert json.loads(answer(wide_page, tmp_path, TOO_WIDE, size)) == []
    assert answer(wide_page, tmp_path, NAV, size) == "0"


def test_paper_shows_what_is_folded(page: Path, tmp_path: Path) -> None:
    assert json.loads(answer(page, tmp_path, PRINTED)) == [True, 0, False]


def test_no_printed_page_is_half_blank(page: Path, tmp_path: Path) -> None:
    pdf = tmp_path / "report.pdf"
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri())
    subprocess.run(["pdftoppm", "-r", "20", "-gray", pdf, tmp_path / "printed"], check=True)
    *pages, _ = sorted(tmp_path.glob("printed-*.pgm"))
    assert len(pages) > 10
    for drawn in pages:
        with Image.open(drawn) as image:
            inked = image.point(lambda grey: 255 * (grey < 200)).getbbox()
            assert inked is not None
            assert inked[3] > image.height / 2, drawn.name


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
    opened, place, words, unfolded, after = json.loads(answer(page, tmp_path, PROVENANCE))
    assert (opened, after) == (True, False)
    assert "python -m bench train desed/htsat/base/seed0" in words
    assert place < words.index("hardware")
    assert "seed2" in words[:place]  # the seeds' values come before the commands
    assert "config digest" not in words
    assert "config digest" in unfolded


def test_the_first_screen_says_what_was_compared(page: Path, tmp_path: Path) -> None:
    size = "--window-size=1280,800"
    title, picture, table, titles, _, height, facts = json.loads(
        answer(page, tmp_path, FIRST_SCREEN, size)
    )
    assert title.startswith("HTS-AT, AST and PANN-CNN on AudioSet-like")
    assert title.endswith("small models, synthetic sound")
    assert picture < table < 800
    assert titles >= 3
    assert height <= 24_868 / 3  # of the page that had every table open
    models, clips, training, seeds = facts
    assert "HTS-AT tiny 0.610 M parameters" in models
    assert "ESC-50-like 28, 10" in clips
    assert re.fullmatch(
        r"72 runs, \d+ min in all, the longest \d+ s, on Made-up CPU avx2", training
    )
    assert "0, 1, 2 (n = 3)" in seeds


def test_six_data_sets_leave_picture_and_overview_on_the_first_screen(
    wide_page: Path, tmp_path: Path
) -> None:
    size = "--window-size=1280,800"
    _, picture, table, _, findings, _, facts = json.loads(
        answer(wide_page, tmp_path, FIRST_SCREEN, size)
    )
    assert picture < table < 800
    assert findings > table
    assert facts[1] == "6 data sets 96, 96"


def test_the_search_box_knows_a_name_in_every_spelling(page: Path, tmp_path: Path) -> None:
    counts, row, visible, closed = json.loads(answer(page, tmp_path, SEARCH))
    assert counts[0] == counts[1] == counts[2]
    assert counts[0][0]
    assert row.startswith("HTS-AT tiny")
    assert (visible, closed) == (True, True)  # in a table that was folded


def test_whatever_the_page_says_is_found(page: Path, tmp_path: Path) -> None:
    missed, shown, count = json.loads(answer(page, tmp_path, PLACES))
    assert missed == []
    assert shown == 40
    assert re.fullmatch(r"\d{3,} places, the first 40 shown: type more words", count)


def test_a_link_lands_on_the_opened_entry(page: Path, tmp_path: Path) -> None:
    assert json.loads(answer(page, tmp_path, LANDING)) == [True, True]


def test_a_dark_screen_has_a_dark_page(page: Path, tmp_path: Path) -> None:
    dark = "--blink-settings=preferredColorScheme=0"
    assert answer(page, tmp_path, COLOURS, dark) == "rgb(18, 18, 18)"
    assert answer(page, tmp_path, COLOURS) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("paper", PAPERS)
def test_every_table_compiles_in_a_two_column_paper(page: Path, tmp_path: Path, paper: str) -> None:
    tables = sorted((page.parent / "tables").glob("*.tex"))
    assert len(tables) >= 2 * 12  # the notes of each are a file of their own
    said = compiled(tmp_path, "\n".join(rf"\input{{{table}}}" for table in tables), paper)
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


def compiled(folder: Path, text: str, paper: str = "article") -> str:
    """What LaTeX says of a paper that holds `text`; it finds no error."""
    (folder / "paper.tex").write_text(PAPER % (PAPERS[paper], text), encoding="utf-8")
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
