"""ESC-50: 50 classes x 40 clips of 5 s in five official folds.

Piczak, "ESC: Dataset for environmental sound classification", ACM Multimedia 2015.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from bench.corpora.base import Corpus, assemble
from bench.corpora.folds import with_test_fold
from bench.corpora.reading import audio_files, require, rows

META = "meta/esc50.csv"
CLIP_SECONDS = 5.0


def load(root: Path, *, synthetic: bool = False) -> Corpus:
    """ESC-50 from meta/esc50.csv and audio/; splits are those of test fold 0 (`with_test_fold`).

    Classes follow the target numbers. `fold` counts from 0 (the file counts from 1) and `group` is
    the source recording, which lies in one fold.

    Raises:
        UserError: absent files, malformed lines, a target with two names, or no audio.
    """
    require(root, "esc50", META, "audio")
    files = set(audio_files(root / "audio"))
    names: dict[int, str] = {}
    clips: list[dict[str, Any]] = []
    for row in rows(root / META, ("filename", "fold", "target", "category", "src_file", "take")):
        target, category = row.integer("target"), row["category"]
        if names.setdefault(target, category) != category:
            raise row.error(f"target {target} is '{category}' here and '{names[target]}' above")
        fold = row.integer("fold")
        if fold < 1:
            raise row.error(f"fold {fold}; folds count from 1")
        filename = row["filename"]
        clips.append(
            {
                "clip": filename,
                "path": f"audio/{filename}" if filename in files else "",
                "start_s": 0.0,
                "duration_s": CLIP_SECONDS,
                "split": "train",
                "fold": fold - 1,
                "group": row["src_file"],
                "labels": [category],
            }
        )
    corpus = assemble(
        "esc50",
        root,
        [names[target] for target in sorted(names)],
        pd.DataFrame(clips),
        multilabel=False,
        synthetic=synthetic,
    )
    return with_test_fold(corpus, 0)
