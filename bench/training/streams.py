"""Random streams that depend only on (seed, purpose, epoch, index).

Because no stream depends on how many numbers another one drew, a run is the same for any number of
loader workers, after any interruption, and two cells that share a seed see paired randomness.
"""

from __future__ import annotations

import hashlib

import numpy as np

PURPOSES = ("init", "order", "partners", "window", "augment", "dropout")


def run_seed(seed: int, streams: int) -> int:
    """The seed of all streams of a run: its own, or another for another set of streams."""
    return stream_seed(seed, "streams", streams) if streams else seed


def stream_seed(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for one named stream.

    Raises:
        ValueError: `purpose` is not one of PURPOSES.
    """
    if purpose not in (*PURPOSES, "streams"):
        raise ValueError(f"unknown random stream '{purpose}'; one of {PURPOSES}")
    text = ":".join([str(seed), purpose, *map(str, counters)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A NumPy generator for one named stream."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, purpose, *counters)))
