"""The published lists of thresholds as operating points."""

from __future__ import annotations

from collections.abc import Sequence

from bench.results.record import OperatingPoint

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
