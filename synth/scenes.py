"""Clips to be made: the content of each, decided beforehand, and its rendering.

A clip's samples depend only on its specification. Its random numbers come from a hash of its
`key`, so any number of workers, in any order, writes the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from synth import mixer, words
from synth.bank import Bank
from synth.synth import (
    RATE,
    Array,
    Generator,
    gain,
    noise,
    place,
    stream,
    unit,
)

MERGE_MS = 150
"""Events of one class with a shorter pause between them count as one, as in DESED."""
SHORTEST_MS = 100
_PER_MS = RATE // 1000


@dataclass(frozen=True)
class Source:
    """A group of a class in the bank."""

    name: str
    group: str


@dataclass(frozen=True)
class Sound:
    """A source used in a clip. Distractors have no label."""

    source: Source
    label: str | None


@dataclass(frozen=True)
class Event:
    """A labelled sound of a finished clip, in ms from its start."""

    label: str
    onset: int
    offset: int


@dataclass(frozen=True)
class Clip:
    """One finished file: its path below the corpora's folder, int16 samples, rate in Hz."""

    path: str
    samples: Array
    rate: int
    events: tuple[Event, ...] = ()


class Spec(Protocol):
    """Something that renders to files."""

    def make(self, bank: Bank) -> list[Clip]:
        """Render with the sounds of a bank."""
        ...

    def sources(self) -> list[tuple[str, str]]:
        """(class, group) of everything in it."""
        ...


@dataclass(frozen=True)
class Acoustics:
    """What makes clips easy or hard.

    Attributes:
        snr_db: range of a sound's level above the background.
        room: strength of the reverberation; 0 for none.
        hiss_db: range of the white noise's level against the background: it fills the band, so that
            the bandwidth of a source is no cue.
    """

    snr_db: tuple[float, float]
    room: float
    hiss_db: tuple[float, float] = (-24.0, -6.0)


@dataclass(frozen=True)
class Soundscape:
    """Overlapping events over a background."""

    key: str
    path: str
    seconds: float
    rate: int
    sounds: tuple[Sound, ...]
    bed: Source
    acoustics: Acoustics

    def sources(self) -> list[tuple[str, str]]:
        """See `Spec.sources`."""
        return [(s.name, s.group) for s in (*(sound.source for sound in self.sounds), self.bed)]

    def make(self, bank: Bank) -> list[Clip]:
        """See `Spec.make`; the events' times are the audible ones, without the room's tail."""
        rng = stream(self.key)
        samples = round(self.seconds * RATE)
        background = _background(bank, self.bed, samples, rng)
        dry = np.zeros(samples)
        events = []
        for sound in self.sounds:
            x = _sound(bank, sound.source, rng)
            x, onset = _into(x, samples, rng)
            place(dry, mixer.levelled(x), onset, _level(rng, self.acoustics.snr_db))
            if sound.label is not None:
                start = onset // _PER_MS
                events.append(Event(sound.label, start, start + len(x) // _PER_MS))
        mix = _finish(dry, background, self.rate, self.acoustics, rng)
        return [Clip(self.path, mix, self.rate, merged(events))]


@dataclass(frozen=True)
class SingleSound:
    """One source, as in ESC-50: a lasting sound fills the clip, a short one is padded."""

    key: str
    path: str
    seconds: float
    rate: int
    source: Source
    bed: Source
    acoustics: Acoustics

    def sources(self) -> list[tuple[str, str]]:
        """See `Spec.sources`."""
        return [(s.name, s.group) for s in (self.source, self.bed)]

    def make(self, bank: Bank) -> list[Clip]:
        """See `Spec.make`. Half of the padding is digital silence, as in ESC-50."""
        rng = stream(self.key)
        samples = round(self.seconds * RATE)
        x = _sound(bank, self.source, rng)
        lasting = len(x) > 0.4 * samples and rng.random() < 0.7
        x = mixer.loop(x, samples) if lasting else x[:samples]
        onset = int(rng.integers(0, (samples - len(x)) // mixer.STEP + 1)) * mixer.STEP
        background = _background(bank, self.bed, samples, rng)
        dry = np.zeros(samples)
        place(dry, mixer.levelled(x), onset, _level(rng, self.acoustics.snr_db))
        mix = _finish(dry, background, self.rate, self.acoustics, rng)
        if rng.random() < 0.5:
            tail = min(samples - onset - len(x), RATE // 5)
            heard = (onset + len(x) + tail) * self.rate // RATE
            mix = np.concatenate([mix[onset * self.rate // RATE : heard], np.zeros(len(mix))])
            mix = mix[: round(self.seconds * self.rate)].astype(np.int16)
        return [Clip(self.path, mix, self.rate)]


@dataclass(frozen=True)
class SpokenWords:
    """The command words of one speaker, a file each of at most one second."""

    seed: int
    speaker: words.Speaker
    paths: tuple[tuple[str, str], ...]
    rate: int
    acoustics: Acoustics

    def sources(self) -> list[tuple[str, str]]:
        """See `Spec.sources`: the class is the word, the group the speaker."""
        return [(word, self.speaker.key) for word, _ in self.paths]

    def make(self, bank: Bank) -> list[Clip]:
        """See `Spec.make`; `paths` holds (word, path) pairs, said in this order."""
        said = words.speak(self.speaker, [word for word, _ in self.paths])
        return [
            Clip(path, self._clip(stream(f"{self.seed}:{path}"), pcm), self.rate)
            for (_, path), pcm in zip(self.paths, said, strict=True)
        ]

    def _clip(self, rng: Generator, pcm: Array) -> Array:
        x = mixer.resample(pcm / 32768.0, words.RATE, RATE)[:RATE]
        length = len(x) / RATE
        seconds = 1.0 if rng.random() < 0.85 else rng.uniform(length, 1.0)
        samples = max(len(x), round(seconds * self.rate) * RATE // self.rate)
        dry = np.zeros(samples)
        place(dry, unit(x), int(rng.integers(0, samples - len(x) + 1)))
        bend = [(hertz, rng.uniform(-24, 0)) for hertz in (60, 500, 2500, 8000)]
        background = unit(noise(rng, samples, bend)) / _level(rng, self.acoustics.snr_db)
        return _finish(dry, background, self.rate, self.acoustics, rng)


def merged(events: list[Event]) -> tuple[Event, ...]:
    """By onset, and events of one label that overlap or nearly touch joined."""
    result: list[Event] = []
    for event in sorted(events, key=lambda e: (e.label, e.onset, e.offset)):
        last = result[-1] if result else None
        if last and last.label == event.label and event.onset - last.offset < MERGE_MS:
            result[-1] = Event(last.label, last.onset, max(last.offset, event.offset))
        else:
            result.append(event)
    return tuple(sorted(result, key=lambda e: (e.onset, e.offset, e.label)))


def _sound(bank: Bank, source: Source, rng: Generator) -> Array:
    """A source's sound at RATE, trimmed."""
    x, rate = bank.render(source.name, source.group, int(rng.integers(1 << 16)), rng)
    x = mixer.resample(x, rate, RATE)
    longest = 0.01 if len(x) < RATE else 0.4  # lasting sounds seldom begin abruptly
    return mixer.trim(mixer.faded(x, longest * rng.random() ** 2, longest * rng.random() ** 2))


def _background(bank: Bank, bed: Source, samples: int, rng: Generator) -> Array:
    """A bed of exactly `samples` from a random start, with a root mean square of 1."""
    x, rate = bank.render(bed.name, bed.group, int(rng.integers(1 << 16)), rng)
    x = mixer.resample(x, rate, RATE)
    surplus = max(0, len(x) - samples)
    start = int(rng.integers(0, surplus + 1))
    return unit(mixer.loop(x[start:], samples))


def _into(x: Array, samples: int, rng: Generator) -> tuple[Array, int]:
    """Where a sound is in the clip: the part of it that is used, and its first sample.

    One long sound in four began before the clip; a sound may outlast the clip.
    """
    least = SHORTEST_MS * _PER_MS
    if len(x) > RATE and rng.random() < 0.25:
        rest = x[int(rng.integers(1, (len(x) - least) // mixer.STEP)) * mixer.STEP :]
        start, stop = mixer.audible(rest)
        if start == 0 and stop >= least:
            return rest[: min(stop, samples)], 0
    latest = max(0, samples - min(len(x), RATE))
    onset = int(rng.integers(0, latest // _PER_MS + 1)) * _PER_MS
    heard = x[: samples - onset]
    _, stop = mixer.audible(heard)
    return heard[:stop], onset


def _finish(
    dry: Array, background: Array, rate: int, acoustics: Acoustics, rng: Generator
) -> Array:
    """Room, background and hiss; the result as int16 at `rate`, never clipped."""
    response = mixer.room(rng, acoustics.room)
    mix = mixer.in_room(dry, background, response, rate)
    mix = mix + _level(rng, acoustics.hiss_db) * rng.standard_normal(len(mix))
    return mixer.to_int16(mix, rng.uniform(0.1, 0.95))


def _level(rng: Generator, decibels: tuple[float, float]) -> float:
    """An amplitude factor drawn evenly in dB."""
    return float(gain(rng.uniform(*decibels)))
