"""The bank: synthesised sounds by class and source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synth import animals, beds, household, machines, nature, signals, synth, words
from synth.draw import Draw

SOUNDS: dict[str, Callable[[Draw, np.random.Generator], np.ndarray]] = {
    **animals.SOUNDS,
    **nature.SOUNDS,
    **machines.SOUNDS,
    **household.SOUNDS,
    **signals.SOUNDS,
}
SPEECH = "speech"

NOTICE = """\
Synthetic sounds: made by synth; the makers waive all rights in the audio (CC0 1.0,
https://creativecommons.org/publicdomain/zero/1.0/).
Spoken words: made with eSpeak NG (https://github.com/espeak-ng/espeak-ng), a program under the
GPL-3.0 that runs as a tool at build time and is not part of these files.
"""


@dataclass(frozen=True)
class Bank:
    """Synthesised environmental sounds, and speech by eSpeak NG.

    A *group* is one source of a class: a dog, an engine, a speaker. Groups decide the splits: none
    is used in two splits or folds. Class names are those of ESC-50 where ESC-50 has the class, else
    those of `taxonomy`. Banks are pickled to worker processes, and two equal calls of `render`
    (generators in equal states) give equal samples in every process.

    Attributes:
        sources: groups per class.
        variation: how far takes of one source differ; 1 is the default spread, 0 makes them equal
            except for their noise.
    """

    sources: int = 40
    variation: float = 1.0

    def classes(self) -> tuple[str, ...]:
        """Sounds that can be labelled; speech is the last."""
        return (*SOUNDS, SPEECH)

    def backgrounds(self) -> tuple[str, ...]:
        """Unlabelled background beds."""
        return tuple(beds.SOUNDS)

    def groups(self, name: str) -> tuple[str, ...]:
        """`sources` numbered sources; for speech, speakers who say no command words."""
        return tuple(f"{name}-{index:02d}" for index in range(self.sources))

    def render(
        self, name: str, group: str, take: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """One sound: float64 mono (samples,), any level, and its sample rate in Hz.

        Args:
            take: any non-negative integer; how this take of the source differs from the others.
            rng: for what differs between renderings.
        """
        if name == SPEECH:
            speaker = _reversed_speakers()[int(group.rpartition("-")[2])]
            return words.speak(speaker, [words.sentence(rng)])[0] / 32768.0, words.RATE
        source, variant = synth.stream("source", group), synth.stream("take", group, take)
        sound = (SOUNDS.get(name) or beds.SOUNDS[name])(Draw(source, variant, self.variation), rng)
        return sound, synth.RATE


@lru_cache(maxsize=1)
def _reversed_speakers() -> tuple[words.Speaker, ...]:
    return words.speakers()[::-1]  # command words count from the front
