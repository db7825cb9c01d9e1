"""Unpacking archives that may be malicious: nothing leaves the folder or grows without bound."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from bench.files import UserError, digest_file
from bench.sources.part_file import RESERVE
from bench.sources.registry import Unpack, read_sums

GROWTH = 100  # an archive may unpack to this many times its own size,
HEADROOM = 64 << 20  # and to this many bytes in any case
MOST_FILES = 10_000_000
MOST_NAMED = 10  # files that a message lists
PIECE = 1 << 20
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # an encrypted member
    ValueError,
    OSError,
)


class _Member(NamedTuple):
    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(
    archive: str | Path,
    folder: str | Path,
    how: Unpack | None = None,
    *,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> dict[str, int]:
    """Unpack a zip or tar archive (plain, gz, bz2, xz) into `folder`; size by path of every file.

    All files are written to a temporary folder beside their place and moved when the whole archive
    has been read, so that a bad archive leaves nothing behind.

    Raises:
        UserError: a path that is absolute or has `..`, a link or device, implausibly many bytes or
            files for its size, no wanted file, a damaged archive, or a full disk.
    """
    archive, how = Path(archive), how or Unpack.model_validate({})
    target = Path(folder) / how.to
    aside = target / f".unpacking-{archive.name}"
    if aside.is_symlink():
        aside.unlink()
    shutil.rmtree(aside, ignore_errors=True)
    try:
        written = _extract(archive, aside, how, on_bytes)
        if how.sums is not None:
            _verify(archive, aside, read_sums(how.sums))
        for path in written:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside / path, target / path)
    except BROKEN as error:
        told = str(error).partition("\n")[0]
        raise UserError(
            f"{archive}: cannot be unpacked ({told}); remove it if it is there, and fetch it again"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return {str(PurePosixPath(how.to, path)): size for path, size in written.items()}


def _extract(
    archive: Path, aside: Path, how: Unpack, on_bytes: Callable[[int], None]
) -> dict[str, int]:
    """Write the wanted files below `aside`; size by path."""
    left = GROWTH * archive.stat().st_size + HEADROOM
    written: dict[str, int] = {}
    for number, member in enumerate(_members(archive), start=1):
        if number > MOST_FILES:
            raise UserError(f"{archive}: more than {MOST_FILES:,} entries; not unpacked")
        path = _place(_safe(archive, member.name), how)
        if path is None:
            continue
        _check_room(aside, member.size, archive)
        source = member.open()
        assert source is not None
        with source:
            size = _write(source, aside / path, min(left, member.size))
        if size is None:
            raise UserError(
                f"{archive}: {member.name} is larger than it says, or the archive unpacks to more "
                f"than {GROWTH} times its size; not unpacked"
            )
        if size < member.size:
            raise UserError(f"{archive}: {member.name} ends early; fetch the archive again")
        left -= size
        written[path] = size
        on_bytes(size)
    if not written:
        raise UserError(f"{archive}: holds none of the files that are due; is it the right one?")
    return written


def _verify(archive: Path, aside: Path, sums: Mapping[str, str]) -> None:
    """Compare what was unpacked with the sha256 of every file.

    Raises:
        UserError: files are missing or differ; they are named.
    """
    wrong = []
    for path, sha256 in sums.items():
        if not (aside / path).is_file():
            wrong.append(f"{path} is missing")
        elif (found := digest_file(aside / path)) != sha256:
            wrong.append(f"{path} is another file (sha256 {found[:12]}…, due: {sha256[:12]}…)")
    if wrong:
        more = f"; and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
        raise UserError(
            f"{archive}: not what the registry lists: {'; '.join(wrong[:MOST_NAMED])}{more}; "
            "nothing was taken: remove the archive if it is there, and fetch it again, or bring "
            "another copy with --from"
        )


def _members(archive: Path) -> Iterator[_Member]:
    """The regular files of an archive.

    Raises:
        UserError: it holds a link or a device, or is neither zip nor tar.
    """
    with open(archive, "rb") as file:
        is_zip = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    if is_zip:
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                kind = entry.external_attr >> 16 & 0o170000
                if entry.is_dir():
                    _safe(archive, entry.filename)
                elif kind not in (0, 0o100000):
                    raise UserError(f"{archive}: {entry.filename} is a link or device; refused")
                else:
                    yield _Member(entry.filename, entry.file_size, partial(opened.open, entry))
        return
    with tarfile.open(archive, "r:*") as tar:
        for item in tar:
            if item.isdir():
                _safe(archive, item.name)
            elif not item.isreg():
                raise UserError(f"{archive}: {item.name} is a link or device; refused")
            else:
                yield _Member(item.name, item.size, partial(tar.extractfile, item))
            tar.members = []  # type: ignore[attr-defined]  # it would keep every entry
        assert tar.fileobj is not None
        while tar.fileobj.read(PIECE):
            pass  # read to the checksum at the very end, which gzip compares


def _safe(archive: Path, name: str) -> tuple[str, ...]:
    """The parts of a member's path.

    Raises:
        UserError: it could lead out of the folder.
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    bad = name.startswith("/") or ".." in parts or "\\" in name or "\0" in name
    if bad or re.match(r"[A-Za-z]:", name):
        raise UserError(f"{archive}: the path '{name}' leads out of the folder; not unpacked")
    return parts


def _place(parts: tuple[str, ...], how: Unpack) -> str | None:
    """Where a member goes below the folder; None if it is not wanted."""
    if how.below_first:
        parts = parts[1:]
    if how.from_first:
        starts = [index for index, part in enumerate(parts) if part in how.from_first]
        if not starts:
            return None
        parts = parts[starts[0] :]
    path = "/".join(parts)
    if not parts or (how.suffixes and not path.lower().endswith(how.suffixes)):
        return None
    return path if how.sums is None or path in read_sums(how.sums) else None


def _write(source: IO[bytes], path: Path, most: int) -> int | None:
    """Copy a member; its size, or None if it is larger than `most`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with open(path, "wb") as target:
        while piece := source.read(PIECE):
            size += len(piece)
            if size > most:
                return None
            target.write(piece)
    return size


def _check_room(aside: Path, size: int, archive: Path) -> None:
    aside.mkdir(parents=True, exist_ok=True)
    if size < PIECE:  # the next large one will show
        return
    free = shutil.disk_usage(aside).free
    if size + RESERVE > free:
        raise UserError(
            f"{aside.parent}: {free / 1e6:,.0f} MB free, too little for the rest of "
            f"{archive.name}; make room and call again"
        )
