"""Recordings in, and what was found in them: as text, JSON, picture, or one CSV of all."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.files import UserError, atomic_write
from bench.text_tables import text_of

if TYPE_CHECKING:
    from bench.tagging.tag import Tagged

COLUMNS = ("recording", "kind", "label", "onset_s", "offset_s", "score")


def recordings(named: Iterable[Path]) -> list[Path]:
    """The files that are named, and in folders all audio, at any depth, in the order of names.

    What is left out of a folder is told on stderr.

    Raises:
        UserError: a folder without audio.
    """
    from bench.corpora.reading import AUDIO_SUFFIXES, AudioFolder

    found: list[Path] = []
    for path in named:
        if not path.is_dir():
            found.append(path)
            continue
        files = AudioFolder(path)
        for names, remedy in (
            (files.unread, "convert to FLAC or WAV"),
            (files.unnamed, "rename: the name is not UTF-8 text"),
        ):
            if names:
                more = f" and {len(names) - 1} more" if names[1:] else ""
                told = f"{path}: left out {min(names)}{more} ({remedy})"
                print(told, file=sys.stderr, flush=True)
        inside = [path / name for name in files.names]
        if not inside:
            raise UserError(f"{path}: no audio in this folder ({', '.join(AUDIO_SUFFIXES)})")
        found += inside
    return list(dict.fromkeys(found))


@contextmanager
def table(path: Path) -> Iterator[Callable[[Tagged, argparse.Namespace, bool], None]]:
    """A CSV with a row per label (`kind` clip, with its probability) and per located event (`kind`
    event, with its times); it is there once the block ends without an error.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as out:
        out.write(text_of([COLUMNS], ","))

        def write(tagged: Tagged, args: argparse.Namespace, several: bool) -> None:
            rows = [("clip", label, "", "", score) for label, score in best(tagged, args.top)]
            rows += [
                ("event", event.label, f"{event.onset:.3f}", f"{event.offset:.3f}", event.score)
                for event in tagged.events
            ]
            out.write(text_of(((tagged.audio, *row, f"{score:.6f}") for *row, score in rows), ","))

        yield write


def drawn(tagged: Tagged, path: Path) -> None:
    """Write the picture of one recording, in the format that the name says."""
    from bench.tagging.picture import draw

    with atomic_write(path) as temporary:
        draw(tagged, temporary, path.suffix.lower().removeprefix("."))


def printed(tagged: Tagged, args: argparse.Namespace, several: bool) -> None:
    """Print one recording; of several, JSON is a line each."""
    if args.json:
        indent = None if several else 1
        print(json.dumps(as_json(tagged, args.top), indent=indent, allow_nan=False), flush=several)
    else:
        print(as_text(tagged, args.top), flush=several)


def as_json(tagged: Tagged, top: int) -> dict[str, Any]:
    """Everything but the frame scores, as JSON values."""
    return {
        "audio": tagged.audio,
        "duration_s": round(tagged.duration_s, 6),
        "windows": tagged.windows,
        "checkpoint": tagged.card.name,
        "architecture": tagged.card.architecture,
        "labels": [
            {"label": label, "probability": round(score, 6)} for label, score in best(tagged, top)
        ],
        "can_localize": tagged.frame_scores is not None,
        "seconds_per_frame": tagged.seconds_per_frame or None,
        "thresholds": dict(zip(tagged.card.classes, tagged.thresholds, strict=True)),
        "threshold_source": tagged.threshold_source,
        "events": [{**event._asdict(), "score": round(event.score, 6)} for event in tagged.events],
        "notes": list(tagged.notes),
    }


def best(tagged: Tagged, top: int) -> list[tuple[str, float]]:
    """The labels with the highest clip scores, best first."""
    order = np.argsort(-tagged.clip_scores, kind="stable")[:top]
    return [(tagged.card.classes[place], float(tagged.clip_scores[place])) for place in order]


def as_text(tagged: Tagged, top: int) -> str:
    """Two tables: top labels, located events."""
    lines = [
        f"{tagged.audio}: {tagged.duration_s:.2f} s, {tagged.windows} window"
        f"{'s' if tagged.windows > 1 else ''}, by {tagged.card.name}",
        *(f"note: {note}" for note in tagged.notes),
        "",
        "probability  label",
        *(f"{score:11.3f}  {label}" for label, score in best(tagged, top)),
        "",
    ]
    if tagged.frame_scores is None:
        return "\n".join([*lines, "this model cannot localize: it has no outputs over time"])
    if not tagged.events:
        return "\n".join([*lines, f"no event above its threshold ({tagged.threshold_source})"])
    lines.append("  onset s   offset s  score  event")
    lines += [
        f"{event.onset:9.3f}  {event.offset:9.3f}  {event.score:5.3f}  {event.label}"
        for event in tagged.events
    ]
    return "\n".join(lines)
