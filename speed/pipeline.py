"""Speed of the rest: reading and computing features, scoring, and listing the DAG's jobs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench.code_digest import ROOT
from speed.feeding import feeding
from speed.files import from_files
from speed.reading import against_hdf5, ahead
from speed.timing import interleaved, ratios, spread

Row = dict[str, Any]
CLIPS, CLASSES = 20_000, 527  # AudioSet's evaluation set
RATE = 32_000
LOGMEL: dict[str, Any] = {"window": 1024, "hop": 320, "mels": 64, "fmin": 50, "fmax": 14000}


def measure(*, quick: bool) -> list[Row]:
    """Rows of {what, value, unit}, and `spread` where a figure is a median of rounds."""
    rounds = 3 if quick else 7
    rows = ahead(rounds, clips=256 if quick else 4096)
    rows += against_hdf5(rounds, clips=256 if quick else 2048)
    rows += feeding(rounds)
    rows += featurizing(rounds)
    rows += from_files(rounds, clips=64 if quick else 512)
    rows += scoring(CLIPS // (10 if quick else 1))
    return rows + ([] if quick else listing())


def _row(what: str, value: float, unit: str, **more: Any) -> Row:
    return {"what": what, "value": value, "unit": unit, **more}


def featurizing(rounds: int) -> list[Row]:
    """Log-mel of 10 s at 32 kHz against librosa and torchlibrosa, on one thread each."""
    import librosa
    import torch
    from torchlibrosa.stft import LogmelFilterBank, Spectrogram

    from bench.audio.logmel import logmel

    wave = np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)
    window, hop, mels = LOGMEL["window"], LOGMEL["hop"], LOGMEL["mels"]
    edges = {"fmin": LOGMEL["fmin"], "fmax": LOGMEL["fmax"]}

    def by_librosa() -> Any:
        power = librosa.feature.melspectrogram(
            y=wave, sr=RATE, n_fft=window, hop_length=hop, n_mels=mels, pad_mode="reflect", **edges
        )
        return librosa.power_to_db(power, amin=1e-10, top_db=None)

    transform = torch.nn.Sequential(
        Spectrogram(window, hop),
        LogmelFilterBank(RATE, window, mels, **edges, amin=1e-10, top_db=None),
    )

    def by_torchlibrosa() -> Any:
        with torch.no_grad():
            return transform(torch.from_numpy(wave)[None])

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = interleaved(
        {
            "ours": lambda: logmel(wave, sample_rate=RATE, **LOGMEL),
            "librosa": by_librosa,
            "torchlibrosa": by_torchlibrosa,
        },
        4 * rounds,
    )
    torch.set_num_threads(threads)
    rows = [_row("log-mel of 10 s", 1e3 * spread(seconds["ours"])["median"], "ms")]
    for peer in ("librosa", "torchlibrosa"):
        ratio = ratios(seconds[peer], seconds["ours"])
        rows.append(_row(f"log-mel: ours / {peer}", ratio["median"], "times", spread=ratio))
    return rows


def scoring(clips: int) -> list[Row]:
    """Tagging metrics of AudioSet's size; PSDS and the bootstrap of DESED's."""
    from bench.metrics.event_arrays import FrameScores, encode
    from bench.metrics.psds import psds
    from bench.metrics.resampling import resample
    from bench.metrics.tagging import tagging_metrics
    from bench.metrics.weighted import weighted_map

    scores, targets = random_scores(clips, CLASSES)
    names = [f"class {number}" for number in range(CLASSES)]
    size = f"{clips:,} x {CLASSES} scores"
    rows = [
        _seconds(
            f"all tagging metrics of {size}",
            lambda: tagging_metrics(scores, targets, names, multilabel=True),
        )
    ]
    frames, reference, durations = random_soundscapes(692, 10, 32)
    labels = tuple(sorted(set(reference["event_label"])))
    seconds = np.array(list(durations.values()), np.float64)
    scored = FrameScores(frames, 10 / 32, tuple(durations), labels, seconds)
    truth = encode(reference, durations, labels)
    rows.append(
        _seconds(
            "PSDS of 692 clips x 32 frames x 10 classes, every threshold",
            lambda: psds(scored, truth),
        )
    )
    weighted = weighted_map(scores[:2000, :50], targets[:2000, :50])
    rows.append(
        _seconds(
            "bootstrap of mAP, 1,000 resamples of 2,000 clips x 50 classes, 3 seeds",
            lambda: resample(
                lambda weights: np.stack([weighted(weights) for _ in range(3)], axis=1),
                np.arange(min(clips, 2000)),
            ),
        )
    )
    return rows


def random_scores(clips: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, C) float32 and 0/1 targets with about two labels a clip."""
    rng = np.random.default_rng(0)
    targets = (rng.random((clips, classes)) < 2 / classes).astype(np.float32)
    return rng.random((clips, classes), np.float32) + 0.3 * targets, targets


def random_soundscapes(clips: int, classes: int, frames: int) -> tuple[np.ndarray, Any, Any]:
    """Frame scores (N, T, C), four events of 2 s a clip, and durations of 10 s."""
    import pandas as pd

    rng = np.random.default_rng(0)
    names = [f"clip {number}" for number in range(clips)]
    onsets = rng.uniform(0, 8, (clips, 4))
    reference = pd.DataFrame(
        {
            "filename": np.repeat(names, 4),
            "onset": onsets.ravel(),
            "offset": onsets.ravel() + 2,
            "event_label": [f"class {k}" for k in rng.integers(0, classes, 4 * clips)],
        }
    )
    scores = rng.random((clips, frames, classes), np.float32)
    return scores, reference, dict.fromkeys(names, 10.0)


def listing() -> list[Row]:
    """`snakemake -n` of the default and of the paper experiment."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--configfile"]

    def dry_run(experiment: str) -> None:
        subprocess.run(
            [*command, f"config/{experiment}.yaml"], cwd=ROOT, check=True, capture_output=True
        )

    return [
        _seconds(f"snakemake -n, {experiment} experiment", partial(dry_run, experiment))
        for experiment in ("default", "paper")
    ]


def _seconds(what: str, work: Callable[[], Any]) -> Row:
    start = time.perf_counter()
    work()
    return _row(what, time.perf_counter() - start, "s")
