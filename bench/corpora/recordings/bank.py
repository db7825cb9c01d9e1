"""The bank of real recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.code_digest import stage_digest
from bench.corpora.recordings.clips import RATE, load_clip
from bench.corpora.recordings.fetch import clip_path
from bench.corpora.recordings.manifest import LICENCES, Recording
from bench.files import digest_of

LEAST_GROUPS = 3
"""A class needs an original recording for each of training, validation and test."""

BED = "bed_recorded"
BED_LABELS = ("car_passing", "crickets", "rain", "sea_waves", "wind")
"""Lasting sounds of too few originals to be classes; together they make the recorded background."""

RUNS = {"footsteps": (0.35, 0.65), "keyboard_typing": (0.09, 0.3)}
"""Seconds from one step or stroke to the next: these recordings hold a single one each."""
LONGEST_STROKE_S = 0.8
STROKES = (4, 12)


@dataclass(frozen=True)
class RecordingsBank:
    """Real recordings from a cache folder that `fetch.collect` filled; see `embedded.bank.Bank`.

    Attributes:
        cache: the folder, as given to `collect`.
        recordings: the verified ones in it.
    """

    cache: Path
    recordings: tuple[Recording, ...]
    name: str = "recordings"
    _groups: dict[str, dict[str, list[Recording]]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        by_label: dict[str, dict[str, list[Recording]]] = {}
        for clip in self.recordings:
            label = BED if clip.label in BED_LABELS else clip.label
            by_label.setdefault(label, {}).setdefault(clip.group, []).append(clip)
        enough = {k: v for k, v in sorted(by_label.items()) if len(v) >= LEAST_GROUPS}
        self._groups.update(enough)

    def describe(self) -> dict[str, Any]:
        """Number and digest of the recordings in use, and a digest of the code that reads them."""
        hashes = sorted(clip.sha256 for clip in self._used())
        return {
            "name": self.name,
            "recordings": len(hashes),
            "digest": digest_of(hashes),
            "code": stage_digest("embed", "bench.corpora.recordings"),
        }

    def classes(self) -> tuple[str, ...]:
        """Classes with at least `LEAST_GROUPS` original recordings, by name."""
        return tuple(name for name in self._groups if name != BED)

    def backgrounds(self) -> tuple[str, ...]:
        """The recorded bed, if enough of it is there."""
        return (BED,) if BED in self._groups else ()

    def groups(self, name: str) -> tuple[str, ...]:
        """Original recordings of a class, by name."""
        return tuple(sorted(self._groups[name]))

    def is_synthetic(self, name: str) -> bool:
        """Never."""
        return False

    def render(
        self, name: str, group: str, take: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """See `Bank.render`; steps and key strokes come as runs of the group's recordings."""
        clips = self._groups[name][group]
        sound = self._load(clips[take % len(clips)])
        if name not in RUNS or len(sound) > LONGEST_STROKE_S * RATE:
            return sound.copy(), RATE
        return _run([self._load(clip) for clip in clips], RUNS[name], rng), RATE

    def notice(self) -> str:
        """Package, file, author and licence of every recording in use."""
        return credits_text(self._used())

    def _used(self) -> list[Recording]:
        return [clip for of in self._groups.values() for clips in of.values() for clip in clips]

    def _load(self, clip: Recording) -> np.ndarray:
        return load_clip(clip_path(self.cache, clip), clip.sample_rate)


def _run(
    strokes: Sequence[np.ndarray], pause_s: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Strokes in a row at uneven times and levels."""
    order = rng.integers(len(strokes), size=int(rng.integers(*STROKES)))
    levels = rng.uniform(0.5, 1.0, len(order))
    onsets = (np.cumsum(rng.uniform(*pause_s, len(order))) * RATE).astype(int)
    total = np.zeros(onsets[-1] + max(map(len, strokes)))
    for index, level, onset in zip(order, levels, onsets, strict=True):
        total[onset : onset + len(strokes[index])] += level * strokes[index]
    return total[onsets[0] :]


HEAD = """\
Real recordings
===============

The sounds below were taken out of freely distributable packages and mixed on this machine. Their
licences differ, and some of them (GPL, CC-BY-SA, Free Art) do not go together in one derived
work: keep the mixed corpora to yourself and let others build their own from the separate files.

Licences
--------
"""


def credits_text(recordings: Sequence[Recording]) -> str:
    """The notice that stands beside a corpus: each recording with its author and licence."""
    return "\n".join(_credit_lines(recordings)) + "\n"


def _credit_lines(recordings: Sequence[Recording]) -> Iterator[str]:
    yield HEAD.rstrip("\n")
    for licence in sorted({clip.licence for clip in recordings}):
        yield f"{licence}: {LICENCES[licence]}"
    for package in sorted({clip.package for clip in recordings}):
        yield f"\n{package}\n{'-' * len(package)}"
        for clip in sorted((c for c in recordings if c.package == package), key=lambda c: c.title):
            where = f"/{clip.path}" + (f" [{clip.member}]" if clip.member else "")
            yield f"{where}\n    {clip.label}, group {clip.group}. {clip.credit}. {clip.licence}"
