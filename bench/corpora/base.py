"""The form of every data set: a table of clips, its classes and, where they exist, its events."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.files import UserError
from bench.metrics.events import EVENT_COLUMNS

SPLITS = ("train", "validation", "test")
COLUMNS = (
    "clip", "path", "start_s", "duration_s", "split", "fold", "group", "cut_s", "strong", "labels",
)  # fmt: skip
TOUCH_S = 0.1  # encoders pad: two consecutive clips overlap by less than this


class Coverage(NamedTuple):
    """How much of a data set is on this disk, in clips."""

    found: int
    listed: int


@dataclass(frozen=True, eq=False)
class Corpus:
    """One data set, split and labelled.

    Attributes:
        name: the data set.
        root: folder that `clips.path` is relative to.
        classes: class names in their fixed order.
        clips: one row per clip that is on disk, sorted by `clip` (unique). `path` str; `start_s`
            and `duration_s` float, the part of the file that is the clip (the file may end
            earlier; a loader's NaN stands for the whole file until `save` measures it); `split`
            one of SPLITS; `fold` int, -1 where there are none; `group` str, the original recording;
            `cut_s` float, the start of the clip in it according to a published list, -1 without
            one; `strong` bool, whether `events` covers the clip; `labels` list of class names.
        events: `filename` (= `clips.clip`), `onset`, `offset` in seconds, `event_label`; None for
            data sets without times. A strong clip without rows has no event.
        multilabel: whether a clip can have several labels or none.
        synthetic: whether the audio was made by the embedded builder.
        missing: listed clips without a usable file: the columns of `clips`, `path` empty.
        remarks: clip -> what is wrong with its file; it was cut, or counts as missing.
        shortest: share of its listed length that a file must have; 0 once saved, when all have it.
        straddling: recordings with clips in two folds of the published table itself.
        own: whether it is a person's own data, of which nobody has published splits; `save` refuses
            equal files in two of them.
        digest, audio_digest: see `save`; empty until saved.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    clips: pd.DataFrame
    events: pd.DataFrame | None
    multilabel: bool
    synthetic: bool
    missing: pd.DataFrame
    remarks: Mapping[str, str] = field(default_factory=dict)
    shortest: float = 0.0
    straddling: tuple[str, ...] = ()
    own: bool = False
    digest: str = ""
    audio_digest: str = ""

    @property
    def coverage(self) -> Coverage:
        """Clips found and listed over all splits."""
        return Coverage(len(self.clips), len(self.clips) + len(self.missing))

    def coverage_by_split(self) -> dict[str, Coverage]:
        """Clips found and listed of each split that has any."""
        found = self.clips["split"].value_counts()
        gone = self.missing["split"].value_counts()
        pairs = {split: (int(found.get(split, 0)), int(gone.get(split, 0))) for split in SPLITS}
        return {split: Coverage(a, a + b) for split, (a, b) in pairs.items() if a + b}


def assemble(
    name: str,
    root: Path,
    classes: Iterable[str],
    clips: pd.DataFrame,
    *,
    multilabel: bool,
    synthetic: bool,
    events: pd.DataFrame | None = None,
    remarks: Mapping[str, str] | None = None,
    shortest: float = 0.0,
    straddling: tuple[str, ...] = (),
) -> Corpus:
    """A checked corpus from a loader's table, in which clips without a file have an empty path.

    Args:
        name: the data set's key in the experiment, for messages.
        clips: COLUMNS in any order. Those left out say: whole files, no folds, no places in a
            recording, no strong labels.
        events: see `Corpus`; equal rows, as published lists may have them or new names of classes
            make them, are one event, with a remark.
        remarks, shortest, straddling: see `Corpus`.

    Raises:
        UserError: no audio at all, a repeated clip, or a group in two splits or folds.
    """
    if not len(clips):
        raise UserError(f"{root}: {name} lists no clip at all; are its lists whole?")
    remarks = dict(remarks or {})
    usual = {"start_s": 0.0, "duration_s": math.nan, "fold": -1, "cut_s": -1.0, "strong": False}
    clips = clips.assign(**{key: usual[key] for key in usual.keys() - {*clips}})
    clips = clips[list(COLUMNS)].sort_values("clip", kind="stable")
    on_disk = clips["path"] != ""
    if not on_disk.any():
        told = next((f"can be read; {remark}" for remark in remarks.values()), None)
        told = told or f"is there; set datasets.{name}.root to the folder that holds the audio"
        raise UserError(f"{root}: none of the {len(clips)} clips that {name} lists {told}")
    if events is not None:
        events = events_of(events, clips[on_disk])
        repeated = events.duplicated(list(EVENT_COLUMNS))
        for clip, count in Counter(events["filename"][repeated]).items():
            said = f"{count} of its events repeat another: each counts once"
            remarks[clip] = "; ".join(filter(None, (remarks.get(clip), said)))
        events = (
            events[~repeated].sort_values(list(EVENT_COLUMNS), kind="stable").reset_index(drop=True)
        )
    corpus = Corpus(
        name=name,
        root=root,
        classes=tuple(classes),
        clips=clips[on_disk].reset_index(drop=True),
        events=events,
        multilabel=multilabel,
        synthetic=synthetic,
        missing=clips[~on_disk].reset_index(drop=True),
        remarks=remarks,
        shortest=shortest,
        straddling=straddling,
    )
    check(corpus)
    return corpus


def events_of(events: pd.DataFrame, clips: pd.DataFrame) -> pd.DataFrame:
    return events[events["filename"].isin(set(clips["clip"]))]


def check(corpus: Corpus) -> None:
    """Check that a corpus keeps its contract. Missing clips cannot leak.

    Raises:
        UserError: a clip is listed twice, or a recording (group) that is not one of `straddling` is
            in two folds, or in two splits without a published list that cuts it at different times;
            the message names it.
    """
    tables = [table["clip"] for table in (corpus.clips, corpus.missing) if len(table)]
    clips = pd.concat(tables, ignore_index=True)
    repeated = clips[clips.duplicated()]
    if len(repeated):
        raise UserError(
            f"{corpus.name}: clip '{repeated.iloc[0]}' is listed more than once; keep one"
        )
    for column in ("split", "fold"):
        for group, pieces in _straddling(corpus.clips, column):
            if group in corpus.straddling or (column == "split" and _apart(pieces)):
                continue
            values = ", ".join(map(str, sorted(pieces[column].unique().tolist())))
            raise UserError(
                f"{corpus.name}: recording '{group}' lies in {column}s {values}; "
                f"a recording belongs to one {column} only: correct the lists"
            )


def shared_recordings(corpus: Corpus) -> dict[str, list[str]]:
    """Recordings with clips in several splits of a published list, with these splits."""
    straddling = _straddling(corpus.clips, "split")
    return {group: sorted(pieces["split"].unique().tolist()) for group, pieces in straddling}


def _straddling(clips: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """(group, its clips) of every recording with several values of `column`, in order."""
    several = clips[clips["group"].duplicated(keep=False)]  # of AudioSet's two million groups: none
    counts = several.groupby("group", sort=True)[column].nunique()
    for group in counts.index[counts > 1]:
        yield group, several[several["group"] == group]


def _apart(pieces: pd.DataFrame) -> bool:
    """Whether clips of one recording are known to overlap only within their split."""
    spans = zip(pieces["cut_s"], pieces["duration_s"], pieces["split"], strict=True)
    ordered = sorted(spans)
    if ordered[0][0] < 0:
        return False
    reach: dict[str, float] = {}  # the latest end of each split's clips so far
    for cut_s, duration_s, split in ordered:
        others = (end for other, end in reach.items() if other != split)
        if any(not cut_s > end - TOUCH_S for end in others):  # NaN: unknown
            return False
        reach[split] = max(reach.get(split, 0.0), cut_s + duration_s)
    return True
