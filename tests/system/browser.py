"""A headless Chromium that hands over what a page says of itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

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


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One call with a profile of its own in `folder`."""
    command = ["chromium", *QUIET, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)


def answer(page: Path, folder: Path, script: str, *arguments: str) -> str:
    """What `script` (a JavaScript function body, which may await) returns once the page is loaded.

    It is handed over as the page's title. Messages on the console are failures.
    """
    probe = folder / "probe.html"
    body = f"async () => {{{script}}}"
    code = f"addEventListener('load', async () => {{ document.title = await ({body})() }})"
    html = page.read_text(encoding="utf-8")
    probe.write_text(html.replace("</body>", f"<script>{code}</script></body>"), encoding="utf-8")
    done = chromium(
        folder,
        "--enable-logging=stderr",
        "--virtual-time-budget=8000",
        "--autoplay-policy=no-user-gesture-required",
        *arguments,
        "--dump-dom",
        probe.as_uri(),
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found is not None
    return found[1]


def rendered(url: str, folder: Path, milliseconds: int = 20000) -> str:
    """The page's elements after its scripts had time to work."""
    budget = f"--virtual-time-budget={milliseconds}"
    return chromium(folder, budget, "--window-size=1600,1000", "--dump-dom", url).stdout
