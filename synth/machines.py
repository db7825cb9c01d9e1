"""Engines and motors: engine, train, helicopter, vacuum cleaner, blender, shaver."""

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
    impulses,
    noise,
    phase,
    place,
    ring,
    saturate,
    strikes,
    tone,
    unit,
    wander,
)


def engine(draw: Draw, rng: Generator) -> Array:
    """Firing pulses of uneven cylinders through an exhaust, idling or revved."""
    firing, uneven = draw.log(14, 75), draw.flat(0.02, 0.4)
    exhaust = draw.modes(4, (60, 1400), (0.02, 0.12))
    mechanics, air, revs = draw.log(0.05, 0.6), draw.flat(-30, -10), draw.flat(-0.4, 0.5)
    n = _length(rng)
    speed = 1 + 0.02 * wander(rng, n, 3)
    if revs > 0:
        speed *= np.maximum(0.6, 1 + revs * np.abs(wander(rng, n, 0.9)))
    strokes = np.flatnonzero(np.diff(np.floor(phase(firing * speed, n))))
    cylinders = np.resize(1 + uneven * rng.uniform(-1, 1, 4), len(strokes))
    pulses = np.zeros(n)
    pulses[strokes] = cylinders * (1 + 0.3 * uneven * rng.standard_normal(len(strokes)))
    body = saturate(unit(ring(pulses, exhaust)), 0.8)
    hiss = unit(noise(rng, n, [(100, -6), (700, 0), (3000, air / 2), (14000, air)]))
    return body + mechanics * hiss * (0.5 + np.maximum(0.0, tone(firing * speed, n)))


def train(draw: Draw, rng: Generator) -> Array:
    """Wheels over rail joints in pairs, rolling noise, and at some sources a horn."""
    joints, axle = draw.log(0.9, 3.2), draw.flat(0.12, 0.3)
    rails = draw.modes(4, (120, 2600), (0.03, 0.2))
    rolling, tilt = draw.log(0.25, 1.5), draw.flat(-20, -6)
    horn, pitch = draw.flat(-1.0, 0.8), draw.log(260, 560)
    n = count(rng.uniform(2.5, 5.0))
    bogies = np.arange(0.0, n / RATE, 1 / joints) + rng.uniform(0, 0.5 / joints)
    times = np.concatenate([bogies + part / joints for part in (0.0, axle, 0.5, 0.5 + axle)])
    times += 0.008 / joints * rng.standard_normal(len(times))
    levels = rng.uniform(0.5, 1.0, len(times)) * np.repeat([1.0, 0.8, 0.4, 0.3], len(bogies))
    clack = unit(ring(strikes(rng, n, times, levels, 0.006), rails))
    roll = unit(noise(rng, n, [(50, 2), (250, 0), (2000, tilt), (12000, tilt - 16)]))
    total = clack + rolling * roll * (1 + 0.15 * wander(rng, n, 5))
    if horn > 0:
        m = count(rng.uniform(0.5, 1.4))
        envelope = curve([0, 0.08, m / RATE - 0.15, m / RATE], [0, 1, 1, 0], m)
        for ratio in (1.0, 1.26, 1.5):
            voice = harmonics(phase(pitch * ratio, m), [1, 0.7, 0.5, 0.4, 0.25, 0.15])
            place(total, 0.6 * voice * envelope, int(rng.uniform(0, 0.6) * n), horn)
    return total


def helicopter(draw: Draw, rng: Generator) -> Array:
    """Blade slaps, the rotor's low harmonics, a turbine's whine; it may come near or leave."""
    blades, slap = draw.log(9, 24), draw.log(2.0, 9.0)
    low, bright = draw.log(120, 700), draw.flat(-26, -8)
    turbine, whine, drone = draw.log(1200, 5200), draw.flat(0.0, 0.25), draw.flat(0.2, 1.0)
    n = count(rng.uniform(2.0, 5.0))
    rate = blades * (1 + 0.015 * wander(rng, n, 1))
    beat = np.maximum(0.0, 0.5 + 0.5 * tone(rate, n)) ** round(slap)
    air = unit(noise(rng, n, [(50, 0), (low, 0), (3000, bright), (14000, bright - 18)]))
    rotor = unit(harmonics(phase(rate, n), [0.2, 0.5, 1.0, 0.9, 0.7, 0.5, 0.4, 0.3, 0.2]))
    whistle = tone(turbine * (1 + 0.004 * wander(rng, n, 2)), n)
    near = np.linspace(rng.uniform(0.3, 1), rng.uniform(0.3, 1), n)
    return (1.6 * air * (0.12 + beat) + drone * rotor + whine * whistle) * near


def vacuum_cleaner(draw: Draw, rng: Generator) -> Array:
    """A whining fan motor under steady suction noise, changed when the nozzle moves."""
    pitch, whine = draw.log(140, 620), draw.log(0.12, 0.9)
    tilt, nozzle = draw.flat(-20, -4), draw.log(500, 3000)
    strokes, load = draw.log(0.4, 1.6), draw.flat(0.0, 0.06)
    tones = _harmonic_levels(draw, 14, 0.6, 0.92)
    n = _length(rng)
    push = wander(rng, n, strokes)
    speed = _run_up(rng, n, 1.2, 0.2) * (1 - load * push)
    air = unit(noise(rng, n, [(80, -10), (400, -2), (nozzle, 0), (5000, tilt / 2), (14000, tilt)]))
    return (air * (1 + 2 * load * push) + whine * _whine(pitch * speed, tones)) * speed


def blender(draw: Draw, rng: Generator) -> Array:
    """A strained motor with chunks hitting the jar, in one or more bursts."""
    pitch, whine = draw.log(170, 640), draw.log(0.4, 1.6)
    strain, rough = draw.flat(0.02, 0.14), draw.log(4, 18)
    jar = draw.modes(3, (400, 4500), (0.01, 0.06))
    chunks, tilt = draw.log(12, 120), draw.flat(-16, 0)
    tones = _harmonic_levels(draw, 14, 0.7, 0.95)
    n = _length(rng)
    torque = wander(rng, n, rough)
    speed = _run_up(rng, n, 0.5, 0.5) * (1 + strain * torque)
    if rng.random() < 0.4:
        pause, length = rng.uniform(0.3, 0.6) * n / RATE, n / RATE
        speed *= curve([0, pause, pause + 0.15, pause + 0.3, length], [1, 1, 0.05, 1, 1], n)
    clatter = unit(ring(impulses(rng, n, chunks, 24), jar))
    air = unit(noise(rng, n, [(150, -12), (1200, 0), (5000, -2), (14000, tilt)]))
    loud = np.maximum(0.1, 1 + 3 * strain * torque) * np.minimum(1.0, speed)
    return (0.8 * air + whine * _whine(pitch * speed, tones) + 0.6 * clatter) * loud


def electric_shaver(draw: Draw, rng: Generator) -> Array:
    """A small vibrating motor: many harmonics of the mains or of a battery motor, and hair."""
    pitch, bite = draw.log(85, 260), draw.flat(0.1, 0.6)
    casing = [draw.log(900, 2200, 0.02), draw.log(2500, 6000, 0.02)]
    tones = _harmonic_levels(draw, 26, 0.86, 0.98)
    hair, tilt, touches = draw.log(0.1, 0.8), draw.flat(-10, 3), draw.log(0.6, 3.0)
    n = _length(rng)
    touch = wander(rng, n, touches)
    speed = _run_up(rng, n, 0.25, 0.25) * (1 - 0.012 * touch + 0.003 * wander(rng, n, 25))
    buzz = _whine(pitch * speed, tones)
    bright = band_pass(buzz, casing[0], 3.0) + band_pass(buzz, casing[1], 3.0)
    air = unit(noise(rng, n, [(500, -20), (3000, -3), (8000, 0), (14000, tilt)]))
    return 0.5 * buzz + unit(bright) * (1 + bite * touch) + hair * air * (1 + bite * touch)


def _length(rng: Generator) -> int:
    """Samples of a lasting sound, 1.2 to 5 s."""
    return count(rng.uniform(1.2, 5.0))


def _harmonic_levels(draw: Draw, number: int, dull: float, bright: float) -> list[float]:
    """An uneven geometric fall, peculiar to the source."""
    ratio = draw.flat(dull, bright)
    return [ratio**k * draw.log(0.2, 1.0, wobble=0.1) for k in range(number)]


def _run_up(rng: Generator, samples: int, seconds: float, chance: float) -> Array:
    """Relative speed: with `chance` each, the motor starts, or runs down, within the sound."""
    length = samples / RATE
    seconds = min(seconds, 0.4 * length)
    speed = np.ones(samples)
    if rng.random() < chance:
        speed *= curve([0, seconds, length], [0.3, 1, 1], samples)
    if rng.random() < chance:
        speed *= curve([0, length - 0.7 * seconds, length], [1, 1, 0.4], samples)
    return speed


def _whine(hertz: Array, levels: list[float]) -> Array:
    return unit(harmonics(phase(hertz, len(hertz)), levels))


SOUNDS = {
    "engine": engine,
    "train": train,
    "helicopter": helicopter,
    "vacuum_cleaner": vacuum_cleaner,
    "blender": blender,
    "electric_shaver": electric_shaver,
}
