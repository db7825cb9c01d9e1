"""ESC-50: 50 classes x 40 clips of 5 s in five official folds.

Piczak, "ESC: Dataset for environmental sound classification", ACM Multimedia 2015.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from bench.corpora.base import Corpus, assemble
from bench.corpora.folds import with_test_fold
from bench.corpora.reading import AudioFolder, require, rows

META = "meta/esc50.csv"
STRADDLING = ("131943", "134049", "209698", "234879")
"""Recordings of which the published folds hold two sounds in two folds: the tick and the alarm of
a clock (131943, 209698), a hen and a rooster (134049, 234879)."""


def load(root: Path, *, name: str = "esc50", synthetic: bool = False) -> Corpus:
    """ESC-50 from meta/esc50.csv and audio/; splits are those of test fold 0 (`with_test_fold`).

    Classes follow the target numbers. `fold` counts from 0 (the file counts from 1) and `group` is
    the source recording, which is in one fold except for STRADDLING. A clip is its whole file,
    whatever its length.

    Raises:
        UserError: absent files, malformed lines, a target with two names, or no audio.
    """
    require(root, name, META, "audio")
    files = AudioFolder(root, "audio")
    names: dict[int, str] = {}
    lines: dict[str, int] = {}
    clips: list[dict[str, Any]] = []
    for row in rows(root / META, ("filename", "fold", "target", "category", "src_file", "take")):
        target, category = row.integer("target"), row["category"]
        if names.setdefault(target, category) != category:
            raise row.error(
                f"target {target} is '{category}' here and '{names[target]}' above; keep the "
                "right name"
            )
        fold = row.integer("fold")
        if fold < 1:
            raise row.error(f"fold {fold}; folds count from 1")
        filename = row["filename"]
        first = lines.setdefault(filename, row.line)
        if first != row.line:
            raise row.error(f"'{filename}' repeats line {first}; delete one of the two rows")
        clips.append(
            {
                "clip": filename,
                "path": files.find(filename),
                "split": "train",
                "fold": fold - 1,
                "group": row["src_file"],
                "labels": [category],
            }
        )
    table = pd.DataFrame(clips)
    corpus = assemble(
        name,
        root,
        [names[target] for target in sorted(names)],
        table,
        multilabel=False,
        synthetic=synthetic,
        remarks=files.remarks,
        straddling=tuple(group for group in STRADDLING if group in set(table["group"])),
    )
    return with_test_fold(corpus, 0)
