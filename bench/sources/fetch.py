"""Download files that arrive complete and verified, or not at all.

A download grows in `<name>.part` beside its destination. Interrupted, it continues from there by
an HTTP range request, in this process or a later one. Size and sha256 are checked before the
rename that makes the file visible, so a file that is there can be used. If a source fails, the next
mirror is tried; if all fail, the error names every source and how it failed. A source may also be a
path on this machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import httpx

from bench.files import UserError
from bench.sources.part_file import Busy, check_space, make_folder, open_part, part_path
from bench.sources.source import Fetched, Source, shown
from bench.sources.transfer import MirrorFailed, Transfer

WORKERS = 4  # files that are fetched at a time


class FetchError(UserError):
    """No source provided the file; the message says how each of them failed."""


def fetch(
    source: Source,
    path: str | Path,
    *,
    client: httpx.Client | None = None,
    tries: int = 5,
    pause: Callable[[float], None] = time.sleep,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> Fetched:
    """Bring the file of `source` to `path`, or say why no mirror provides it.

    A file that is there already and matches `source` is not requested again. Each mirror gets
    `tries` requests in a row without progress, with exponential back-off between them.

    Args:
        client: HTTP client to use; None makes one that honours the proxy variables.
        pause: called with the seconds to wait before the next try.
        on_bytes: called with the size of every piece that arrives.

    Raises:
        FetchError: every mirror failed, or another process is fetching the same file.
        UserError: too little free space, or the folder cannot be written.
    """
    path = Path(path)
    present = source.found_at(path)
    if present is not None:
        return present
    if client is None:
        with new_client() as client:
            return fetch(source, path, client=client, tries=tries, pause=pause, on_bytes=on_bytes)
    make_folder(path.parent)
    try:
        with open_part(path) as part:
            present = source.found_at(path)
            if present is not None:  # another process finished it before this one opened the part
                part.discard()
                return present
            return _from_any(Transfer(client, source, part, tries, pause, on_bytes))
    except Busy as error:
        raise FetchError(str(error)) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def fetch_all(
    wanted: Mapping[Path, Source],
    *,
    client: httpx.Client,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> dict[Path, Fetched | FetchError]:
    """Fetch several files in parallel; a file that fails does not stop the others.

    Free space is checked for all of them before the first request.

    Args:
        wanted: destination -> source.
    """
    _check_space_for_all(wanted)
    waiting, ended = SimpleQueue[Path](), SimpleQueue[tuple[Path, Fetched | BaseException]]()
    for path in wanted:
        waiting.put(path)

    def work() -> None:
        outcome: Fetched | BaseException
        with suppress(Empty):
            while True:
                path = waiting.get_nowait()
                try:
                    outcome = fetch(wanted[path], path, client=client, on_bytes=on_bytes)
                except BaseException as error:  # passed on, and raised there
                    outcome = error
                ended.put((path, outcome))

    # Daemons, because a process that is told to end must not wait for a server that does not
    # answer.
    for _ in range(min(WORKERS, len(wanted))):
        threading.Thread(target=work, name="fetch", daemon=True).start()
    outcomes: dict[Path, Fetched | FetchError] = {}
    for _ in wanted:
        path, outcome = ended.get()
        if isinstance(outcome, BaseException) and not isinstance(outcome, FetchError):
            raise outcome
        outcomes[path] = outcome
    return {path: outcomes[path] for path in wanted}


def new_client() -> httpx.Client:
    """A client with patient limits; proxies and certificates follow the environment."""
    return httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(30.0, connect=15.0),
        headers={"User-Agent": "htsat-benchmark"},
    )


def _from_any(download: Transfer) -> Fetched:
    path, failures = download.part.path, []
    for url in download.source.urls:
        try:
            digest = download.from_mirror(url)
        except MirrorFailed as failure:
            failures.append(f"{shown(url)}: {failure}")
        else:
            return Fetched(path, digest, download.part.finish(), download.received)
    raise FetchError(f"{path.name}: no source gave it. " + "; ".join(failures))


def _check_space_for_all(wanted: Mapping[Path, Source]) -> None:
    missing: dict[Path, int] = {}
    for path, source in wanted.items():
        if path.exists() or source.size is None:
            continue
        make_folder(path.parent)
        part = part_path(path)
        held = part.stat().st_size if part.exists() else 0
        missing[path.parent] = missing.get(path.parent, 0) + max(0, source.size - held)
    for folder, size in missing.items():
        check_space(folder, size)
