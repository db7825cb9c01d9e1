"""`python -m bench fetch`, from an experiment to a data set that its loader reads."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from http_server import ranged, whole

from bench.__main__ import main
from bench.corpora import load
from bench.data import obtain
from bench.experiment.wanted import Wanted
from bench.sources import fetch, registry

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "FOLDER", tmp_path / "registry")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def register(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[object], None]]:
    """Puts other entries in the place of the registry."""

    def put(entries: object) -> None:
        (here / "data.yaml").write_text(yaml.safe_dump(entries))
        monkeypatch.setattr(registry, "DATA", here / "data.yaml")
        monkeypatch.setattr(registry.LockFile.__init__, "__defaults__", (here / "lock.json",))
        registry.read_registry.cache_clear()

    yield put
    registry.read_registry.cache_clear()


def archive_of_esc50(path: Path) -> bytes:
    header = "filename,fold,target,category,esc10,src_file,take\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ESC-50-0123/meta/esc50.csv", header + "1-9-A-0.wav,1,0,dog,True,9,A\n")
        archive.writestr("ESC-50-0123/audio/1-9-A-0.wav", b"RIFF sound")
        archive.writestr("ESC-50-0123/setup.py", b"print()")
    return path.read_bytes()


def test_an_experiment_fetches_its_data_set_and_the_loader_reads_it(
    here: Path,
    server,
    register: Callable[[object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    entries = registry.read_yaml(registry.DATA)
    url = server.url("/a.zip", ranged(archive_of_esc50(here / "made.zip")))
    unpack = {"from_first": ["audio", "meta"]}
    entries["esc50"]["files"] = [{"name": "a.zip", "urls": [url], "unpack": unpack}]
    register(entries)
    experiment = ["--config", str(ROOT / "config" / "paper.yaml")]
    assert main(["fetch", "esc50", *experiment]) == 0
    facts = json.loads(Path("work/paper/fetched/esc50.json").read_text())
    assert facts["files"].keys() == {"a.zip"}
    assert load("esc50", "data/real/esc50").coverage == (1, 1)
    assert not Path("data/real/esc50/setup.py").exists()
    assert "CC BY-NC 3.0" in capsys.readouterr().out
    asked = len(server.requests)
    assert main(["fetch", "esc50", *experiment]) == 0
    assert len(server.requests) == asked
    assert main(["fetch", "ecs50", *experiment]) == 2
    assert "did you mean 'esc50'? (valid: audioset, audioset_balanced, " in capsys.readouterr().err


CLIPS = {f"00{n} - Class {n}/{fold}-{n}{fold}-A.ogg": f"sound {n} {fold}".encode()
         for n in (1, 2) for fold in (1, 2, 3)}  # fmt: skip
CLIPS["README.md"] = b"authors and licences of the clips"  # stays beside them


def archive_of_clips(path: Path, clips: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in clips.items():
            archive.writestr(f"ESC-10-553c/{name}", content)
        archive.writestr("ESC-10-553c/ESC-10.png", b"a picture that no copy needs to have")
    return path.read_bytes()


@pytest.fixture
def clip_by_clip(
    here: Path, server, register: Callable[[object], None]
) -> Iterator[Callable[..., int]]:
    """Fetch ESC-10 of six clips, each with its sha256, from the local server."""
    entries = registry.read_yaml(registry.DATA)
    (file,) = entries["esc10"]["files"]
    file["urls"] = [f"http://127.0.0.1:{server.server_address[1]}/esc10.zip"]
    register(entries)
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in CLIPS.items())
    (here / "registry" / "sums").mkdir(parents=True)
    (here / "registry" / "sums" / "esc10.txt").write_text(sums)
    registry.read_sums.cache_clear()

    def fetch(*options: str) -> int:
        config = str(ROOT / "config" / "real.yaml")
        return main(["fetch", "esc10", "--config", config, *options])

    yield fetch
    registry.read_sums.cache_clear()


def test_an_archive_is_verified_file_by_file_whatever_its_own_bytes(
    here: Path, server, clip_by_clip: Callable[..., int]
) -> None:
    server.answers["/esc10.zip"] = ranged(
        archive_of_clips(here / "made.zip", CLIPS), cut=300, ETag='"v1"'
    )
    assert clip_by_clip() == 0
    found = Path("data/real/esc10")
    files = {p.relative_to(found).as_posix() for p in found.rglob("*") if p.is_file()}
    assert {name for name in files if not name.startswith(".")} == set(CLIPS)
    assert not (found / "ESC-10.png").exists()
    assert not (here / "lock.json").exists()
    assert len(server.requests) > 1  # the connection was cut, and taken up again
    asked = len(server.requests)
    assert clip_by_clip() == 0
    assert len(server.requests) == asked


@pytest.mark.parametrize("cut", [None, 400])
def test_a_connection_that_stays_cut_leaves_nothing(
    here: Path, server, clip_by_clip: Callable[..., int], cut: int | None,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(
        fetch.fetch, "__kwdefaults__", {**fetch.fetch.__kwdefaults__, "pause": lambda s: None}
    )
    body = archive_of_clips(here / "made.zip", CLIPS)
    server.answers["/esc10.zip"] = whole(body, cut=200) if cut is None else whole(body[:cut])
    assert clip_by_clip() == 2
    assert "ESC-10-553c8f" in capsys.readouterr().err
    assert not list(Path("data/real/esc10").rglob("*.ogg"))
    server.answers["/esc10.zip"] = whole(body)
    assert clip_by_clip() == 0


@pytest.mark.parametrize("sums", ["esc10.txt", "fsdd.txt"])
def test_credits_are_among_the_files_that_are_kept(sums: str) -> None:
    assert "README.md" in registry.read_sums(sums)


def test_wrong_and_missing_clips_are_named_and_nothing_is_taken(
    here: Path, server, clip_by_clip: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = CLIPS
    wrong = {**CLIPS, first: b"another sound"}
    del wrong[second]
    body = archive_of_clips(here / "made.zip", wrong)
    server.answers["/esc10.zip"] = ranged(body)
    assert clip_by_clip() == 2
    said = capsys.readouterr().err
    assert f"{first} is another file (sha256 " in said
    assert f"{second} is missing" in said
    assert not list(Path("data/real/esc10").rglob("*.ogg"))
    name = "ESC-10-553c8f1743b9dba6b282e1323c3ca8fa76923448.zip"
    (here / "brought").mkdir()
    for damaged in (body, body[:-100]):
        (here / "brought" / name).write_bytes(damaged)
        assert clip_by_clip("--from", str(here / "brought")) == 2
    archive_of_clips(here / "brought" / name, CLIPS)
    assert clip_by_clip("--from", str(here / "brought")) == 0
    assert all(Path("data/real/esc10", name).is_file() for name in CLIPS)
    assert (here / "brought" / name).is_file()


def test_a_folder_that_holds_nothing_that_is_wanted_is_said(
    here: Path, server, clip_by_clip: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert clip_by_clip("--from", str(here / "gone")) == 2
    assert f"--from {here / 'gone'}: no such folder" in capsys.readouterr().err
    server.answers["/esc10.zip"] = ranged(archive_of_clips(here / "made.zip", CLIPS))
    (here / "empty").mkdir()
    assert clip_by_clip("--from", str(here / "empty")) == 0
    assert f"--from {here / 'empty'}: holds none of ESC-10-553c8f" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("loader", "options"),
    [
        ("desed", {"train": "weak", "classes": ["Dog"]}),
        ("audioset", {"train": "full", "validation_share": 0.2}),
        ("audioset_strong", {"validation_share": 0.2}),
    ],
)
def test_missing_clips_are_listed_under_any_option_of_the_loader(
    here: Path, monkeypatch: pytest.MonkeyPatch, loader: str, options: dict
) -> None:
    asked: list[dict] = []
    module = importlib.import_module(f"bench.corpora.{loader}")
    absent = module.absent

    @functools.wraps(absent)
    def listed(root: Path, **given: object) -> list:
        asked.append(given)
        return []

    monkeypatch.setattr(module, "absent", listed)
    entry = registry.read_registry()[loader]
    order = Wanted(loader, entry, here, loader, options)
    assert obtain._clips(loader, order) == {"absent": 0}
    inspect.signature(absent).bind(here, **asked[0])  # else a TypeError
