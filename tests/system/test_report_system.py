"""The report in a real browser, and its tables through a real LaTeX."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import factories
import pytest

from reports.build import build

pytestmark = pytest.mark.system

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAPER = r"""
\documentclass[twocolumn]{article}
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = factories.make_config(tmp_path_factory.mktemp("report"), seeds=(0, 1, 2))
    factories.make_results(config)
    return build(config)


def _chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["chromium", *QUIET, f"--user-data-dir={folder}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


def _title(page: Path, folder: Path, expression: str, *arguments: str) -> str:
    """What a script appended to the page sees after loading, handed over as the page's title."""
    probe = folder / "probe.html"
    script = f"<script>addEventListener('load', () => document.title = {expression})</script>"
    probe.write_text(page.read_text(encoding="utf-8").replace("</body>", script + "</body>"))
    done = _chromium(
        folder / "profile",
        "--enable-logging=stderr",
        "--virtual-time-budget=5000",
        *arguments,
        "--dump-dom",
        probe.as_uri(),
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found is not None
    return found[1]


def test_the_page_opens_without_an_error_or_a_request(page: Path, tmp_path: Path) -> None:
    requests = "performance.getEntriesByType('resource').map(e => e.name)"
    outside = f"'OUTSIDE ' + {requests}.filter(n => !n.startsWith('data:')).length"
    assert _title(page, tmp_path, outside) == "OUTSIDE 0"


@pytest.mark.parametrize("width", [400, 1280, 1920])
def test_nothing_but_tables_scrolls_sideways(page: Path, tmp_path: Path, width: int) -> None:
    wide = "'WIDTH ' + document.documentElement.scrollWidth"
    title = _title(page, tmp_path, wide, f"--window-size={width},900")
    assert int(title.removeprefix("WIDTH ")) <= max(width, 500)  # Chromium's narrowest window


def test_every_table_compiles_in_a_two_column_paper(page: Path, tmp_path: Path) -> None:
    tables = sorted((page.parent / "tables").glob("*.tex"))
    assert len(tables) >= 6
    text = "\n".join(rf"\input{{{table}}}" for table in tables)
    (tmp_path / "paper.tex").write_text(PAPER % text)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000
