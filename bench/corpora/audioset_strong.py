"""AudioSet-strong: the clips of AudioSet whose events have times.

Hershey et al., "The Benefit of Temporally-Strong Labels in Audio Event Classification", ICASSP
2021. Lists and layout are those of research.google.com/audioset/download_strong.html. Its classes
are those that occur in the training list, 447 of 456; 407 of them occur in the evaluation list too,
and only these can be scored. There is no validation split: the clean protocol takes one from
training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bench.corpora.audioset import NOWHERE, Place, check_share, placed, unit_hash
from bench.corpora.base import Corpus, assemble
from bench.corpora.reading import AudioFolder, headless_rows, require, rows
from bench.metrics.events import events_table
from bench.sources.clips import Absent
from bench.text_tables import Row

NAMES_FILE = "mid_to_display_name.tsv"
LISTS = {"train": "audioset_train_strong.tsv", "test": "audioset_eval_strong.tsv"}
PARTS = {"train": "training", "test": "evaluation"}
COLUMNS = ("segment_id", "start_time_seconds", "end_time_seconds", "label")
SECONDS = 10.0  # of a segment; at the end of a video it may be any shorter: the lists do not say
_SEGMENT = re.compile(r"(?P<id>.{11})_(?P<start_ms>\d+)")


class Segment(NamedTuple):
    """A clip of a list: its video, the second at which it begins there, and its events."""

    youtube_id: str
    start_s: float
    events: list[tuple[float, float, str]]


def load(
    root: Path,
    *,
    name: str = "audioset_strong",
    validation_share: float = 0.1,
    audio: str = ".",
    synthetic: bool = False,
) -> Corpus:
    """AudioSet-strong from its lists in `root` and the audio files anywhere below `root / audio`.

    Events of classes that the training list lacks are left out, as are clips without any others.

    Args:
        root: folder with mid_to_display_name.tsv, audioset_train_strong.tsv and
            audioset_eval_strong.tsv.
        name: the data set's key in the experiment.
        validation_share: share of the training clips set aside as validation split, chosen by a
            hash of the YouTube id as for AudioSet.
        audio: folder of the audio files, relative to `root` or absolute; it may be that of
            AudioSet.
        synthetic: whether the audio was made by the embedded builder.

    Raises:
        UserError: absent files, unknown labels, malformed lines, or no audio.
    """
    check_share(name, validation_share)
    lists, places, remarks = _open(root, name, audio)
    classes = sorted({label for s in lists["train"].values() for *_, label in s.events})
    trained = set(classes)
    clips: list[dict[str, Any]] = []
    events: list[tuple[str, float, float, str]] = []
    for part, segments in lists.items():
        for clip, segment in segments.items():
            own = [event for event in segment.events if event[2] in trained]
            if not own:
                continue
            events += [(clip, *event) for event in own]
            place = places.get(segment.youtube_id, NOWHERE)
            if place.remark:
                remarks[clip] = place.remark
            held_out = part == "train" and unit_hash(segment.youtube_id) < validation_share
            clips.append(
                {
                    "clip": clip,
                    "path": place.path,
                    "duration_s": SECONDS,
                    "split": "validation" if held_out else part,
                    "group": segment.youtube_id,
                    "cut_s": segment.start_s,
                    "strong": True,
                    "labels": list(dict.fromkeys(label for *_, label in own)),
                }
            )
    return assemble(
        name,
        root / audio,
        classes,
        pd.DataFrame(clips),
        multilabel=True,
        synthetic=synthetic,
        events=events_table(events),
        remarks=remarks,
    )


def absent(root: Path, *, name: str = "audioset_strong", audio: str = ".") -> Iterator[Absent]:
    """The listed clips without a file, and where `load` would find them.

    Raises:
        UserError: absent or malformed lists.
    """
    lists, places, _ = _open(root, name, audio)
    folder = "audio" if audio == "." else audio
    for part, segments in lists.items():
        for video, start_s, _ in segments.values():
            if not places.get(video, NOWHERE).path:
                place = f"{folder}/{PARTS[part]}/{video[:2]}/{video}"
                yield Absent(PARTS[part], video, start_s, start_s + SECONDS, place)


def _open(
    root: Path, name: str, audio: str
) -> tuple[dict[str, dict[str, Segment]], dict[str, Place], dict[str, str]]:
    """The segments of both lists by their names, in the order of the lists, the place of each by
    YouTube id, and remarks on files."""
    require(root, name, NAMES_FILE, *LISTS.values(), audio)
    known = dict(_display_names(root / NAMES_FILE))
    taken: dict[str, str] = {}
    lists = {part: _segments(root / file, known, taken) for part, file in LISTS.items()}
    starts = {s.youtube_id: s.start_s for segments in lists.values() for s in segments.values()}
    files = AudioFolder(root / audio)
    return lists, placed(files, starts), files.remarks


def _segments(path: Path, names: dict[str, str], taken: dict[str, str]) -> dict[str, Segment]:
    """The segments of a list; a segment is in one list, which `taken` keeps."""
    segments: dict[str, Segment] = {}
    for row in rows(path, COLUMNS, separator="\t"):
        other = taken.setdefault(row["segment_id"], path.name)
        if other != path.name:
            raise row.error(
                f"'{row['segment_id']}' stands in {other} too; delete it from one of them"
            )
        segment = segments.get(row["segment_id"]) or _segment(row)
        segments[row["segment_id"]] = segment
        onset, offset = row.number("start_time_seconds"), row.number("end_time_seconds")
        if not 0 <= onset <= offset:
            raise row.error(
                f"an event from {onset} s to {offset} s; it must begin at 0 or later and not end "
                "before that"
            )
        label = names[row.known(row["label"], names, NAMES_FILE)]
        if onset < offset:  # the lists have events of zero length, which nothing can find
            segment.events.append((onset, offset, label))
    return segments


def _segment(row: Row) -> Segment:
    match = _SEGMENT.fullmatch(row["segment_id"])
    if match is None:
        raise row.error(
            f"'{row['segment_id']}' is no YouTube id and start in milliseconds; write it as in "
            "abcdefghijk_30000"
        )
    return Segment(match["id"], int(match["start_ms"]) / 1000, [])


def _display_names(path: Path) -> Iterator[tuple[str, str]]:
    """(machine id, display name) from the lines of a table without a header."""
    for row in headless_rows(path, ("mid", "name"), separator="\t"):
        if not (row["mid"] and row["name"]):
            raise row.error("no machine id and name; write both, separated by a tab")
        yield row["mid"], row["name"]
