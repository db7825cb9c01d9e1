"""Batches read ahead by threads, in order: the number of threads changes no result."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Batch = TypeVar("Batch")

AHEAD = 2  # batches in memory per worker


def read_ahead(
    read: Callable[[Item], Batch], items: Iterable[Item], workers: int
) -> Iterator[Batch]:
    """`read(item)` for each item, in order, by `workers` threads (0: in this one, on demand).

    Threads suffice: copying from a memory map and converting release the interpreter lock.
    """
    if not workers:
        yield from map(read, items)
        return
    remaining = iter(items)
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="loader") as pool:
        try:
            while True:
                for item in islice(remaining, AHEAD * workers - len(waiting)):
                    waiting.append(pool.submit(read, item))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
