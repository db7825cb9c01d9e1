"""Files of the registry of checkpoints on this machine: of released models, and starts of runs."""

from __future__ import annotations

from pathlib import Path

from bench.experiment.cells import Plan
from bench.experiment.released import Checkpoint
from bench.experiment.wanted import start_name
from bench.files import UserError
from bench.sources.download import bring
from bench.sources.present import in_place, put_by_hand, record, sole_fetch
from bench.sources.registry import CHECKPOINTS, LockFile
from bench.sources.source import Fetched

STAND_INS = ".stand-ins"
"""In a rehearsal's folder of checkpoints: names of its files that hold random weights, a line each.
The digests of runs that start from one say so, so that they are never taken for results."""


def start_of(plan: Plan) -> Fetched | None:
    """The file that a run starts from, recorded as the one in use; None if it starts from none.

    Raises:
        UserError: it is missing, or is not the file that the registry or the record names.
    """
    if plan.start is None:
        return None
    name, entry, folder = plan.start
    (file,) = entry.entry(folder).files
    if file.name in _stand_ins(folder):
        path = folder / file.name
        return Fetched(path, f"stand-in for {name}", path.stat().st_size, received=0)
    lock = LockFile()
    found = in_place(CHECKPOINTS, file, folder, lock)
    if found is None and file.urls:
        raise UserError(
            f"{plan.cell}: init '{plan.recipe.init}': {folder / file.name} is not there; run "
            f"`python -m bench fetch {start_name(name)}` first"
        )
    found = found or put_by_hand(CHECKPOINTS, file, folder, lock)
    record(CHECKPOINTS, file, found, lock)
    return found


def _stand_ins(folder: Path) -> list[str]:
    listed = folder / STAND_INS
    return listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []


def obtain(entry: Checkpoint, folder: Path) -> Fetched:
    """A file of the registry, fetched if its host allows programs to.

    If no checksum is published, that of the first file used is recorded and enforced.

    Raises:
        UserError: it is missing and has to be put there by hand (the message says how), or it is
            not the file that was published or recorded.
    """
    lock, wanted = LockFile(), entry.entry(folder)
    (file,) = wanted.files
    with sole_fetch(folder, file.name):
        bring(CHECKPOINTS, wanted, folder, wanted.parts, lock=lock)
        return put_by_hand(CHECKPOINTS, file, folder, lock)


def start_obstacle(entry: Checkpoint, folder: Path) -> str | None:
    """The problem that blocks runs that start from an entry, as far as its file shows."""
    (file,) = entry.entry(folder).files
    look = in_place if file.urls else put_by_hand
    try:
        look(CHECKPOINTS, file, folder, LockFile())
    except UserError as error:
        return str(error)
    return None
