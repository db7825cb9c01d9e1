"""Animal voices: dog, cat, birds, insects."""

from __future__ import annotations

import numpy as np

from synth.draw import Draw
from synth.synth import (
    RATE,
    Array,
    Generator,
    band_pass,
    count,
    curve,
    harmonics,
    hit,
    moving_harmonics,
    noise,
    phase,
    place,
    saturate,
    tone,
    unit,
    wander,
)


def dog(draw: Draw, rng: Generator) -> Array:
    """One to five barks: a pitch that jumps up and falls, breath, two vocal-tract resonances."""
    pitch, length = draw.log(220, 750), draw.log(0.07, 0.28)
    breath, jump = draw.flat(0.1, 0.7), draw.flat(1.15, 1.8)
    low_formant, high_formant = draw.log(500, 1300), draw.log(1500, 3200)
    gap, growl = draw.log(0.12, 0.7), draw.flat(0.0, 0.8)
    barks = int(rng.integers(1, 6))
    total = np.zeros(count(barks * (1.5 * length + 1.6 * gap) + 0.2))
    at = 0
    for _ in range(barks):
        seconds = length * rng.uniform(0.75, 1.3)
        n = count(1.25 * seconds)
        bend = curve([0, 0.25 * seconds, seconds], [1.0, jump * rng.uniform(0.9, 1.1), 0.75], n)
        rough = 1.0 + 0.04 * growl * wander(rng, n, 90)
        voice = harmonics(phase(pitch * rng.uniform(0.93, 1.07) * bend * rough, n), _fall(14, 0.8))
        air = rng.standard_normal(n)
        source = unit(voice) + breath * air
        shaped = band_pass(source, low_formant, 2.5) + 0.7 * band_pass(source, high_formant, 3.0)
        envelope = curve([0, 0.12 * seconds, 0.6 * seconds, seconds], [0, 1, 0.7, 0], n)
        place(total, shaped * envelope, at, rng.uniform(0.6, 1.0))
        at += n + count(gap * rng.uniform(0.6, 1.6))
    return total[:at]


def cat(draw: Draw, rng: Generator) -> Array:
    """One to three meows: an arched pitch under a formant that opens and closes."""
    pitch, length = draw.log(330, 950), draw.log(0.3, 1.1)
    arch, tremble = draw.flat(1.05, 1.6), draw.log(4.0, 14.0)
    mouth_low, mouth_high = draw.log(700, 1300), draw.log(1800, 3800)
    width, breath, end = draw.log(250, 700), draw.flat(0.02, 0.3), draw.flat(0.6, 1.0)
    calls = int(rng.integers(1, 4))
    parts: list[Array] = []
    for _ in range(calls):
        seconds = length * rng.uniform(0.8, 1.25)
        n, peak = count(seconds), rng.uniform(0.25, 0.6)
        bend = curve([0, peak * seconds, seconds], [0.85, arch, end], n)
        shake = 1.0 + 0.015 * tone(tremble * rng.uniform(0.8, 1.2), n) + 0.01 * wander(rng, n, 30)
        hertz = pitch * rng.uniform(0.94, 1.06) * bend * shake
        mouth = curve([0, peak * seconds, seconds], [mouth_low, mouth_high, mouth_low], n)
        number = 16
        order = np.arange(1, number + 1)[:, None]
        steps = slice(0, n, RATE // 100)  # formants move slowly: every 10 ms is enough
        distance = (order * hertz[steps] - mouth[steps]) / width
        coarse = 0.15 / order + 1.0 / (1.0 + distance * distance)
        coarse *= order * hertz[steps] < 0.45 * RATE
        at = np.arange(n)
        amplitudes = np.stack([np.interp(at, at[steps], row) for row in coarse])
        voice = unit(moving_harmonics(phase(hertz, n), amplitudes))
        air = breath * unit(noise(rng, n, [(500, -20), (2500, 0), (8000, -14)]))
        rise = rng.uniform(0.06, 0.25)
        envelope = curve([0, rise * seconds, 0.75 * seconds, seconds], [0, 1, 0.7, 0], n)
        parts += [
            (voice + air) * envelope * rng.uniform(0.7, 1),
            np.zeros(count(rng.uniform(0.1, 0.7))),
        ]
    return np.concatenate(parts[:-1])


def chirping_birds(draw: Draw, rng: Generator) -> Array:
    """Songs of one to three birds: a species' syllable, swept or trilled, in phrases."""
    shape = draw.kind("rise", "fall", "arch", "warble", "trill")
    carrier, sweep = draw.log(1800, 6500), draw.flat(0.1, 0.7)
    length, rate = draw.log(0.03, 0.25), draw.log(2.0, 11.0)
    warble, second = draw.log(18, 70), draw.flat(0.0, 0.4)
    n = count(rng.uniform(0.8, 5.0))
    total = np.zeros(n)
    for _ in range(int(rng.integers(1, 4))):
        own, level = carrier * rng.uniform(0.8, 1.25), rng.uniform(0.25, 1.0)
        at = count(rng.uniform(0, 0.5))
        while at < n:
            for _ in range(int(rng.integers(2, 9))):
                syllable = _syllable(shape, own, sweep, length * rng.uniform(0.7, 1.4), warble, rng)
                place(total, syllable + second * syllable * np.abs(syllable), at, level)
                at += max(len(syllable), count(rng.uniform(0.8, 1.2) / rate))
            at += count(rng.uniform(0.2, 1.2))
    return total


def _syllable(
    shape: str, carrier: float, sweep: float, seconds: float, warble: float, rng: Generator
) -> Array:
    n = count(seconds)
    t = np.linspace(0.0, 1.0, n)
    bend = {
        "rise": sweep * (t - 0.5),
        "fall": -sweep * (t - 0.5),
        "arch": sweep * (1.0 - 4.0 * (t - 0.5) ** 2),
        "warble": 0.4 * sweep * tone(warble, n),
        "trill": 0.1 * sweep * (t - 0.5),
    }[shape]
    sound = tone(carrier * rng.uniform(0.96, 1.04) * (1.0 + bend), n, rng.random())
    if shape == "trill":
        sound *= np.maximum(tone(warble * 0.8, n), 0.0)
    return sound * 4.0 * t * (1.0 - t)


def insects(draw: Draw, rng: Generator) -> Array:
    """A cricket's pulsed chirps, a cicada's rattling hiss, or the buzz of a fly."""
    kind = draw.kind("cricket", "cicada", "fly")
    carrier, pulse = draw.log(2800, 7500), draw.log(16, 60)
    chirps, pulses = draw.log(0.8, 3.5), int(draw.flat(2, 7))
    width, buzz = draw.log(2, 9), draw.log(110, 330)
    n = count(rng.uniform(1.5, 5.0))
    if kind == "cricket":
        grain_n = count(0.75 / pulse)
        total = np.zeros(n)
        at = 0
        while at < n:
            for index in range(pulses):
                grain = tone(carrier * (1 + 0.004 * rng.standard_normal()), grain_n)
                place(
                    total,
                    grain * hit(grain_n, 0.2 * grain_n / RATE, 0.02),
                    at + count(index / pulse),
                )
            at += max(count(pulses / pulse), count(rng.uniform(0.85, 1.15) / chirps))
        return total
    if kind == "cicada":
        hiss = band_pass(rng.standard_normal(n), carrier, width)
        teeth = 0.35 + 0.65 * np.maximum(tone(pulse * 3 * (1 + 0.02 * wander(rng, n, 3)), n), 0)
        return hiss * teeth * (1 + 0.35 * wander(rng, n, 1.5))
    near = np.maximum(0.08, 0.6 + 0.5 * wander(rng, n, 1.2))
    wings = phase(buzz * (1 + 0.06 * wander(rng, n, 2.0) + 0.006 * wander(rng, n, 40)), n)
    return saturate(harmonics(wings, _fall(20, 0.85)), 0.8) * near


def _fall(number: int, ratio: float) -> list[float]:
    """Amplitudes of harmonics: a geometric fall."""
    return [ratio**k for k in range(number)]


SOUNDS = {"dog": dog, "cat": cat, "chirping_birds": chirping_birds, "insects": insects}
