"""AudioSet: segment lists, class labels, and clips in any of the usual layouts or in HDF5 packs.

Gemmeke et al., "Audio Set: An ontology and human-labeled dataset for audio events", ICASSP 2017.
AudioSet has no validation split; the clean protocol takes one from the training clips.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bench.audio.packs import PACK_SUFFIXES, pack_clips
from bench.corpora.base import COLUMNS, Corpus, assemble
from bench.corpora.lengths import TOLERANCE_S, part_of
from bench.corpora.reading import (
    AudioFolder,
    headless_rows,
    require,
    rows,
    unread_remark,
)
from bench.files import UserError
from bench.sources.clips import Absent
from bench.text_tables import Row

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
SHORTEST = 0.5  # of a segment: anything shorter is an interrupted download
MILLISECONDS = 900  # no cut is as long in seconds
SEGMENT_COLUMNS = ("YTID", "start_seconds", "end_seconds", "positive_labels")

# An 11-character id, possibly after a Y (PANNs, DESED), possibly before _start or _start_end.
_STEM = re.compile(r"Y?(?P<id>[A-Za-z0-9_-]{11})(_(?P<start>\d+(\.\d+)?)(_(?P<end>\d+(\.\d+)?))?)?")


class Cut(NamedTuple):
    """A YouTube video and the seconds of it that a file holds; -1 if its name does not say."""

    youtube_id: str
    start_s: float = -1.0
    end_s: float = -1.0


def cut_of(stem: str) -> Cut | None:
    """What a file's stem says: ID, YID, [Y]ID_START, [Y]ID_START_END; None for any other.

    The forms are exclusive, because an id has exactly eleven characters. A start without an end may
    be in milliseconds or seconds, so it is not used.
    """
    match = _STEM.fullmatch(stem)
    if match is None:
        return None
    if match["end"] is None or float(match["end"]) <= float(match["start"]):
        return Cut(match["id"])
    return Cut(match["id"], float(match["start"]), float(match["end"]))


def youtube_id(stem: str) -> str | None:
    """The YouTube id in a file's stem, if there is one (`cut_of`)."""
    cut = cut_of(stem)
    return cut and cut.youtube_id


def holds(cut: Cut, start_s: float) -> bool:
    """Whether a file of this name may hold the segment of its video that begins at `start_s`.

    A name without times may. Times are in seconds, or in milliseconds if they would make a long
    cut; a cut that begins at 0 may be the whole video.
    """
    if cut.end_s < 0:
        return True
    units = (1.0, 1000.0) if cut.end_s - cut.start_s >= MILLISECONDS else (1.0,)
    return any(
        abs(cut.start_s / unit - start_s) <= TOLERANCE_S
        or (cut.start_s == 0 and cut.end_s / unit > start_s + TOLERANCE_S)
        for unit in units
    )


class Place(NamedTuple):
    """A file that holds a clip, and where in it; the length is known for packs and measured for
    files."""

    path: str
    start_s: float = 0.0
    seconds: float | None = None
    remark: str = ""


NOWHERE = Place("")


def load(
    root: Path,
    *,
    name: str = "audioset",
    train: str = "balanced",
    validation_share: float = 0.1,
    audio: str = ".",
    packs: str | None = None,
    synthetic: bool = False,
) -> Corpus:
    """AudioSet from its CSV files in `root` and the audio files anywhere below `root / audio`.

    Args:
        root: folder with class_labels_indices.csv and the segment lists.
        name: the data set's key in the experiment.
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
    check_share(name, validation_share)
    names, places, remarks = _open(root, name, train, audio, packs)
    clips: list[tuple[Any, ...]] = []
    for file, row, start, end in _segments(root, train):
        clip = row["YTID"]
        mids = [mid for mid in row["positive_labels"].split(",") if mid]
        labels = dict.fromkeys(names[row.known(mid, names, CLASS_FILE)] for mid in mids)
        if file == EVAL_FILE:
            split = "test"
        else:
            split = "validation" if unit_hash(clip) < validation_share else "train"
        place = places.get(clip, NOWHERE)
        path, duration, remark = place.path, end - start, place.remark
        if place.seconds is not None:
            _, duration, remark = part_of(place.seconds, end - start, shortest=SHORTEST)
            if not duration:
                path, duration = "", end - start
        if remark:
            remarks[clip] = remark
        cut_s = start if place.seconds is None else -1.0
        clips.append(
            (clip, path, place.start_s, duration, split, -1, clip, cut_s, False, list(labels))
        )
    return assemble(
        name,
        root / audio,
        names.values(),
        pd.DataFrame(clips, columns=list(COLUMNS)),
        multilabel=True,
        synthetic=synthetic,
        remarks=remarks,
        shortest=SHORTEST,
    )


def absent(
    root: Path,
    *,
    name: str = "audioset",
    train: str = "balanced",
    audio: str = ".",
    packs: str | None = None,
) -> Iterator[Absent]:
    """The listed clips that are neither a file nor in a pack, and where `load` would find them.

    Raises:
        UserError: absent or malformed lists.
    """
    places = _open(root, name, train, audio, packs)[1]
    folder = "audio" if audio == "." else audio
    for file, row, start, end in _segments(root, train):
        clip = row["YTID"]
        if not places.get(clip, NOWHERE).path:
            part = PARTS[file]
            # at most a few thousand files in one folder
            yield Absent(part, clip, start, end, f"{folder}/{part}/{clip[:2]}/{clip}")


def _open(
    root: Path, name: str, train: str, audio: str, packs: str | None
) -> tuple[dict[str, str], dict[str, Place], dict[str, str]]:
    """Class names by machine id, the place of each clip by YouTube id, and remarks on files."""
    if train not in TRAIN_FILES:
        raise UserError(
            f"datasets.{name}.options.train: '{train}'; one of {', '.join(TRAIN_FILES)}"
        )
    folders = [audio] if packs is None else [audio, packs]
    require(root, name, CLASS_FILE, *TRAIN_FILES[train], EVAL_FILE, *folders)
    files = AudioFolder(root / audio)
    starts: dict[str, float] = {}
    for _, row, start, _ in _segments(root, train):
        if row["YTID"] in starts:
            raise row.error(f"'{row['YTID']}' is listed more than once; delete one of the rows")
        starts[row["YTID"]] = start
    found = placed(files, starts)
    packed = {} if packs is None else _packed(root / packs, root / audio)
    found |= {c: place for c, place in packed.items() if not found.get(c, NOWHERE).path}
    return _class_names(root / CLASS_FILE), found, files.remarks


def placed(files: AudioFolder, starts: Mapping[str, float]) -> dict[str, Place]:
    """Where the listed segments are, by YouTube id: files that by their name `holds` says may hold
    them; or no path, and a remark on a file of the same video that cannot.

    Args:
        starts: YouTube id -> the second of the video at which its segment begins.
    """
    unread = _by_id((path, Place("", remark=unread_remark(path))) for path in files.unread)
    own: dict[str, Place] = {}
    others: dict[str, Place] = {}
    for path in files.names:
        cut = cut_of(os.path.splitext(os.path.basename(path))[0])
        if cut is None or cut.youtube_id not in starts:
            continue
        start_s = starts[cut.youtube_id]
        if holds(cut, start_s):
            own.setdefault(cut.youtube_id, Place(path))
        else:
            told = f"{path}: by its name another part of the video than that from {start_s:g} s on"
            others.setdefault(cut.youtube_id, Place("", remark=f"{told}: left out"))
    return others | unread | own


def _segments(root: Path, train: str) -> Iterator[tuple[str, Row, float, float]]:
    """(list, row, start, end) of every listed segment; times in seconds."""
    for name in (*TRAIN_FILES[train], EVAL_FILE):
        for row in headless_rows(root / name, SEGMENT_COLUMNS):
            start, end = row.number("start_seconds"), row.number("end_seconds")
            if end <= start:
                raise row.error(
                    f"the segment ends at {end} s, before or where it starts; correct it"
                )
            yield name, row, start, end


def _packed(folder: Path, base: Path) -> dict[str, Place]:
    """The places of the clips of all packs below `folder`; a pack counts as one long recording."""
    packs = [pack for pack in sorted(folder.rglob("*")) if pack.suffix.lower() in PACK_SUFFIXES]
    return _by_id(
        (name, Place(os.path.relpath(pack, base), start_s, seconds))
        for pack in packs
        for name, start_s, seconds in pack_clips(pack)
    )


def _class_names(path: Path) -> dict[str, str]:
    """Display name by machine id, in index order; a name used twice gets its id appended."""
    table = {}
    for row in rows(path, ("index", "mid", "display_name")):
        table[row["mid"]] = (row.integer("index"), row["display_name"])
    ordered = sorted(table.items(), key=lambda item: item[1][0])
    count = Counter(name for _, name in table.values())
    return {mid: name if count[name] == 1 else f"{name} ({mid})" for mid, (_, name) in ordered}


def _by_id(places: Iterable[tuple[str, Place]]) -> dict[str, Place]:
    """Places by the YouTube id in their path; the first if there are several."""
    found: dict[str, Place] = {}
    for path, place in places:
        clip = youtube_id(Path(path).stem)
        if clip is not None:
            found.setdefault(clip, place)
    return found


def check_share(name: str, validation_share: float) -> None:
    """Refuse a share of validation clips that leaves none to train on.

    Raises:
        UserError: naming the option.
    """
    if not 0 <= validation_share < 1:
        raise UserError(
            f"datasets.{name}.options.validation_share: {validation_share} is not in [0, 1); set "
            "it to 0.1, or to 0 for the published protocol"
        )


def unit_hash(text: str) -> float:
    """A number in [0, 1) that depends only on `text`."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
