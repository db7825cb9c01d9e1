"""Speech Commands V2: one spoken word per clip of at most one second.

Warden, "Speech Commands: A dataset for limited-vocabulary speech recognition", arXiv 1804.03209.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from bench.corpora.base import Corpus, assemble
from bench.corpora.reading import (
    AudioFolder,
    composed,
    is_text,
    lines_of,
    require,
    stem_of,
    unnamed_remark,
)
from bench.files import UserError

LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
SPEAKER = r"(.+?)_nohash_.*"


def load(
    root: Path,
    *,
    name: str = "speechcommands",
    speaker: str = SPEAKER,
    synthetic: bool = False,
) -> Corpus:
    """Speech Commands from its word folders and the two split lists; the rest is training.

    Classes are all word folders in alphabetical order; folders that start with '_' or '.'
    (_background_noise_) are not classes. `group` is the speaker. A clip is its whole file. HTS-AT's
    code numbers the classes in directory order, which differs by machine.

    Args:
        root: folder with the word folders and the lists.
        name: the data set's key in the experiment.
        speaker: regular expression of a file's whole name without suffix, whose first group is the
            speaker; V2's own by default. "(.+)" makes every file its own speaker.
        synthetic: whether the audio was made by the embedded builder.

    Raises:
        UserError: absent files, a listed word without a folder, a name that does not match
            `speaker` or is not UTF-8 text, or no audio.
    """
    require(root, name, *LISTS.values())
    files = AudioFolder(root)
    own = [path for path in files.unnamed if path.count("/") == 1 and path[0] != "_"]
    if own:
        raise UserError("\n".join(f"{root}/{unnamed_remark(path)}" for path in own))
    names = (entry.name for entry in root.iterdir() if entry.is_dir())
    words = {composed(name) for name in names if name[0] not in "_." and is_text(name)}
    listed: dict[str, tuple[str, str]] = {}  # name without suffix -> listed name, split
    for split, file in LISTS.items():
        for line, path in _listed(root / file, words):
            if listed.setdefault(stem_of(path), (path, split))[1] != split:
                raise UserError(
                    f"{root / file}, line {line}: '{path}' stands in {LISTS['validation']} "
                    "too; delete it from one of them"
                )
    found = map(composed, (*files.names, *files.unread))
    rest = [
        (path, "train")
        for path in found
        if path.count("/") == 1 and path.split("/")[0] in words and stem_of(path) not in listed
    ]
    clips: list[dict[str, Any]] = []
    for path, split in (*rest, *listed.values()):
        clips.append(
            {
                "clip": path,
                "path": files.find(path),
                "split": split,
                "group": _speaker(root / path, speaker, f"datasets.{name}.options.speaker"),
                "labels": [path.split("/")[0]],
            }
        )
    if not clips:
        raise UserError(
            f"{root}: no word folders with audio; set datasets.{name}.root to the folder "
            "that holds them"
        )
    return assemble(
        name,
        root,
        sorted(words),
        pd.DataFrame(clips),
        multilabel=False,
        synthetic=synthetic,
        remarks=files.remarks,
    )


def _speaker(path: Path, pattern: str, key: str) -> str:
    """The speaker in a file's name."""
    try:
        found = re.fullmatch(pattern, path.stem)
        if found is not None and found[1]:
            return found[1]
    except (re.error, IndexError, TypeError) as error:
        raise UserError(
            f"{key}: {pattern!r} is not a regular expression with a group ({error})"
        ) from error
    raise UserError(
        f"{path}: '{path.stem}' does not fit {key} '{pattern}', so its speaker is unknown; set it "
        "to a regular expression whose group is the speaker, or remove the file"
    )


def _listed(path: Path, words: set[str]) -> Iterator[tuple[int, str]]:
    """(line number, word/file) of the lines of a split list."""
    for number, line in lines_of(path):
        word, _, name = line.partition("/")
        if word not in words or not name or "/" in name:
            raise UserError(
                f"{path}, line {number}: '{line}' does not name a file in one of the "
                f"{len(words)} word folders; write it as in yes/0a7c2a8d_nohash_0.wav"
            )
        yield number, line
