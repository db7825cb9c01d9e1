"""The full-size experiment is listed, planned and asked for by targets before any data is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.experiment import config
from bench.experiment.cells import list_cells, plan
from bench.experiment.jobs import list_jobs
from bench.experiment.released import read_registry
from bench.experiment.wanted import starts
from bench.ops.plan import table

ROOT = Path(__file__).resolve().parent.parent
STARTS = {
    "swin-tiny-c24": "swin_tiny_c24_patch4_window8_256.pth",
    "deit-base-distilled-384": "deit_base_distilled_patch16_384-d0272ac0.pth",
    "htsat-audioset-1": "HTSAT_AudioSet_Saved_1.ckpt",
    "ast-audioset-10": "audioset_10_10_0.4593.pth",
    "pann-cnn14": "Cnn14_mAP=0.431.pth",
    "pann-decision-max": "Cnn14_DecisionLevelMax_mAP=0.385.pth",
}
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
    assert re.search(r"disk ahead: about [\d.,]+ GB .*fetched audioset 2,465\.0", text)
    assert "without hours" not in text
    for name in STARTS:
        assert re.search(rf"fetched checkpoints/{name} 0\.[1-4]", text), name


def test_starts_are_files_of_the_registry_that_fit_their_models() -> None:
    settings = config.load(PAPER)
    files = {name: entry.file for name, entry in read_registry().items()}
    assert {name: files[name] for name in starts(settings)} == STARTS
    for cell in list_cells(settings):
        resolved = plan(settings, cell)
        assert (resolved.start is None) == (resolved.recipe.init == "random"), cell


def test_ranked_models_learn_desed_from_the_same_labels() -> None:
    settings = config.load(PAPER)
    supervised = {
        (cell.model, cell.variant): plan(settings, cell).recipe.supervision
        for cell in list_cells(settings)
        if cell.dataset == "desed"
    }
    assert {kind for (_, variant), kind in supervised.items() if variant == "base"} == {"weak"}
    both = {model for (model, _), kind in supervised.items() if kind == "both"}
    assert both == {"htsat", "pann"}


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
        *(f"checkpoints/{name}" for name in STARTS),
    }
