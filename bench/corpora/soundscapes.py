"""Soundscapes mixed from ESC-10 in DESED's layout: real sounds over real beds, times known.

Sounds and beds of a soundscape come from folds of one split (1 to 3 training, 4 validation, 5
test), so no recording is in two splits.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
from pydantic import Field

from bench.audio.decode import read
from bench.code_digest import loader_stage_digest
from bench.corpora import desed, folder
from bench.corpora.base import Corpus
from bench.files import UserError, claim, digest_file, digest_of, read_json, write_json, write_text
from bench.metrics.events import EVENT_COLUMNS
from bench.text_tables import line_of, text_of
from synth import mixer
from synth.synth import RATE, gain, stream, unit

ESC10 = "{ignore} - {label}/{fold}-{group}-{take}.ogg"
BEDS = ("Helicopter", "Rain", "Sea waves")
PARTS = {
    desed.WEAK: (0, 1, 2),
    desed.SYNTHETIC: (0, 1, 2),
    desed.VALIDATION: (3,),
    desed.PUBLIC: (4,),
}
"""Part of DESED's tree -> folds of ESC-10 (from 0) that it is mixed from."""
OUTPUT_RATE = 16_000  # Hz
SOUNDS = (1, 2, 2, 3)  # in one soundscape, drawn evenly
SNR_DB = (6.0, 24.0)  # level of a sound's louder parts above its bed
LONGEST_S = 4.0  # of a sound in a soundscape
LOUD = 0.1  # of a sound's peak: anything quieter for GAP_S is a pause between two events
GAP_S = 0.3
EDGE_S = 0.025  # rise and decay around the audible part
EMPTY = 0.1  # share of strongly labelled soundscapes without events
_OWNER = "soundscapes mixed here"
_DONE = "soundscapes.json"

Spans = list[tuple[float, float]]


@dataclass(frozen=True)
class Sound:
    """A trimmed sound at RATE, and its audible parts, in seconds."""

    label: str
    samples: np.ndarray
    heard: Spans


def load(
    root: Path,
    *,
    name: str = "soundscapes",
    into: str,
    seconds: Annotated[float, Field(ge=LONGEST_S)] = 10.0,
    weak: int = 160,
    strong: int = 160,
    validation: int = 100,
    test: int = 100,
    train: str = "both",
    seed: int = 0,
    synthetic: bool = False,
) -> Corpus:
    """Soundscapes of seven classes; the other three of ESC-10 are their beds.

    They are mixed once: existing ones in `into` are used if they were made from the same clips,
    numbers and code.

    Args:
        root: ESC-10, with its folders of classes.
        name: the data set's key in the experiment.
        into: folder for the soundscapes.
        seconds: length of each; it must hold the longest sound (LONGEST_S).
        weak, strong, validation, test: numbers of them in the parts of DESED's tree.
        train: training parts, as in `desed.load`.
        seed: of everything that is drawn.
        synthetic: whether the audio was made by the embedded builder.

    Raises:
        UserError: no ESC-10 in `root`, a class without a clip in some split, or an `into` that
            holds something else.
    """
    counts = dict(zip(PARTS, (weak, strong, validation, test), strict=True))
    source = folder.load(root, name=name, pattern=ESC10)
    clips = source.clips
    key = digest_of(
        {
            "clips": {path: digest_file(root / path) for path in clips["path"]},
            "drawn": [seconds, *counts.values(), seed],
            "code": loader_stage_digest("soundscapes"),
        }
    )
    place = Path(into)
    claim(place, _OWNER, f"set datasets.{name}.options.into to an empty folder")
    if not (place / _DONE).is_file() or read_json(place / _DONE)["key"] != key:
        _build(source, place, counts, seconds, seed)
        write_json(place / _DONE, {"key": key})
    labels = tuple(label for label in source.classes if label not in BEDS)
    return desed.load(place, name=name, train=train, classes=labels, synthetic=synthetic)


def _build(
    source: Corpus, place: Path, counts: dict[desed.Part, int], seconds: float, seed: int
) -> None:
    """Mix everything beside its place, and move it there."""
    stage, whole = place / ".unfinished", place / "dataset"
    shutil.rmtree(stage, ignore_errors=True)
    (place / _DONE).unlink(missing_ok=True)
    bank = _Bank(source)
    for part, count in counts.items():
        rows: list[tuple[str, str, str, str]] = []
        (stage / part.audio).mkdir(parents=True, exist_ok=True)
        stem = part.labels.rpartition("/")[2].partition(".")[0]
        for number in range(count):
            rng = stream("soundscapes", seed, part.labels, number)
            filename = f"{stem}-{number:05d}.wav"  # not of 11 characters: no YouTube id
            mix, events = _mixed(bank, part, number, seconds, rng)
            soundfile.write(stage / part.audio / filename, mix, OUTPUT_RATE, subtype="PCM_16")
            rows += [(filename, *event) for event in events] or [(filename, "", "", "")]
        table = _weak(rows) if part is desed.WEAK else [EVENT_COLUMNS, *rows]
        write_text(stage / part.labels, text_of(table))
    shutil.rmtree(whole, ignore_errors=True)
    stage.rename(whole)


def _weak(rows: Iterable[tuple[str, str, str, str]]) -> list[tuple[str, ...]]:
    """The table of labels without times."""
    labels: dict[str, set[str]] = defaultdict(set)
    for filename, _, _, label in rows:
        labels[filename].add(label)
    listed = ((name, line_of(sorted(found), ",")) for name, found in labels.items())
    return [("filename", "event_labels"), *listed]


class _Bank:
    """The sounds and beds of each split, decoded on first use."""

    def __init__(self, source: Corpus) -> None:
        self._root = source.root
        self._paths: dict[tuple[tuple[int, ...], str], list[str]] = {}
        self._sounds: dict[str, Sound] = {}
        clips = source.clips
        for folds in PARTS.values():
            own = clips[clips["fold"].isin(folds)]
            for label in source.classes:
                paths = own.loc[own["labels"].str[0] == label, "path"].tolist()
                if not paths:
                    raise UserError(
                        f"{source.root}: no clip of '{label}' in folds "
                        f"{', '.join(str(fold + 1) for fold in folds)}; fetch ESC-10 again"
                    )
                self._paths[folds, label] = paths
        self.labels = [label for label in source.classes if label not in BEDS]

    def bed(self, folds: tuple[int, ...], samples: int, rng: np.random.Generator) -> np.ndarray:
        """A bed of this many samples from a random start, with a root mean square of 1."""
        path = self._pick(folds, BEDS[int(rng.integers(len(BEDS)))], rng)
        x = mixer.trim(read(self._root / path, RATE).astype(np.float64))
        return unit(mixer.loop(np.roll(x, int(rng.integers(len(x)))), samples))

    def sound(self, folds: tuple[int, ...], label: str, rng: np.random.Generator) -> Sound:
        path = self._pick(folds, label, rng)
        if path not in self._sounds:
            x = mixer.trim(read(self._root / path, RATE).astype(np.float64))
            x = mixer.faded(x[: round(LONGEST_S * RATE)], 0.005, 0.02)
            self._sounds[path] = Sound(label, mixer.levelled(x), heard_in(x))
        return self._sounds[path]

    def _pick(self, folds: tuple[int, ...], label: str, rng: np.random.Generator) -> str:
        paths = self._paths[folds, label]
        return paths[int(rng.integers(len(paths)))]


def heard_in(x: np.ndarray) -> Spans:
    """(onset, offset) in seconds of the audible parts of a sound at RATE, without pauses."""
    level = mixer.envelope(x)
    places = np.flatnonzero(level >= LOUD * level.max())
    breaks = np.flatnonzero(np.diff(places) > GAP_S * 1000 / mixer.STEP_MS)
    starts, ends = places[[0, *(breaks + 1)]], places[[*breaks, -1]] + 1
    step, end_s = mixer.STEP_MS / 1000, len(x) / RATE
    return [
        (max(0.0, float(a) * step - EDGE_S), min(end_s, float(b) * step + EDGE_S))
        for a, b in zip(starts, ends, strict=True)
    ]


def _mixed(
    bank: _Bank, part: desed.Part, number: int, seconds: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[str, str, str]]]:
    """One soundscape, int16 at OUTPUT_RATE, and its events as (onset, offset, label)."""
    samples, folds = round(seconds * RATE), PARTS[part]
    mix = bank.bed(folds, samples, rng)
    count = SOUNDS[int(rng.integers(len(SOUNDS)))]
    labels = [bank.labels[number % len(bank.labels)]]  # each class as often as the others
    labels += [bank.labels[int(rng.integers(len(bank.labels)))] for _ in range(count - 1)]
    if part.strong and rng.random() < EMPTY:
        labels = []
    spans: dict[str, Spans] = defaultdict(list)
    for label in labels:
        sound = bank.sound(folds, label, rng)
        onset = int(rng.integers(0, samples - len(sound.samples) + 1))
        level = float(gain(rng.uniform(*SNR_DB)))
        mix[onset : onset + len(sound.samples)] += level * sound.samples
        spans[label] += [(onset / RATE + a, onset / RATE + b) for a, b in sound.heard]
    events = [
        (f"{onset:.3f}", f"{offset:.3f}", label)
        for label, own in spans.items()
        for onset, offset in _joined(own)
    ]
    resampled = mixer.resample(mix, RATE, OUTPUT_RATE)
    return mixer.to_int16(resampled, rng.uniform(0.2, 0.95)), sorted(events)


def _joined(spans: Spans) -> Iterator[tuple[float, float]]:
    """Spans of one class, with overlapping ones merged."""
    first, *rest = sorted(spans)
    begin, end = first
    for onset, offset in rest:
        if onset > end + GAP_S:
            yield begin, end
            begin, end = onset, offset
        end = max(end, offset)
    yield begin, end
