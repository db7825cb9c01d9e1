"""`python -m bench fetch`, from an experiment to a data set that its loader reads."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import yaml
from http_server import ranged

from bench.__main__ import main
from bench.corpora import load
from bench.sources import registry

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "FOLDER", tmp_path / "registry")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def archive_of_esc50(path: Path) -> bytes:
    header = "filename,fold,target,category,esc10,src_file,take\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ESC-50-0123/meta/esc50.csv", header + "1-9-A-0.wav,1,0,dog,True,9,A\n")
        archive.writestr("ESC-50-0123/audio/1-9-A-0.wav", b"RIFF sound")
        archive.writestr("ESC-50-0123/setup.py", b"print()")
    return path.read_bytes()


def test_an_experiment_fetches_its_data_set_and_the_loader_reads_it(
    here: Path, server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = registry.read_yaml(registry.DATA)
    url = server.url("/a.zip", ranged(archive_of_esc50(here / "made.zip")))
    unpack = {"from_first": ["audio", "meta"]}
    entries["esc50"]["files"] = [{"name": "a.zip", "urls": [url], "unpack": unpack}]
    (here / "data.yaml").write_text(yaml.safe_dump(entries))
    monkeypatch.setattr(registry.find_entry, "__defaults__", (here / "data.yaml",))
    monkeypatch.setattr(registry.LockFile.__init__, "__defaults__", (here / "lock.json",))
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
