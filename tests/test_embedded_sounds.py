"""The synthetic bank: its arithmetic, its variety, and its independence of the machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from factories import ROOT

from synth.bank import SPEECH, Bank
from synth.draw import Draw
from synth.synth import (
    RATE,
    curve,
    exp2,
    gain,
    harmonics,
    noise,
    ring,
    sin2pi,
    stream,
    wander,
)

BANK = Bank(sources=12)
NAMES = [name for name in (*BANK.classes(), *BANK.backgrounds()) if name != SPEECH]


def test_elementary_functions_agree_with_numpy():
    x = np.linspace(-30.0, 30.0, 20_001)
    assert np.allclose(exp2(x), np.exp2(x), rtol=1e-11)
    assert np.allclose(sin2pi(x), np.sin(2 * np.pi * x), atol=1e-8)
    assert float(gain(20.0)) == pytest.approx(10.0)


def test_noise_has_the_spectrum_it_is_asked_for():
    x = noise(stream("slope"), 4 * RATE, [(50, 0), (200, 0), (1000, -20), (8000, -20)])
    power = np.abs(np.fft.rfft(x)) ** 2
    hertz = np.fft.rfftfreq(len(x), 1 / RATE)

    def level(low: float, high: float) -> float:
        return 10 * np.log10(power[(hertz > low) & (hertz < high)].mean())

    assert level(60, 190) - level(1000, 1500) == pytest.approx(20, abs=2)
    assert level(1000, 1500) - level(5000, 6000) == pytest.approx(0, abs=1)


def test_noise_is_as_loud_in_the_middle_of_a_long_stretch():
    x = noise(stream("even"), 5 * RATE, [(100, 0), (10_000, 0)])
    levels = np.sqrt(np.mean(x[: 50 * 2400].reshape(50, 2400) ** 2, axis=1))
    assert levels.std() / levels.mean() < 0.1


def test_a_struck_mode_rings_at_its_pitch_and_dies_in_its_time():
    blow = np.zeros(RATE)
    blow[0] = 1.0
    x = ring(blow, [(1000.0, 0.5, 1.0)])
    spectrum = np.abs(np.fft.rfft(x))
    assert abs(int(spectrum.argmax()) - 1000) <= 2  # one second: bins are 1 Hz
    early, late = np.abs(x[:240]).max(), np.abs(x[RATE // 2 : RATE // 2 + 240]).max()
    assert 20 * np.log10(early / late) == pytest.approx(60, abs=1.5)


def test_harmonics_are_a_sum_of_sines():
    cycles = np.linspace(0, 7.3, 5000)
    wanted = np.sin(2 * np.pi * cycles) + 0.5 * np.sin(6 * np.pi * cycles)
    assert np.allclose(harmonics(cycles, [1.0, 0.0, 0.5]), wanted, atol=1e-5)


def test_control_curves():
    line = curve([0, 0.5, 1.0], [0.0, 1.0, 0.0], RATE + 100)
    assert line[RATE // 4] == pytest.approx(0.5, abs=1e-3)
    assert line[RATE // 2] == 1.0
    assert (line[RATE:] == 0.0).all()
    slow = wander(stream("w"), 30 * RATE, 4.0)
    assert len(slow) == 30 * RATE
    assert abs(slow.mean()) < 0.4
    assert 0.7 < slow.std() < 1.3


def test_takes_move_a_parameter_only_a_little():
    def draws(take: int) -> list[float]:
        draw = Draw(stream("source"), stream("take", take))
        return [draw.log(100.0, 1600.0, wobble=0.1) for _ in range(20)]

    distance = np.abs(np.log2(draws(1)) - np.log2(draws(2)))
    assert distance.max() <= 0.2 * 4 + 1e-9  # twice a tenth of four octaves
    assert distance.max() > 0
    still = [Draw(stream("s"), stream(t), variation=0.0).flat(0, 1) for t in range(3)]
    assert len(set(still)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_class_renders_its_sources_differently(name: str):
    first, second = BANK.groups(name)[:2]
    x, rate = BANK.render(name, first, 0, stream("a"))
    assert rate == RATE
    assert x.ndim == 1
    assert x.dtype == np.float64
    assert np.isfinite(x).all()
    assert np.abs(x).max() > 0
    assert 0.05 * RATE < len(x) < 8 * RATE
    again, _ = BANK.render(name, first, 0, stream("a"))
    assert np.array_equal(x, again)
    for other in (
        BANK.render(name, second, 0, stream("a")),
        BANK.render(name, first, 1, stream("a")),
        BANK.render(name, first, 0, stream("b")),
    ):
        assert not np.array_equal(x, other[0])


def test_the_bank_is_large_enough_for_its_corpora():
    assert len(BANK.classes()) >= 26
    assert len(set(BANK.groups("dog"))) == 12


_RENDER_ALL = """
import hashlib, numpy as np
from synth.bank import Bank
from synth.synth import stream
bank = Bank(sources=12)
for name in (*bank.classes(), *bank.backgrounds()):
    x, _ = bank.render(name, bank.groups(name)[2], 5, stream("machine", name))
    pcm = np.rint(x / np.abs(x).max() * 32767).astype("<i2")
    print(name, hashlib.sha256(pcm.tobytes()).hexdigest())
cpu = np._core._multiarray_umath
print("numpy", ",".join(n for n in cpu.__cpu_dispatch__ if cpu.__cpu_features__[n]) or "baseline")
"""


def _render_all(**environment: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _RENDER_ALL],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split() for line in done.stdout.splitlines())


def test_samples_do_not_depend_on_the_cpu():
    """NumPy and the C library choose other code where a CPU lacks FMA; the samples stay."""
    here = _render_all()
    used = here.pop("numpy")
    if used == "baseline":
        pytest.skip("this CPU has one code path only")
    there = _render_all(
        NPY_DISABLE_CPU_FEATURES=used,
        GLIBC_TUNABLES="glibc.cpu.hwcaps=-FMA,-AVX2,-FMA_Usable,-AVX2_Usable",
    )
    assert there.pop("numpy") == "baseline"
    assert here == there


def test_known_samples():
    """Bytes of one sound, so that a change of the generator cannot pass unnoticed."""
    x, _ = BANK.render("dog", "dog-03", 1, stream("known"))
    pcm = np.rint(x / np.abs(x).max() * 32767).astype("<i2")
    assert hashlib.sha256(pcm.tobytes()).hexdigest()[:16] == "d9ee818bbf334cca"
