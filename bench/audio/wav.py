"""Where the samples of a WAV file end, also where its header was never completed.

A recorder writes the header first and its sizes last (RIFF: IBM and Microsoft, Multimedia
Programming Interface and Data Specifications 1.0, 1991). One that is killed, or writes to a pipe,
leaves a place-holder or the size of its first block.
"""

from __future__ import annotations

import io
import os
import string
import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STREAMED = 0x7FFF0000  # sizes from here on are place-holders of programs that wrote to a pipe
PADDING = 4096  # bytes: programs fill files up to a sector or page, which is no sound
TAGS = (b"TAG", b"ID3", b"APE")  # are appended without a chunk of their own
IN_NAMES = frozenset((string.ascii_letters + string.digits + " _").encode())


class Samples(NamedTuple):
    """The data chunk of a WAV file, in bytes: where it begins, its size by the header, how many
    there are up to the end of the file, and whether all of these are samples, whatever the header
    says."""

    begin: int
    stated: int
    there: int
    to_the_end: bool


def samples_of(path: str | Path) -> Samples | None:
    """The data chunk; None if the file is no WAV (RIFF), or has none."""
    with open(path, "rb") as file:
        if file.read(4) != b"RIFF" or file.read(8)[4:] != b"WAVE":
            return None
        size_of_file = os.fstat(file.fileno()).st_size
        position = 12
        while position + 8 <= size_of_file:
            file.seek(position)
            name, size = struct.unpack("<4sI", file.read(8))
            position += 8
            if name == b"data":
                there = size_of_file - position
                to_the_end = size >= STREAMED or _goes_on(file, position + size, there - size, size)
                return Samples(position, size, there, to_the_end)
            position += size + size % 2
    return None


def _goes_on(file: BinaryIO, end: int, left: int, size: int) -> bool:
    """Whether the `left` bytes behind a chunk belong to it: they are no chunk, tag or padding."""
    file.seek(end)
    head = file.read(PADDING)
    if left <= 0 or (size and (left <= PADDING or not any(head))):
        return False
    names = (head[:4], head[1:5]) if size % 2 else (head[:4],)  # with and without a padding byte
    return not any(name.startswith(TAGS) or IN_NAMES.issuperset(name) for name in names)


class Completed(io.FileIO):
    """A WAV file as it would be with the right sizes in its header."""

    def __init__(self, path: str | Path, samples: Samples) -> None:
        super().__init__(path)
        sizes = (samples.begin + samples.there - 8, 4), (samples.there, samples.begin - 4)
        self._sizes = [(struct.pack("<I", min(size, 0xFFFFFFFF)), at) for size, at in sizes]

    def readinto(self, buffer: WriteableBuffer) -> int:
        first = self.tell()
        view = memoryview(buffer).cast("B")
        count = super().readinto(view) or 0
        for size, at in self._sizes:
            for place, byte in enumerate(size, at - first):
                if 0 <= place < count:
                    view[place] = byte
        return count
