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
from factories import ARCHIVES
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


REAL = str(ROOT / "config" / "real.yaml")
DATASETS = {"esc10": "esc10", "fsdd": "digits"}  # source -> data set of config/real.yaml
NAMES = {
    "esc10": [f"00{n} - Class {n}/{fold}-{n}{fold}-A.ogg" for n in (1, 2) for fold in (1, 2, 3)],
    "fsdd": [f"recordings/{digit}_speaker_{take}.wav" for digit in (0, 1) for take in (0, 1, 2)],
}


class ClipByClip:
    """Six clips of a data set of config/real.yaml whose files are verified one by one, and the file
    that credits their authors."""

    def __init__(self, source: str) -> None:
        self.source = source
        names = (*NAMES[source], "README.md")
        self.clips = {name: f"content of {name}".encode() for name in names}
        self.archive = registry.read_yaml(registry.DATA)[source]["files"][0]["name"]

    def pack(self, path: Path, clips: dict[str, bytes] | None = None) -> bytes:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (self.clips if clips is None else clips).items():
                archive.writestr(f"top-553c/{name}", content)
            archive.writestr("top-553c/ESC-10.png", b"a picture that no copy needs to have")
        return path.read_bytes()

    def fetch(self, *options: str) -> int:
        return main(["fetch", DATASETS[self.source], "--config", REAL, *options])

    def fetched(self) -> set[str]:
        found = Path("data/real") / self.source
        paths = {path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file()}
        return paths & {*self.clips, "ESC-10.png"}


@pytest.fixture(params=NAMES)
def clip_by_clip(
    request: pytest.FixtureRequest, here: Path, server, register: Callable[[object], None]
) -> Iterator[ClipByClip]:
    """Two data sets whose clips come from the local server, each with its sha256."""
    made = ClipByClip(request.param)
    entries = registry.read_yaml(registry.DATA)
    entries[made.source]["files"][0]["urls"] = [server.url("/a.zip", whole())]
    register(entries)
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in made.clips.items()]
    (here / "registry" / "sums").mkdir(parents=True)
    (here / "registry" / "sums" / f"{made.source}.txt").write_text("".join(sums))
    registry.read_sums.cache_clear()
    yield made
    registry.read_sums.cache_clear()


def test_an_archive_is_verified_file_by_file_whatever_its_own_bytes(
    here: Path, server, clip_by_clip: ClipByClip
) -> None:
    body = clip_by_clip.pack(here / "made.zip")
    server.answers["/a.zip"] = ranged(body, cut=300, ETag='"v1"')
    assert clip_by_clip.fetch() == 0
    assert clip_by_clip.fetched() == {*clip_by_clip.clips}  # and no picture
    assert not (here / "lock.json").exists()
    assert len(server.requests) > 1  # the connection was cut, and taken up again
    asked = len(server.requests)
    assert clip_by_clip.fetch() == 0
    assert len(server.requests) == asked


@pytest.mark.parametrize("cut", [None, 400])
def test_a_connection_that_stays_cut_leaves_nothing(
    here: Path, server, clip_by_clip: ClipByClip, cut: int | None,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(
        fetch.fetch, "__kwdefaults__", {**fetch.fetch.__kwdefaults__, "pause": lambda s: None}
    )
    body = clip_by_clip.pack(here / "made.zip")
    server.answers["/a.zip"] = whole(body, cut=200) if cut is None else whole(body[:cut])
    assert clip_by_clip.fetch() == 2
    assert clip_by_clip.archive in capsys.readouterr().err
    assert not clip_by_clip.fetched()
    server.answers["/a.zip"] = whole(body)
    assert clip_by_clip.fetch() == 0


@pytest.mark.parametrize("source", DATASETS)
def test_credits_are_among_the_files_that_are_kept(source: str) -> None:
    assert "README.md" in registry.read_sums(f"{source}.txt")


def test_wrong_and_missing_clips_are_named_and_nothing_is_taken(
    here: Path, server, clip_by_clip: ClipByClip, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = clip_by_clip.clips
    wrong = {**clip_by_clip.clips, first: b"another sound"}
    del wrong[second]
    body = clip_by_clip.pack(here / "made.zip", wrong)
    server.answers["/a.zip"] = ranged(body)
    assert clip_by_clip.fetch() == 2
    said = capsys.readouterr().err
    assert f"{first} is another file (sha256 " in said
    assert f"{second} is missing" in said
    assert not clip_by_clip.fetched()
    brought = here / "brought" / clip_by_clip.archive
    brought.parent.mkdir()
    for damaged in (body, body[:-100]):
        brought.write_bytes(damaged)
        assert clip_by_clip.fetch("--from", str(brought.parent)) == 2
    clip_by_clip.pack(brought)
    assert clip_by_clip.fetch("--from", str(brought.parent)) == 0
    assert clip_by_clip.fetched() == {*clip_by_clip.clips}
    assert brought.is_file()


def test_a_folder_that_holds_nothing_that_is_wanted_is_said(
    here: Path, server, clip_by_clip: ClipByClip, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clip_by_clip.fetch("--from", str(here / "gone")) == 2
    assert f"--from {here / 'gone'}: no such folder" in capsys.readouterr().err
    server.answers["/a.zip"] = ranged(clip_by_clip.pack(here / "made.zip"))
    (here / "empty").mkdir()
    assert clip_by_clip.fetch("--from", str(here / "empty")) == 0
    said = capsys.readouterr().out
    assert f"--from {here / 'empty'}: holds none of {clip_by_clip.archive}" in said


@pytest.mark.parametrize(
    ("source", "pattern", "clips"), [("esc10", "*/*.ogg", 400), ("fsdd", "recordings/*.wav", 3000)]
)
def test_the_public_archives_arrive_whole_with_their_credits(
    here: Path, server, register: Callable[[object], None], monkeypatch: pytest.MonkeyPatch,
    source: str, pattern: str, clips: int,
) -> None:  # fmt: skip
    entries = registry.read_yaml(registry.DATA)
    (file,) = entries[source]["files"]
    archive = ARCHIVES / file["name"]
    if not archive.is_file():
        pytest.skip(f"{archive} is not there")
    file["urls"] = [server.url("/a.zip", ranged(archive.read_bytes()))]
    register(entries)
    monkeypatch.setattr(registry, "FOLDER", ROOT / "config" / "registry")
    assert main(["fetch", DATASETS[source], "--config", REAL]) == 0
    found = Path("data/real") / source
    assert len(list(found.glob(pattern))) == clips
    assert (found / "README.md").is_file()


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
