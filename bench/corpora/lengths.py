"""Files whose length differs from that of the listed clip: cut or left out, with a remark.

Copies of AudioSet and DESED hold what a downloader produced: cuts of the listed segment, whole
videos, cuts that begin at the previous keyframe, stubs of interrupted downloads. A segment lasts 10
s, or less at the end of the video; PANNs' and HTS-AT's files are padded to 10 s in any case. Of
DESED's 692 public clips, all but two last as long as their name says; these last 83 and 71 % of it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.corpora.base import Corpus, events_of
from bench.files import UserError

TOLERANCE_S = 1.0  # encoders pad and cut by tenths; the length of an MP3 is known to half a second
SEGMENT_S = 10.0  # what shorter segments are padded to


class Part(NamedTuple):
    """The part of its file that a clip is, in seconds (a length of 0: none), and a remark."""

    start_s: float
    duration_s: float
    remark: str = ""


def part_of(file_s: float, listed_s: float, cut_s: float = -1.0, *, shortest: float = 0.0) -> Part:
    """The part of a file that is a clip, by the file's length.

    Args:
        file_s: length of the file in seconds.
        listed_s: length of the clip in its list.
        cut_s: where the clip begins in its recording; -1 if the file cannot be the whole recording.
        shortest: share of the listed length below which a file is a stub.
    """
    if abs(file_s - listed_s) <= TOLERANCE_S:
        return Part(0.0, min(file_s, listed_s))
    told = f"{file_s:.1f} s long where {listed_s:g} s are listed"
    if file_s < listed_s:
        if file_s < shortest * listed_s:
            return Part(0.0, 0.0, f"{told}: left out")
        return Part(0.0, file_s, f"{told}: all of it is taken")
    if abs(file_s - SEGMENT_S) <= TOLERANCE_S:
        return Part(0.0, listed_s)
    if cut_s < 0 or file_s < cut_s + listed_s - TOLERANCE_S:
        return Part(0.0, 0.0, f"{told}, and not the whole recording: left out")
    whole = f"{told}: taken as the whole recording and cut at {cut_s:g} s"
    return Part(cut_s, min(listed_s, file_s - cut_s), whole)


def fitted(corpus: Corpus, seconds: Mapping[str, float]) -> Corpus:
    """The corpus with every clip cut to what its file holds.

    A listed clip (`cut_s`) is the `part_of` its file; if there is none, it counts as missing.
    A clip without a length is its whole file.

    Args:
        corpus: as a loader made it.
        seconds: length of each file by its path; 0 where it is not known.

    Raises:
        UserError: no clip is left.
    """
    clips, remarks = corpus.clips, dict(corpus.remarks)
    names = clips["clip"].tolist()
    file_s = clips["path"].map(seconds).to_numpy(np.float64)
    start_s, duration_s, cut_s = (
        clips[column].to_numpy(np.float64, copy=True)
        for column in ("start_s", "duration_s", "cut_s")
    )
    whole = np.isnan(duration_s)
    duration_s[whole] = file_s[whole]
    listed = ~whole & (cut_s >= 0) & (file_s > 0)
    for row in np.flatnonzero(listed).tolist():
        start_s[row], duration_s[row], remark = part_of(
            file_s[row], duration_s[row], cut_s[row], shortest=corpus.shortest
        )
        if remark:
            remarks[names[row]] = remark
    nowhere = listed & (duration_s == 0)
    clips = clips.assign(start_s=start_s, duration_s=duration_s)
    left_out = clips[nowhere].assign(path="", duration_s=corpus.clips["duration_s"][nowhere])
    clips = clips[~nowhere].reset_index(drop=True)
    if clips.empty:
        raise UserError(
            f"{corpus.name}: none of its {len(names)} audio files is as long as its list says; "
            f"the first, {names[0]}: {remarks[names[0]]}"
        )
    missing = pd.concat([corpus.missing, left_out] if len(corpus.missing) else [left_out])
    missing = missing.sort_values("clip", kind="stable").reset_index(drop=True)
    events = None
    if corpus.events is not None:
        events = events_of(corpus.events, clips).reset_index(drop=True)
        remarks = _with_late_events(remarks, clips, events)
    return dataclasses.replace(
        corpus,
        clips=clips,
        missing=missing.fillna({"duration_s": 0.0}),
        events=events,
        remarks=remarks,
        shortest=0.0,
    )


def _with_late_events(
    remarks: Mapping[str, str], clips: pd.DataFrame, events: pd.DataFrame
) -> dict[str, str]:
    """The remarks, and one for every clip with events that begin after its end, or that end long
    after it, as they do in a wrong unit of time."""
    ends = dict(zip(clips["clip"], clips["duration_s"], strict=True))
    end = events["filename"].map(ends)
    begins_late = events["onset"] >= end
    ends_late = ~begins_late & (events["offset"] > end + TOLERANCE_S)
    found = dict(remarks)
    for late, what in (
        (begins_late, "begin after its end"),
        (ends_late, f"last more than {TOLERANCE_S:g} s beyond its end"),
    ):
        for clip, count in Counter(events["filename"][late]).items():
            said = f"{count} of its events {what} at {ends[clip]:g} s"
            if said not in found.get(clip, "") and ends[clip]:  # 0: decoding will tell its length
                found[clip] = "; ".join(filter(None, (found.get(clip), said)))
    return found
