"""Signals for people: siren, alarm bell, alarm clock, telephone."""

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
    low_pass,
    noise,
    phase,
    ring,
    saturate,
    sin2pi,
    strikes,
    tone,
    unit,
    wander,
)


def siren(draw: Draw, rng: Generator) -> Array:
    """Wail, yelp, two-tone or a slow rise; passing by, it falls in pitch and level."""
    kind = draw.kind("wail", "yelp", "two-tone", "rise")
    low, span = draw.log(330, 800), draw.flat(1.3, 2.6)
    slow, fast = draw.log(0.16, 0.6), draw.log(2.2, 6.0)
    drive, horn = draw.log(0.6, 5.0), draw.log(700, 2600)
    n = count(rng.uniform(2.0, 5.0))
    rate = {"wail": slow, "yelp": fast, "two-tone": 2.2 * slow, "rise": 0.5 * slow}[kind]
    place_in_cycle = np.arange(n) / RATE * rate * rng.uniform(0.9, 1.1) + rng.random()
    wave = 0.5 + 0.5 * sin2pi(place_in_cycle)
    if kind == "two-tone":
        wave = np.clip(40 * (wave - 0.5) + 0.5, 0.0, 1.0)
    pass_by = curve([0, n / RATE], [1 + rng.uniform(0, 0.05), 1 - rng.uniform(0, 0.05)], n)
    hertz = low * (1 + (span - 1) * wave) * pass_by
    voice = saturate(harmonics(phase(hertz, n), [1.0, 0.35, 0.2]), drive)
    near = np.linspace(rng.uniform(0.3, 1.0), rng.uniform(0.3, 1.0), n)
    return (0.4 * voice + band_pass(voice, horn, 1.2)) * near


def alarm_bell(draw: Draw, rng: Generator) -> Array:
    """A hammer beating on a bell: fire alarm, school bell."""
    beats, length = draw.log(9, 26), draw.log(0.0006, 0.003)
    base, decay = draw.log(520, 2600), draw.log(0.25, 1.6)
    partials = [1.0, draw.flat(1.4, 1.75), draw.flat(2.0, 2.7), draw.flat(2.9, 3.8), 5.1]
    levels = [draw.log(0.2, 1.0) for _ in partials]
    rattle = draw.flat(0.05, 0.4)
    n = count(rng.uniform(1.0, 4.5))
    modes = [
        (base * ratio * (1 + 0.004 * side), decay / ratio, level)
        for ratio, level in zip(partials, levels, strict=True)
        for side in ((-1, 1) if ratio < 3 else (0,))
    ]
    times = np.arange(0.0, max(0.3, n / RATE - 0.4), 1 / beats)
    times = times * (1 + 0.01 * rng.standard_normal()) + 0.001 * rng.random(len(times))
    force = strikes(rng, n, times, rng.uniform(0.7, 1.0, len(times)), length)
    return unit(ring(force, modes)) + rattle * unit(band_pass(force, 3500, 1.5))


def clock_alarm(draw: Draw, rng: Generator) -> Array:
    """An electronic alarm clock: beeps in groups, from a cheap buzzer."""
    pitch, beep = draw.log(950, 4200), draw.log(0.04, 0.25)
    duty, group = draw.flat(0.35, 0.7), int(draw.flat(1, 6, wobble=0.02))
    pause, drive, second = draw.log(0.08, 0.8), draw.log(0.4, 8.0), draw.flat(-1, 1)
    n = count(rng.uniform(1.0, 4.8))
    step, seconds = beep / duty, n / RATE
    gate = np.zeros(n)
    at = rng.uniform(0.0, 0.15)
    while at < seconds:
        for _ in range(group):
            gate[count(at) : count(at + beep)] = 1.0
            at += step
        at += pause
    hertz = np.full(n, pitch * (1 + 0.002 * rng.standard_normal()))
    if second > 0.2:
        hertz *= 1 + 0.26 * second * (np.arange(n) // count(step) % 2)
    voice = saturate(tone(hertz, n), drive) * low_pass(gate, 120)
    return 0.4 * voice + band_pass(voice, 1.3 * pitch, 2.0)


def telephone(draw: Draw, rng: Generator) -> Array:
    """Two gongs struck in turn, or an electronic warble; ring and silence alternate."""
    kind = draw.kind("gongs", "warble")
    rate, low = draw.log(14, 28), draw.log(520, 1700)
    ratio, decay = draw.flat(1.12, 1.5), draw.log(0.15, 0.7)
    on, off, drive = draw.flat(0.5, 1.8), draw.flat(0.2, 1.6), draw.log(0.5, 5.0)
    seconds = rng.uniform(1.0, 4.8)
    n = count(seconds)
    within = (np.arange(n) / RATE + rng.uniform(0, 0.2)) % (on + off) < on
    if kind == "warble":
        swap = np.floor(np.arange(n) / RATE * rate) % 2
        voice = saturate(tone(low * (1 + (ratio - 1) * swap), n), drive)
        return voice * low_pass(within.astype(np.float64), 60)
    times = np.arange(0.0, seconds - 0.05, 1 / rate)
    times = times[within[np.minimum((times * RATE).astype(int), n - 1)]]
    hits = rng.uniform(0.75, 1.0, len(times))
    gongs = np.zeros(n)
    for side, hertz in enumerate((low, low * ratio)):
        force = strikes(rng, n, times[side::2], hits[side::2], 0.001)
        partials = ((1.0, 1.0, 1.0), (2.74, 0.5, 0.6), (5.1, 0.3, 0.3))
        gongs += ring(force, [(hertz * r, decay * d, level) for r, d, level in partials])
    body = unit(noise(rng, n, [(300, -12), (2000, 0), (9000, -16)])) * low_pass(within * 1.0, 40)
    return unit(gongs) + 0.04 * body * np.abs(wander(rng, n, 20))


SOUNDS = {
    "siren": siren,
    "alarm_bell": alarm_bell,
    "clock_alarm": clock_alarm,
    "telephone": telephone,
}
