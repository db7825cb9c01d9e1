"""Speed of reading features in random order: from memory, from disk, and beside HDF5 readers."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.training.loading import read_ahead
from speed.made_up import random_store, stored
from speed.timing import interleaved, ratios

BATCH, FRAMES, MELS = 128, 1001, 64
RATE = 32_000


def ahead(rounds: int, clips: int) -> list[dict[str, Any]]:
    """Batches of full-size features, read ahead as a training does, each clip once per round.

    From disk means that the file has left the page cache before the round, so that no clip is in
    memory: what a store costs that is larger than memory.
    """
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "features.npy"
        random_store(clips, FRAMES, MELS, path.parent)
        for source, prepare in PREPARED.items():
            for workers in (1, 2):
                wall, cpu = [], []
                for _ in range(rounds):
                    prepare(path)
                    seconds, worked = _once(path, rng.permutation(clips), workers)
                    wall.append(seconds)
                    cpu.append(worked)
                what = f"batches of {BATCH} read ahead from {source} by {workers} thread"
                what += "s" if workers > 1 else ""
                rows += [
                    {"what": what, "value": clips / median(wall), "unit": "clips/s"},
                    {
                        "what": f"{what}: CPU time per clip",
                        "value": 1e6 * median(cpu) / clips,
                        "unit": "µs",
                    },
                ]
    return rows


def _once(path: Path, order: np.ndarray, workers: int) -> tuple[float, float]:
    """Seconds, and CPU seconds, of reading these clips. Nothing maps the file afterwards: what is
    mapped cannot leave the page cache."""
    store = stored(np.load(path, mmap_mode="r"), FRAMES)
    batches = np.array_split(order, len(order) // BATCH)
    started, worked = time.perf_counter(), time.process_time()
    for _ in read_ahead(partial(store.batch, frames=FRAMES), batches, workers):
        pass
    return time.perf_counter() - started, time.process_time() - worked


def against_hdf5(rounds: int, clips: int) -> list[dict[str, Any]]:
    """Random batches from the feature store against per-clip HDF5 readers, all in the cache.

    The authors of PANNs and HTS-AT open the file for each clip and read its int16 waveform; that,
    and the same on our float16 features, is the comparison.
    """
    import h5py

    rng = np.random.default_rng(0)
    batch = min(BATCH, clips // 2)
    with TemporaryDirectory() as folder:
        packs = {"waveforms": Path(folder) / "waves.h5", "features": Path(folder) / "features.h5"}
        with h5py.File(packs["waveforms"], "w") as file:
            file.create_dataset("clip", (clips, 10 * RATE), np.int16)[:] = 1
        store = random_store(clips, FRAMES, MELS, Path(folder))
        with h5py.File(packs["features"], "w") as file:
            file.create_dataset("clip", data=store.data.reshape(clips, FRAMES, MELS))

        def from_store() -> np.ndarray:
            return store.batch(rng.permutation(clips)[:batch], frames=FRAMES)

        def from_pack(path: Path) -> np.ndarray:
            items = []
            for clip in rng.permutation(clips)[:batch]:
                with h5py.File(path, "r") as file:
                    items.append(file["clip"][clip].astype(np.float32))
            return np.stack(items)

        seconds = interleaved(
            {
                "store": from_store,
                "waveforms": lambda: from_pack(packs["waveforms"]),
                "features": lambda: from_pack(packs["features"]),
            },
            rounds,
        )
    rows: list[dict[str, Any]] = [
        {
            "what": f"random clips from {name}",
            "value": batch / median(seconds[key]),
            "unit": "clips/s",
        }
        for key, name in (
            ("store", "the feature store"),
            ("waveforms", "HDF5, file opened per clip, int16 waveforms"),
            ("features", "HDF5, file opened per clip, float16 features"),
        )
    ]
    for key in ("waveforms", "features"):
        ratio = ratios(seconds[key], seconds["store"])
        what = f"feature store / HDF5 of {key}"
        rows.append({"what": what, "value": ratio["median"], "unit": "times", "spread": ratio})
    return rows


def _into_memory(path: Path) -> None:
    path.read_bytes()


def _out_of_memory(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


PREPARED = {"memory": _into_memory}
if hasattr(os, "posix_fadvise"):  # macOS has none
    PREPARED["disk"] = _out_of_memory
