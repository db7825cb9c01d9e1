"""Kaldi's bands over a pre-emphasised waveform: the front end of PaSST and EfficientAT.

PaSST models/preprocess.py, EfficientAT models/preprocess.py: one pre-emphasis over the waveform,
no mean removed, centred frames, a symmetric Hann window shorter than the FFT, natural logarithm.
The frame-wise MobileNets of EfficientSED use it at 16 kHz with another floor.
"""

from __future__ import annotations

import numpy as np

from bench.audio.mel import kaldi_filters
from bench.audio.stft import band_powers, symmetric_hann

COEFFICIENT = 0.97


def fft_size(window: int) -> int:
    """The smallest power of two that a window of this many samples fits into."""
    return 1 << (window - 1).bit_length()


def preemphasised(
    waveform: np.ndarray,
    *,
    sample_rate: int,
    window: int,
    hop: int,
    mels: int,
    fmin: float,
    fmax: float,
    log_offset: float,
    log_floor: float,
) -> np.ndarray:
    """ln(max(power, log_floor) + log_offset): (N,) float32 -> (1 + (N - 1) // hop, mels) float32.

    Pre-emphasis y[n] = x[n + 1] - 0.97 x[n] shortens the waveform by a sample; waveforms that are
    then shorter than the FFT are padded with zeros.
    """
    size = fft_size(window)
    waveform = np.pad(waveform, (0, max(0, size + 1 - len(waveform))))
    waveform = waveform.astype(np.float32, copy=False)
    emphasised = waveform[1:] - np.float32(COEFFICIENT) * waveform[:-1]
    margin = (size - window) // 2
    taper = np.pad(symmetric_hann(window), (margin, size - window - margin))
    out = band_powers(emphasised, taper, hop, kaldi_filters(sample_rate, size, mels, fmin, fmax))
    np.maximum(out, np.float32(log_floor), out=out)
    out += np.float32(log_offset)
    return np.log(out, out=out)
