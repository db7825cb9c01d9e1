"""The check of a GPU, rehearsed on the CPU from end to end; compiling needs g++."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.files import read_json

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.system


def test_every_step_is_rehearsed_in_the_time_that_it_claims(tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    command = [sys.executable, "-m", "bench"]
    check = [*command, "gpu-check", "--device", "cpu", "--output", str(path)]
    printed = subprocess.run(check, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    show = [*command, "speed", "--show", str(path)]
    shown = subprocess.run(show, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = read_json(path)
    assert {step["outcome"] for step in found["steps"]} == {"done"}
    assert sum(step["seconds"] for step in found["steps"]) < 12 * 60
    assert [row["compiled"] for row in found["rates"] if row["model"] == "htsat"] == [False, True]
    assert {"parity", "trainings", "rates", "hours", "pipeline"} <= found.keys()
    assert printed.endswith(shown)
