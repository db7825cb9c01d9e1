"""Memory of featurizing does not grow with the corpus, but for a row of its table per clip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

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
save(corpus, folder / "saved")
"""
FEATURES = """
import resource, sys
from pathlib import Path

from bench.audio.frontend import FrontEnd
from bench.data.features import featurize

folder, count = Path(sys.argv[1]), int(sys.argv[2])
front_end = FrontEnd(
    kind="logmel", sample_rate=16000, window=1024, hop=320, mels=32, fmin=50, fmax=8000
)
made = featurize(folder / "saved", front_end, folder / "features", code="1", workers=2)
assert made == count
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
    for script in (CORPUS, FEATURES):  # two stages, two processes
        command = [sys.executable, "-c", script, str(folder), str(clips)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    own, worker = map(float, done.stdout.split()[-2:])
    print(f"{clips} clips: {own:.0f} MB, workers {worker:.0f} MB")
    return own, worker


@pytest.mark.long
def test_memory_stays_flat_from_1000_to_100000_clips(tmp_path: Path) -> None:
    peaks = {clips: peak_mb(tmp_path / str(clips), clips) for clips in (1_000, 10_000, 100_000)}
    for few, many in zip(peaks[1_000], peaks[100_000], strict=True):
        assert many < 1.15 * few, peaks
