"""Signals that wait for a safe moment: SIGTERM (Slurm, a dying Snakemake) and Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def held_signals() -> Iterator[list[int]]:
    """Delay termination signals until the block ends, then let them act.

    Yields the list of those that came; adding a number to it makes that signal come. Only the main
    thread gets signals: elsewhere nothing is delayed.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.signal(number, lambda n, _: came.append(n)) for number in ENDING}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])
