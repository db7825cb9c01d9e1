"""Writing a feature array that is larger than memory, so that interrupted work resumes.

While work runs, the array grows in `features.part` and `journal.jsonl` says, line by line, which
clips are safely in it. The last step turns the part into a plain .npy file by writing its header
into the space kept for it, and renames it.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DATA = "features.npy"
PART = "features.part"
JOURNAL = "journal.jsonl"
HEADER_BYTES = 128  # NumPy's header for any two-dimensional shape, with room for growth


class Outcome(NamedTuple):
    """The result of one clip: its features, or None and the reason in `remark`."""

    features: np.ndarray | None
    verdict: str  # kept, repaired or excluded
    remark: str
    source_rate: int  # Hz, 0 where unknown


class PartialArray:
    """A float16 array of (frames, mels) that grows clip by clip and survives interruption.

    Attributes:
        frames: frames of every clip done so far; 0 for excluded ones.
        remarks: (number of the clip, verdict, remark) of every clip with a remark.
        rates: sample rate in Hz of every clip done so far; 0 where unknown.
    """

    def __init__(self, folder: Path, identity: str, mels: int) -> None:
        """Resume the work of the same identity in `folder`, or start over."""
        self.folder, self.mels = folder, mels
        self.rows = 0
        self.frames = array("q")
        self.remarks: list[tuple[int, str, str]] = []
        self.rates = array("i")
        folder.mkdir(parents=True, exist_ok=True)
        journal = folder / JOURNAL
        end = self._replay(journal, identity)
        self._journal = open(journal, "ab")  # noqa: SIM115 - closed by close()
        self._journal.truncate(end)
        if not end:
            self._note({"identity": identity, "mels": mels})
        self._data = open(folder / PART, "ab")  # noqa: SIM115
        self._data.truncate(self._bytes)

    @property
    def _bytes(self) -> int:
        return HEADER_BYTES + self.rows * self.mels * 2

    def append(self, outcomes: Sequence[Outcome]) -> None:
        """Add clips; when this returns they are on disk and will not be computed again."""
        begin = len(self.frames)
        entry: dict[str, Any] = {"frames": [], "remarks": [], "rates": []}
        for number, outcome in enumerate(outcomes, start=begin):
            length = 0
            if outcome.features is not None:
                length = len(outcome.features)
                self._data.write(np.ascontiguousarray(outcome.features, np.float16).data)
            entry["frames"].append(length)
            entry["rates"].append(outcome.source_rate)
            if outcome.remark:
                entry["remarks"].append((number, outcome.verdict, outcome.remark))
        self._data.flush()
        os.fsync(self._data.fileno())
        self._apply(entry)
        self._note(entry)

    def finish(self) -> None:
        """Give the array its header and its final name; remove the journal."""
        header = BytesIO()
        np.lib.format.write_array_header_1_0(
            header,
            {"descr": "<f2", "fortran_order": False, "shape": (self.rows, self.mels)},
        )
        assert header.tell() == HEADER_BYTES
        self.close()
        with open(self.folder / PART, "r+b") as file:
            file.write(header.getvalue())
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.folder / PART, self.folder / DATA)
        (self.folder / JOURNAL).unlink()

    def close(self) -> None:
        """Close the files; a later object continues from here."""
        self._data.close()
        self._journal.close()

    def _note(self, entry: dict[str, Any]) -> None:
        self._journal.write(json.dumps(entry).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def _apply(self, entry: dict[str, Any]) -> None:
        self.frames.extend(entry["frames"])
        self.rows += sum(entry["frames"])
        self.rates.extend(entry["rates"])
        self.remarks += [tuple(remark) for remark in entry["remarks"]]

    def _replay(self, journal: Path, identity: str) -> int:
        """Read the journal's complete lines; returns where they end, 0 if it has another
        identity."""
        try:
            size = (self.folder / PART).stat().st_size
            file = open(journal, "rb")  # noqa: SIM115
        except FileNotFoundError:
            return 0
        with file:
            head = file.readline()
            if _parsed(head) != {"identity": identity, "mels": self.mels}:
                return 0
            end = len(head)
            for line in file:
                entry = _parsed(line)
                grown = sum(entry["frames"]) * self.mels * 2 if entry else 0
                if entry is None or self._bytes + grown > size:
                    break
                self._apply(entry)
                end += len(line)
        return end


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A journal line, or None for one that was cut off."""
    if not line.endswith(b"\n"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
