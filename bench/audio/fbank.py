"""Kaldi's log filter bank with AST's settings, and AST's normalisation.

AST src/dataloader.py: waveform mean removed, 25 ms Hann window, 10 ms hop, 128 bands from 20 Hz,
no dither, no energy; Kaldi's defaults otherwise (feat/feature-window.cc, feature-fbank.cc).
"""

from __future__ import annotations

import numpy as np
from scipy.fft import rfft

from bench.audio.mel import kaldi_filters
from bench.audio.stft import BLOCK, symmetric_hann

PREEMPHASIS = 0.97
FLOOR = float(np.finfo(np.float32).eps)


def fbank(
    waveform: np.ndarray,
    *,
    sample_rate: int,
    window: int,
    hop: int,
    mels: int,
    fmin: float,
    fmax: float,
    remove_mean: bool = True,
) -> np.ndarray:
    """Natural-log filter bank: (N,) float32 in [-1, 1] -> (1 + (N - window) // hop, mels) float32.

    Per frame: mean removed, pre-emphasis, symmetric Hann window, zeros up to a power of two. Frames
    do not reach beyond the ends (snip_edges). Waveforms shorter than one window are padded with
    zeros to a window.

    Args:
        waveform: samples; only the first `window + k * hop` count.
        sample_rate: Hz.
        window, hop: samples.
        mels, fmin, fmax: number of bands and their outer edges in Hz.
        remove_mean: subtract the waveform's mean first, as AST does and transformers does not
            (it changes nothing but rounding: each frame's mean is removed anyway).
    """
    if remove_mean:
        waveform = waveform - waveform.mean(dtype=np.float64)
    waveform = np.pad(waveform, (0, max(0, window - len(waveform)))).astype(np.float32, copy=False)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, window)[::hop]
    size = 1 << (window - 1).bit_length()
    filters = kaldi_filters(sample_rate, size, mels, fmin, fmax)
    taper = symmetric_hann(window)
    out = np.empty((len(frames), mels), np.float32)
    for first in range(0, len(frames), BLOCK):
        block = frames[first : first + BLOCK]
        block = block - block.mean(axis=1, keepdims=True)
        emphasised = np.empty_like(block)
        np.multiply(block[:, :-1], -PREEMPHASIS, out=emphasised[:, 1:])
        emphasised[:, 1:] += block[:, 1:]
        emphasised[:, 0] = (1.0 - PREEMPHASIS) * block[:, 0]
        emphasised *= taper
        spectrum = rfft(emphasised, n=size)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        out[first : first + BLOCK] = power @ filters
    np.maximum(out, FLOOR, out=out)
    return np.log(out, out=out)


def normalise(features: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """AST's input scaling, (x - mean) / (2 * deviation), after padding with zeros."""
    return (features - np.float32(mean)) / np.float32(2.0 * deviation)
