"""Training state on disk: saved whole, keyed by the run's identity, the previous one kept."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from bench.files import write_tensors
from modelkit.checkpoint import CheckpointError, read_checkpoint


class StateFolder:
    """Holds `state.pt` and `state.previous.pt` of one run.

    The folder's name contains the run's identity and so does the state: a run with another recipe,
    data or code never resumes it.
    """

    def __init__(self, folder: Path, identity: str, every_s: float = 300.0) -> None:
        """`every_s`: seconds after which a state is due, also within an epoch."""
        self.folder = folder
        self.identity = identity
        self.every_s = every_s
        self.current = folder / "state.pt"
        self.previous = folder / "state.previous.pt"
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to save again (by a clock that never jumps)."""
        return time.monotonic() - self._saved >= self.every_s

    def save(self, values: dict[str, Any]) -> None:
        """Write the state; a crash at any moment leaves the previous or the new state complete."""
        new = self.current.with_name("state.new.pt")
        write_tensors(new, {"identity": self.identity, **values})
        if self.current.exists():
            os.replace(self.current, self.previous)
        os.replace(new, self.current)
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The newest readable state of this identity, or None; a damaged file is skipped."""
        for path in (self.current.with_name("state.new.pt"), self.current, self.previous):
            state = _read(path)
            if state is not None and state.get("identity") == self.identity:
                return state
        return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        state = read_checkpoint(path)
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        print(f"{error}; training state passed over", flush=True)
        return None
    return state if isinstance(state, dict) else None
