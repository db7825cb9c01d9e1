"""A fifth data set, as a plug-in: a folder of audio beside `clips.csv` (file, split, label).

In an experiment: `datasets: {whistles: {loader: "toy_data:load", root: …, …}}`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.corpora.base import SPLITS, Corpus, assemble
from bench.corpora.reading import AudioFolder, require, rows

META = "clips.csv"


def load(
    root: Path, *, name: str = "whistles", synthetic: bool = False, clip_seconds: float = 1.0
) -> Corpus:
    """The clips of META; those without a file count as missing.

    Raises:
        UserError: absent files, malformed lines or an unknown split.
    """
    require(root, name, META, "audio")
    files = AudioFolder(root, "audio")
    clips = []
    for row in rows(root / META, ("file", "split", "label")):
        file = row["file"]
        clips.append(
            {
                "clip": file,
                "path": files.find(file),
                "start_s": 0.0,
                "duration_s": clip_seconds,
                "split": row.known(row["split"], SPLITS),
                "fold": -1,
                "group": file,
                "labels": [row["label"]],
            }
        )
    table = pd.DataFrame(clips)
    classes = sorted({label for labels in table["labels"] for label in labels})
    return assemble(
        name, root, classes, table,
        multilabel=False, synthetic=synthetic, remarks=files.remarks,
    )  # fmt: skip
