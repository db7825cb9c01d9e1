"""Read the sounds out of three container formats: Qt resources, SoundFont 2, OpenTTD sound sets.

Each reader takes the whole file as bytes and the names wanted, and gives the members it found as
bytes. Offsets and sizes come from files of others: every one is checked against the file before
it is used, and nothing unpacks to more than `LARGEST_MEMBER` bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

LARGEST_MEMBER = 64 << 20
DEEPEST_FOLDER = 64
LONGEST_NAME = 255

RCC_ZLIB, RCC_FOLDER, RCC_ZSTD = 1, 2, 4


class ContainerError(ValueError):
    """The file is not what its format says; the message names the place."""


def read_rcc(data: bytes, wanted: Collection[str]) -> dict[str, bytes]:
    """Files of a Qt binary resource (versions 1 to 3) by their path, e.g. "/sounds/rain.ogg".

    Layout: Qt's `tools/rcc/rcc.cpp` (big-endian; header, then data, names and tree at the
    offsets that the header names).
    """
    if data[:4] != b"qres":
        raise ContainerError("not a Qt resource: it does not begin with 'qres'")
    version, tree, payload, names = _numbers(data, ">4I", 4)
    if version not in (1, 2, 3):
        raise ContainerError(f"Qt resource version {version} is unknown (1, 2 and 3 are known)")
    resource = _Rcc(data, tree, payload, names, node_size=14 if version == 1 else 22)
    return {path: resource.unpack(node) for path, node in resource.walk() if path in wanted}


@dataclass(frozen=True)
class _Rcc:
    data: bytes
    tree: int
    payload: int
    names: int
    node_size: int

    def walk(self) -> Iterator[tuple[str, int]]:
        """(path, node number) of every file."""
        seen = set()
        waiting = [(0, "", 0)]
        while waiting:
            node, path, depth = waiting.pop()
            if node in seen or depth > DEEPEST_FOLDER:
                raise ContainerError(f"Qt resource: the folders loop at node {node}")
            seen.add(node)
            name, flags = _numbers(self.data, ">IH", self._at(node))
            if node:  # the root has no name
                path = f"{path}/{self._name(name)}"
            if not flags & RCC_FOLDER:
                yield path, node
                continue
            count, first = _numbers(self.data, ">2I", self._at(node) + 6)
            if self._at(first + count) > len(self.data):
                raise ContainerError(f"Qt resource: {path or '/'} lists {count:,} entries")
            waiting += [(child, path, depth + 1) for child in range(first, first + count)]

    def unpack(self, node: int) -> bytes:
        _, flags, _, offset = _numbers(self.data, ">IHII", self._at(node))
        (size,) = _numbers(self.data, ">I", self.payload + offset)
        stored = _slice(self.data, self.payload + offset + 4, size)
        if flags & RCC_ZSTD:
            raise ContainerError(f"Qt resource: node {node} is zstd-compressed, which is not read")
        if not flags & RCC_ZLIB:
            return stored
        (length,) = _numbers(stored, ">I", 0)
        return _inflate(stored[4:], length)

    def _at(self, node: int) -> int:
        return self.tree + node * self.node_size

    def _name(self, offset: int) -> str:
        (length,) = _numbers(self.data, ">H", self.names + offset)
        if length > LONGEST_NAME:
            raise ContainerError(f"Qt resource: a name of {length:,} characters")
        text = _slice(self.data, self.names + offset + 6, 2 * length)  # after a 32-bit hash
        return text.decode("utf-16-be", errors="replace")


def read_sf2(data: bytes, wanted: Collection[str]) -> dict[str, bytes]:
    """Samples of a SoundFont 2 bank by their name, as little-endian mono int16.

    Layout: SoundFont Technical Specification 2.04, sections 6 (`smpl`) and 7.10 (`shdr`). Of two
    samples with one name the first counts.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        raise ContainerError("not a SoundFont: it does not begin with a RIFF 'sfbk' list")
    chunks: dict[bytes, tuple[int, int]] = {}
    for name, body in _riff_chunks(data, 12, len(data)):
        if name == b"LIST":
            start, end = body
            chunks |= dict(_riff_chunks(data, start + 4, end))
    if b"smpl" not in chunks or b"shdr" not in chunks:
        raise ContainerError("SoundFont without samples ('smpl') or sample headers ('shdr')")
    first, last = chunks[b"smpl"]
    start, end = chunks[b"shdr"]
    found: dict[str, bytes] = {}
    for at in range(start, end - 45, 46):
        raw, begin, stop = _numbers(data, "<20s2I", at)
        name = raw.split(b"\0")[0].decode("latin-1")
        if name not in wanted or name in found:
            continue
        if not begin <= stop <= (last - first) // 2:
            raise ContainerError(f"SoundFont: the sample {name!r} ends outside the sample data")
        found[name] = _slice(data, first + 2 * begin, 2 * (stop - begin))
    return found


def read_cat(data: bytes, wanted: Collection[str]) -> dict[str, bytes]:
    """WAV files of an OpenTTD sound set by their file name, e.g. "src/wav/osfx_08.wav".

    Layout: OpenTTD's `src/sound.cpp`. The file begins with (offset, length) pairs; the first
    offset is also the length of that table. The top bit of an offset is a flag.
    """
    (table,) = _numbers(data, "<I", 0)
    count = (table & 0x7FFFFFFF) // 8
    if 8 * count > len(data):
        raise ContainerError(f"sound set: it lists {count:,} entries in {len(data):,} bytes")
    found = {}
    for entry in range(count):
        offset, length = _numbers(data, "<2I", 8 * entry)
        offset &= 0x7FFFFFFF
        start = offset + 1 + _numbers(data, "B", offset)[0]  # after the text with title and licence
        sound = _slice(data, start, length)
        name_at = start + length + 1  # after a zero byte
        name = _slice(data, name_at + 1, _numbers(data, "B", name_at)[0])
        path = name.rstrip(b"\0").decode("latin-1")
        if path in wanted:
            if sound[:4] != b"RIFF":
                raise ContainerError(f"sound set: {path} is not a WAV file")
            found[path] = sound
    return found


READERS: Mapping[str, Callable[[bytes, Collection[str]], dict[str, bytes]]] = {
    "rcc": read_rcc,
    "sf2": read_sf2,
    "cat": read_cat,
}


def _riff_chunks(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """(name, (begin, end) of the body) of each chunk between two offsets."""
    while start + 8 <= end:
        name, size = _numbers(data, "<4sI", start)
        if start + 8 + size > end:
            raise ContainerError(f"RIFF chunk {name!r} declares {size:,} bytes beyond its list")
        yield name, (start + 8, start + 8 + size)
        start += 8 + size + size % 2


def _numbers(data: bytes, layout: str, at: int) -> tuple:
    try:
        return struct.unpack_from(layout, data, at)
    except struct.error as error:
        raise ContainerError(
            f"the file ends before byte {at:,} + {struct.calcsize(layout)}"
        ) from error


def _slice(data: bytes, start: int, size: int) -> bytes:
    if size > LARGEST_MEMBER:
        raise ContainerError(f"a member declares {size:,} bytes")
    if start + size > len(data):
        raise ContainerError(
            f"a member declares {size:,} bytes at {start:,}, beyond the file's end"
        )
    return data[start : start + size]


def _inflate(stored: bytes, length: int) -> bytes:
    if length > LARGEST_MEMBER:
        raise ContainerError(f"a compressed member declares {length:,} bytes")
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(stored, length + 1)
    except zlib.error as error:
        raise ContainerError(f"a compressed member is damaged ({error})") from error
    if len(data) != length or not inflater.eof:
        raise ContainerError(f"a compressed member does not unpack to its {length:,} bytes")
    return data
