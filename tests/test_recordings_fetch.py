"""The list of recordings, and the way from a package on a server to verified clips in a cache."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from bench.corpora.recordings import apt
from bench.corpora.recordings.fetch import clip_path, collect
from bench.corpora.recordings.manifest import LICENCES, Recording, read_manifest
from bench.files import UserError
from bench.process.meter import Meter

HEADER = (
    "class,esc50_class,audioset_display_name,package,version,path_in_package,container,member,"
    "source_group,duration_s,sample_rate,licence,credit,sha256\n"
)
GOOD = f"dog,dog,Dog,kennel,1.0,usr/dog.wav,plain,,dog-01,1.5,44100,MIT,A. Nother,{'0' * 64}"


def test_the_list_is_complete_and_consistent():
    clips = read_manifest()
    assert len(clips) == 556
    assert Counter(clip.container for clip in clips) == {
        "plain": 461, "rcc": 46, "cat": 28, "sf2": 21
    }  # fmt: skip
    groups: dict[str, set[str]] = {}
    for clip in clips:
        groups.setdefault(clip.label, set()).add(clip.group)
    assert len(groups) == 79
    assert len(set().union(*groups.values())) == sum(map(len, groups.values())) == 363
    esc50 = {clip.esc50_class for clip in clips if len(groups[clip.label]) >= 5} - {""}
    assert len(esc50) == 14
    assert {clip.licence for clip in clips} == set(LICENCES)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0" * 64, "0" * 63 + "G", "sha256"),
        ("MIT", "Proprietary", "licence"),
        ("plain", "zip", "container"),
        ("plain,,", "plain,x,", "member"),
        ("usr/dog.wav", "../dog.wav", "path"),
        ("A. Nother", "", "credit"),
        ("1.5", "-1", "duration_s"),
        ("44100", "many", "many"),
        ("dog-01", "dog", "source_group"),
    ],
)
def test_wrong_rows_are_named_by_line_and_column(old, new, said):
    assert len(read_manifest(HEADER + GOOD)) == 1
    with pytest.raises(UserError, match=rf"line 2: .*{said}"):
        read_manifest(HEADER + GOOD.replace(old, new))


def test_contradicting_rows_are_refused():
    cat = GOOD.replace("dog,dog,", "cat,cat,").replace("0" * 64, "1" * 64)
    with pytest.raises(UserError, match="group dog-01 has clips of two classes"):
        read_manifest(f"{HEADER}{GOOD}\n{cat}")
    with pytest.raises(UserError, match="is also"):
        read_manifest(f"{HEADER}{GOOD}\n{GOOD}")


def recording(package: str, path: str, data: bytes) -> Recording:
    sha256 = hashlib.sha256(data).hexdigest()
    row = GOOD.replace("kennel", package).replace("usr/dog.wav", path).replace("0" * 64, sha256)
    return read_manifest(HEADER + row)[0]


@pytest.fixture
def debian(tmp_path, monkeypatch) -> Iterator[Path]:
    """Stand-ins for apt-get and dpkg-deb before a real server; returns the served folder.

    A package here is a bare tar file, because this dpkg-deb only copies it.
    """
    tools, served = tmp_path / "tools", tmp_path / "served"
    tools.mkdir()
    served.mkdir()
    (tools / "apt-get").write_text(f'#!/bin/sh\ncat "{served}/$3.uri" 2>/dev/null || exit 100\n')
    (tools / "dpkg-deb").write_text('#!/bin/sh\nexec cat "$2"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    handler = partial(QuietHandler, directory=served)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        (served / "address").write_text(f"http://127.0.0.1:{server.server_address[1]}")
        QuietHandler.asked.clear()
        yield served
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 - shared by the handlers of one test

    def log_request(self, code="-", size="-") -> None:
        self.asked.append(self.path)

    def log_message(self, *args: object) -> None:
        pass


def publish(served: Path, package: str, files: dict[str, bytes], version: str = "1") -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(f"./{path}")
            entry.size = len(data)
            if data.startswith(b"-> "):
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, data[3:].decode(), 0
            archive.addfile(entry, io.BytesIO(data))
    name, data = f"{package}_{version}_all.deb", buffer.getvalue()
    (served / name).write_bytes(data)
    address = (served / "address").read_text()
    sha256 = hashlib.sha256(data).hexdigest()
    line = f"'{address}/{name}' {name} {len(data)} SHA256:{sha256}\n"
    (served / f"{package}.uri").write_text(line)


def gather(cache: Path, *clips: Recording):
    lines: list[str] = []
    with httpx.Client(trust_env=False) as client:
        return collect(cache, clips, client=client, say=lines.append), lines


def test_clips_are_judged_one_by_one_and_the_rest_is_listed(debian, tmp_path):
    dog, cat, cow = (recording("farm", f"usr/{n}.wav", n.encode()) for n in ("dog", "cat", "cow"))
    owl = recording("forest", "usr/owl.ogg", b"owl")
    fox = recording("gone", "usr/fox.ogg", b"fox")
    publish(debian, "farm", {"usr/dog.wav": b"dog", "usr/cat.wav": b"CAT", "etc/x": b"x"})
    publish(debian, "forest", {"usr/owl.ogg": b"-> /etc/passwd"})
    got, lines = gather(tmp_path / "cache", dog, cat, cow, owl, fox)
    assert got.present == (dog,)
    assert clip_path(got.cache, dog).read_bytes() == b"dog"
    assert "other bytes in farm_1_all.deb" in got.problems[cat]
    assert got.problems[cow] == "not in farm_1_all.deb"
    assert got.problems[owl] == "not in forest_1_all.deb"
    assert got.problems[fox] == "apt-get knows no such package"
    assert len(lines) == 5
    assert "1 of 5 clips verified" in lines[0]
    assert not list((tmp_path / "cache" / "packages").iterdir())


def test_a_second_call_downloads_nothing_until_a_package_changes(debian, tmp_path):
    dog, cat = (recording("farm", f"usr/{name}.wav", name.encode()) for name in ("dog", "cat"))
    publish(debian, "farm", {"usr/dog.wav": b"dog"})
    gather(tmp_path / "cache", dog, cat)
    got, _ = gather(tmp_path / "cache", dog, cat)
    assert got.received == 0
    assert "not in farm_1_all.deb" in got.problems[cat]
    assert QuietHandler.asked == ["/farm_1_all.deb"]
    publish(debian, "farm", {"usr/dog.wav": b"dog", "usr/cat.wav": b"cat"}, version="2")
    got, _ = gather(tmp_path / "cache", dog, cat)
    assert got.present == (dog, cat)
    (debian / "farm.uri").unlink()
    assert gather(tmp_path / "cache", dog, cat)[0].present == (dog, cat)


def test_a_damaged_clip_in_the_cache_is_fetched_again(debian, tmp_path):
    dog = recording("farm", "usr/dog.wav", b"dog")
    publish(debian, "farm", {"usr/dog.wav": b"dog"})
    got, _ = gather(tmp_path / "cache", dog)
    clip_path(got.cache, dog).write_bytes(b"god")
    assert gather(tmp_path / "cache", dog)[0].present == (dog,)
    assert clip_path(got.cache, dog).read_bytes() == b"dog"


def test_a_package_that_cannot_be_fetched_costs_only_its_own_clips(debian, tmp_path):
    dog, owl = recording("farm", "usr/dog.wav", b"dog"), recording("forest", "usr/owl.ogg", b"owl")
    publish(debian, "farm", {"usr/dog.wav": b"dog"})
    publish(debian, "forest", {"usr/owl.ogg": b"owl"})
    (debian / "forest_1_all.deb").unlink()
    got, _ = gather(tmp_path / "cache", dog, owl)
    assert got.present == (dog,)
    assert "404" in got.problems[owl]
    assert "apt-get update" in got.problems[owl]


def test_a_package_that_is_no_archive_is_a_problem_not_a_crash(debian, tmp_path):
    dog = recording("farm", "usr/dog.wav", b"dog")
    publish(debian, "farm", {"usr/dog.wav": b"dog"})
    data = b"not a tar archive" * 100
    name = "farm_1_all.deb"
    (debian / name).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    line = f"'{(debian / 'address').read_text()}/{name}' {name} {len(data)} SHA256:{sha256}\n"
    (debian / "farm.uri").write_text(line)
    got, _ = gather(tmp_path / "cache", dog)
    assert "cannot be read" in got.problems[dog]


def test_empty_package_lists_say_what_to_run(debian, tmp_path):
    with pytest.raises(UserError, match=r"knows none of the packages farm.*apt-get update"):
        gather(tmp_path / "cache", recording("farm", "usr/dog.wav", b"dog"))


def test_elsewhere_than_debian_the_message_says_what_is_needed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"missing: apt-get, dpkg-deb.*Debian or Ubuntu"):
        gather(tmp_path / "cache", recording("farm", "usr/dog.wav", b"dog"))


def test_apt_lines_with_mirror_lists_and_other_checksums(tmp_path):
    assert apt.parse_uris("Reading package lists...\n") is None
    mirrors = tmp_path / "mirrors.txt"
    mirrors.write_text("# ours\nhttp://a.example/debian/\tpriority:1\nhttps://b.example/u\n")
    package = apt.parse_uris(f"'mirror+file:{mirrors}/pool/f/farm_1.deb' farm_1.deb 12 MD5Sum:ab\n")
    assert package is not None
    assert package.file == "farm_1.deb"
    assert package.source.sha256 is None
    assert package.source.urls == (
        "http://a.example/debian/pool/f/farm_1.deb",
        "https://b.example/u/pool/f/farm_1.deb",
    )


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is Debian's")
def test_a_real_package_is_read_and_a_cut_one_refused(tmp_path):
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = (
        "Package: farm\nVersion: 1\nArchitecture: all\nMaintainer: n <n@e.org>\nDescription: -\n"
    )
    (tree / "DEBIAN" / "control").write_text(control)
    (tree / "usr").mkdir()
    (tree / "usr" / "dog.wav").write_bytes(os.urandom(200_000))
    deb = tmp_path / "farm.deb"
    subprocess.run(["dpkg-deb", "--build", tree, deb], check=True, capture_output=True)
    got = dict(apt.read_package(deb, {"usr/dog.wav", "usr/cat.wav"}))
    assert got == {"usr/dog.wav": (tree / "usr" / "dog.wav").read_bytes()}
    deb.write_bytes(deb.read_bytes()[:100_000])
    with pytest.raises(UserError, match=r"farm\.deb: cannot be read"):
        dict(apt.read_package(deb, {"usr/dog.wav"}))


def test_the_meter_shows_share_rate_and_time_left():
    now = [0.0]
    stream = io.StringIO()
    with Meter("download", 100e6, "MB", scale=1e6, stream=stream, clock=lambda: now[0]) as meter:
        now[0] = 4.0
        meter.add(20e6)
        assert stream.getvalue() == ""
        now[0] = 10.0
        meter.add(20e6)
    first, last = stream.getvalue().splitlines()
    assert first == last == "download:  40% 40 of 100 MB, 4.0 MB/s, 0:15 left"
