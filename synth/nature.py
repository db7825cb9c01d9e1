"""Weather, fire and water: rain, waves, wind, thunder, fire, running water, frying."""

from __future__ import annotations

import numpy as np

from synth.draw import Draw
from synth.synth import (
    RATE,
    Array,
    Generator,
    band_pass,
    count,
    exp2,
    hit,
    impulses,
    low_pass,
    noise,
    place,
    ring,
    sin2pi,
    unit,
    wander,
)


def _length(rng: Generator) -> int:
    """Samples of a lasting sound, 1.2 to 5 s."""
    return count(rng.uniform(1.2, 5.0))


def rain(draw: Draw, rng: Generator) -> Array:
    """Hiss of many drops, single drops in front, on a surface that may resonate."""
    tilt, body = draw.flat(-9, 3), draw.flat(-14, 2)
    drops, front = draw.log(60, 1500), draw.flat(0.15, 1.0)
    surface, gusts = draw.modes(3, (300, 4000), (0.004, 0.04)), draw.flat(0.0, 0.35)
    n = _length(rng)
    hiss = unit(noise(rng, n, [(100, body - 12), (600, body), (3000, 0), (14000, tilt)]))
    near = unit(ring(impulses(rng, n, drops * rng.uniform(0.7, 1.4), 24), surface))
    return hiss * np.maximum(0.3, 1 + gusts * wander(rng, n, 1.0)) + front * near


def sea_waves(draw: Draw, rng: Generator) -> Array:
    """Swells that darken as they draw back and hiss as they break."""
    period, depth = draw.log(2.2, 7.0), draw.flat(0.5, 0.95)
    deep, foam = draw.flat(-4, 8), draw.flat(-12, 0)
    n = count(rng.uniform(3.0, 5.0))
    slow = sin2pi(np.arange(n) / RATE / (period * rng.uniform(0.85, 1.2)) + rng.random())
    swell = 0.5 + 0.5 * slow + 0.12 * wander(rng, n, 1.5)
    rumble = unit(noise(rng, n, [(40, deep), (300, 0), (1500, -18), (8000, -40)]))
    wash = unit(noise(rng, n, [(200, -24), (1200, 0), (5000, foam), (14000, foam - 14)]))
    swell = np.clip(swell, 0.0, 1.2)
    return (1 - depth + depth * swell) * rumble + 1.3 * swell * swell * wash


def wind(draw: Draw, rng: Generator) -> Array:
    """Gusts: low noise whose brightness follows its force, with a whistle at some sources."""
    force, brightness = draw.log(0.5, 2.5), draw.flat(-20, -4)
    centre, whistle = draw.log(250, 1100), draw.flat(-0.5, 0.5)
    n = count(rng.uniform(2.5, 5.0))
    gust = np.maximum(0.05, 0.55 + 0.4 * wander(rng, n, force) + 0.1 * wander(rng, n, 6 * force))
    low = unit(noise(rng, n, [(40, 4), (200, 0), (900, -16), (5000, -40)]))
    high = unit(noise(rng, n, [(150, -16), (centre, 0), (4000, brightness), (14000, -34)]))
    total = low * gust + 0.8 * high * gust * gust
    if whistle > 0:
        total += whistle * 6 * band_pass(high, 1.6 * centre, 18) * gust**3
    return total


def thunderstorm(draw: Draw, rng: Generator) -> Array:
    """A crack, then rolls of low noise; rain behind it at some sources."""
    crack, depth = draw.flat(0.0, 1.5), draw.flat(-22, -8)
    rolls, shower = draw.log(1.5, 6.0), draw.flat(-0.25, 0.25)
    n = count(rng.uniform(2.5, 5.0))
    rumble = unit(noise(rng, n, [(30, 2), (90, 0), (400, depth), (3000, depth - 26)]))
    density = np.zeros(n)
    for start in np.sort(rng.uniform(0.0, 0.7, int(rng.integers(2, 7)))):
        place(density, hit(n, 0.05, rng.uniform(0.8, rolls)), int(start * n), rng.uniform(0.2, 1))
    total = rumble * density * (0.8 + 0.3 * np.abs(wander(rng, n, 12)))
    burst_n = count(0.6)
    burst = rng.standard_normal(burst_n) * hit(burst_n, 0.004, rng.uniform(0.2, 0.6))
    place(total, low_pass(burst, 2500), int(rng.uniform(0, 0.25) * n), 0.8 * crack)
    if shower > 0:
        total += shower * unit(noise(rng, n, [(300, -12), (3000, 0), (14000, -6)]))
    return total


def crackling_fire(draw: Draw, rng: Generator) -> Array:
    """Snaps of wood of all sizes over a soft roar."""
    snaps, roar = draw.log(5, 45), draw.log(0.03, 0.5)
    wood = draw.modes(4, (700, 7000), (0.002, 0.018))
    hiss, spread = draw.flat(-12, 4), draw.flat(18, 40)
    n = _length(rng)
    busy = np.clip(0.55 + 0.4 * wander(rng, n, 2.5), 0.1, 1.0)
    cracks = unit(ring(impulses(rng, n, snaps, spread, busy), wood))
    cracks += 0.6 * unit(ring(impulses(rng, n, 6 * snaps, 30, busy), wood[:2]))
    fire = unit(noise(rng, n, [(60, 0), (400, -4), (3000, hiss - 12), (14000, hiss - 16)]))
    return cracks + roar * fire * (1 + 0.3 * wander(rng, n, 8))


def running_water(draw: Draw, rng: Generator) -> Array:
    """A tap or a stream: steady noise and many bubbles, each a rising, dying tone."""
    bubbles, low, high = draw.log(25, 220), draw.log(300, 900), draw.log(1400, 3800)
    stream_level, tilt, basin = draw.log(0.15, 1.4), draw.flat(-14, 2), draw.log(300, 1500)
    n = _length(rng)
    hiss = unit(noise(rng, n, [(150, -14), (basin, 0), (4000, -4), (14000, tilt)]))
    drops = np.zeros(n)
    grains = [_bubble(float(low * exp2(rng.random() * 2.0)), rng) for _ in range(8)]
    grains += [_bubble(rng.uniform(low, high), rng) for _ in range(12)]
    for at in rng.integers(0, n, int(rng.poisson(bubbles * n / RATE))):
        place(drops, grains[int(rng.integers(20))], int(at), rng.uniform(0.1, 1.0))
    return stream_level * hiss * (1 + 0.1 * wander(rng, n, 5)) + unit(drops)


def _bubble(hertz: float, rng: Generator) -> Array:
    seconds = min(0.08, 14.0 / hertz * rng.uniform(0.6, 1.6))
    n = count(seconds)
    t = np.linspace(0.0, 1.0, n)
    cycles = hertz * seconds * (t + rng.uniform(0.05, 0.25) * t * t)
    return sin2pi(cycles) * hit(n, 0.001, seconds)


def frying(draw: Draw, rng: Generator) -> Array:
    """Sizzle of hot fat: bright fluttering noise and spitting drops."""
    bright, low = draw.flat(-8, 5), draw.flat(-24, -6)
    spits, spit_level = draw.log(40, 900), draw.flat(0.15, 0.9)
    drops, flutter = draw.modes(3, (1800, 9000), (0.001, 0.008)), draw.flat(0.1, 0.5)
    n = _length(rng)
    hiss = unit(noise(rng, n, [(200, low), (1500, -6), (5000, 0), (14000, bright)]))
    hiss *= np.maximum(0.2, 1 + flutter * wander(rng, n, 60))
    spit = unit(ring(impulses(rng, n, spits, 34), drops))
    return hiss * np.maximum(0.3, 1 + 0.2 * wander(rng, n, 1.5)) + spit_level * spit


SOUNDS = {
    "rain": rain,
    "sea_waves": sea_waves,
    "wind": wind,
    "thunderstorm": thunderstorm,
    "crackling_fire": crackling_fire,
    "running_water": running_water,
    "frying": frying,
}
