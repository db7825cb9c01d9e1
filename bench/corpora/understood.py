"""What was understood of a data set, in a few lines before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.audio.decode import lengths_of
from bench.corpora.base import SPLITS, Corpus

MOST_NAMED = 12


def told(corpus: Corpus) -> Iterator[str]:
    """Lines on clips, classes, splits or folds, groups, lengths and events, and three examples.

    Lengths are read from the audio files.
    """
    clips = corpus.clips
    found, listed = corpus.coverage
    yield f"{corpus.name}: {found:,} clips below {corpus.root}"
    if listed > found:
        yield (
            f"  missing: {listed - found:,} clips that are listed and have no file, such as "
            f"{corpus.missing['clip'].iloc[0]}"
        )
    labels = Counter(label for labels in clips["labels"] for label in labels)
    named = [f"{name} {labels[name]:,}" for name in corpus.classes]
    yield f"  classes ({len(named)}): {_some(named)}"
    if (clips["fold"] >= 0).any():
        folds = np.bincount(clips["fold"])
        yield f"  folds ({len(folds)}): {_some([f'{f}: {n:,}' for f, n in enumerate(folds, 1)])}"
    else:
        sizes = clips["split"].value_counts()
        yield f"  splits: {', '.join(f'{s} {sizes.get(s, 0):,}' for s in SPLITS)}"
    groups = clips.groupby("group").size()
    least, most = groups.min(), groups.max()
    each = f"{least}" if least == most else f"{least} to {most}"
    if most == 1:
        yield (
            f"  groups: {len(groups):,}, 1 clip each: every clip is taken as a recording of its "
            "own (else name its `group`)"
        )
    else:
        alone = int((clips["group"] == clips["clip"]).sum())
        rest = f"; {alone:,} clips have none and count as recordings of their own" if alone else ""
        yield (
            f"  groups: {len(groups):,} recordings or speakers, {each} clips each; none in two "
            f"splits or folds{rest}"
        )
    seconds = _seconds(corpus)
    yield f"  lengths: {_lengths(corpus, seconds)}"
    if corpus.events is not None:
        strong = int(clips["strong"].sum())
        yield (
            f"  events: {len(corpus.events):,} in {strong:,} clips with times, "
            f"{found - strong:,} clips with labels alone"
        )
    if corpus.remarks:
        name, remark = next(iter(corpus.remarks.items()))
        said = remark if remark.startswith(name) else f"{name}: {remark}"
        yield f"  not used or odd: {len(corpus.remarks):,}, such as {said}"
    for number in sorted({0, len(clips) // 2, len(clips) - 1}):  # the first, middle and last
        row: Any = clips.iloc[number]
        says = f"fold {row['fold'] + 1}" if row["fold"] >= 0 else row["split"]
        heard = ", ".join(row["labels"]) or "no label"
        yield f"  as {row['path']}: {heard}; group {row['group']}; {says}; {seconds[number]:.2f} s"


def _seconds(corpus: Corpus) -> np.ndarray:
    """Length of each clip; 0 if its file does not state it."""
    whole = corpus.clips["path"].map(lengths_of(corpus.root, corpus.clips["path"]))
    return corpus.clips["duration_s"].fillna(whole).to_numpy(np.float64)


def _lengths(corpus: Corpus, seconds: np.ndarray) -> str:
    known = seconds[seconds > 0]
    if not len(known):
        return "of no file known: none can be read"
    text = f"{known.min():.2f} to {known.max():.2f} s, median {np.median(known):.2f} s"
    unknown = corpus.clips["path"][seconds <= 0].unique()
    return text + (f"; cannot be read: {_some(list(unknown))}" if len(unknown) else "")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
