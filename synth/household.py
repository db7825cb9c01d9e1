"""Struck things: clock, knocks, footsteps, glass, keyboard, dishes."""

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
    gain,
    hit,
    noise,
    place,
    ring,
    strikes,
    unit,
    wander,
)


def clock_tick(draw: Draw, rng: Generator) -> Array:
    """Ticks and tocks: two short resonances of a case, at a steady pace."""
    pace, length = draw.log(1.0, 5.0), draw.log(0.0006, 0.003)
    tick = draw.modes(3, (900, 7000), (0.006, 0.05))
    tock = draw.modes(3, (700, 5000), (0.006, 0.05))
    limp, echo = draw.flat(-0.06, 0.06), draw.flat(0.0, 0.6)
    n = count(rng.uniform(2.0, 5.0))
    times = np.arange(rng.uniform(0, 0.5 / pace), n / RATE - 0.05, 1 / pace)
    times[1::2] += limp / pace
    levels = rng.uniform(0.85, 1.0, len(times))
    first = strikes(rng, n, times[::2], levels[::2], length)
    second = strikes(rng, n, times[1::2], 0.8 * levels[1::2], length)
    escape = strikes(rng, n, times + 0.022, echo * levels, length)
    return ring(first + 0.5 * escape, tick) + ring(second + 0.5 * escape, tock)


def door_wood_knock(draw: Draw, rng: Generator) -> Array:
    """Two to seven knocks on a panel: low modes, knuckles, a bounce of the door in its frame."""
    pace, panel = draw.log(2.4, 8.0), draw.modes(5, (90, 900), (0.03, 0.16))
    knuckle, rattle = draw.modes(3, (900, 3800), (0.004, 0.02)), draw.flat(-0.3, 0.5)
    length = draw.log(0.001, 0.006)
    knocks = int(rng.integers(2, 8))
    times = np.cumsum(rng.uniform(0.85, 1.2, knocks)) / pace
    levels = rng.uniform(0.5, 1.0, knocks)
    n = count(times[-1] + 0.3)
    force = strikes(rng, n, times, levels, length)
    total = unit(ring(force, panel)) + 0.5 * unit(ring(force, knuckle))
    if rattle > 0:
        loose = strikes(rng, n, times + rng.uniform(0.03, 0.07), rattle * levels, length)
        total += unit(ring(loose, knuckle[:2])) * rattle * 0.5
    return total


def footsteps(draw: Draw, rng: Generator) -> Array:
    """Heel, then sole, on boards, stone, gravel or snow."""
    ground = draw.kind("boards", "stone", "gravel", "snow")
    pace, roll = draw.log(1.3, 3.0), draw.flat(0.05, 0.14)
    heel = draw.modes(
        4, {"boards": (70, 700), "stone": (300, 3500)}.get(ground, (60, 260)), (0.01, 0.07)
    )
    grit, centre = draw.flat(0.1, 0.8), draw.log(900, 5200)
    length = draw.log(0.002, 0.009)
    times = np.arange(rng.uniform(0.02, 0.2), rng.uniform(1.2, 4.6), 1 / pace)
    times = times + rng.uniform(-0.03, 0.03, len(times))
    times = np.maximum(times, 0.0)
    n = count(times[-1] + 0.45)
    levels = rng.uniform(0.6, 1.0, len(times))
    total = unit(ring(strikes(rng, n, times, levels, length), heel))
    scuff = np.zeros(n)
    loose = ground in ("gravel", "snow")
    for time, level in zip(times, levels, strict=True):
        m = count(rng.uniform(0.12, 0.26) if loose else rng.uniform(0.03, 0.09))
        grain = rng.standard_normal(m) * hit(m, 0.25 * m / RATE, m / RATE)
        if ground == "gravel":
            grain *= np.maximum(0.0, wander(rng, m, 160))
        place(scuff, grain, round((time + roll * rng.uniform(0.7, 1.2)) * RATE), level)
    return total + (3.0 if loose else 1.0) * grit * unit(band_pass(scuff, centre, 0.9))


def glass_breaking(draw: Draw, rng: Generator) -> Array:
    """A blow, then shards that ring and fall, ever fewer."""
    shards, seconds = draw.log(18, 90), draw.log(0.4, 1.8)
    low, high = draw.log(900, 2400), draw.log(5500, 12000)
    decay, blow, tail = draw.log(0.03, 0.3), draw.flat(0.2, 1.2), draw.flat(0.1, 0.8)
    n = count(seconds * rng.uniform(0.9, 1.4) + 0.3)
    total = np.zeros(n)
    burst = rng.standard_normal(count(0.25)) * hit(count(0.25), 0.002, rng.uniform(0.08, 0.25))
    place(total, burst, 0, blow)
    pieces = [_shard(decay * rng.uniform(0.4, 1.3), low, high, rng) for _ in range(16)]
    for where in rng.random(round(shards)) ** 2:
        piece = pieces[int(rng.integers(16))]
        place(total, piece, round(where * seconds * RATE), rng.uniform(0.15, 1.0) * (1.2 - where))
    debris = unit(noise(rng, n, [(800, -24), (4000, 0), (12000, -2)]))
    return total + tail * debris * hit(n, 0.01, 1.2 * seconds) * np.abs(wander(rng, n, 70))


def _shard(seconds: float, low: float, high: float, rng: Generator) -> Array:
    modes = [(rng.uniform(low, high), seconds, rng.uniform(0.2, 1.0)) for _ in range(3)]
    return ring(strikes(rng, count(seconds), [0.0], [1.0], 0.001), modes)


def keyboard_typing(draw: Draw, rng: Generator) -> Array:
    """Bursts of key presses and softer releases; the space bar is lower."""
    pace, case = draw.log(4.5, 12.0), draw.modes(4, (250, 3000), (0.004, 0.03))
    cap = draw.modes(4, (1600, 8500), (0.003, 0.014))
    release, travel, length = draw.flat(0.15, 0.7), draw.flat(0.05, 0.12), draw.log(0.001, 0.004)
    thud = draw.flat(0.2, 1.2)
    gaps = rng.exponential(0.55, 60) + 0.45
    gaps[rng.random(60) < 0.1] += rng.uniform(2.0, 5.0)
    times = np.cumsum(gaps) / pace
    times = times[times < rng.uniform(1.2, 4.8)]
    n = count(times[-1] + 0.3) if len(times) else count(1.0)
    levels = rng.uniform(0.35, 1.0, len(times))
    space = rng.random(len(times)) < 0.16
    up = times + travel * rng.uniform(0.7, 1.4, len(times))
    press = strikes(rng, n, times, levels * np.where(space, 0.4, 1.0), length)
    press += strikes(rng, n, up, release * levels, length)
    low = strikes(rng, n, times, levels * np.where(space, 2.0, 0.7), 2 * length)
    return unit(ring(press, cap)) + thud * unit(ring(low, case))


def dishes(draw: Draw, rng: Generator) -> Array:
    """Plates, pots and cutlery set down, nudged and stacked: few ringing pieces, many contacts."""
    ware = draw.kind("plates", "pots", "cutlery", "glasses")
    hertz = {"plates": (700, 4500), "pots": (250, 2600), "cutlery": (2200, 9500)}
    pieces = [draw.modes(4, hertz.get(ware, (1500, 6500)), (0.04, 0.5)) for _ in range(3)]
    pace, scrape, length = draw.log(1.2, 6.0), draw.flat(0.0, 0.5), draw.log(0.0006, 0.004)
    seconds = rng.uniform(0.5, 3.5)
    times = np.cumsum(rng.exponential(1.0, 40)) / pace
    times = np.concatenate([[0.02], times[times < seconds]])
    n = count(times[-1] + 0.6)
    total = np.zeros(n)
    which = rng.integers(0, 3, len(times))
    for index, modes in enumerate(pieces):
        chosen = times[which == index]
        if len(chosen):
            bounce = np.concatenate([chosen, chosen + rng.uniform(0.04, 0.12)])
            levels = gain(-18 * rng.random(len(bounce)))
            total += unit(ring(strikes(rng, n, bounce, levels, length), modes)) * len(chosen)
    if scrape > 0.15:
        m = count(rng.uniform(0.15, 0.5))
        slide = ring(rng.standard_normal(m) * np.abs(wander(rng, m, 90)), pieces[0])
        fade = curve([0, 0.05, m / RATE], [0, 1, 0], m)
        place(total, scrape * unit(slide) * fade * len(times), int(rng.uniform(0, 0.5) * n))
    return total


SOUNDS = {
    "clock_tick": clock_tick,
    "door_wood_knock": door_wood_knock,
    "footsteps": footsteps,
    "glass_breaking": glass_breaking,
    "keyboard_typing": keyboard_typing,
    "dishes": dishes,
}
