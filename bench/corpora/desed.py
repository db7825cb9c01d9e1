"""DESED: sound events in domestic environments, with weak and strong labels.

Turpault et al., "Sound event detection in domestic environments with weakly labeled data and
soundscape synthesis", DCASE 2019. The tree is that of the DCASE 2021-2024 recipes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import soundfile

from bench.corpora.audioset import youtube_id
from bench.corpora.base import EVENT_COLUMNS, Corpus, assemble
from bench.corpora.reading import audio_files, require, rows
from bench.files import UserError
from bench.sources.clips import Absent

CLASSES = (
    "Alarm_bell_ringing",
    "Blender",
    "Cat",
    "Dishes",
    "Dog",
    "Electric_shaver_toothbrush",
    "Frying",
    "Running_water",
    "Speech",
    "Vacuum_cleaner",
)
CLIP_SECONDS = 10.0
_CUT = re.compile(r"Y(?P<id>[\w-]{11})_(?P<start>\d+\.\d+)_(?P<end>\d+\.\d+)\.wav", re.ASCII)


@dataclass(frozen=True)
class Part:
    """One annotated part of the tree: where its labels, audio and durations lie below the root."""

    split: str
    labels: str
    audio: str
    durations: str = ""  # file of durations; without it, or a line in it, the audio's header counts

    @property
    def strong(self) -> bool:
        """Whether the labels have times."""
        return self.labels != WEAK_LABELS


WEAK_LABELS = "metadata/train/weak.tsv"
WEAK = Part("train", WEAK_LABELS, "audio/train/weak")
SYNTHETIC = Part(
    "train",
    "metadata/train/synthetic21_train/soundscapes.tsv",
    "audio/train/synthetic21_train/soundscapes",
)
VALIDATION = Part(
    "validation",
    "metadata/validation/validation.tsv",
    "audio/validation/validation",
    "metadata/validation/validation_durations.tsv",
)
PUBLIC = Part(
    "test",
    "metadata/eval/public.tsv",
    "audio/eval/public",
    "metadata/eval/public_durations.tsv",
)
TRAINING = {"weak": (WEAK,), "strong": (SYNTHETIC,), "both": (WEAK, SYNTHETIC)}


def load(root: Path, *, train: str = "both", synthetic: bool = False) -> Corpus:
    """DESED from `root` (the folder `dataset`, or the one that holds it).

    Validation is the real validation set (for thresholds), test the public evaluation set.

    Args:
        root: folder with `audio` and `metadata`.
        train: training parts: weak (real clips, clip labels), strong (synthetic soundscapes with
            times), or both. `strong` tells the clips apart; `labels` of a strong clip are the
            classes of its events.
        synthetic: whether the audio was made by the embedded builder.

    Raises:
        UserError: absent files, unknown labels, malformed lines, events outside time, or no audio.
    """
    if train not in TRAINING:
        raise UserError(f"datasets.desed.options.train: '{train}'; one of {', '.join(TRAINING)}")
    if (root / "dataset").is_dir():
        root = root / "dataset"
    parts = (*TRAINING[train], VALIDATION, PUBLIC)
    require(root, "desed", *(path for part in parts for path in (part.labels, part.audio)))
    clips: list[dict[str, Any]] = []
    events: list[tuple[str, float, float, str]] = []
    for part in parts:
        labels = _strong(root / part.labels, events) if part.strong else _weak(root / part.labels)
        clips += _clips(root, part, labels)
    return assemble(
        "desed",
        root,
        CLASSES,
        pd.DataFrame(clips),
        multilabel=True,
        synthetic=synthetic,
        events=pd.DataFrame(events, columns=list(EVENT_COLUMNS)),
    )


def absent(root: Path, *, train: str = "both") -> Iterator[Absent]:
    """The recorded training and validation clips without a file, which YouTube may have.

    Raises:
        UserError: absent or malformed lists.
    """
    base = "dataset/" if (root / "dataset").is_dir() else ""
    for part, name in ((WEAK, "weak"), (VALIDATION, "validation")):
        if part.split == "train" and part not in TRAINING[train]:
            continue
        require(root / base, "desed", part.labels)
        files = set(audio_files(root / base / part.audio))
        columns = ("filename",)
        for row in rows(root / base / part.labels, columns, separator="\t"):
            filename = row["filename"]
            cut = _CUT.fullmatch(filename)
            if filename not in files and cut:
                files.add(filename)
                start, end = float(cut["start"]), float(cut["end"])
                yield Absent(name, cut["id"], start, end, f"{base}{part.audio}/{filename}")


def _weak(path: Path) -> dict[str, list[str]]:
    """Labels by file name, from lines like `file<TAB>Cat,Dog`."""
    labels: dict[str, list[str]] = {}
    for row in rows(path, ("filename", "event_labels"), separator="\t"):
        names = [name for name in row["event_labels"].split(",") if name]
        labels[row["filename"]] = list(dict.fromkeys(row.known(name, CLASSES) for name in names))
    return labels


def _strong(path: Path, events: list[tuple[str, float, float, str]]) -> dict[str, list[str]]:
    """Labels by file name; the events are appended to `events`.

    A file whose row has empty fields has no event: it is a clip, without a row in `events`.
    """
    labels: dict[str, list[str]] = {}
    for row in rows(path, EVENT_COLUMNS, separator="\t"):
        present = labels.setdefault(row["filename"], [])
        if not any(row[column] for column in EVENT_COLUMNS[1:]):
            continue
        onset, offset = row.number("onset"), row.number("offset")
        if not 0 <= onset < offset:
            raise row.error(f"an event from {onset} s to {offset} s")
        label = row.known(row["event_label"], CLASSES)
        events.append((row["filename"], onset, offset, label))
        if label not in present:
            present.append(label)
    return labels


def _length(path: Path) -> float:
    """Seconds of an audio file by its header; those of a full clip where it cannot be read."""
    try:
        return soundfile.info(path).duration or CLIP_SECONDS
    except (OSError, soundfile.LibsndfileError):
        return CLIP_SECONDS


def _clips(root: Path, part: Part, labels: dict[str, list[str]]) -> list[dict[str, Any]]:
    files = set(audio_files(root / part.audio))
    seconds: dict[str, float] = {}
    if part.durations and (root / part.durations).exists():
        for row in rows(root / part.durations, ("filename", "duration"), separator="\t"):
            seconds[row["filename"]] = row.number("duration")
            if seconds[row["filename"]] <= 0:
                raise row.error("a duration of 0 s or less")
    clips = []
    for filename, names in labels.items():
        stem = Path(filename).stem
        clips.append(
            {
                "clip": filename,
                "path": f"{part.audio}/{filename}" if filename in files else "",
                "start_s": 0.0,
                "duration_s": seconds.get(filename) or _length(root / part.audio / filename),
                "split": part.split,
                "fold": -1,
                "group": (part != SYNTHETIC and youtube_id(stem)) or f"{part.audio}/{stem}",
                "strong": part.strong,
                "labels": names,
            }
        )
    return clips
