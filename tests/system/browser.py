"""A headless Chromium that hands over what a page says of itself."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
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


class Tab:
    """A page of a browser, driven through its debugging protocol."""

    def __init__(self, write: int, read: int) -> None:
        self.write, self.read = write, read
        self.number, self.rest = 0, b""
        self.session: str | None = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        asked = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self.session = asked["sessionId"]

    def open(self, url: str) -> None:
        """Load `url` into a tab without a page before it."""
        self._ask("Page.navigate", url="about:blank")
        self._ask("Page.navigate", url=url)

    def wait_for(self, expression: str, seconds: float = 60.0) -> Any:
        """The value of a JavaScript expression once it is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            asked = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
            if value := asked["result"].get("value"):
                return value
            time.sleep(0.2)
        shown = self._ask(
            "Runtime.evaluate", expression="document.body.innerText", returnByValue=True
        )
        raise TimeoutError(f"{expression}: {shown['result'].get('value')}")

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **size)

    def picture(self, path: Path) -> None:
        """Write what the window shows as PNG, in 256 colours."""
        time.sleep(2)  # pages move and fade in
        shot = self._ask("Page.captureScreenshot", format="png")
        with Image.open(io.BytesIO(base64.b64decode(shot["data"]))) as image:
            image.convert("RGB").quantize(256).save(path, optimize=True)

    def _ask(self, method: str, **parameters: Any) -> Any:
        """One command of the DevTools protocol, and its result."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                if not (part := os.read(self.read, 1 << 16)):
                    raise EOFError("Chromium ended")
                self.rest += part
            line, _, self.rest = self.rest.partition(b"\0")
            answered = json.loads(line)
            if answered.get("id") == self.number:
                assert "error" not in answered, answered
                return answered["result"]


@contextmanager
def tab(folder: Path, width: int = 1600, height: int = 1000) -> Iterator[Tab]:
    """A Chromium that is driven over a pipe, with a profile of its own in `folder`."""
    there, write = os.pipe()
    read, back = os.pipe()
    command = ["chromium", *QUIET, f"--user-data-dir={folder / 'profile'}"]
    command += [f"--window-size={width},{height}", "--remote-debugging-pipe"]
    shell = f'exec "$@" 3<&{there} 4>&{back}'  # where Chromium looks for the pipe
    process = subprocess.Popen(
        ["bash", "-c", shell, "-", *command],
        pass_fds=(there, back),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(there)
    os.close(back)
    try:
        yield Tab(write, read)
    finally:
        os.close(write)
        os.close(read)
        process.terminate()
        process.wait(timeout=30)
