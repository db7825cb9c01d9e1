"""A file that grows until it is complete, resumes after an interruption, and has one writer."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bench.files import UserError, digest_file, open_own, write_text

RESERVE = 64 << 20  # bytes left free on the disk beside what is fetched


class Busy(UserError):
    """Another process is writing the same file."""


class PartFile:
    """`<name>.part` beside the destination `path`, open and locked; see `open_part`."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file

    def held(self) -> int:
        """Bytes so far; writing continues after them."""
        return self.file.seek(0, os.SEEK_END)

    def keep(self, size: int) -> None:
        """Drop everything after the first `size` bytes."""
        self.file.seek(size)
        self.file.truncate()

    def write(self, piece: bytes) -> int:
        """Append; returns the bytes held afterwards."""
        self.file.write(piece)
        return self.file.tell()

    def sha256(self) -> str:
        """Digest (hex) of the bytes that are on the disk."""
        self.file.flush()
        return digest_file(part_path(self.path))

    def finish(self) -> int:
        """Make the file visible under its name; its size."""
        size = self.held()
        self.file.flush()
        os.fsync(self.file.fileno())
        os.replace(part_path(self.path), self.path)
        _version_path(self.path).unlink(missing_ok=True)
        return size

    def discard(self) -> None:
        part_path(self.path).unlink()

    def version(self, url: str) -> str:
        """The version that the server of `url` gave for the held bytes; "" if unknown."""
        try:
            origin, version = _version_path(self.path).read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError):
            return ""
        return version if origin == url else ""

    def remember_version(self, url: str, version: str) -> None:
        """Note the version and address of the bytes to come."""
        write_text(_version_path(self.path), f"{url}\n{version}")


@contextmanager
def open_part(path: Path) -> Iterator[PartFile]:
    """The part file of `path`, locked until the block ends; the kernel releases a dead one's lock.

    Raises:
        Busy: another process holds it.
        UserError: it cannot be written.
    """
    part = part_path(path)
    while True:
        try:
            file = open(open_own(part), "r+b")  # noqa: SIM115
        except OSError as error:
            raise UserError(f"{part}: cannot be written ({error.strerror})") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(f"{path}: another process is fetching it; wait for it") from error
            if part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat()):
                yield PartFile(path, file)
                return
        # the last holder renamed this very file between our opening and locking it: look again


def part_path(path: Path) -> Path:
    """Where the unfinished file is."""
    return path.with_name(path.name + ".part")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})") from error


def check_space(folder: Path, size: int) -> None:
    """Whether `size` more bytes fit into an existing folder.

    Raises:
        UserError: they do not.
    """
    free = shutil.disk_usage(folder).free
    if size + RESERVE > free:
        raise UserError(
            f"{folder}: {size / 1e6:,.0f} MB are to be fetched and {free / 1e6:,.0f} MB are free; "
            "make room or choose another folder"
        )


def _version_path(path: Path) -> Path:
    return path.with_name(path.name + ".part.version")
