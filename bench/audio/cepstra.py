"""Cepstral coefficients and zero crossings by frame: the features of Piczak's baselines.

Piczak, "ESC: Dataset for environmental sound classification", ACM Multimedia 2015, as in public
copies of the author's code, with the defaults of librosa 0.3.1: 128 of Slaney's bands, a range of
80 dB, an orthonormal DCT.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

from bench.audio.logmel import logmel

BANDS, COEFFICIENTS = 128, 12
RANGE_DB = 80.0
FULL_SCALE = 2**15  # of 16-bit samples


def cepstra(
    waveform: np.ndarray,
    *,
    sample_rate: int,
    window: int,
    hop: int,
    mels: int,
    fmin: float,
    fmax: float,
) -> np.ndarray:
    """12 mel-frequency cepstral coefficients, the 0th left out, and the zero-crossing rate.

    A sample is rounded to 16 bits and stands for the middle of its step, so that none is 0. The
    coefficients are of frames centred at multiples of `hop`, the rate is of the `hop` samples from
    there on. `mels` is 13.

    Returns:
        (1 + N // hop, 13) float32.
    """
    steps = np.clip(np.rint(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    samples = ((steps + 0.5) / (FULL_SCALE - 0.5)).astype(np.float32)
    bands = logmel(
        samples, sample_rate=sample_rate, window=window, hop=hop, mels=BANDS, fmin=fmin, fmax=fmax
    )
    np.maximum(bands, bands.max() - np.float32(RANGE_DB), out=bands)
    coefficients = dct(bands, axis=1, norm="ortho")[:, 1:mels]
    rates = crossing_rates(samples, hop, len(coefficients))
    return np.concatenate([coefficients, rates[:, None]], axis=1).astype(np.float32)


def crossing_rates(samples: np.ndarray, length: int, frames: int) -> np.ndarray:
    """Share of neighbours with different signs in each of `frames` consecutive windows of `length`
    samples; 0 where fewer than two samples are left."""
    negative = np.signbit(samples)
    windows = (negative[start : start + length] for start in range(0, frames * length, length))
    return np.array([np.diff(own).mean() if len(own) > 1 else 0.0 for own in windows])
