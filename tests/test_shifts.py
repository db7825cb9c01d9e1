"""Test-time augmentation by circular shifts: exactly the mean over shifted waveforms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from bench.audio.decode import read
from bench.corpora import Corpus
from bench.data.store import FeatureStore
from bench.data.task import Task
from bench.experiment.config import FrontEnd
from bench.models import networks
from bench.models.scoring import score_clips
from bench.models.shifts import score_shifted

RATE, SECONDS = 16000, (5.0, 3.0)
FRONT_END = FrontEnd(
    kind="logmel", sample_rate=RATE, window=1024, hop=640, mels=32, fmin=50, fmax=8000, frames=125,
    fill="silence",
)  # fmt: skip


@pytest.fixture
def task(tmp_path: Path) -> Task:
    rng = np.random.default_rng(0)
    parts = []
    for number, seconds in enumerate(SECONDS):
        noise = rng.normal(0, np.linspace(0.01, 0.2, round(seconds * RATE)))
        soundfile.write(tmp_path / f"{number}.wav", noise, RATE)
        samples = read(tmp_path / f"{number}.wav", RATE)
        parts.append(FRONT_END.features(samples).astype(np.float16))
    clips = pd.DataFrame({"clip": ["0", "1"], "path": ["0.wav", "1.wav"], "start_s": 0.0})
    clips["duration_s"] = SECONDS
    corpus = Corpus("two", tmp_path, ("a", "b"), clips, None, True, True, clips.iloc[:0])
    lengths = np.array([len(part) for part in parts])
    store = FeatureStore(
        np.concatenate(parts), ["0", "1"], np.cumsum(lengths) - lengths, lengths, -100.0, ""
    )
    rows = np.arange(2)
    return Task(corpus, store, FRONT_END, np.zeros((2, 2)), {"test": rows}, rows, None)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return networks.construct("htsat", {"preset": "tiny"}, FRONT_END, 2)


def test_no_shift_changes_nothing(task: Task, model) -> None:
    plain = score_clips(model, task, np.arange(2), "bce")
    for shifts in ((), (0,)):
        assert np.array_equal(
            score_shifted(model, task, np.arange(2), "bce", shifts).clip_scores, plain.clip_scores
        )


def test_scores_are_the_mean_over_shifted_waveforms(task: Task, model) -> None:
    """By hand: pad with zeros to the window, roll to the left, front end, model, mean."""
    expected = []
    for shift in (0, 700, 20000):
        rows = []
        for number in range(2):
            samples = read(task.corpus.root / f"{number}.wav", RATE)
            padded = np.pad(samples, (0, max(0, 124 * 640 - len(samples))))
            rolled = np.concatenate([padded[shift:], padded[:shift]])
            rows.append(FRONT_END.features(rolled)[:125])
        with torch.no_grad():
            output = model.eval()(torch.from_numpy(np.stack(rows)))
        expected.append(output.clip_logits.sigmoid().numpy())
    found = score_shifted(model, task, np.arange(2), "bce", (0, 700, 20000))
    assert found.clip_scores == pytest.approx(np.mean(expected, axis=0), abs=2e-3)
    assert np.abs(expected[0] - expected[2]).max() > 5e-3
    plain = score_clips(model, task, np.arange(2), "bce")
    assert np.array_equal(found.frame_scores, plain.frame_scores)
    assert not np.array_equal(found.clip_scores, plain.clip_scores)
