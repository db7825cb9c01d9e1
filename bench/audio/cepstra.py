"""Cepstral coefficients and zero crossings by frame: the features of Piczak's baselines.

Piczak, "ESC: Dataset for environmental sound classification", ACM Multimedia 2015, with the
defaults of librosa: 128 of Slaney's bands, a range of 80 dB, an orthonormal DCT.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

from bench.audio.logmel import logmel

BANDS, COEFFICIENTS = 128, 12
RANGE_DB = 80.0
SILENT = 1e-10  # samples below count as 0


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

    The rate is that of the `hop` samples around a frame's centre. `mels` is 13.

    Returns:
        (1 + N // hop, 13) float32.
    """
    bands = logmel(
        waveform, sample_rate=sample_rate, window=window, hop=hop, mels=BANDS, fmin=fmin, fmax=fmax
    )
    np.maximum(bands, bands.max() - np.float32(RANGE_DB), out=bands)
    coefficients = dct(bands, axis=1, norm="ortho")[:, 1:mels]
    rates = crossing_rates(waveform, hop, len(coefficients))
    return np.concatenate([coefficients, rates[:, None]], axis=1).astype(np.float32)


def crossing_rates(waveform: np.ndarray, length: int, frames: int) -> np.ndarray:
    """Share of sign changes in windows of `length` samples, `length` apart and centred like the
    frames of a spectrogram; the ends of the waveform are repeated."""
    missing = frames * length - length // 2 - len(waveform)
    padded = np.pad(waveform, (length // 2, max(0, missing)), mode="edge")[: frames * length]
    signs = np.signbit(np.where(np.abs(padded) <= SILENT, 0.0, padded)).reshape(frames, length)
    return np.not_equal(signs[:, 1:], signs[:, :-1]).sum(axis=1) / length
