"""Parts of clips, and the truth of the times that clips are labelled with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from synth import mixer
from synth.scenes import (
    Acoustics,
    Event,
    SingleSound,
    Sound,
    Soundscape,
    Source,
    merged,
)
from synth.synth import RATE, stream

SILENT_ROOM = Acoustics(snr_db=(30.0, 30.0), room=0.0, hiss_db=(-60.0, -60.0))


class Tones:
    """A bank whose sounds are tones of known length after 0.3 s of silence."""

    def __init__(self, seconds: float = 0.8) -> None:
        self.seconds = seconds

    def render(self, name, group, take, rng):
        if name == "bed":
            return rng.standard_normal(RATE // 2), RATE
        t = np.arange(round(self.seconds * RATE)) / RATE
        return np.concatenate([np.zeros(RATE * 3 // 10), np.sin(2 * np.pi * 3000 * t)]), RATE


def test_resampling_keeps_pitch_and_level():
    t = np.arange(22_050) / 22_050
    x = mixer.resample(np.sin(2 * np.pi * 440 * t), 22_050, 16_000)
    wanted = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(x) == 16_000
    assert np.abs(x - wanted)[200:-200].max() < 2e-3


def test_trim_finds_the_audible_part():
    quiet = np.zeros(RATE)
    loud = np.sin(2 * np.pi * 500 * np.arange(RATE // 2) / RATE)
    x = mixer.trim(np.concatenate([quiet, loud, quiet]) + 0.5)  # and removes the offset
    assert abs(len(x) - RATE // 2) <= 4 * mixer.STEP
    with pytest.raises(ValueError, match="audible"):
        mixer.trim(np.zeros(RATE))


@settings(max_examples=30, deadline=None)
@given(st.integers(2_000, 60_000), st.integers(1, 150_000))
def test_loop_has_the_length_asked_for(length: int, samples: int):
    x = np.random.default_rng(0).standard_normal(length)
    assert len(mixer.loop(x, samples)) == samples


def test_loop_keeps_the_power():
    x = np.random.default_rng(0).standard_normal(RATE)
    looped = mixer.loop(x, 6 * RATE).reshape(-1, RATE // 4)
    levels = np.sqrt(np.mean(looped**2, axis=1))
    assert levels.max() / levels.min() < 1.15


@pytest.mark.parametrize("rate", [RATE, 16_000, 32_000, 44_100])
def test_in_room_convolves_and_resamples(rate: int):
    rng = np.random.default_rng(1)
    dry, bed = (mixer.resample(rng.standard_normal(6_000), 8_000, RATE) for _ in range(2))
    response = mixer.room(stream("r"), 1.0)
    wanted = np.convolve(dry, response)[: len(dry)] + bed
    if rate != RATE:
        ratio = rate / RATE
        up, down = (ratio).as_integer_ratio() if ratio == 2 else (rate // 100, RATE // 100)
        wanted = resample_poly(wanted, up, down)
    found = mixer.in_room(dry, bed, response, rate)
    assert len(found) == len(dry) * rate // RATE
    edge = rate // 50
    error = (found - wanted[: len(found)])[edge:-edge]
    assert np.sqrt(np.mean(error**2)) < 0.02 * np.sqrt(np.mean(wanted**2))


def test_a_room_of_strength_zero_changes_nothing():
    response = mixer.room(stream("dead"), 0.0)
    assert response[0] == 1.0
    assert not response[1:].any()


def test_to_int16_never_clips():
    x = np.array([0.0, 10.0, -20.0])
    assert mixer.to_int16(x, 0.5).tolist() == [0, 8192, -16384]
    assert not mixer.to_int16(np.zeros(4), 0.5).any()


def test_levels_count_the_loud_parts_only():
    steady = np.ones(RATE)
    with_pause = np.concatenate([np.ones(RATE), np.zeros(3 * RATE)])
    assert mixer.levelled(with_pause)[0] == pytest.approx(mixer.levelled(steady)[0], rel=0.02)


def test_events_of_one_label_that_touch_are_joined():
    events = [
        Event("Dog", 100, 400),
        Event("Cat", 150, 250),
        Event("Dog", 500, 700),
        Event("Dog", 900, 1000),
    ]
    assert merged(events) == (Event("Dog", 100, 700), Event("Cat", 150, 250), events[3])


def _scene(key: str, number: int = 1, acoustics: Acoustics = SILENT_ROOM) -> Soundscape:
    sound = Sound(Source("tone", "tone-0"), "Tone")
    bed = Source("bed", "bed-0")
    return Soundscape(key, "a.wav", 4.0, 16_000, (sound,) * number, bed, acoustics)


@pytest.mark.parametrize("seconds", [0.4, 2.5, 6.0])
@pytest.mark.parametrize("key", ["a", "b", "c", "d", "e"])
def test_labels_are_where_the_sound_is(key: str, seconds: float):
    (clip,) = _scene(key).make(Tones(seconds))
    assert clip.samples.dtype == np.int16
    assert len(clip.samples) == 4 * 16_000
    (event,) = clip.events
    assert 0 <= event.onset < event.offset <= 4_000
    power = clip.samples[: 400 * 160].astype(float).reshape(400, 160) ** 2  # every 10 ms
    heard = np.flatnonzero(power.mean(axis=1) > 0.01 * power.mean(axis=1).max()) * 10
    assert abs(heard[0] - event.onset) <= 60  # fades begin softly
    assert abs(heard[-1] + 10 - event.offset) <= 60


def test_sounds_are_cut_by_both_ends_of_clips():
    clips = [_scene(f"cut-{index}").make(Tones(2.5))[0] for index in range(60)]
    events = [event for clip in clips for event in clip.events]
    assert any(event.onset == 0 for event in events)
    assert any(event.offset == 4_000 for event in events)
    assert any(event.onset > 0 and event.offset < 4_000 for event in events)


def test_a_scene_without_sounds_has_no_events():
    (clip,) = _scene("empty", number=0).make(Tones())
    assert clip.events == ()
    assert clip.samples.any()


def test_a_scene_is_the_same_each_time_and_its_key_matters():
    acoustics = Acoustics((5.0, 15.0), room=1.0)
    first, again, other = (_scene(key, 3, acoustics).make(Tones())[0] for key in ("k", "k", "l"))
    assert np.array_equal(first.samples, again.samples)
    assert first.events == again.events
    assert not np.array_equal(first.samples, other.samples)


def test_short_single_sounds_are_padded_sometimes_with_digital_silence():
    source, bed = Source("tone", "tone-0"), Source("bed", "bed-0")
    tails = []
    for index in range(12):
        spec = SingleSound(f"s{index}", "a.wav", 5.0, 44_100, source, bed, SILENT_ROOM)
        (clip,) = spec.make(Tones(0.5))
        assert len(clip.samples) == 220_500
        tails.append(bool(clip.samples[-2_000:].any()))
    assert set(tails) == {True, False}
