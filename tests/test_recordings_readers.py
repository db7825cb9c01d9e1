"""The three container readers, on containers that these tests write, whole and damaged."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
import pytest

from bench.corpora.recordings import readers
from bench.corpora.recordings.readers import READERS, ContainerError, read_cat, read_rcc, read_sf2

SOUND = bytes(range(256)) * 8
WAV = b"RIFF" + struct.pack("<I", 4) + b"WAVE"


def rcc(files: Mapping[str, bytes], version: int = 3, flags: int = 0) -> bytes:
    """A Qt resource with one folder "s" that holds `files`."""
    stored = [zlib.compress(data) if flags & 1 else data for data in files.values()]
    stored = [
        struct.pack(">I", len(data)) + body if flags & 1 else body
        for data, body in zip(files.values(), stored, strict=True)
    ]
    payload, offsets = b"", []
    for body in stored:
        offsets.append(len(payload))
        payload += struct.pack(">I", len(body)) + body
    names, name_at = b"", []
    for name in ("s", *files):
        name_at.append(len(names))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    stamp = b"" if version == 1 else bytes(8)
    tree = struct.pack(">IHII", 0, 2, 1, 1) + stamp
    tree += struct.pack(">IHII", name_at[0], 2, len(files), 2) + stamp
    for at, offset in zip(name_at[1:], offsets, strict=True):
        tree += struct.pack(">IHHHI", at, flags, 0, 0, offset) + stamp
    header = 24 if version == 3 else 20
    starts = (header + len(payload) + len(names), header, header + len(payload))
    head = b"qres" + struct.pack(">4I", version, *starts) + bytes(header - 20)
    return head + payload + names + tree


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def sf2(samples: Mapping[str, tuple[int, int]], pcm: np.ndarray) -> bytes:
    """A SoundFont whose samples are the (start, end) parts of `pcm`."""
    headers = b"".join(
        struct.pack("<20s5I6x", name.encode(), start, end, start, end, 22050)
        for name, (start, end) in samples.items()
    )
    body = b"sfbk" + chunk(b"LIST", b"INFO" + chunk(b"INAM", b"odd"))
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", pcm.astype("<i2").tobytes()))
    body += chunk(b"LIST", b"pdta" + chunk(b"shdr", headers))
    return chunk(b"RIFF", body)


def cat(sounds: Mapping[str, bytes]) -> bytes:
    """An OpenTTD sound set."""
    table, body = b"", b""
    for name, sound in sounds.items():
        table += struct.pack("<2I", 8 * len(sounds) + len(body) | 1 << 31, len(sound))
        title = b"A title\0"
        body += bytes([len(title)]) + title + sound + b"\0"
        body += bytes([len(name) + 1]) + name.encode() + b"\0"
    return table + body


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("flags", [0, 1])
def test_rcc_versions_plain_and_compressed(version, flags):
    data = rcc({"rain.ogg": SOUND, "été.ogg": b"", "dog.ogg": b"woof"}, version, flags)
    wanted = {"/s/rain.ogg", "/s/été.ogg", "/s/none.ogg"}
    assert read_rcc(data, wanted) == {"/s/rain.ogg": SOUND, "/s/été.ogg": b""}


def test_sf2_samples_by_name_and_odd_chunks():
    pcm = np.arange(-50, 50)
    got = read_sf2(sf2({"Dog": (10, 20), "Rain(L)": (0, 10), "end": (0, 0)}, pcm), {"Dog"})
    assert np.frombuffer(got["Dog"], "<i2").tolist() == list(range(-40, -30))
    assert list(got) == ["Dog"]


def test_cat_sounds_by_file_name():
    data = cat({"src/a.wav": WAV + b"a", "src/b.wav": WAV + b"bb"})
    assert read_cat(data, {"src/b.wav"}) == {"src/b.wav": WAV + b"bb"}


CONTAINERS = {
    "rcc": (rcc({"a.ogg": SOUND}, 3, 1), {"/s/a.ogg"}),
    "sf2": (sf2({"Dog": (0, 50)}, np.arange(50)), {"Dog"}),
    "cat": (cat({"a.wav": WAV + SOUND}), {"a.wav"}),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_cut_file_is_refused_or_whole(kind):
    data, wanted = CONTAINERS[kind]
    whole = READERS[kind](data, wanted)
    assert set(whole) == wanted
    refused = 0
    for size in range(len(data)):
        try:
            assert READERS[kind](data[:size], wanted) in (whole, {})
        except ContainerError:
            refused += 1
    assert refused > 0.9 * len(data)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_damaged_bytes_give_the_sound_or_a_clear_error(kind):
    data, wanted = CONTAINERS[kind]
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        damaged = bytearray(data)
        for at in rng.integers(len(data), size=rng.integers(1, 4)):
            damaged[at] = rng.integers(256)
        try:
            READERS[kind](bytes(damaged), wanted)
        except ContainerError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("kind", CONTAINERS)
def test_another_format_is_named(kind):
    with pytest.raises(ContainerError):
        READERS[kind](b"OggS" + bytes(100), CONTAINERS[kind][1])


def patched(data: bytes, at: int, layout: str, *values: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(layout, out, at, *values)
    return bytes(out)


def test_rcc_folder_loop_is_refused():
    data, wanted = CONTAINERS["rcc"]
    tree = struct.unpack_from(">I", data, 8)[0]
    looped = patched(data, tree + 22 + 6, ">2I", 2, 0)  # the folder "s" lists the root
    with pytest.raises(ContainerError, match="loop"):
        read_rcc(looped, wanted)


def test_rcc_huge_folder_is_refused():
    data, wanted = CONTAINERS["rcc"]
    tree = struct.unpack_from(">I", data, 8)[0]
    with pytest.raises(ContainerError, match="4,294,967,295 entries"):
        read_rcc(patched(data, tree + 6, ">I", 2**32 - 1), wanted)


def test_rcc_zstd_and_unknown_versions_are_named():
    with pytest.raises(ContainerError, match="zstd"):
        read_rcc(rcc({"a.ogg": SOUND}, flags=4), {"/s/a.ogg"})
    with pytest.raises(ContainerError, match="version 9"):
        read_rcc(patched(rcc({"a.ogg": SOUND}), 4, ">I", 9), {"/s/a.ogg"})


def test_rcc_bomb_is_refused_without_unpacking(monkeypatch):
    bomb = rcc({"a.ogg": bytes(3 << 20)}, flags=1)
    declared = 24 + 4
    with pytest.raises(ContainerError, match="does not unpack to its 1,000 bytes"):
        read_rcc(patched(bomb, declared, ">I", 1000), {"/s/a.ogg"})
    monkeypatch.setattr(readers, "LARGEST_MEMBER", 1 << 20)
    with pytest.raises(ContainerError, match="declares 3,145,728 bytes"):
        read_rcc(bomb, {"/s/a.ogg"})


def test_sf2_sample_outside_the_data_is_refused():
    with pytest.raises(ContainerError, match="'Dog' ends outside"):
        read_sf2(sf2({"Dog": (10, 51)}, np.arange(50)), {"Dog"})
    with pytest.raises(ContainerError, match="'Dog' ends outside"):
        read_sf2(sf2({"Dog": (10, 9)}, np.arange(50)), {"Dog"})


def test_cat_huge_declarations_are_refused():
    data, wanted = CONTAINERS["cat"]
    with pytest.raises(ContainerError, match="entries"):
        read_cat(patched(data, 0, "<I", 2**31 - 8), wanted)
    with pytest.raises(ContainerError, match="declares 4,294,967,295 bytes"):
        read_cat(patched(data, 4, "<I", 2**32 - 1), wanted)
    with pytest.raises(ContainerError, match="not a WAV"):
        read_cat(cat({"a.wav": b"OggS"}), wanted)
