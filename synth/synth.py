"""Building blocks of synthetic sounds, with the same samples on every machine.

NumPy's and the C library's exp, sin and log round differently from one CPU type to the next, and an
oscillator turns the last bit of a frequency into an audible part of its phase. So phases,
frequencies and coefficients use `exp2` and `sin2pi` below, which are additions and multiplications
in a fixed order. Transforms and filters are linear: their last bits stay last bits.

All signals are float64 at `RATE`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.fft import irfft
from scipy.signal import lfilter

RATE = 24_000
Array = np.ndarray
Generator = np.random.Generator

_LN2 = 0.6931471805599453
_TAU = 6.283185307179586
_SIXTY_DB = 9.965784284662087  # in octaves of amplitude
_BLOCK = 4096
_TABLE = 8192
_PERIOD = 1 << 15
_PIECE = 1 << 13
_HOP = _PIECE // 2


def _taylor(first: int, step: int, sign: int, factor: float, terms: int) -> tuple[float, ...]:
    """Coefficients sign^k factor^n / n! for n = first, first + step, ..., highest first."""
    values: list[float] = []
    n, value = 0, 1.0
    while len(values) < terms:
        if n >= first and (n - first) % step == 0:
            values.append(value * sign ** len(values))
        n += 1
        value *= factor / n
    return tuple(reversed(values))


_EXP2 = _taylor(0, 1, 1, _LN2, 10)
_SINE = _taylor(1, 2, -1, _TAU, 7)


def stream(*key: object) -> Generator:
    """A generator that depends only on `key`."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def exp2(x: float | Array) -> Array:
    """2^x for |x| < 1000, relative error below 1e-12."""
    return _in_blocks(_exp2_block, x)


def _exp2_block(x: Array) -> Array:
    whole = np.rint(x)
    rest = x - whole
    value = _polynomial(rest, _EXP2)
    value *= ((whole.astype(np.int64) + 1023) << 52).view(np.float64)  # 2^whole by its bits
    return value


def sin2pi(cycles: float | Array) -> Array:
    """sin(2 pi x), absolute error below 1e-7."""
    return _in_blocks(_sine_block, cycles)


def _sine_block(x: Array) -> Array:
    x = x - np.rint(x)
    x -= 2.0 * np.maximum(x - 0.25, 0.0)  # fold the half period onto the quarter
    x -= 2.0 * np.minimum(x + 0.25, 0.0)
    value = _polynomial(x * x, _SINE)
    value *= x
    return value


def _polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= x
        value += coefficient
    return value


def _in_blocks(function: Callable[[Array], Array], x: float | Array) -> Array:
    """Apply an elementwise function in pieces that stay in the processor's cache."""
    x = np.asarray(x, np.float64)
    flat = x.reshape(-1)
    result = np.empty_like(flat)
    for start in range(0, len(flat), _BLOCK):
        result[start : start + _BLOCK] = function(flat[start : start + _BLOCK])
    return result.reshape(x.shape)


def gain(decibels: float | Array) -> Array:
    """Amplitude factor of a level in dB."""
    return exp2(np.asarray(decibels) * 0.16609640474436813)


def log_between(low: float, high: float, share: float | Array) -> Array:
    """The point at `share` (0 to 1) of the way from low to high on a logarithmic scale."""
    octaves = round(
        float(np.log2(high / low)), 9
    )  # rounding removes differences between machines in the last bit
    return low * exp2(octaves * np.asarray(share))


_OCTAVES = np.linspace(0.0, 9.25, 128)  # above 20 Hz, up to RATE / 2
_GRID = 20.0 * exp2(_OCTAVES)
_FADE = sin2pi((np.arange(_PIECE) + 0.5) / (2 * _PIECE))


def count(seconds: float) -> int:
    """Samples in `seconds`."""
    return max(1, round(seconds * RATE))


def phase(frequency: float | Array, samples: int) -> Array:
    """Running phase in cycles of a frequency in Hz (scalar or per sample)."""
    if np.ndim(frequency) == 0:
        return np.arange(1, samples + 1) * (frequency / RATE)
    return np.cumsum(frequency) / RATE


def tone(frequency: float | Array, samples: int, start: float = 0.0) -> Array:
    """A sine; `start` is its first phase in cycles."""
    return sin2pi(phase(frequency, samples) + start)


def harmonics(cycles: Array, amplitudes: Sequence[float]) -> Array:
    """Sum of a_k sin(2 pi k x), k = 1, 2, ..., read from a table of one period."""
    grid = np.arange(_TABLE + 1) / _TABLE
    table = np.zeros(_TABLE + 1)
    for order, amplitude in enumerate(amplitudes, 1):
        table += amplitude * sin2pi(order * grid)
    place_in_table = (cycles - np.floor(cycles)) * _TABLE
    whole = place_in_table.astype(np.int64)
    rest = place_in_table - whole
    return (1.0 - rest) * table.take(whole) + rest * table.take(whole + 1)


def moving_harmonics(cycles: Array, amplitudes: Array) -> Array:
    """The same with varying amplitudes (K, samples), by the recurrence of the sines."""
    previous, current = np.zeros_like(cycles), sin2pi(cycles)
    twice_cosine = 2.0 * sin2pi(cycles + 0.25)
    total = amplitudes[0] * current
    for amplitude in amplitudes[1:]:
        previous, current = current, twice_cosine * current - previous
        total += amplitude * current
    return total


def noise(rng: Generator, samples: int, spectrum: Iterable[tuple[float, float]]) -> Array:
    """Gaussian noise; `spectrum` holds (Hz, dB) points, joined by lines over log frequency.

    Longer noise overlaps random pieces of one period with power-complementary fades.
    """
    points = sorted(spectrum)
    places = [round(float(np.log2(hertz / 20.0)), 9) for hertz, _ in points]
    levels = np.interp(_OCTAVES, places, [level for _, level in points])
    bins = _PERIOD // 2 + 1
    amplitude = np.interp(np.linspace(0.0, RATE / 2, bins), _GRID, gain(levels))
    amplitude[0] = 0.0
    parts = rng.standard_normal(2 * bins).reshape(bins, 2) * amplitude[:, None]
    period = irfft(parts.reshape(-1).view(np.complex128), _PERIOD) * 128.0
    if samples <= _PERIOD:
        return period[:samples]
    period = np.concatenate([period, period[:_PIECE]])
    pieces = samples // _HOP + 2
    starts = rng.integers(0, _PERIOD, pieces)
    total = np.zeros((pieces + 1, _HOP))
    for index, start in enumerate(starts):
        total[index : index + 2] += (period[start : start + _PIECE] * _FADE).reshape(2, _HOP)
    return total.reshape(-1)[_HOP : _HOP + samples]


def low_pass(x: Array, hertz: float) -> Array:
    """Second-order low-pass (RBJ's formula, Q = 0.707)."""
    c, alpha = _biquad(hertz, 0.7071067811865476)
    return lfilter([(1 - c) / 2, 1 - c, (1 - c) / 2], [1 + alpha, -2 * c, 1 - alpha], x)


def high_pass(x: Array, hertz: float) -> Array:
    """Second-order high-pass (RBJ's formula, Q = 0.707)."""
    c, alpha = _biquad(hertz, 0.7071067811865476)
    return lfilter([(1 + c) / 2, -1 - c, (1 + c) / 2], [1 + alpha, -2 * c, 1 - alpha], x)


def band_pass(x: Array, hertz: float, q: float) -> Array:
    """Second-order band-pass, 0 dB at its centre (RBJ's formula)."""
    c, alpha = _biquad(hertz, q)
    return lfilter([alpha, 0.0, -alpha], [1 + alpha, -2 * c, 1 - alpha], x)


def _biquad(hertz: float, q: float) -> tuple[float, float]:
    turn = min(hertz, 0.45 * RATE) / RATE
    return float(sin2pi(turn + 0.25)), float(sin2pi(turn)) / (2 * q)


def ring(x: Array, modes: Iterable[tuple[float, float, float]]) -> Array:
    """Excite resonant modes (Hz, seconds to -60 dB, amplitude) with `x`: struck objects."""
    total = np.zeros_like(x)
    for hertz, seconds, amplitude in modes:
        if hertz < 0.47 * RATE:
            radius = float(exp2(-_SIXTY_DB / (seconds * RATE)))
            swing = 2 * radius * float(sin2pi(hertz / RATE + 0.25))
            strength = amplitude * float(sin2pi(hertz / RATE))
            total += lfilter([0.0, strength], [1.0, -swing, radius * radius], x)
    return total


def curve(times: Sequence[float], values: Sequence[float], samples: int) -> Array:
    """Straight lines through (seconds, value) points from 0 s on, then the last value."""
    result = np.full(samples, float(values[-1]))
    for index in range(len(times) - 1):
        start, stop = round(times[index] * RATE), round(times[index + 1] * RATE)
        line = np.linspace(values[index], values[index + 1], max(stop - start, 0), endpoint=False)
        result[start:stop] = line[: max(samples - start, 0)]
    return result


def hit(samples: int, attack: float, decay: float) -> Array:
    """An envelope: linear rise in `attack` s, then falling by 60 dB in `decay` s."""
    t = np.arange(samples) / RATE - attack
    fall = exp2(-np.minimum(_SIXTY_DB / decay * np.maximum(t, 0.0), 40.0))
    return np.minimum(1.0 + t / attack, fall)


def wander(rng: Generator, samples: int, hertz: float) -> Array:
    """A random curve with mean 0 and deviation about 1 that turns about `hertz` times a second."""
    step = max(1, min(round(RATE / hertz), samples // 2 + 1))
    pieces = -(-samples // step)
    knots = rng.standard_normal(pieces + 1) * 1.2
    ramp = np.arange(step) / step
    lines = knots[:-1, None] + np.diff(knots)[:, None] * ramp
    return lines.reshape(-1)[:samples]


def impulses(
    rng: Generator, samples: int, per_second: float, spread_db: float, density: Array | None = None
) -> Array:
    """A Poisson train of impulses of random sign and level; `density` (samples,) thins it."""
    number = int(rng.poisson(per_second * samples / RATE))
    places = rng.integers(0, samples, number)
    heights = gain(-spread_db * rng.random(number)) * np.where(rng.random(number) < 0.5, -1.0, 1.0)
    if density is not None:
        heights *= rng.random(number) < density[places]
    train = np.zeros(samples)
    np.add.at(train, places, heights)
    return train


def place(target: Array, grain: Array, at: int, level: float = 1.0) -> None:
    """Add `grain` into `target` from sample `at` on; samples outside are dropped."""
    stop = min(len(target), at + len(grain))
    if 0 <= at < stop:
        target[at:stop] += level * grain[: stop - at]


def strikes(
    rng: Generator, samples: int, times: Iterable[float], levels: Iterable[float], seconds: float
) -> Array:
    """Short noise bursts at `times` (s): the excitation by a hammer, a heel or a fingertip."""
    total = np.zeros(samples)
    length = count(seconds)
    fade = np.linspace(1.0, 0.0, length)
    for time, level in zip(times, levels, strict=True):
        place(total, rng.standard_normal(length) * fade, round(time * RATE), level)
    return total


def saturate(x: Array, drive: float) -> Array:
    """Soft clipping: x / sqrt(1 + x^2) after a gain."""
    x = drive * x
    return x / np.sqrt(1.0 + x * x)


def rms(x: Array) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(x * x)))


def unit(x: Array) -> Array:
    """Scaled to a root mean square of 1; silence stays silence."""
    level = rms(x)
    return x / level if level > 0 else x
