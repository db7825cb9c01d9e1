"""From a verified file to a clean sound: decode, centre, high-pass, trim, resample."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, sosfiltfilt

RATE = 32_000
"""Hz. One rate for all: resampling is done once here, whatever odd rate a recording has."""

HIGH_PASS_HZ = 30.0
FLOOR_DB = -50.0  # quieter beginnings and ends, relative to the loudest moment, are cut
STEP_S = 0.005
SILENCE = 1e-5  # below one step of 16 bits


class ClipError(ValueError):
    """A recording that cannot be decoded or holds no sound."""


@lru_cache(maxsize=64)
def load_clip(path: Path, rate: int) -> np.ndarray:
    """The clean sound in a file: float64 mono (samples,) at `RATE`, read-only.

    Args:
        rate: sample rate in Hz of files that name none (".s16": bare little-endian int16).

    Raises:
        ClipError: the file cannot be decoded, or is silent.
    """
    if path.suffix == ".s16":
        samples = np.frombuffer(path.read_bytes(), "<i2") / 32768.0
    else:
        try:  # by path: libsndfile finds no MPEG frame in a stream of some MP3 files
            channels, rate = soundfile.read(path, dtype="float64", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ClipError(f"{path}: cannot be decoded ({error.error_string})") from error
        samples = channels.mean(axis=1)
    sound = clean(samples, rate)
    if not sound.size:
        raise ClipError(f"{path}: holds no sound")
    sound = soxr.resample(sound, rate, RATE)
    sound.setflags(write=False)
    return sound


def clean(samples: np.ndarray, rate: int) -> np.ndarray:
    """Without offset, rumble and silent ends, at a peak of 1; empty where there is no sound.

    Some recordings hold nearly all their energy below 50 Hz: a level or a trim taken before the
    filter would follow what nobody hears.

    Args:
        samples: (samples,) float64.
        rate: in Hz.
    """
    if samples.size < 4 * STEP_S * rate:
        return samples[:0]
    sections = butter(4, HIGH_PASS_HZ, "highpass", fs=rate, output="sos")
    padding = min(samples.size - 1, rate // 10)
    samples = sosfiltfilt(sections, samples - samples.mean(), padlen=padding)
    if np.abs(samples).max() < SILENCE:
        return samples[:0]
    step = round(STEP_S * rate)
    blocks = samples[: samples.size // step * step].reshape(-1, step)
    level = np.sqrt(np.mean(blocks**2, axis=1))
    loud = np.flatnonzero(level >= level.max() * 10 ** (FLOOR_DB / 20))
    sound = samples[max(0, (loud[0] - 1) * step) : (loud[-1] + 2) * step]
    return sound / np.abs(sound).max()
