"""A map over processes that keeps order, bounds memory, and survives a worker's death."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD = 4  # tasks in flight per worker: enough to keep it busy, few enough to stay small


def ordered_map(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    rescue: Callable[[Task], Result],
) -> Iterator[Result]:
    """Results of `function` in the order of `tasks`, computed by `workers` processes (1: here).

    `tasks` is consumed as results are taken, so neither accumulates in memory. When a worker dies
    (a crash inside a native library), the tasks in flight are passed to `rescue` in this process,
    one by one, and new workers continue with the rest.
    """
    if workers <= 1:
        yield from map(function, tasks)
        return
    remaining = iter(tasks)
    waiting: deque[tuple[Task, Future[Result]]] = deque()
    pool = _pool(workers)
    try:
        while True:
            for task in islice(remaining, AHEAD * workers - len(waiting)):
                waiting.append((task, pool.submit(function, task)))
            if not waiting:
                return
            try:
                result = waiting[0][1].result()
            except BrokenProcessPool:
                for task, _ in waiting:
                    yield rescue(task)
                waiting.clear()
                pool.shutdown()
                pool = _pool(workers)
                continue
            waiting.popleft()
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def run_apart(function: Callable[[Task], Result], task: Task) -> Result:
    """`function(task)` in a process of its own.

    Raises:
        BrokenProcessPool: that process died.
    """
    with _pool(1) as pool:
        return pool.submit(function, task).result()


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End a worker when its parent is killed; it would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
