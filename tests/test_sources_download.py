"""A registry entry becomes a folder: verified, unpacked, recorded, and clear in failure."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from http_server import in_turn, ranged, status
from test_sources_unpack import zip_of

from bench.files import UserError, write_json
from bench.sources import download, present, source
from bench.sources.registry import Entry, LockFile, find_entry, read_registry
from bench.strict import parse

RIGHT = hashlib.sha256(b"good").hexdigest()
Bring = Callable[..., dict[str, str]]


def entry_of(*files: dict, **values: object) -> Entry:
    given = {"title": "T", "homepage": "h", "licence": "l", "citation": "c", "files": files}
    return parse(Entry, {**given, **values}, "test")


@pytest.fixture
def lock(tmp_path: Path) -> LockFile:
    return LockFile(tmp_path / "registry" / "lock.json")


@pytest.fixture
def bring(tmp_path: Path, lock: LockFile) -> Bring:
    def run(entry: Entry, parts: tuple[str, ...] = (), **options: object) -> dict[str, str]:
        with httpx.Client(trust_env=False, timeout=5) as client:
            return download.bring(
                "set", entry, tmp_path / "data", parts, lock=lock, client=client, **options
            )

    return run


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    return zip_of(tmp_path / "made.zip", ("top/audio/a.wav", b"sound" * 9000)).read_bytes()


def test_an_archive_is_fetched_unpacked_once_and_recorded(server, bring, archive, lock, tmp_path):
    url = server.url("/a.zip", ranged(archive))
    entry = entry_of(
        {"name": "a.zip", "urls": [url], "unpack": {"from_first": ["audio"]}},
        {"name": "list.csv", "urls": [server.url("/list.csv", ranged(b"1,2"))]},
    )
    digests = bring(entry)
    assert digests["a.zip"] == hashlib.sha256(archive).hexdigest()
    assert (tmp_path / "data/audio/a.wav").read_bytes() == b"sound" * 9000
    assert (tmp_path / "data/list.csv").read_bytes() == b"1,2"
    assert not (tmp_path / "data/downloads/a.zip").exists()
    assert lock.read()["set/a.zip"] == {"sha256": digests["a.zip"], "bytes": len(archive)}
    asked = len(server.requests)
    assert bring(entry) == digests
    assert len(server.requests) == asked
    (tmp_path / "data/audio/a.wav").unlink()
    assert bring(entry) == digests
    assert len(server.requests) == asked + 1
    assert (tmp_path / "data/audio/a.wav").exists()


def test_what_the_first_download_was_is_enforced(server, bring, lock, tmp_path):
    entry = entry_of({"name": "x.csv", "urls": [server.url("/x", ranged(b"first"))]})
    bring(entry)
    (tmp_path / "data/x.csv").unlink()
    server.url("/x", ranged(b"other"))
    with pytest.raises(UserError, match=r"set: x\.csv: .*wrong bytes .sha256"):
        bring(entry)
    assert not (tmp_path / "data/x.csv").exists()
    assert lock.read()["set/x.csv"]["sha256"] == hashlib.sha256(b"first").hexdigest()


def test_a_record_that_contradicts_the_registry_is_said(bring, lock):
    lock.record("set/x", "0" * 64, 1)
    entry = entry_of({"name": "x", "urls": ["y"], "sha256": "1" * 64, "stated_by": "z"})
    with pytest.raises(UserError, match="another sha256 than the registry states"):
        bring(entry)


def test_figures_that_zenodo_publishes_are_enforced(server, bring, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "ZENODO", server.url("", ranged()))
    said = {"key": "x.csv", "size": 4, "checksum": f"md5:{hashlib.md5(b'good').hexdigest()}"}
    server.url("/77", lambda handler: handler.send(json.dumps({"files": [said]}).encode()))
    files = {"name": "x.csv", "zenodo": 77, "urls": [server.url("/x", ranged(b"evil"))]}
    with pytest.raises(UserError, match=r"wrong bytes \(MD5"):
        bring(entry_of(files))
    server.url("/x", ranged(b"good"))
    bring(entry_of(files))
    assert (tmp_path / "data/x.csv").read_bytes() == b"good"


def test_folders_of_this_machine_come_first_and_are_verified_too(server, bring, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "x.csv").write_bytes(b"evil")
    right = hashlib.sha256(b"good").hexdigest()
    url = server.url("/x", ranged(b"good"))
    files = {"name": "x.csv", "urls": [url], "sha256": right, "stated_by": "here"}
    bring(entry_of(files), also_in=[disk])
    assert (tmp_path / "data/x.csv").read_bytes() == b"good"
    assert len(server.requests) == 1
    (tmp_path / "data/x.csv").unlink()
    (disk / "x.csv").write_bytes(b"good")
    bring(entry_of(files), also_in=[disk])
    assert len(server.requests) == 1


def test_every_source_that_failed_is_named_with_the_way_out(server, bring, tmp_path):
    urls = [server.url("/a", status(404)), str(tmp_path / "gone.csv")]
    entry = entry_of({"name": "x.csv", "urls": urls}, homepage="https://home")
    with pytest.raises(UserError) as caught:
        bring(entry)
    for word in ("404", "gone.csv: no such file", "https://home", "data/x.csv"):
        assert word in str(caught.value)


def test_a_file_that_needs_a_browser_says_how(bring, tmp_path):
    entry = entry_of({"name": "x.ckpt", "manual": "take it from https://drive"})
    with pytest.raises(UserError, match=r"data/x\.ckpt: no such file; take it from https://drive"):
        bring(entry)
    (tmp_path / "data/downloads").mkdir(parents=True)
    (tmp_path / "data/downloads/x.ckpt").write_bytes(b"weights")
    bring(entry)
    assert (tmp_path / "data/x.ckpt").read_bytes() == b"weights"


def test_a_file_put_where_it_belongs_is_taken_and_enforced(bring, lock, tmp_path):
    entry = entry_of({"name": "x.ckpt", "manual": "take it from https://drive"})
    path = tmp_path / "data/x.ckpt"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert bring(entry) == {"x.ckpt": digest}
    assert lock.read()["set/x.ckpt"] == {"sha256": digest, "bytes": 7}
    path.write_bytes(b"another")
    with pytest.raises(UserError, match=r"x\.ckpt: is not the file that was used first"):
        bring(entry)
    assert path.read_bytes() == b"another"


def test_a_file_is_hashed_once_until_it_changes(server, bring, tmp_path, monkeypatch):
    hashed = []
    for module in (present, source):
        monkeypatch.setattr(module, "digest_file", lambda path: hashed.append(path) or RIGHT)
    path = tmp_path / "data/x"
    path.parent.mkdir()
    path.write_bytes(b"good")
    for how in ({"manual": "by hand"}, {"urls": [server.url("/x", ranged(b"good"))]}):
        for _ in range(3):
            assert bring(entry_of({"name": "x", **how})) == {"x": RIGHT}
    assert len(hashed) == 1
    path.touch()
    os.utime(path, ns=(0, 0))
    bring(entry_of({"name": "x", "manual": "by hand"}))
    assert len(hashed) == 2


@pytest.mark.parametrize(("begins", "fits"), [(8, True), (64, True), (0, False)])
def test_the_beginning_of_a_sha256_is_enforced(server, bring, lock, tmp_path, begins, fits):
    sha256 = RIGHT[:begins] or "d0272ac0"
    files = {"name": "x", "urls": [server.url("/x", ranged(b"good"))], "stated_by": "its name"}
    entry = entry_of({**files, "sha256": sha256})
    if not fits:
        with pytest.raises(UserError, match=r"wrong bytes \(sha256"):
            bring(entry)
        return
    assert bring(entry) == {"x": RIGHT}
    assert ("set/x" in lock.read()) == (begins < 64)  # from then on it is known in full
    assert bring(entry) == {"x": RIGHT}


def test_only_the_asked_parts_are_fetched(server, bring, tmp_path):
    entry = entry_of(
        {"name": "a", "urls": [server.url("/a", ranged(b"1"))], "part": "small"},
        {"name": "b", "urls": [server.url("/b", ranged(b"2"))], "part": "large"},
        parts={name: {"clips": 1, "gigabytes": 1} for name in ("small", "large", "test")},
        training={"small": ["small"], "large": ["small", "large"]},
    )
    assert list(entry.wanted({"train": "small"})) == ["small", "test"]
    assert list(entry.wanted({"train": "large"})) == ["small", "large", "test"]
    bring(entry, tuple(entry.wanted({})))
    assert [path for path, _ in server.requests] == ["/a"]


def test_an_unsafe_archive_is_refused_and_not_kept_as_done(server, bring, tmp_path):
    evil = zip_of(tmp_path / "evil.zip", ("../x.wav", b"1")).read_bytes()
    entry = entry_of({"name": "a.zip", "urls": [server.url("/a", ranged(evil))], "unpack": {}})
    for _ in range(2):
        with pytest.raises(UserError, match="leads out of the folder"):
            bring(entry)
    assert not (tmp_path / "x.wav").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "../x", "urls": ["u"]}, "not a plain file name"),
        ({"name": "x"}, "neither urls nor manual"),
        ({"name": "x", "urls": ["u"], "sha256": "0" * 64}, "without stated_by"),
        ({"name": "x", "urls": ["u"], "sha265": "0" * 64}, "did you mean 'sha256'"),
        ({"name": "x", "urls": ["u"], "part": "p"}, "no part 'p'"),
    ],
)
def test_mistakes_in_the_registry_are_named(values, said):
    with pytest.raises(UserError, match=said):
        entry_of(values)


def test_the_shipped_registry_is_complete():
    entries = read_registry()
    assert {"audioset", "esc50", "speechcommands", "desed"} <= set(entries)
    for name, entry in entries.items():
        assert entry.parts, name
        assert entry.splits, name
        for file in entry.files:
            assert all(url.startswith("http") for url in file.urls), file.name
    assert {name: p.clips for name, p in find_entry("speechcommands").parts.items()} == {
        "train": 84_843,
        "validation": 9_981,
        "test": 11_005,
    }
    with pytest.raises(UserError, match="no entry 'esc51'"):
        find_entry("esc51")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("list.csv", b"<!DOCTYPE html><title>Log in</title>"),
        ("list.tsv", b"\xff\xfe\x00"),
        ("x.ckpt", b"  <html><body>Welcome to the hotel"),
        ("x.pth", b"PK\x03\x04 the beginning of an archive"),
        ("a.zip", b"<!DOCTYPE html><title>Log in</title>"),
    ],
)
def test_what_is_not_the_file_is_never_recorded_as_it(server, bring, lock, tmp_path, name, body):
    """The answer of a captive portal, or of a server that hung up without having said a length."""
    made = zip_of(tmp_path / "made.zip", ("a.wav", b"sound"))
    good = made.read_bytes() if name == "a.zip" else b"1,2\n"
    unpack = {"unpack": {}} if name == "a.zip" else {}
    url = server.url(f"/{name}", in_turn(lambda h: h.send(body, declared=None), ranged(good)))
    entry = entry_of({"name": name, "urls": [url], **unpack})
    with pytest.raises(UserError, match=f"{name}: .*fetch it again"):
        bring(entry)
    assert lock.read() == {}
    assert bring(entry) == {name: hashlib.sha256(good).hexdigest()}
    assert lock.read()[f"set/{name}"]["bytes"] == len(good)


def test_an_unanswered_registry_leaves_a_file_unverified_and_unrecorded(
    server, bring, lock, tmp_path, monkeypatch, capsys
):
    url = server.url("/list.csv", ranged(b"1,2"))
    monkeypatch.setattr(download, "ZENODO", server.url("/records", status(503)))
    entry = entry_of({"name": "list.csv", "urls": [url], "zenodo": 1})
    server.answers["/records/1"] = status(503)
    for _ in range(2):
        bring(entry)
        assert lock.read() == {}
    assert "list.csv: unverified, for zenodo.org did not say" in capsys.readouterr().out


def test_the_remedy_for_a_file_that_was_replaced_works(server, bring, lock, tmp_path):
    url = server.url("/list.csv", in_turn(ranged(b"1,2"), ranged(b"3,4")))
    entry = entry_of({"name": "list.csv", "urls": [url]})
    bring(entry)
    (tmp_path / "data" / "list.csv").unlink()
    with pytest.raises(UserError, match=rf"take its entry out of {lock.path}"):
        bring(entry)
    recorded = lock.read()
    del recorded["set/list.csv"]
    write_json(lock.path, recorded)
    bring(entry)
    assert (tmp_path / "data" / "list.csv").read_bytes() == b"3,4"
