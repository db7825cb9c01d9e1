"""Real file systems that fill up or cannot be written, under the real commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from factories import ROOT, make_config, make_inputs

pytestmark = pytest.mark.system

CELL = "desed/htsat/base/seed0"
RECIPES = {"base": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3}}


def train(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "train", CELL, "--config", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 100 MB of memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def experiment(folder: Path) -> Path:
    settings = make_config(folder, seeds=(0,), recipes=RECIPES, ablations={})
    make_inputs(settings)
    path = folder.parent / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    return path


def test_a_disk_that_fills_up_is_one_line_and_with_room_the_same_command_ends_well(
    small_disk: Path,
) -> None:
    path = experiment(small_disk)
    filler = small_disk / "filler"
    with open(filler, "wb") as file:  # leaves room for a part of the first state
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free - 500_000)
    done = train(path)
    assert done.returncode == 2, done.stderr
    print(done.stderr)
    assert done.stderr.splitlines()[-1].startswith("error: [Errno 28] No space left on device")
    folder = small_disk / "results" / "runs" / CELL
    assert not (folder / "training.json").exists()
    assert not [p for p in small_disk.rglob("*") if ".tmp" in p.name]
    filler.unlink()
    done = train(path)
    assert done.returncode == 0, done.stderr
    assert (folder / "training.json").exists()


def test_a_read_only_disk_is_one_line_and_writable_again_it_ends_well(small_disk: Path) -> None:
    path = experiment(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = train(path)
    assert done.returncode == 2, done.stderr
    assert "cannot be written (Read-only file system)" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert train(path).returncode == 0
