"""The corpus like Speech Commands V2: one spoken word per file, split by speaker."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from synth import mixer, words
from synth.bank import Bank
from synth.layout import Layout, Planned
from synth.scenes import Acoustics, Clip, Source, SpokenWords
from synth.sizes import EmbeddedSizes
from synth.synth import RATE as BANK_RATE
from synth.synth import noise, stream, unit

RATE = 16_000
NOISE_FOLDER = "speechcommands/_background_noise_"
NOISES = {
    "running_tap": "running_water",
    "doing_the_dishes": "dishes",
    "exercise_bike": "train",
    "dude_miaowing": "cat",
}
"""Files of the original's noise folder, and the classes that stand for them."""

_CYCLE = 1 << 27


def plan(sizes: EmbeddedSizes, bank: Bank) -> Layout:
    """Every word by every speaker, the two split lists, and six noise files."""
    spoken = words.COMMANDS[: sizes.words]
    speakers = words.speakers()[: sizes.speakers]
    clips: list[Planned] = []
    lists: dict[str, list[str]] = {"validation": [], "test": []}
    for speaker in speakers:
        files = [(word, f"{word}/{speaker.key}_nohash_0.wav") for word in spoken]
        split = side(speaker.key)
        if split != "train":
            lists[split] += [file for _, file in files]
        paths = tuple((word, f"speechcommands/{file}") for word, file in files)
        acoustics = Acoustics(sizes.word_snr_db, sizes.room)
        clips.append(Planned(split, SpokenWords(sizes.seed, speaker, paths, RATE, acoustics)))
    for name in ("white_noise", "pink_noise", *NOISES):
        path = f"{NOISE_FOLDER}/{name}.wav"
        source = None
        if name in NOISES:
            source = Source(NOISES[name], bank.groups(NOISES[name])[-1])
        clips.append(Planned("noise", NoiseFile(path, sizes.noise_seconds, RATE, source)))
    tables = {
        "speechcommands/validation_list.txt": "".join(
            f"{p}\n" for p in sorted(lists["validation"])
        ),
        "speechcommands/testing_list.txt": "".join(f"{p}\n" for p in sorted(lists["test"])),
    }
    return Layout("speechcommands", tuple(clips), lambda _: tables)


def side(speaker: str) -> str:
    """Split of a speaker by the rule of the data set's README: SHA-1, ten percent each."""
    number = int(hashlib.sha1(speaker.encode()).hexdigest(), 16)
    percent = (number % _CYCLE) * (100.0 / (_CYCLE - 1))
    return "validation" if percent < 10 else "test" if percent < 20 else "train"


@dataclass(frozen=True)
class NoiseFile:
    """A long background noise: a repeated source, or white or pink noise."""

    path: str
    seconds: float
    rate: int
    source: Source | None

    def sources(self) -> list[tuple[str, str]]:
        """See `scenes.Spec.sources`."""
        return [(self.source.name, self.source.group)] if self.source else []

    def make(self, bank: Bank) -> list[Clip]:
        """See `scenes.Spec.make`."""
        rng = stream("noise", self.path)
        samples = round(self.seconds * BANK_RATE)
        if self.source is not None:
            source = self.source
            takes = [bank.render(source.name, source.group, take, rng)[0] for take in range(4)]
            x = mixer.loop(np.concatenate([unit(take) for take in takes]), samples)
        elif "white" in self.path:
            x = rng.standard_normal(samples)
        else:
            x = noise(rng, samples, [(40, 0), (16000, -26)])
        x = mixer.resample(x, BANK_RATE, self.rate)
        return [Clip(self.path, mixer.to_int16(x, 0.5), self.rate)]
