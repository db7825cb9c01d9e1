"""Bring the files of a registry entry into its folder: fetched, verified, unpacked, remembered.

`FOLDER/.fetched/<file>.json` says which verified file gave which files; where they are all there
with their sizes, nothing is fetched again, and archives need not be kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx

from bench.files import UserError, read_json, write_json
from bench.process.meter import Meter
from bench.sources.fetch import FetchError, fetch_all, new_client
from bench.sources.registry import Download, Entry, LockFile
from bench.sources.source import Fetched, Source
from bench.sources.unpack import unpack

ZENODO = "https://zenodo.org/api/records"
DOWNLOADS = "downloads"  # archives lie here until they are unpacked


def bring(
    name: str,
    entry: Entry,
    folder: str | Path,
    parts: Iterable[str],
    *,
    lock: LockFile,
    also_in: Sequence[str | Path] = (),
    keep_archives: bool = False,
    client: httpx.Client | None = None,
) -> dict[str, str]:
    """Fetch and unpack the files of an entry that belong to `parts`; sha256 by file name.

    Args:
        name: the entry's key, as in the lock file.
        also_in: folders that may hold the files already (looked at before any URL).
        keep_archives: leave archives in FOLDER/downloads after unpacking.

    Raises:
        UserError: a file that no source gives (each is named, with what to do), wrong bytes, or an
            archive that is not safe.
    """
    if client is None:
        with new_client() as client:
            return bring(
                name, entry, folder, parts, lock=lock, also_in=also_in,
                keep_archives=keep_archives, client=client,
            )  # fmt: skip
    folder, parts = Path(folder), set(parts)
    files = [file for file in entry.files if file.part is None or file.part in parts]
    digests = {
        file.name: _held(folder, file.name, lock.promise(f"{name}/{file.name}", file).sha256)
        for file in files
    }
    due = [file for file in files if digests[file.name] is None]
    if due:
        sources = {
            _place(folder, file): _source(name, file, lock, [*also_in, folder / DOWNLOADS], client)
            for file in due
        }
        outcomes = _fetch(name, sources, client)
        for file in due:
            path = _place(folder, file)
            digests[file.name] = _accept(name, file, folder, outcomes[path], lock, keep_archives)
        _complain(name, entry, folder, due, outcomes)
    return {file: digest for file, digest in digests.items() if digest is not None}


def _place(folder: Path, file: Download) -> Path:
    return folder / DOWNLOADS / file.name if file.unpack else folder / file.name


def _held(folder: Path, name: str, sha256: str | None) -> str | None:
    """sha256 of the file that gave what lies here, if all of it does and it is the right one."""
    note = folder / ".fetched" / f"{name}.json"
    if not note.exists():
        return None
    facts = read_json(note)
    if sha256 not in (None, facts["sha256"]):
        return None
    for path, size in facts["files"].items():
        try:
            if (folder / path).stat().st_size != size:
                return None
        except OSError:
            return None
    return facts["sha256"]


def _source(
    name: str, file: Download, lock: LockFile, folders: list[str | Path], client: httpx.Client
) -> Source:
    """What is known of a file, Zenodo's own figures included, and every place that may have it."""
    here = [path for path in (Path(place) / file.name for place in folders) if path.is_file()]
    urls = (*map(str, here), *file.urls)
    if not urls:
        raise UserError(f"{file.name}: {file.manual}")
    size, sha256 = lock.promise(f"{name}/{file.name}", file)
    if file.zenodo is None or sha256 is not None:
        return Source(urls, size, sha256)
    published = _published(file, client)
    md5 = str(published.get("checksum", "")).removeprefix("md5:") or None
    return Source(urls, published.get("size", size), md5=md5)


def _published(file: Download, client: httpx.Client) -> dict[str, Any]:
    """What Zenodo says of a file; nothing where it does not answer (the download will tell)."""
    try:
        answer = client.get(f"{ZENODO}/{file.zenodo}")
        listed = answer.raise_for_status().json()["files"]
        return next((item for item in listed if item["key"] == file.name), {})
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return {}


def _fetch(
    name: str, sources: dict[Path, Source], client: httpx.Client
) -> dict[Path, Fetched | FetchError]:
    total = sum(source.size or 0 for source in sources.values())
    known = all(source.size is not None for source in sources.values())
    with Meter(f"fetch {name}", total if known else 0, "MB", scale=1e6) as meter:
        return fetch_all(sources, client=client, on_bytes=meter.add)


def _accept(
    name: str,
    file: Download,
    folder: Path,
    outcome: Fetched | FetchError,
    lock: LockFile,
    keep_archives: bool,
) -> str | None:
    """Record, unpack and note one verified file; None where it did not come."""
    if isinstance(outcome, FetchError):
        return None
    if file.sha256 is None:
        lock.record(f"{name}/{file.name}", outcome.sha256, outcome.size)
    held = {file.name: outcome.size}
    if file.unpack is not None:
        with Meter(f"unpack {file.name}", 0, "MB", scale=1e6) as meter:
            held = unpack(outcome.path, folder, file.unpack, on_bytes=meter.add)
        if not keep_archives:
            outcome.path.unlink()
    note = {"sha256": outcome.sha256, "bytes": outcome.size, "files": held}
    write_json(folder / ".fetched" / f"{file.name}.json", note)
    return outcome.sha256


def _complain(
    name: str,
    entry: Entry,
    folder: Path,
    files: Sequence[Download],
    outcomes: dict[Path, Fetched | FetchError],
) -> None:
    lines = []
    for file in files:
        outcome = outcomes[_place(folder, file)]
        if isinstance(outcome, FetchError):
            by_hand = file.manual or f"or put it there by hand (see {entry.homepage})"
            lines.append(f"{name}: {outcome}; {by_hand}: {_place(folder, file)}")
    if lines:
        raise UserError("\n".join(lines))
