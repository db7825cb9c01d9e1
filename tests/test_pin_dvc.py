"""data.dvc is what DVC itself would write, and other bytes are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench.__main__ import main
from bench.corpora import build_corpus
from bench.data import pin
from bench.files import UserError
from synth import builder

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data" / "corpus"
    (root / "b" / "c").mkdir(parents=True)
    (root / "b" / "c" / "ä ö.wav").write_bytes(b"\x00\x01\r\n" * 50)
    (root / "b.txt").write_text("one\r\ntwo\n")
    (root / "empty").write_bytes(b"")
    return root


def test_dvc_agrees_with_the_digest(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = pin.folder_entry(Path("data/corpus"))
    Path("data.dvc").write_text(yaml.safe_dump({"outs": [entry]}))
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}

    def dvc(*arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return done.stdout

    dvc("init", "-q", "--no-scm")
    dvc("commit", "-q", "--force", "data.dvc")
    assert "up to date" in dvc("status", "data.dvc")
    assert yaml.safe_load(Path("data.dvc").read_text())["outs"][0]["md5"] == entry["md5"]


TINY = {
    "sources": 10, "clip_seconds": 2.0, "balanced": 18, "unbalanced": 6, "evaluation": 14,
    "esc_classes": 2, "esc_clips": 1, "words": 2, "speakers": 16, "noise_seconds": 1.0, "weak": 5,
    "strong": 5, "validation": 6, "public": 14, "empty_share": 0.3,
}  # fmt: skip


def test_pushed_data_is_pulled_into_a_fresh_clone_and_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Makefile's data-push and data-pull, between two clones and a remote on this disk."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    first, second, store = (tmp_path / name for name in ("first", "second", "store"))

    def call(*command: str, here: Path) -> None:
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    def make(target: str, here: Path, *variables: str) -> None:
        """The target's own recipe, with this environment instead of a new one."""
        stamps = ["-o", ".venv/.runtime", "-o", "environment"]
        (here / "requirements.txt").touch()
        variables = (*variables, f"PYTHONPATH={ROOT}")
        call("make", "-f", str(ROOT / "Makefile"), *stamps, target, *variables, here=here)

    def embed(here: Path) -> dict:
        monkeypatch.chdir(here)
        assert main(["embed", "--config", "config/default.yaml", "--workers", "2"]) == 0
        return json.loads((here / "data/default/manifest.json").read_text())

    experiment = yaml.safe_load((ROOT / "config" / "default.yaml").read_text())
    experiment["embedded"] |= {"sizes": TINY, "pin": None}
    first.mkdir()
    (first / "config").mkdir()
    (first / "config" / "default.yaml").write_text(yaml.safe_dump(experiment))
    (first / ".gitignore").write_text("/data/\n")
    call("git", "init", "-q", here=first)
    call(sys.executable, "-m", "dvc", "init", "-q", here=first)
    built = embed(first)
    experiment["embedded"]["pin"] = "data.dvc"
    (first / "config" / "default.yaml").write_text(yaml.safe_dump(experiment))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    make("data-push", first, f"REMOTE={store}")
    call("git", "add", "-A", here=first)
    identity = ("-c", "user.name=t", "-c", "user.email=t@t")
    call("git", *identity, "commit", "-q", "-m", "pin", here=first)
    call("git", "clone", "-q", str(first), str(second), here=tmp_path)
    make("data-pull", second, f"REMOTE={store}")
    monkeypatch.setattr(builder, "_build", None)  # nothing is rendered again
    pulled = embed(second)
    assert pulled == built
    corpora = [
        build_corpus("esc50", here / "data/default/esc50", here / "work")
        for here in (first, second)
    ]
    assert corpora[0].digest == corpora[1].digest


def test_a_changed_byte_and_a_missing_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    entry = pin.folder_entry(folder) | {"path": "data/corpus"}
    file = tmp_path / "data.dvc"
    file.write_text(yaml.safe_dump({"outs": [entry]}))
    pin.check(file)
    (folder / "empty").write_bytes(b"x")
    with pytest.raises(UserError, match="other bytes than"):
        pin.check(file)
    file.write_text(yaml.safe_dump({"outs": [entry | {"path": "data/absent"}]}))
    with pytest.raises(UserError, match=r"absent: no such folder"):
        pin.check(file)
    with pytest.raises(UserError, match="python -m bench pin"):
        pin.check(tmp_path / "none.dvc")
