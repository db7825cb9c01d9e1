"""Whether the files of a data set are those that its table was made from, without reading them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.files import digest_file, regular_files


def fingerprint(root: Path, options: Mapping[str, Any]) -> str:
    """sha256 of the names, sizes and times of all files below `root`, and of the bytes of files
    that a loader's options name.

    Two million files take about ten seconds on a local disk.
    """
    states = ((name, entry.stat()) for name, entry in regular_files(root))
    files = sorted((name, at.st_size, at.st_mtime_ns) for name, at in states)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file}\n".encode(errors="surrogateescape"))
    for text in _texts(options):
        for path in (Path(text), root / text):
            if path.is_file():
                digest.update(f"{text} {digest_file(path)}\n".encode())
    return digest.hexdigest()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
