"""Memory of featurizing does not grow with the corpus."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parent.parent
RATE = 16_000
CORPUS = """
import sys
from pathlib import Path

import pandas as pd

from bench.corpora import save
from bench.corpora.base import assemble

folder, count = Path(sys.argv[1]), int(sys.argv[2])
names = [f"{n // 1000:03d}/{n:06d}.wav" for n in range(count)]
table = {
    "clip": names, "path": names, "start_s": 0.0, "duration_s": 1.0, "split": "train", "fold": -1,
    "group": names, "labels": [["x"]] * count,
}
corpus = assemble("t", folder, ["x"], pd.DataFrame(table), multilabel=True, synthetic=True)
save(corpus, folder / "work/corpora/speechcommands")
"""
PROFILE = """
extends: {root}/config/default.yaml
paths: {{work: {folder}/work, results: {folder}/results, report: {folder}/report}}
"""
FEATURES = """
import resource, sys
from pathlib import Path

from bench.__main__ import main

profile = str(Path(sys.argv[1], "profile.yaml"))
code = main(["featurize", "speechcommands", "logmel", "--config", profile, "--workers", "2"])
assert code == 0
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(own / 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def peak_mb(folder: Path, clips: int) -> tuple[float, float]:
    """Peak resident memory, in MB, of the process that writes and of the largest worker."""
    sounds = folder / "sounds"
    sounds.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(50):
        soundfile.write(sounds / f"{number}.wav", 0.1 * rng.standard_normal(RATE), RATE)
    for number in range(clips):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.wav"
        path.parent.mkdir(exist_ok=True)
        os.link(sounds / f"{number % 50}.wav", path)
    (folder / "profile.yaml").write_text(PROFILE.format(root=ROOT, folder=folder))
    for script in (CORPUS, FEATURES):  # two stages, two processes
        command = [sys.executable, "-c", script, str(folder), str(clips)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"features of {clips} clips" in done.stdout
    own, worker = map(float, done.stdout.split()[-2:])
    print(f"{clips} clips: {own:.0f} MB, workers {worker:.0f} MB")
    return own, worker


@pytest.mark.long
def test_memory_stays_flat_from_1000_to_100000_clips(tmp_path: Path) -> None:
    peaks = {clips: peak_mb(tmp_path / str(clips), clips) for clips in (1_000, 10_000, 100_000)}
    for few, many in zip(peaks[1_000], peaks[100_000], strict=True):
        assert many < 1.15 * few, peaks
