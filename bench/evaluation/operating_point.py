"""Operating points: one threshold and one median filter per class, and the published lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.files import digest_of

PUBLISHED_THRESHOLDS: dict[str, dict[str, float]] = {
    # fl_evaluate.py of the HTS-AT repository, lines 98-111: the list in use and the one in a
    # comment for PANN's Cnn14_DecisionLevelMax. Set by hand; no validation split is named. They
    # apply to the highest probability among the AudioSet classes mapped to each DESED class.
    "htsat": {
        "Alarm_bell_ringing": 0.18,
        "Blender": 0.48,
        "Cat": 0.51,
        "Dishes": 0.20,
        "Dog": 0.39,
        "Electric_shaver_toothbrush": 0.20,
        "Frying": 0.20,
        "Running_water": 0.23,
        "Speech": 0.275,
        "Vacuum_cleaner": 0.14,
    },
    "pann": {
        "Alarm_bell_ringing": 0.20,
        "Blender": 0.20,
        "Cat": 0.20,
        "Dishes": 0.05,
        "Dog": 0.20,
        "Electric_shaver_toothbrush": 0.20,
        "Frying": 0.20,
        "Running_water": 0.10,
        "Speech": 0.28,
        "Vacuum_cleaner": 0.05,
    },
}


@dataclass(frozen=True)
class OperatingPoint:
    """How frame scores are decided, per class in the order of `classes`.

    Attributes:
        thresholds: a frame is active when its filtered score exceeds this.
        median_filters: lengths in frames, odd; 1 = no filter.
        source: how the values were found, in words.
        validation_f1: F1 on the validation clips; None for a class without events there, empty
            where nothing was chosen.
        chosen_on: `clips_digest` of the clips that decided; None where none did. The report holds
            it against the test clips.
        exclusive: at most one class is active in a frame, that with the highest filtered score:
            the classes of a single-label model exclude each other.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    median_filters: tuple[int, ...]
    source: str
    validation_f1: tuple[float | None, ...] = ()
    chosen_on: str | None = None
    exclusive: bool = False

    def __post_init__(self) -> None:
        if not len(self.classes) == len(self.thresholds) == len(self.median_filters):
            raise ValueError("an operating point needs one threshold and one filter per class")
        even = [length for length in self.median_filters if length < 1 or length % 2 == 0]
        if even:
            raise ValueError(f"median filter of {even[0]} frames; give odd lengths such as 1, 3, 5")

    def to_json(self) -> dict[str, Any]:
        """The point as JSON values."""
        return {
            "source": self.source,
            "classes": list(self.classes),
            "thresholds": list(self.thresholds),
            "median_filters": list(self.median_filters),
            "validation_f1": list(self.validation_f1),
            "chosen_on": self.chosen_on,
            "exclusive": self.exclusive,
        }


def clips_digest(clip_ids: Iterable[str]) -> str:
    """sha256 of a set of clips, whatever their order."""
    return digest_of(sorted(map(str, clip_ids)))


def published_operating_point(
    name: str, classes: Sequence[str], *, exclusive: bool = False
) -> OperatingPoint:
    """A hand-set list of `PUBLISHED_THRESHOLDS`; both were used without a filter.

    Raises:
        ValueError: no such list, or a class that it does not name.
    """
    if name not in PUBLISHED_THRESHOLDS:
        raise ValueError(f"thresholds {name!r} are not among {', '.join(PUBLISHED_THRESHOLDS)}")
    published = PUBLISHED_THRESHOLDS[name]
    missing = [c for c in classes if c not in published]
    if missing:
        raise ValueError(f"the thresholds {name!r} do not name class {missing[0]!r}")
    return OperatingPoint(
        tuple(classes),
        tuple(published[c] for c in classes),
        (1,) * len(classes),
        f"published, set by hand: {name}",
        exclusive=exclusive,
    )
