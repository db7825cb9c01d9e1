"""Training state on disk: saved whole, keyed by the run's identity, the previous one kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from bench.files import atomic_write, write_json_lines


class StateFolder:
    """Holds `state.pt` and `state.previous.pt` of one run.

    The folder's name contains the run's identity and so does the state: another recipe, other
    data or other code never resume it.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self.identity = identity
        self.current = folder / "state.pt"
        self.previous = folder / "state.previous.pt"

    def save(self, values: dict[str, Any]) -> None:
        """Write the state; a crash at any moment leaves the last or the new state whole."""
        with atomic_write(self.current.with_name("state.new.pt")) as temporary:
            torch.save({"identity": self.identity, **values}, temporary)
        if self.current.exists():
            os.replace(self.current, self.previous)
        os.replace(self.current.with_name("state.new.pt"), self.current)

    def save_curve(self, curve: list[dict[str, Any]]) -> None:
        """Write the curve so far, one JSON object a line, for whoever watches the run."""
        write_json_lines(self.folder / "metrics.jsonl", curve)

    def load(self) -> dict[str, Any] | None:
        """The newest readable state of this identity, or None; a damaged file is passed over."""
        for path in (self.current.with_name("state.new.pt"), self.current, self.previous):
            state = _read(path)
            if state is not None and state.get("identity") == self.identity:
                return state
        return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # torch raises many kinds for a damaged file
        print(f"{path}: damaged training state passed over ({type(error).__name__})", flush=True)
        return None
