"""AudioSet: segment lists, class labels, and clips in any of the usual layouts or in HDF5 packs.

Gemmeke et al., "Audio Set: An ontology and human-labeled dataset for audio events", ICASSP 2017.
AudioSet has no validation split; the clean protocol takes one from the training clips.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bench.audio.packs import PACK_SUFFIXES, pack_clips
from bench.corpora.base import Corpus, assemble
from bench.corpora.reading import Row, audio_files, headless_rows, require, rows
from bench.files import UserError
from bench.sources.clips import Absent

CLASS_FILE = "class_labels_indices.csv"
TRAIN_FILES = {
    "balanced": ("balanced_train_segments.csv",),
    "unbalanced": ("unbalanced_train_segments.csv",),
    "full": ("balanced_train_segments.csv", "unbalanced_train_segments.csv"),
}
EVAL_FILE = "eval_segments.csv"
PARTS = {
    "balanced_train_segments.csv": "balanced",
    "unbalanced_train_segments.csv": "unbalanced",
    EVAL_FILE: "evaluation",
}
SEGMENT_COLUMNS = ("YTID", "start_seconds", "end_seconds", "positive_labels")

# An 11-character id, possibly after a Y (PANNs, DESED), possibly before _start or _start_end.
_STEM = re.compile(r"Y?(?P<id>[A-Za-z0-9_-]{11})(_\d+(\.\d+)?){0,2}")


def youtube_id(stem: str) -> str | None:
    """The YouTube id in a file's stem: ID, YID, ID_START_END, YID_START_END; None if there is none.

    The forms exclude each other, because an id has exactly eleven characters.
    """
    match = _STEM.fullmatch(stem)
    return match["id"] if match else None


class _Place(NamedTuple):
    """A file, where in it a clip begins, and how long the clip is (None: as listed)."""

    path: str
    start_s: float = 0.0
    duration_s: float | None = None


def load(
    root: Path,
    *,
    train: str = "balanced",
    validation_share: float = 0.1,
    audio: str = ".",
    packs: str | None = None,
    synthetic: bool = False,
) -> Corpus:
    """AudioSet from its CSV files in `root` and the audio files anywhere below `root / audio`.

    Args:
        root: folder with class_labels_indices.csv and the segment lists.
        train: training list: balanced, unbalanced, or full (both).
        validation_share: share of the training clips set aside as validation split, chosen by a
            hash of the YouTube id and so the same on every machine; 0 for the published protocol.
        audio: folder of the audio files, relative to `root` or absolute.
        packs: folder of PANNs' HDF5 packs, relative to `root` or absolute, for clips without a
            file of their own.
        synthetic: whether the audio was made by the embedded builder.

    Raises:
        UserError: absent files, unknown labels, malformed lines, or no audio.
    """
    if not 0 <= validation_share < 1:
        raise UserError(
            f"datasets.audioset.options.validation_share: {validation_share} is not in [0, 1)"
        )
    names, places = _open(root, train, audio, packs)
    clips: list[dict[str, Any]] = []
    for name, row, start, end in _segments(root, train):
        clip = row["YTID"]
        mids = [mid for mid in row["positive_labels"].split(",") if mid]
        labels = dict.fromkeys(names[row.known(mid, names)] for mid in mids)
        if name == EVAL_FILE:
            split = "test"
        else:
            split = "validation" if _unit_hash(clip) < validation_share else "train"
        place = places.get(clip, _Place(""))
        clips.append(
            {
                "clip": clip,
                "path": place.path,
                "start_s": place.start_s,  # files of their own are cut to the segment already
                "duration_s": min(end - start, place.duration_s or end - start),
                "split": split,
                "fold": -1,
                "group": clip,
                "labels": list(labels),
            }
        )
    return assemble(
        "audioset",
        root / audio,
        names.values(),
        pd.DataFrame(clips),
        multilabel=True,
        synthetic=synthetic,
    )


def absent(
    root: Path,
    *,
    train: str = "balanced",
    audio: str = ".",
    packs: str | None = None,
    validation_share: float = 0.1,
) -> Iterator[Absent]:
    """The listed clips that are neither a file nor in a pack, and where `load` would find them.

    Raises:
        UserError: absent or malformed lists.
    """
    places = _open(root, train, audio, packs)[1]
    folder = "audio" if audio == "." else audio
    for name, row, start, end in _segments(root, train):
        clip = row["YTID"]
        if clip not in places:
            part = PARTS[name]
            # at most a few thousand files in one folder
            yield Absent(part, clip, start, end, f"{folder}/{part}/{clip[:2]}/{clip}")


def _open(
    root: Path, train: str, audio: str, packs: str | None
) -> tuple[dict[str, str], dict[str, _Place]]:
    """Class names by machine id, and where each clip lies by YouTube id."""
    if train not in TRAIN_FILES:
        raise UserError(
            f"datasets.audioset.options.train: '{train}'; one of {', '.join(TRAIN_FILES)}"
        )
    folders = [audio] if packs is None else [audio, packs]
    require(root, "audioset", CLASS_FILE, *TRAIN_FILES[train], EVAL_FILE, *folders)
    places = {} if packs is None else _packed(root / packs, root / audio)
    places |= {clip: _Place(path) for clip, path in _files_by_id(root / audio).items()}
    return _class_names(root / CLASS_FILE), places


def _segments(root: Path, train: str) -> Iterator[tuple[str, Row, float, float]]:
    """(list, row, start, end) of every listed segment; times in seconds."""
    for name in (*TRAIN_FILES[train], EVAL_FILE):
        for row in headless_rows(root / name, SEGMENT_COLUMNS):
            start, end = row.number("start_seconds"), row.number("end_seconds")
            if end <= start:
                raise row.error(f"the segment ends at {end} s, before or where it starts")
            yield name, row, start, end


def _packed(folder: Path, base: Path) -> dict[str, _Place]:
    """Where the clips of all packs below `folder` lie; a pack counts as one long recording."""
    found: dict[str, _Place] = {}
    for pack in sorted(folder.rglob("*")):
        if pack.suffix.lower() not in PACK_SUFFIXES:
            continue
        path = os.path.relpath(pack, base)
        for name, start_s, duration_s in pack_clips(pack):
            clip = youtube_id(Path(name).stem)
            if clip is not None:
                found.setdefault(clip, _Place(path, start_s, duration_s))
    return found


def _class_names(path: Path) -> dict[str, str]:
    """Display name by machine id, in index order; a name used twice gets its id appended."""
    table = {}
    for row in rows(path, ("index", "mid", "display_name")):
        table[row["mid"]] = (row.integer("index"), row["display_name"])
    ordered = sorted(table.items(), key=lambda item: item[1][0])
    count = Counter(name for _, name in table.values())
    return {mid: name if count[name] == 1 else f"{name} ({mid})" for mid, (_, name) in ordered}


def _files_by_id(folder: Path) -> dict[str, str]:
    """Relative path by YouTube id; the first path in sorted order where an id has several."""
    found: dict[str, str] = {}
    for path in audio_files(folder):
        clip = youtube_id(Path(path).stem)
        if clip is not None:
            found.setdefault(clip, path)
    return found


def _unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
