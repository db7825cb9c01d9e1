"""Progress of long work: one live line on a terminal, occasional plain lines in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO


class Meter:
    """Counts work done and shows it with rate and time left; safe to use from several threads.

    Used as a context manager; the last line stays when the block ends.

    Args:
        what: what is being done, e.g. "download".
        total: amount of work, in `unit` times `scale`; 0 if unknown.
        unit: name of what is counted, e.g. "MB".
        scale: how much of `add`'s argument makes one unit.
        every_s: seconds between two lines in a log (a terminal is refreshed ten times a second).
    """

    def __init__(
        self,
        what: str,
        total: float,
        unit: str,
        *,
        scale: float = 1.0,
        every_s: float = 10.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what, self.total, self.unit, self.scale = what, total, unit, scale
        self.stream = sys.stderr if stream is None else stream
        self.live = self.stream.isatty()
        self.every_s = 0.1 if self.live else every_s
        self.clock = clock
        self.done = 0.0
        self.begin = self.shown = clock()
        self.lock = threading.Lock()

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self._show(end="\n")

    def add(self, amount: float) -> None:
        """Count `amount` more as done."""
        with self.lock:
            self.done += amount
            if self.clock() - self.shown >= self.every_s:
                self._show(end="" if self.live else "\n")

    def reach(self, done: float, total: float) -> None:
        """Note that `done` of `total` is done, in the units of `add`."""
        self.total = total
        self.add(done - self.done)

    def say(self, text: str) -> None:
        """Print a separate line above the live one."""
        with self.lock:
            erase = "\r\x1b[K" if self.live else ""
            self.stream.write(f"{erase}{text}\n")
            self.stream.flush()

    def line(self) -> str:
        """What is shown: share, amounts, rate and time left."""
        spent = max(self.clock() - self.begin, 1e-9)
        rate = self.done / spent
        amount = f"{self.done / self.scale:,.0f}"
        speed = f"{rate / self.scale:,.1f} {self.unit}/s"
        if not self.total:
            return f"{self.what}: {amount} {self.unit}, {speed}"
        share = min(self.done / self.total, 1.0)
        left = _duration((self.total - self.done) / rate) if 0 < self.done < self.total else ""
        last = f"{left} left" if left else f"{_duration(spent)} spent"
        whole = f"{self.total / self.scale:,.0f} {self.unit}"
        return f"{self.what}: {share:4.0%} {amount} of {whole}, {speed}, {last}"

    def _show(self, end: str) -> None:
        self.shown = self.clock()
        self.stream.write(f"\r\x1b[K{self.line()}{end}" if self.live else f"{self.line()}{end}")
        self.stream.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
