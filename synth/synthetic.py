"""The bank of synthesised sounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

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
class SyntheticBank:
    """Synthesised environmental sounds, and speech by eSpeak NG.

    Attributes:
        sources: groups per class.
        variation: how far takes of one source differ; 1 is the default spread, 0 makes them alike
            but for their noise.
    """

    sources: int = 40
    variation: float = 1.0
    name: str = "synthetic"

    def describe(self) -> dict[str, Any]:
        """The parameters."""
        return {"name": self.name, "sources": self.sources, "variation": self.variation}

    def classes(self) -> tuple[str, ...]:
        """Sounds, then speech."""
        return (*SOUNDS, SPEECH)

    def backgrounds(self) -> tuple[str, ...]:
        """Beds."""
        return tuple(beds.SOUNDS)

    def groups(self, name: str) -> tuple[str, ...]:
        """`sources` numbered sources; for speech, speakers that say no command words."""
        return tuple(f"{name}-{index:02d}" for index in range(self.sources))

    def is_synthetic(self, name: str) -> bool:
        """Always."""
        return True

    def render(
        self, name: str, group: str, take: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """See `Bank.render`."""
        if name == SPEECH:
            speaker = _reversed_speakers()[int(group.rpartition("-")[2])]
            return words.speak(speaker, [words.sentence(rng)])[0] / 32768.0, words.RATE
        source, variant = synth.stream("source", group), synth.stream("take", group, take)
        sound = (SOUNDS.get(name) or beds.SOUNDS[name])(Draw(source, variant, self.variation), rng)
        return sound, synth.RATE

    def notice(self) -> str:
        """Licence of the synthetic sounds."""
        return NOTICE


@lru_cache(maxsize=1)
def _reversed_speakers() -> tuple[words.Speaker, ...]:
    return words.speakers()[::-1]  # command words count from the front
