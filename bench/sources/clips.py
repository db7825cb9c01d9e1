"""Listed clips without a file, and writing clips that are extracted from larger files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

MAGIC = {b"fLaC": ".flac", b"RIFF": ".wav", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff\xfb": ".mp3"}


class Absent(NamedTuple):
    """A listed clip without a file: which part lists it, what it is, and where it belongs.

    `path` is relative to the data set's folder, with a suffix only where the layout demands one;
    `start_s` and `end_s` are seconds of the YouTube video.
    """

    part: str
    youtube_id: str
    start_s: float
    end_s: float
    path: str


def suffix_of(audio: bytes) -> str | None:
    """File name suffix of an audio file by its first bytes; None if the format is unknown."""
    return next((suffix for magic, suffix in MAGIC.items() if audio.startswith(magic)), None)


def put(path: Path, audio: bytes) -> None:
    """Write a clip so that it is complete or absent under its name.

    Millions are written, so none is flushed separately: a file damaged by a power cut is reported
    when it is decoded.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.part")
    hidden.unlink(missing_ok=True)
    with open(hidden, "xb") as file:  # never through a link
        file.write(audio)
    os.replace(hidden, path)
