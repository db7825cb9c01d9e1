"""How fast audio files are turned into features, compared with loops over librosa and
torchlibrosa."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from bench.audio.frontend import Transform
from bench.corpora import save
from bench.corpora.base import assemble
from bench.data.features import featurize
from speed.timing import interleaved, ratios, spread

SECONDS, FILE_RATE = 10, 44_100
BUDGET_S = 60.0
FRONT_END = Transform(
    kind="logmel", sample_rate=32_000, window=1024, hop=320, mels=64, fmin=50.0, fmax=14000.0
)


def from_files(rounds: int, clips: int) -> list[dict[str, Any]]:
    """The featurize stage on every core, and in one process, compared with the usual loops.

    Files are 10 s of 16-bit noise at 44.1 kHz (WAV), features HTS-AT's log-mel at 32 kHz. The loops
    decode and resample with librosa.load (soxr_hq, as here) and keep the result in memory; ours
    also hashes no file again, writes the features to the disk and flushes them.
    """
    import librosa
    import torch
    from torchlibrosa.stft import LogmelFilterBank, Spectrogram

    window, hop, mels = FRONT_END.window, FRONT_END.hop, FRONT_END.mels
    rate = FRONT_END.sample_rate
    edges: dict[str, Any] = {"fmin": FRONT_END.fmin, "fmax": FRONT_END.fmax}
    transform = torch.nn.Sequential(
        Spectrogram(window, hop),
        LogmelFilterBank(rate, window, mels, **edges, amin=1e-10, top_db=None),
    )
    cores = len(os.sched_getaffinity(0))
    with TemporaryDirectory() as folder:
        paths = _write(Path(folder, "audio"), clips)
        names = [path.name for path in paths]
        table = {
            "clip": names, "path": names, "start_s": 0.0, "duration_s": float(SECONDS),
            "split": "train", "fold": -1, "group": names, "labels": [[]] * clips,
        }  # fmt: skip
        corpus = assemble(
            "speed", Path(folder, "audio"), (), pd.DataFrame(table), multilabel=True, synthetic=True
        )
        saved = Path(folder, "corpus")
        save(corpus, saved)
        calls = iter(range(1_000_000))

        def ours(workers: int) -> None:
            number = str(next(calls))  # another folder and code digest: nothing is kept from before
            featurize(saved, FRONT_END, Path(folder, number), code=number, workers=workers)

        def by_librosa() -> list[np.ndarray]:
            found = []
            for path in paths:
                wave, _ = librosa.load(path, sr=rate)
                power = librosa.feature.melspectrogram(
                    y=wave, sr=rate, n_fft=window, hop_length=hop, n_mels=mels, **edges
                )
                found.append(librosa.power_to_db(power, amin=1e-10, top_db=None))
            return found

        def by_torchlibrosa() -> list[torch.Tensor]:
            with torch.no_grad():
                waves = (librosa.load(path, sr=rate)[0] for path in paths)
                return [transform(torch.from_numpy(wave)[None]) for wave in waves]

        steps: dict[str, Callable[[], object]] = {
            "all": lambda: ours(cores),
            "one": lambda: ours(1),
            "librosa": by_librosa,
            "torchlibrosa": by_torchlibrosa,
        }
        # Wall-clock time, because workers' CPU time is not counted here.
        seconds = interleaved(steps, rounds, BUDGET_S, time.perf_counter)
    speed = clips / spread(seconds["all"])["median"]
    what = f"files of 10 s to log-mel, {cores} cores"
    rows: list[dict[str, Any]] = [{"what": what, "value": speed, "unit": "clips/s"}]
    for key, name in (("all", f"ours on {cores} cores"), ("one", "ours in one process")):
        for peer in ("librosa", "torchlibrosa"):
            ratio = ratios(seconds[peer], seconds[key])
            what = f"files to log-mel: {name} / a {peer} loop"
            rows.append({"what": what, "value": ratio["median"], "unit": "times", "spread": ratio})
    return rows


def _write(folder: Path, clips: int) -> list[Path]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.wav" for number in range(clips)]
    for path in paths:
        soundfile.write(path, 0.1 * rng.standard_normal(SECONDS * FILE_RATE), FILE_RATE)
    return paths
