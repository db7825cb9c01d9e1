"""Background beds: ambient sound without events."""

from __future__ import annotations

import numpy as np

from synth.draw import Draw
from synth.synth import (
    Array,
    Generator,
    count,
    gain,
    harmonics,
    noise,
    phase,
    tone,
    unit,
    wander,
)

SECONDS = 5.2


def _room(draw: Draw, rng: Generator) -> Array:
    """A room: dark noise and the mains."""
    tilt, mains = draw.flat(-36, -12), draw.flat(-30, -4)
    hertz = 50.0 if draw.kind("50 Hz", "60 Hz") == "50 Hz" else 60.0
    n = count(SECONDS)
    air = unit(noise(rng, n, [(40, 6), (300, 0), (3000, tilt / 2), (14000, tilt)]))
    hum = harmonics(phase(hertz, n), [0.6, 1.0, 0.3, 0.5, 0.1, 0.2])
    return air + float(gain(mains)) * hum


def _street(draw: Draw, rng: Generator) -> Array:
    """Distant traffic that swells and fades."""
    tilt, swell = draw.flat(-34, -16), draw.flat(0.15, 0.5)
    n = count(SECONDS)
    low = unit(noise(rng, n, [(30, 4), (120, 2), (800, -6), (4000, tilt), (14000, tilt - 12)]))
    return low * np.maximum(0.15, 1 + swell * wander(rng, n, 0.6))


def _open_air(draw: Draw, rng: Generator) -> Array:
    """Leaves and distance: soft noise at both ends of the spectrum."""
    leaves, stir = draw.flat(-22, -4), draw.flat(0.1, 0.5)
    n = count(SECONDS)
    far = unit(noise(rng, n, [(40, 2), (200, 0), (1500, -20), (14000, -40)]))
    near = unit(noise(rng, n, [(800, -16), (4000, 0), (14000, -4)]))
    return far + float(gain(leaves)) * near * np.maximum(0.1, 1 + stir * wander(rng, n, 1.5))


def _ventilation(draw: Draw, rng: Generator) -> Array:
    """A duct or a refrigerator: banded noise and a faint tone."""
    centre, fan, level = draw.log(150, 1200), draw.log(80, 420), draw.flat(-26, -8)
    n = count(SECONDS)
    air = unit(noise(rng, n, [(60, -4), (centre, 0), (4000, -20), (14000, -34)]))
    return air + float(gain(level)) * tone(fan * (1 + 0.003 * wander(rng, n, 1)), n)


def _hall(draw: Draw, rng: Generator) -> Array:
    """Many people far away: noise in the range of speech, stirred at the pace of syllables."""
    low, high, stir = draw.log(250, 500), draw.log(1200, 2600), draw.flat(0.15, 0.5)
    n = count(SECONDS)
    total = np.zeros(n)
    for hertz in (low, np.sqrt(low * high), high):
        band = unit(noise(rng, n, [(0.5 * hertz, -14), (hertz, 0), (2 * hertz, -14), (14000, -44)]))
        total += band * np.maximum(0.1, 1 + stir * wander(rng, n, 5))
    return total


SOUNDS = {
    "bed_room": _room,
    "bed_street": _street,
    "bed_open_air": _open_air,
    "bed_ventilation": _ventilation,
    "bed_hall": _hall,
}
