"""How the memory of the stages grows with the corpus: not at all, or by so much."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from factories import ROOT, make_config

from bench.experiment import folders

RATE = 16_000
CELL = "speechcommands/linear/base/seed0"
CORPUS = """
import sys
from pathlib import Path

import pandas as pd

from bench.corpora import save
from bench.corpora.base import assemble

folder, count = Path(sys.argv[1]), int(sys.argv[2])
names = [f"{n // 1000:03d}/{n:06d}.wav" for n in range(count)]
table = {
    "clip": names, "path": names, "start_s": 0.0, "duration_s": 1.0,
    "split": ["validation" if n % 10 == 8 else "test" if n % 10 == 9 else "train"
              for n in range(count)],
    "fold": -1, "group": names, "labels": [[f"class {n // 10 % 5}"] for n in range(count)],
}
classes = [f"class {n}" for n in range(5)]
corpus = assemble("t", folder, classes, pd.DataFrame(table), multilabel=False, synthetic=True)
save(corpus, folder / "work/corpora/speechcommands")
"""
STAGES = {
    "featurize": ["featurize", "speechcommands", "logmel", "--workers", "2"],
    "train": ["train", CELL],
    "evaluate": ["evaluate", CELL],
    "track": ["track"],
    "report": ["report"],
}
STAGE = """
import resource, sys

from bench.__main__ import main

assert main(sys.argv[1:]) == 0
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(own / 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def _python(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


def _experiment(folder: Path) -> dict[str, Any]:
    """One linear model on the default's words."""
    full = make_config(folder).model_dump(mode="json")
    return make_config(
        folder,
        seeds=(0,),
        datasets={"speechcommands": full["datasets"]["speechcommands"]},
        models={"linear": full["models"]["linear"]},
        recipes={"base": full["recipes"]["base"]},
        localization={},
        ablations={},
        cost={},
    ).model_dump(mode="json")


def peaks_mb(folder: Path, clips: int) -> dict[str, float]:
    """Peak resident memory of each stage's process, and of featurizing's largest worker, in MB."""
    sounds = folder / "sounds"
    sounds.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(50):
        soundfile.write(sounds / f"{number}.wav", 0.1 * rng.standard_normal(RATE), RATE)
    for number in range(clips):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.wav"
        path.parent.mkdir(exist_ok=True)
        os.link(sounds / f"{number % 50}.wav", path)
    experiment = folder / "experiment.yaml"
    experiment.write_text(yaml.safe_dump(_experiment(folder)))
    folders.load(experiment)  # the corpus is not the first file in its folder
    _python(CORPUS, str(folder), str(clips))
    peaks = {}
    for stage, arguments in STAGES.items():
        printed = _python(STAGE, *arguments, "--config", str(experiment))
        own, worker = map(float, printed.split()[-2:])
        peaks |= {stage: own} | ({"worker": worker} if stage == "featurize" else {})
    print(f"{clips} clips:", ", ".join(f"{name} {peak:.0f} MB" for name, peak in peaks.items()))
    return peaks


@pytest.mark.long
def test_memory_of_the_stages_from_1000_to_100000_clips(tmp_path: Path) -> None:
    """Evaluation and the report hold the table of clips, no more than 2 kB a clip."""
    peaks = {clips: peaks_mb(tmp_path / str(clips), clips) for clips in (1_000, 10_000, 100_000)}
    for stage in ("featurize", "worker", "track"):
        assert peaks[100_000][stage] < 1.15 * peaks[1_000][stage], (stage, peaks)
    for stage in ("evaluate", "report"):
        growth = (peaks[100_000][stage] - peaks[1_000][stage]) * 2**10 / 99_000
        assert growth < 2, (stage, peaks)
