"""Files of the registry that are here already: known by notes, so that each is hashed once.

`FOLDER/.fetched/<file>.json` says which files a verified file gave. If they are all there with
their sizes, it counts as present, and an archive need not be kept. For a file that is used as it
is, the note also has its date, and the file is hashed again if that changed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from bench.files import UserError, digest_file, write_json
from bench.process.locks import hold
from bench.sources.registry import Download, LockFile
from bench.sources.source import Fetched, Source
from bench.strict import Strict, read_as


class _Note(Strict):
    """The note of one file in FOLDER/.fetched."""

    sha256: str
    bytes: int
    files: dict[str, int]
    verified: bool = True
    modified: int | None = None


DOWNLOADS = "downloads"  # archives lie here until they are unpacked


def sole_fetch(folder: Path, name: str) -> AbstractContextManager[None]:
    """Keeps other processes from fetching into a folder; one that is only read needs no lock."""
    if folder.is_dir() and not os.access(folder, os.W_OK):
        return nullcontext()
    return hold(folder / ".fetched.lock", f"fetch {name}", patience=math.inf)


def place_of(file: Download, folder: Path) -> Path:
    """Where a file is fetched to, or put by hand."""
    return folder / DOWNLOADS / file.name if file.unpack else folder / file.name


def note(
    file: Download,
    folder: Path,
    found: Fetched,
    held: Mapping[str, int],
    *,
    verified: bool = True,
) -> None:
    """Note a file, and the files in `folder` that it gave, with their bytes.

    Args:
        verified: whether its published checksums, if any, could be looked up.
    """
    facts = {"sha256": found.sha256, "bytes": found.size, "files": dict(held)}
    facts["verified"] = verified
    if file.unpack is None:
        facts["modified"] = found.path.stat().st_mtime_ns
    try:
        write_json(_note_of(file, folder), facts)
    except UserError:
        if found.received or file.unpack is not None:
            raise
        # A file in a read-only folder is only hashed again the next time.


def _note_of(file: Download, folder: Path) -> Path:
    return folder / ".fetched" / f"{file.name}.json"


def _read_note(path: Path) -> _Note | None:
    """The note of a file; None if there is none, or it is damaged."""
    try:
        note: _Note = read_as(_Note, path, "")
    except UserError:  # which only costs another check of the file
        return None
    return note


def is_verified(file: Download, folder: Path) -> bool:
    """Whether a noted file was compared with everything published about it."""
    found = _read_note(_note_of(file, folder))
    return found is None or found.verified


def noted(file: Download, folder: Path, sha256: str | None) -> Fetched | None:
    """The file that gave what is here, if all of it is here and it is the right one."""
    facts = _read_note(_note_of(file, folder))
    if facts is None or not facts.sha256.startswith(sha256 or ""):
        return None
    try:
        states = {name: (folder / name).stat() for name in facts.files}
    except OSError:
        return None
    if any(states[name].st_size != size for name, size in facts.files.items()):
        return None
    if facts.modified is not None and states[file.name].st_mtime_ns != facts.modified:
        return None
    return Fetched(place_of(file, folder), facts.sha256, facts.bytes, received=0)


def in_place(entry: str, file: Download, folder: Path, lock: LockFile) -> Fetched | None:
    """A file that is used as it is; None if it is not there.

    Raises:
        UserError: another file is there than the registry states, or than the first one used.
    """
    path, key = place_of(file, folder), f"{entry}/{file.name}"
    promise = lock.promise(key, file)
    known = noted(file, folder, promise.sha256)
    if known is not None or not path.is_file():
        return known
    found = Fetched(path, digest_file(path), path.stat().st_size, received=0)
    wrong = Source((str(path),), promise.bytes, promise.sha256).contradiction(path, found.sha256)
    if promise.bytes not in (None, found.size):
        wrong = f"{found.size:,} bytes where {promise.bytes:,} are due"
    if wrong is None:
        note(file, folder, found, {file.name: found.size})
        return found
    recorded = key in lock.read()
    due = (
        "the file that was used first"
        if recorded
        else f"the published file as told by {file.stated_by}"
    )
    remedies = ["put that one there"]
    remedies += ["remove it to have it fetched"] if file.urls else []
    remedies += [f"take its line out of {lock.path}"] if recorded and not file.pinned else []
    raise UserError(f"{path}: is not {due} ({wrong}); {', or '.join(remedies)}")


def record(entry: str, file: Download, found: Fetched, lock: LockFile) -> None:
    """Enforce a file's sha256 from now on, where the registry does not state it in full."""
    if not file.pinned:
        lock.record(f"{entry}/{file.name}", found.sha256, found.size)


def put_by_hand(entry: str, file: Download, folder: Path, lock: LockFile) -> Fetched:
    """A file that only a person can bring.

    Raises:
        UserError: it is not there, or is another one; the message says how to get it.
    """
    found = in_place(entry, file, folder, lock)
    if found is None:
        raise UserError(f"{place_of(file, folder)}: no such file; {file.manual}, and put it there")
    return found
