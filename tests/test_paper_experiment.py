"""The full-size experiment is listed, planned and asked for by targets before any data is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.experiment import config
from bench.experiment.cells import list_cells
from bench.experiment.jobs import list_jobs
from bench.ops.plan import table

ROOT = Path(__file__).resolve().parent.parent
PAPER = ROOT / "config" / "paper.yaml"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_plan_tells_jobs_gpu_hours_and_disk(elsewhere: Path) -> None:
    settings = config.load(PAPER)
    text = table(settings)
    assert re.search(rf"train +{len(list_cells(settings))} +0 ", text)
    hours = int(re.search(r"training: about ([\d,]+) GPU-hours", text)[1].replace(",", ""))
    assert 200 < hours < 5000
    assert re.search(r"disk ahead: about [\d.]+ GB .*fetched audioset 2465\.0", text)
    assert "not counted" not in text


def test_a_target_is_listed_without_the_rest(elsewhere: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "-n", "small"]
    done = subprocess.run(
        [*command, "--configfile", str(PAPER)], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    settings = config.load(PAPER)
    small = [
        job
        for job in list_jobs(settings)
        if job.stage == "train" and job.cell.dataset != "audioset"
    ]
    assert len(re.findall(r"^Job \d+: train ", said, re.MULTILINE)) == len(small)
    assert set(re.findall(r": fetch (\S+)", said)) == {
        "audioset_balanced",
        "esc50",
        "speechcommands",
        "desed",
    }
