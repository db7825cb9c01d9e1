"""data.dvc is what DVC itself would write, and other bytes are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench import pin
from bench.files import UserError


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
