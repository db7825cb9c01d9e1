"""Speech Commands V2: one spoken word per clip of at most one second.

Warden, "Speech Commands: A dataset for limited-vocabulary speech recognition", arXiv 1804.03209.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from bench.corpora.base import Corpus, assemble
from bench.corpora.reading import audio_files, lines_of, require
from bench.files import UserError

LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
CLIP_SECONDS = 1.0


def load(root: Path, *, synthetic: bool = False) -> Corpus:
    """Speech Commands from its word folders and the two split lists; the rest is training.

    Classes are all word folders in alphabetical order; folders that start with '_' or '.'
    (_background_noise_) are none. `group` is the speaker: the part of a file's name before
    `_nohash_`. HTS-AT's code numbers the classes in directory order, which differs by machine.

    Raises:
        UserError: absent files, a listed word without a folder, a name without `_nohash_`, or no
            audio.
    """
    require(root, "speechcommands", *LISTS.values())
    words = sorted(
        entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] not in "_."
    )
    on_disk = [path for word in words for path in _word_files(root, word)]
    splits: dict[str, str] = {}
    for split, name in LISTS.items():
        for path in _listed(root / name, words):
            if splits.setdefault(path, split) != split:
                raise UserError(f"{root / name}: '{path}' stands in {LISTS['validation']} too")
    found = set(on_disk)
    clips: list[dict[str, Any]] = []
    for path in dict.fromkeys([*on_disk, *splits]):
        word, name = path.split("/")
        speaker, mark, _ = name.partition("_nohash_")
        if not mark:
            raise UserError(
                f"{root / path}: the name has no '_nohash_', so its speaker is unknown; "
                "remove the file if it is not part of Speech Commands"
            )
        clips.append(
            {
                "clip": path,
                "path": path if path in found else "",
                "start_s": 0.0,
                "duration_s": CLIP_SECONDS,
                "split": splits.get(path, "train"),
                "fold": -1,
                "group": speaker,
                "labels": [word],
            }
        )
    if not clips:
        raise UserError(
            f"{root}: no word folders with audio; set datasets.speechcommands.root to the folder "
            "that holds them"
        )
    return assemble(
        "speechcommands",
        root,
        words,
        pd.DataFrame(clips),
        multilabel=False,
        synthetic=synthetic,
    )


def _word_files(root: Path, word: str) -> list[str]:
    return [f"{word}/{name}" for name in audio_files(root / word) if "/" not in name]


def _listed(path: Path, words: list[str]) -> list[str]:
    """The word/file lines of a split list."""
    known = set(words)
    entries = []
    for number, line in lines_of(path):
        word, _, name = line.partition("/")
        if word not in known or not name or "/" in name:
            raise UserError(
                f"{path}, line {number}: '{line}' does not name a file in one of the "
                f"{len(words)} word folders"
            )
        entries.append(line)
    return entries
