"""DESED: sound events in domestic environments, with weak and strong labels.

Turpault et al., "Sound event detection in domestic environments with weakly labeled data and
soundscape synthesis", DCASE 2019. The tree is that of the DCASE 2021-2024 recipes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.corpora.audioset import cut_of
from bench.corpora.base import Corpus, assemble
from bench.corpora.reading import AudioFolder, require, rows
from bench.files import UserError
from bench.metrics.events import EVENT_COLUMNS, events_table
from bench.sources.clips import Absent
from bench.text_tables import Row

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


@dataclass(frozen=True)
class Part:
    """One annotated part of the tree: where its labels, audio and durations are below the root."""

    split: str
    labels: str
    audio: str
    durations: str = ""  # file of durations; for clips without a line, their name says it

    @property
    def strong(self) -> bool:
        """Whether the labels have times."""
        return self.labels != WEAK_LABELS


CLASS_KEY = "options.classes"
WEAK_LABELS = "metadata/train/weak.tsv"
WEAK_COLUMNS = ("filename", "event_labels")
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


def load(
    root: Path,
    *,
    name: str = "desed",
    train: str = "both",
    classes: tuple[str, ...] = CLASSES,
    synthetic: bool = False,
) -> Corpus:
    """DESED from `root` (the folder `dataset`, or the one that holds it).

    Validation is the real validation set (for thresholds), test the public evaluation set. Two
    videos have clips in two splits of the public lists, at different times (`shared_recordings`).

    Args:
        root: folder with `audio` and `metadata`.
        name: the data set's key in the experiment.
        train: training parts: weak (real clips, clip labels), strong (synthetic soundscapes with
            times), or both. The column `strong` says which; `labels` of a strong clip are the
            classes of its events.
        classes: of other data in this layout.
        synthetic: whether the audio was made by the embedded builder.

    Raises:
        UserError: absent files, unknown labels, malformed lines, events outside time, or no audio.
    """
    if train not in TRAINING:
        raise UserError(f"datasets.{name}.options.train: '{train}'; one of {', '.join(TRAINING)}")
    if (root / "dataset").is_dir():
        root = root / "dataset"
    parts = (*TRAINING[train], VALIDATION, PUBLIC)
    require(root, name, *(path for part in parts for path in (part.labels, part.audio)))
    clips: list[dict[str, Any]] = []
    events: list[tuple[str, float, float, str]] = []
    remarks: dict[str, str] = {}
    taken: dict[str, Path] = {}
    for part in parts:
        path = root / part.labels
        listed = _rows(path, EVENT_COLUMNS if part.strong else WEAK_COLUMNS, taken)
        labels = _strong(listed, classes, events) if part.strong else _weak(listed, classes)
        files = AudioFolder(root, part.audio)
        clips += _clips(root, part, labels, files)
        remarks |= files.remarks
    return assemble(
        name,
        root,
        classes,
        pd.DataFrame(clips),
        multilabel=True,
        synthetic=synthetic,
        events=events_table(events),
        remarks=remarks,
    )


def absent(root: Path, *, name: str = "desed", train: str = "both") -> Iterator[Absent]:
    """The recorded training and validation clips without a file, which YouTube may have.

    Raises:
        UserError: absent or malformed lists.
    """
    base = "dataset/" if (root / "dataset").is_dir() else ""
    for part, called in ((WEAK, "weak"), (VALIDATION, "validation")):
        if part.split == "train" and part not in TRAINING[train]:
            continue
        require(root / base, name, part.labels)
        files = AudioFolder(root / base, part.audio)
        listed = rows(root / base / part.labels, ("filename",), separator="\t")
        for filename in dict.fromkeys(row["filename"] for row in listed):
            cut = cut_of(Path(filename).stem)
            if cut is not None and cut.end_s > 0 and not files.find(filename):
                yield Absent(called, *cut, f"{base}{part.audio}/{filename}")


def _rows(path: Path, columns: Collection[str], taken: dict[str, Path]) -> Iterator[Row]:
    """The lines of a part's list; a file belongs to one part, which `taken` keeps."""
    for row in rows(path, columns, separator="\t"):
        other = taken.setdefault(row["filename"], path)
        if other != path:
            raise row.error(
                f"'{row['filename']}' stands in {other} too; delete it from one of them"
            )
        yield row


def _weak(listed: Iterable[Row], classes: Collection[str]) -> dict[str, list[str]]:
    """Labels by file name, from lines like `file<TAB>Cat,Dog`."""
    labels: dict[str, list[str]] = {}
    for row in listed:
        names = row.several("event_labels", ",")
        found = list(dict.fromkeys(row.known(name, classes, CLASS_KEY) for name in names))
        if labels.setdefault(row["filename"], found) != found:
            raise row.error(
                f"'{row['filename']}' has other labels here than above; keep the right row"
            )
    return labels


def _strong(
    listed: Iterable[Row], classes: Collection[str], events: list[tuple[str, float, float, str]]
) -> dict[str, list[str]]:
    """Labels by file name; the events are appended to `events`.

    A file whose row has empty fields has no event: it is a clip, without a row in `events`.
    """
    labels: dict[str, list[str]] = {}
    for row in listed:
        present = labels.setdefault(row["filename"], [])
        if not any(row[column] for column in EVENT_COLUMNS[1:]):
            continue
        onset, offset = row.number("onset"), row.number("offset")
        if not 0 <= onset < offset:
            raise row.error(
                f"an event from {onset} s to {offset} s; it must begin at 0 or later and end after "
                "that"
            )
        label = row.known(row["event_label"], classes, CLASS_KEY)
        events.append((row["filename"], onset, offset, label))
        if label not in present:
            present.append(label)
    return labels


def _durations(path: Path) -> dict[str, float]:
    """Seconds by file name; empty if there is no such table."""
    seconds: dict[str, float] = {}
    for row in rows(path, ("filename", "duration"), separator="\t") if path.exists() else ():
        duration = row.number("duration")
        if duration <= 0:
            raise row.error(f"a duration of {duration:g} s; give that of the file, in seconds")
        if seconds.setdefault(row["filename"], duration) != duration:
            raise row.error(
                f"'{row['filename']}' has another duration here than above; keep the right row"
            )
    return seconds


def _clips(
    root: Path, part: Part, labels: dict[str, list[str]], files: AudioFolder
) -> list[dict[str, Any]]:
    seconds = _durations(root / part.durations) if part.durations else {}
    clips = []
    for filename, names in labels.items():
        stem = Path(filename).stem
        cut = None if part == SYNTHETIC else cut_of(stem)
        if cut is None:  # a recording of its own
            group, cut_s, listed_s = f"{part.audio}/{stem}", 0.0, math.nan
        else:
            group, cut_s, listed_s = cut.youtube_id, cut.start_s, cut.end_s - cut.start_s
        clips.append(
            {
                "clip": filename,
                "path": files.find(filename),
                "duration_s": seconds.get(filename, listed_s) if cut_s >= 0 else math.nan,
                "split": part.split,
                "group": group,
                "cut_s": cut_s,
                "strong": part.strong,
                "labels": names,
            }
        )
    return clips
