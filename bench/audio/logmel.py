"""Log-mel spectrograms in decibels: that of HTS-AT and PANNs, and that of frame transformers.

Both take the power of a centred short-time Fourier transform under a periodic Hann window. HTS-AT
and PANNs (PANNs pytorch/models.py; HTS-AT config.py) use Slaney's bands and no limit of the dynamic
range. ATST-Frame and Dasheng (torchaudio's MelSpectrogram and AmplitudeToDB) use HTK's bands and a
limit.
"""

from __future__ import annotations

import numpy as np

from bench.audio.mel import htk_filters, slaney_filters
from bench.audio.stft import band_powers, periodic_hann

FLOOR = 1e-10


def logmel(
    waveform: np.ndarray,
    *,
    sample_rate: int,
    window: int,
    hop: int,
    mels: int,
    fmin: float,
    fmax: float,
) -> np.ndarray:
    """Log-mel spectrogram in dB, equal to torchlibrosa's: (N,) float32 -> (1 + N // hop, mels).

    Waveforms shorter than one window are padded with zeros to a window.
    """
    filters = slaney_filters(sample_rate, window, mels, fmin, fmax)
    return _decibels(band_powers(waveform, periodic_hann(window), hop, filters))


def htk_logmel(
    waveform: np.ndarray,
    *,
    sample_rate: int,
    window: int,
    hop: int,
    mels: int,
    fmin: float,
    fmax: float,
    range_db: float | None,
) -> np.ndarray:
    """As `logmel`, with HTK's bands, and no value further than `range_db` below the largest.

    The limit applies to each waveform separately. torchaudio takes the largest value of a whole
    batch, where a loud clip raises the floor of a quiet one.
    """
    filters = htk_filters(sample_rate, window, mels, fmin, fmax)
    out = _decibels(band_powers(waveform, periodic_hann(window), hop, filters))
    if range_db is not None:
        np.maximum(out, out.max() - np.float32(range_db), out=out)
    return out


def _decibels(power: np.ndarray) -> np.ndarray:
    """10 log10(max(power, FLOOR)), in place."""
    np.maximum(power, FLOOR, out=power)
    np.log(power, out=power)
    power *= 10.0 / np.log(10.0)
    return power
