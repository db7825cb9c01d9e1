"""Features on disk: one memory-mapped float16 array per corpus and front end, with an index."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from typing_extensions import TypedDict

from bench.data.array import DATA
from bench.files import damage_told
from bench.strict import read_as

if TYPE_CHECKING:
    from torch import Tensor

REMEDY = "delete this folder and run again"
Fill = Literal["repeat", "zero", "silence"]


class StoreFacts(TypedDict):
    """digest.json, which is written when the features are complete."""

    digest: str
    silence: float
    clips: int


def store_facts(folder: Path) -> StoreFacts:
    """digest.json of a feature store.

    Raises:
        UserError: there is none, or it is damaged.
    """
    facts: StoreFacts = read_as(StoreFacts, folder / "digest.json", REMEDY)
    return facts


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """Features of a corpus.

    Attributes:
        data: all clips' frames one after another, float16 (frames, F), memory-mapped.
        clips: names of the usable clips, in the corpus table's order; positions below count here.
        first, frames: int64, where each clip begins in `data` and how long it is.
        silence: feature value of digital silence.
        digest: identity of audio, front end and code.
    """

    data: np.ndarray
    clips: list[str]
    first: np.ndarray
    frames: np.ndarray
    silence: float
    digest: str

    @classmethod
    def open(cls, folder: str | Path) -> FeatureStore:
        """Open what `featurize` wrote.

        Raises:
            UserError: the folder holds no complete features, or damaged ones.
        """
        folder = Path(folder)
        facts = store_facts(folder)
        with damage_told(folder, REMEDY):
            index = pd.read_parquet(folder / "index.parquet")
            store = cls(
                data=np.load(folder / DATA, mmap_mode="r"),
                clips=index["clip"].tolist(),
                first=index["first"].to_numpy(np.int64),
                frames=index["frames"].to_numpy(np.int64),
                silence=facts["silence"],
                digest=facts["digest"],
            )
            ends = store.first + store.frames
            if len(ends) and (store.first.min() < 0 or ends.max() > len(store.data)):
                raise ValueError(f"{len(store.data)} frames, the index asks for {ends.max()}")
            return store

    def clip(self, position: int) -> np.ndarray:
        """All frames of a clip as they are stored: float16 (T, F), not copied."""
        first = self.first[position]
        return self.data[first : first + self.frames[position]]

    def batch(
        self,
        positions: np.ndarray,
        *,
        frames: int,
        fill: Fill = "repeat",
        starts: np.ndarray | None = None,
    ) -> np.ndarray:
        """`frames` frames of each of these clips as float32 (B, frames, F).

        Shorter clips are repeated, or followed by zeros (as AST does, before it normalises) or by
        the value of digital silence.

        Args:
            starts: (B,) the frame that each begins at; None: their first.
        """
        import torch

        positions = np.asarray(positions)
        starts = np.zeros_like(positions) if starts is None else starts
        out = torch.empty(len(positions), frames, self.data.shape[1])
        for row, position, start in zip(out, positions, starts, strict=True):
            first = self.first[position] + start
            length = min(self.frames[position] - start, frames)
            row[:length] = self._tensor[first : first + length]
            if fill == "repeat":
                while length < frames:  # doubling: what is there is a whole number of repetitions
                    more = min(length, frames - length)
                    row[length : length + more] = row[:more]
                    length += more
            else:
                row[length:] = 0.0 if fill == "zero" else self.silence
        return out.numpy()

    def mean_std(self, positions: np.ndarray) -> tuple[float, float]:
        """Mean and standard deviation over all values of these clips.

        Raises:
            ValueError: no clips.
        """
        if not len(positions):
            raise ValueError("statistics of no clips")
        count, total, squares = 0, 0.0, 0.0
        for position in np.asarray(positions):
            first = self.first[position]
            values = self._tensor[first : first + self.frames[position]].double().numpy()
            count += values.size
            total += float(values.sum())
            squares += float(np.square(values).sum())
        mean = total / count
        return mean, float(np.sqrt(max(squares / count - mean**2, 0.0)))

    @cached_property
    def _tensor(self) -> Tensor:
        """The data, never written to: PyTorch converts float16 many times as fast as NumPy."""
        import torch

        with warnings.catch_warnings(action="ignore", category=UserWarning):
            return torch.from_numpy(self.data)  # it warns that a memory map is not writable
