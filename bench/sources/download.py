"""Bring the files of a registry entry into its folder: fetch, verify, unpack, record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx

from bench.files import UserError
from bench.process.meter import Meter
from bench.sources.fetch import FetchError, fetch_all, new_client
from bench.sources.plausible import refuse_other
from bench.sources.present import (
    DOWNLOADS,
    is_verified,
    note,
    noted,
    place_of,
    put_by_hand,
    record,
)
from bench.sources.registry import Download, Entry, LockFile
from bench.sources.source import Fetched, Source
from bench.sources.unpack import unpack

ZENODO = "https://zenodo.org/api/records"
UNANSWERED = "zenodo.org did not say what it must be; fetch it again to have it checked"


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
        also_in: folders that may hold the files already (searched before any URL).
        keep_archives: leave archives in FOLDER/downloads after unpacking.

    Raises:
        UserError: a file that no source provides (each is named, with a remedy), wrong bytes, or an
            unsafe archive.
    """
    if client is None:
        with new_client() as client:
            return bring(
                name, entry, folder, parts, lock=lock, also_in=also_in,
                keep_archives=keep_archives, client=client,
            )  # fmt: skip
    folder, parts = Path(folder), set(parts)
    files = [file for file in entry.files if file.part is None or file.part in parts]
    places = [*also_in, folder / DOWNLOADS]
    digests: dict[str, str] = {}
    due: list[Download] = []
    for file in files:
        found = noted(file, folder, lock.promise(f"{name}/{file.name}", file).sha256)
        if found is None and not _addresses(file, places):
            found = put_by_hand(name, file, folder, lock)
        if found is None:
            due.append(file)
        else:
            if is_verified(file, folder):
                record(name, file, found, lock)
            digests[file.name] = found.sha256
    if due:
        sources = {
            place_of(file, folder): _source(name, file, places, lock, client) for file in due
        }
        outcomes = _fetch(name, sources, client)
        for file in due:
            outcome = outcomes[place_of(file, folder)]
            if not isinstance(outcome, FetchError):
                checked = sources[place_of(file, folder)].has_checksum
                _accept(name, file, folder, outcome, lock, keep_archives, checked)
                digests[file.name] = outcome.sha256
        _complain(name, entry, folder, due, outcomes, lock)
    return digests


def _addresses(file: Download, folders: Sequence[str | Path]) -> tuple[str, ...]:
    """Every place that may have a file: these folders first."""
    here = (Path(place) / file.name for place in folders)
    return (*(str(path) for path in here if path.is_file()), *file.urls)


def _source(
    name: str,
    file: Download,
    folders: Sequence[str | Path],
    lock: LockFile,
    client: httpx.Client,
) -> Source:
    """What is known of a file, Zenodo's own figures included, and every place that may have it."""
    urls = _addresses(file, folders)
    size, sha256 = lock.promise(f"{name}/{file.name}", file)
    if file.zenodo is None or sha256 is not None:
        return Source(urls, size, sha256)
    published = _published(file, client)
    md5 = str(published.get("checksum", "")).removeprefix("md5:") or None
    return Source(urls, published.get("size", size), md5=md5)


def _published(file: Download, client: httpx.Client) -> dict[str, Any]:
    """What Zenodo states about a file; nothing if it does not answer (the download will show
    why)."""
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
    found: Fetched,
    lock: LockFile,
    keep_archives: bool,
    checked: bool,
) -> None:
    """Unpack or look into one file, note it and record it.

    Args:
        checked: whether its bytes were compared with a checksum.

    Raises:
        UserError: it is not what its name says; nothing is recorded then.
    """
    held = {file.name: found.size}
    try:
        if file.unpack is not None:
            with Meter(f"unpack {file.name}", 0, "MB", scale=1e6) as meter:
                held = unpack(found.path, folder, file.unpack, on_bytes=meter.add)
        elif not checked:
            refuse_other(found.path)
    except UserError:
        if found.received:  # by this call; a file that a person put there stays
            found.path.unlink()
        raise
    verified = checked or file.zenodo is None
    note(file, folder, found, held, verified=verified)
    if verified:
        record(name, file, found, lock)
    else:
        print(f"{file.name}: unverified, for {UNANSWERED}", flush=True)
    if file.unpack is not None and not keep_archives:
        found.path.unlink()


def _complain(
    name: str,
    entry: Entry,
    folder: Path,
    files: Sequence[Download],
    outcomes: dict[Path, Fetched | FetchError],
    lock: LockFile,
) -> None:
    lines = []
    for file in files:
        outcome = outcomes[place_of(file, folder)]
        if isinstance(outcome, FetchError):
            by_hand = file.manual or f"or put it there by hand (see {entry.homepage})"
            line = f"{name}: {outcome}; {by_hand}: {place_of(file, folder)}"
            if f"{name}/{file.name}" in lock.read() and not file.pinned:
                line += f" (if the file was replaced, take its entry out of {lock.path})"
            lines.append(line)
    if lines:
        raise UserError("\n".join(lines))
