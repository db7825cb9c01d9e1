"""Archives that mean harm or are damaged leave nothing outside of the folder, nor inside."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from bench.files import UserError
from bench.sources.registry import Unpack
from bench.sources.unpack import HEADROOM, unpack


def tar_of(path: Path, *members: tuple[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


def zip_of(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, body in members:
            archive.writestr(zipfile.ZipInfo(name), body, method)
    return path


def how(**values: object) -> Unpack:
    return Unpack.model_validate(values)


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_the_wanted_files_arrive_under_the_wanted_names(make, folder, tmp_path):
    archive = make(
        tmp_path / "a",
        ("./top/audio/train/x.wav", b"sound"),
        ("top/audio/train/x.jams", b"{}"),
        ("top/metadata/y.tsv", b"table"),
        ("top/readme.txt", b"text"),
    )
    wanted = how(to="sub", from_first=["audio", "metadata"], suffixes=[".wav", ".tsv"])
    assert unpack(archive, folder, wanted) == {"sub/audio/train/x.wav": 5, "sub/metadata/y.tsv": 5}
    assert files_below(folder) == ["sub/audio/train/x.wav", "sub/metadata/y.tsv"]
    (folder / "sub/audio/mine.wav").write_bytes(b"kept")
    unpack(archive, folder, wanted)
    assert (folder / "sub/audio/mine.wav").exists()


@pytest.mark.parametrize("mode", ["w", "w:bz2", "w:xz"])
def test_other_compressions(mode, folder, tmp_path):
    assert unpack(tar_of(tmp_path / "a", ("x", b"1"), mode=mode), folder) == {"x": 1}


@pytest.mark.parametrize("make", [tar_of, zip_of])
@pytest.mark.parametrize(
    "name", ["/etc/x", "../x", "a/../../x", "C:/x", "a\\..\\..\\x", "a/..", "..\\x"]
)
def test_paths_that_lead_out_are_refused(make, name, folder, tmp_path):
    archive = make(tmp_path / "a.bin", ("good.wav", b"1"), (name, b"2"))
    with pytest.raises(UserError, match=r"a\.bin: the path .* leads out of the folder"):
        unpack(archive, folder)
    assert files_below(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_tar_are_refused(kind, folder, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "../outside"
        archive.addfile(info)
        follow = tarfile.TarInfo("link/x")
        archive.addfile(follow, io.BytesIO())
    with pytest.raises(UserError, match="link or device"):
        unpack(tmp_path / "a.tar", folder)
    assert files_below(tmp_path) == ["a.tar"]


def test_links_in_zip_are_refused(folder, tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "../outside")
    with pytest.raises(UserError, match="link or device"):
        unpack(tmp_path / "a.zip", folder)


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_bombs_are_refused_before_they_fill_the_disk(make, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.sources.unpack.HEADROOM", 1 << 20)
    zeros = bytes(3 << 20)
    archive = make(tmp_path / "bomb", *[(f"{number}.wav", zeros) for number in range(4)])
    assert archive.stat().st_size < 1e5 < HEADROOM
    with pytest.raises(UserError, match="unpacks to more than 100 times its size"):
        unpack(archive, folder)
    assert files_below(folder) == []


def test_too_many_entries_are_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.sources.unpack.MOST_FILES", 3)
    archive = tar_of(tmp_path / "a", *[(f"{number}", b"") for number in range(5)])
    with pytest.raises(UserError, match="more than 3 entries"):
        unpack(archive, folder)


def test_a_huge_declared_size_is_an_error_not_an_allocation(folder, tmp_path):
    archive = zip_of(tmp_path / "a.zip", ("x.wav", b"abc"), method=zipfile.ZIP_STORED)
    body = bytearray(archive.read_bytes())
    central = body.rindex(b"PK\x01\x02")
    body[central + 24 : central + 28] = struct.pack("<I", 0xFFFFFFF0)
    archive.write_bytes(body)
    with pytest.raises(UserError, match=r"a\.zip"):
        unpack(archive, folder)
    assert files_below(folder) == []


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_damage_is_named_and_leaves_nothing(make, folder, tmp_path):
    archive = make(tmp_path / "a", ("x.wav", bytes(range(256)) * 40), ("y.wav", b"1" * 999))
    whole = archive.read_bytes()
    for body in (whole[: len(whole) // 2], b"", b"PK\x03\x04", b"<html>404</html>"):
        archive.write_bytes(body)
        with pytest.raises(UserError, match=r"cannot be unpacked|none of the files"):
            unpack(archive, folder)
        assert files_below(folder) == []


def test_an_archive_without_the_due_files_is_not_taken_for_the_data(folder, tmp_path):
    archive = tar_of(tmp_path / "a", ("elsewhere/x.txt", b"1"))
    with pytest.raises(UserError, match="none of the files that are due"):
        unpack(archive, folder, how(from_first=["audio"]))
