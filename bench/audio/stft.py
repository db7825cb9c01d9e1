"""Power in bands of a centred short-time Fourier transform: what most front ends share."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.fft import rfft
from scipy.sparse import csc_array

# Frames per FFT call. SciPy transforms several rows at once with vector instructions: for 10 s
# (1001 frames of 1024) 1.7 ms against 8.7 ms with numpy.fft; blocks keep the copies in the cache
# and memory flat for recordings of any length.
BLOCK = 128


def band_powers(
    waveform: np.ndarray, taper: np.ndarray, hop: int, filters: csc_array
) -> np.ndarray:
    """Power in each band: (N,) float32 -> (1 + N // hop, bands) float32.

    Frames are as long as the taper and centred on multiples of the hop; the waveform is reflected
    at its ends. One that is shorter than a frame is padded with zeros to a frame.

    Args:
        taper: (size,) float32, the window that each frame is multiplied with.
        hop: samples.
        filters: (size // 2 + 1, bands).
    """
    size = len(taper)
    waveform = np.pad(waveform, (0, max(0, size - len(waveform))))
    padded = np.pad(waveform, size // 2, mode="reflect").astype(np.float32, copy=False)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    out = np.empty((len(frames), filters.shape[1]), np.float32)
    for first in range(0, len(frames), BLOCK):
        spectrum = rfft(frames[first : first + BLOCK] * taper)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        out[first : first + BLOCK] = power @ filters
    return out


@cache
def periodic_hann(window: int) -> np.ndarray:
    """Hann window (window,) float32 whose period is its length."""
    from scipy.signal import get_window  # late: its import takes a second

    return get_window("hann", window, fftbins=True).astype(np.float32)


@cache
def symmetric_hann(window: int) -> np.ndarray:
    """Hann window (window,) float32 that is zero at both ends."""
    return np.hanning(window).astype(np.float32)
