"""`environment.sh`: .venv is whole or what it was, whatever stops it; known by what it holds."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LISTS = ("requirements.txt", "requirements-test.txt", "requirements-oracles.txt")
PYTHON = """#!/bin/sh
# Stands in for Python: its environments only remember what pip was asked for.
case "$*" in
-V) echo "Python ${VERSION:-3.12.1}" ;;
-c*) [ -z "${UNFIT:-}" ] ;;
"-m venv "*)
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && [ -z "${STOP_VENV:-}" ] || kill -INT "$PPID"
    printf '#!%s/bin/python\\n' "$(cd "$3" && pwd -P)" > "$3/bin/pip" ;;
"-m pip install "*)
    [ -z "${STOP_PIP:-}" ] || kill -INT "$PPID"
    echo "$*" >> "$(dirname "$0")/../installed" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copy(ROOT / "environment.sh", folder)
    for name in LISTS:
        (folder / name).write_text(f"# {name}\n")
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return folder


def make(folder: Path, what: str = "runtime", **variables: str) -> subprocess.CompletedProcess[str]:
    own = {"PYTHON": str(folder.parent / "python"), **variables}
    return subprocess.run(
        ["./environment.sh", what],
        cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def installed(folder: Path) -> list[str]:
    return (folder / ".venv" / "installed").read_text().splitlines()


@pytest.mark.parametrize("arguments", [(), ("all",)])
def test_it_says_what_it_takes(checkout: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(["./environment.sh", *arguments], cwd=checkout, capture_output=True)
    assert done.returncode == 2
    assert done.stderr == b"usage: environment.sh runtime|test\n"


def test_it_is_made_once_and_kept_while_it_holds_what_is_due(checkout: Path) -> None:
    assert make(checkout).returncode == 0
    assert len(installed(checkout)) == 1
    script = (checkout / ".venv" / "bin" / "pip").read_text()
    assert script == f"#!{checkout.resolve()}/.venv/bin/python\n"
    assert make(checkout).returncode == 0
    assert len(installed(checkout)) == 1
    assert make(checkout, "test").returncode == 0
    assert len(installed(checkout)) == 3  # added to what was there
    assert make(checkout).returncode == 0
    assert make(checkout, "test").returncode == 0
    assert len(installed(checkout)) == 3
    assert sorted(path.name for path in checkout.iterdir()) == sorted(
        [".venv", "environment.sh", *LISTS]
    )


def test_other_pins_count_whatever_their_date(checkout: Path) -> None:
    make(checkout)
    (checkout / "requirements.txt").write_text("other==1\n")
    os.utime(checkout / "requirements.txt", (1, 1))
    assert make(checkout).returncode == 0
    assert len(installed(checkout)) == 2


@pytest.mark.parametrize("stop", ["STOP_VENV", "STOP_PIP"])
@pytest.mark.parametrize("before", [False, True])
def test_what_was_there_survives_ctrl_c(checkout: Path, stop: str, before: bool) -> None:
    if before:
        make(checkout)
    (checkout / "requirements.txt").write_text("other==1\n")
    version = {"VERSION": "3.11.9"}  # so that a whole new one is made
    assert make(checkout, **version, **{stop: "1"}).returncode != 0
    assert (checkout / ".venv").exists() == before
    assert not (checkout / ".venv.new").exists()
    assert make(checkout, **version).returncode == 0
    assert len(installed(checkout)) == 1


def test_a_moved_checkout_and_half_an_environment_are_made_anew(checkout: Path) -> None:
    make(checkout)
    moved = checkout.rename(checkout.with_name("moved"))
    assert make(moved).returncode == 0
    assert f"#!{moved.resolve()}/.venv/bin/python\n" == (moved / ".venv/bin/pip").read_text()
    shutil.rmtree(moved / ".venv")
    (moved / ".venv" / "bin").mkdir(parents=True)  # of a `python -m venv` that was stopped
    (moved / ".venv" / "bin" / "python").touch()
    assert make(moved).returncode == 0
    assert len(installed(moved)) == 1


def test_without_a_python_that_fits_it_says_so(checkout: Path) -> None:
    done = make(checkout, UNFIT="1")
    assert done.returncode == 2
    assert "no Python from 3.11 to 3.13" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert make(checkout, PYTHON="/nowhere/python3.12").returncode == 2
    assert not (checkout / ".venv").exists()
