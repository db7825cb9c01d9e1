"""What the builder needs of a collection of sounds."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Bank(Protocol):
    """Single sounds by class and source.

    A *group* is an original recording or a synthetic source. Groups decide the splits: no group
    is used in two splits or folds. Class names are those of ESC-50 where ESC-50 has the class,
    else those of `taxonomy.CLASSES`. Banks are pickled to worker processes, and two equal calls of
    `render` (generators in equal states) give equal samples in every process.
    """

    @property
    def name(self) -> str:
        """Short and unlike that of other banks."""
        ...

    def describe(self) -> dict[str, Any]:
        """JSON-like values that determine every sound; a change of them rebuilds the corpora."""
        ...

    def classes(self) -> tuple[str, ...]:
        """Sounds that can be labelled."""
        ...

    def backgrounds(self) -> tuple[str, ...]:
        """Further classes that serve as unlabelled background beds; may be empty."""
        ...

    def groups(self, name: str) -> tuple[str, ...]:
        """Sources of a class or a background, in a fixed order."""
        ...

    def is_synthetic(self, name: str) -> bool:
        """Whether the class is synthesised rather than recorded."""
        ...

    def render(
        self, name: str, group: str, take: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """One sound: float64 mono (samples,), any level, and its sample rate in Hz.

        Args:
            take: any non-negative integer; it picks among the recordings of the group, or sets
                how this take of a synthetic source differs from the others.
            rng: for what differs from rendering to rendering.
        """
        ...

    def notice(self) -> str:
        """Licences and credits, as text for the corpus folder."""
        ...
