"""Parts of a clip: trimming, looping, resampling, a simple room, levels."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import firwin, resample_poly

from synth.synth import RATE, Array, Generator, exp2, gain, high_pass

AUDIBLE = 0.03
"""A sound begins and ends where its 20 ms envelope passes this share of its peak."""
STEP_MS = 5
"""Times of sounds are multiples of this: the hop of the envelope."""
STEP = RATE * STEP_MS // 1000
LONGEST_ROOM = 0.35
_GRAIN = (
    RATE // 50
)  # whole numbers of it last whole numbers of samples at every rate divisible by 50


def resample(x: Array, rate: int, target: int) -> Array:
    """Change the sample rate (Hz) by a windowed sinc with ten zero crossings on each side."""
    ratio = Fraction(target, rate)
    if ratio == 1:
        return x
    up, down = ratio.numerator, ratio.denominator
    return resample_poly(x, up, down, window=_sinc(max(up, down)))


@lru_cache(maxsize=32)
def _sinc(factor: int) -> Array:
    return firwin(20 * factor + 1, 1 / factor, window=("kaiser", 5.0))


def envelope(x: Array) -> Array:
    """Root mean square over 20 ms, every 5 ms."""
    frames = len(x) // STEP
    power = np.mean(x[: frames * STEP].reshape(frames, STEP) ** 2, axis=1)
    padded = np.concatenate([np.zeros(2), power, np.zeros(1)])
    return np.sqrt((padded[:-3] + padded[1:-2] + padded[2:-1] + padded[3:]) / 4)


def audible(x: Array) -> tuple[int, int]:
    """First and past-the-last sample of what is loud enough, multiples of STEP; (0, 0) if none."""
    level = envelope(x)
    loud = np.flatnonzero(level >= AUDIBLE * level.max()) if len(level) else level
    if len(loud) == 0 or level.max() < 1e-9:
        return 0, 0
    return int(loud[0]) * STEP, (int(loud[-1]) + 1) * STEP


def trim(x: Array) -> Array:
    """The sound without offset, rumble below 30 Hz, and silence at both ends.

    Raises:
        ValueError: nothing is left.
    """
    x = high_pass(x - np.mean(x), 30.0)
    start, stop = audible(x)
    if stop == start:
        raise ValueError("a sound without any audible part")
    return x[start:stop]


def faded(x: Array, rise: float, fall: float) -> Array:
    """With linear fades of `rise` and `fall` seconds at its ends, at most half of it each."""
    x = x.copy()
    first, last = (min(round(seconds * RATE), len(x) // 2) for seconds in (rise, fall))
    x[:first] *= np.arange(first) / max(first, 1)
    x[len(x) - last :] *= np.arange(last)[::-1] / max(last, 1)
    return x


def levelled(x: Array) -> Array:
    """Scaled so that the root mean square of its louder parts is 1, whatever the pauses."""
    level = envelope(x)
    loud = level[level >= 0.1 * level.max()]
    return x / np.sqrt(np.mean(loud * loud))


def loop(x: Array, samples: int) -> Array:
    """Exactly `samples` long: cut, or repeated with cross-fades.

    The fade is a quarter of the sound, at most 0.25 s, and keeps the power of different pieces.
    """
    if len(x) >= samples:
        return x[:samples]
    fade = min(len(x) // 4, RATE // 4)
    rise = np.sqrt((np.arange(fade) + 0.5) / fade)
    piece = x.copy()
    piece[:fade] *= rise
    piece[len(x) - fade :] *= rise[::-1]
    hop = len(x) - fade
    repeats = -(-(samples - fade) // hop)
    total = np.zeros(repeats * hop + fade)
    for index in range(repeats):
        total[index * hop : index * hop + len(x)] += piece
    total[:fade] = x[:fade]
    return total[:samples]


def room(rng: Generator, strength: float) -> Array:
    """A simple synthetic room's impulse response: the direct sound, then noise that dies away.

    The reverberation time is 0.08 to 0.8 s, cut at LONGEST_ROOM; `strength` scales the level of
    the reverberation (1: from 3 to 18 dB below the direct sound).
    """
    seconds = float(0.08 * exp2(3.3 * rng.random()))
    level = strength * float(gain(-rng.uniform(3.0, 18.0)))
    samples = round(min(seconds, LONGEST_ROOM) * RATE)
    tail = rng.standard_normal(samples)
    tail *= exp2(np.arange(samples) * (-9.965784284662087 / (seconds * RATE)))
    tail *= np.minimum(1.0, np.arange(samples) / (0.004 * RATE))  # the first echoes come late
    response = level * tail / np.sqrt(np.sum(tail * tail))
    response[0] = 1.0
    return response


def in_room(dry: Array, background: Array, response: Array, rate: int) -> Array:
    """dry * response + background, both at RATE, as sampled at `rate`, cut to the same duration.

    One pass through the spectrum does both: the product is the convolution (with room for its
    tail), and leaving out or adding high bins changes the rate. The top twentieth of the narrower
    band fades out.
    """
    padded = _GRAIN * next_fast_len(-(-(len(dry) + len(response)) // _GRAIN), real=True)
    spectrum = rfft(dry, padded) * rfft(response, padded) + rfft(background, padded)
    target = padded * rate // RATE
    bins = target // 2 + 1
    kept = min(bins, len(spectrum))
    spectrum[kept - kept // 20 : kept] *= np.linspace(1.0, 0.0, kept // 20)
    result = np.zeros(bins, np.complex128)
    result[:kept] = spectrum[:kept]
    return irfft(result, target)[: len(dry) * rate // RATE] * (target / padded)


def to_int16(x: Array, peak: float) -> Array:
    """Scaled so that the largest sample is `peak` (0 to 1), and rounded once."""
    largest = float(np.max(np.abs(x)))
    if largest == 0:
        return np.zeros(len(x), np.int16)
    return np.rint(x * (32767.0 * peak / largest)).astype(np.int16)
