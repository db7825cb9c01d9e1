"""Mel filter banks: Slaney's (as librosa computes it), Kaldi's and HTK's (as torchaudio does).

All are kept sparse: a filter covers a few of the FFT's bins, so the product with a spectrum takes
no BLAS call, hence no threads, and its sums do not depend on the BLAS build.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.sparse import csc_array

_BREAK_HZ = 1000.0  # Slaney's scale is linear below, logarithmic above
_LINEAR_HZ = 200.0 / 3.0
_LOG_STEP = np.log(6.4) / 27.0


@cache
def slaney_filters(sample_rate: int, fft: int, mels: int, fmin: float, fmax: float) -> csc_array:
    """Area-normalised triangles on Slaney's mel scale: float32 (fft // 2 + 1, mels), sparse.

    The scale and the norm of Slaney's Auditory Toolbox (1998), which librosa uses by default and
    torchlibrosa with it. Bands above the Nyquist frequency are empty, as published for Speech
    Commands at 16 kHz with fmax 14 kHz: their log-mel value is that of silence.
    """
    edges = _slaney_to_hz(np.linspace(_hz_to_slaney(fmin), _hz_to_slaney(fmax), mels + 2))
    bins = np.arange(fft // 2 + 1) * sample_rate / fft
    weights = _triangles(bins, edges) * (2.0 / (edges[2:] - edges[:-2]))
    return csc_array(weights.astype(np.float32))


@cache
def kaldi_filters(sample_rate: int, fft: int, mels: int, fmin: float, fmax: float) -> csc_array:
    """Unit-peak triangles, linear on Kaldi's mel scale: float32 (fft // 2 + 1, mels), sparse.

    Kaldi, feat/mel-computations.cc. The Nyquist bin has no weight.
    """
    low, high = _hz_to_kaldi(np.array([fmin, fmax]))
    edges = np.linspace(low, high, mels + 2)
    bins = _hz_to_kaldi(np.arange(fft // 2 + 1) * sample_rate / fft)
    weights = _triangles(bins, edges)
    weights[-1] = 0.0
    return csc_array(weights.astype(np.float32))


@cache
def htk_filters(sample_rate: int, fft: int, mels: int, fmin: float, fmax: float) -> csc_array:
    """Unit-peak triangles over Hz, with edges even on HTK's mel scale: float32, sparse.

    (fft // 2 + 1, mels), as torchaudio's MelSpectrogram has them by default.
    """
    low, high = (2595.0 * np.log10(1.0 + hz / 700.0) for hz in (fmin, fmax))
    edges = 700.0 * (10.0 ** (np.linspace(low, high, mels + 2) / 2595.0) - 1.0)
    bins = np.arange(fft // 2 + 1) * sample_rate / fft
    return csc_array(_triangles(bins, edges).astype(np.float32))


def _triangles(bins: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Triangles over edges[i], edges[i+1], edges[i+2] with peak 1: (bins, len(edges) - 2)."""
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - left) / (centre - left)
    falling = (right - bins[:, None]) / (right - centre)
    return np.maximum(0.0, np.minimum(rising, falling))


def _hz_to_slaney(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ
    return _BREAK_HZ / _LINEAR_HZ + float(np.log(hz / _BREAK_HZ)) / _LOG_STEP


def _slaney_to_hz(mel: np.ndarray) -> np.ndarray:
    above = mel - _BREAK_HZ / _LINEAR_HZ
    return np.where(above < 0, mel * _LINEAR_HZ, _BREAK_HZ * np.exp(_LOG_STEP * above))


def _hz_to_kaldi(hz: np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(hz / 700.0)
