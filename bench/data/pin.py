"""`python -m bench pin`: data.dvc, which pins the embedded corpora to their bytes.

The file is an ordinary DVC file (one output per corpus), so `dvc status`, `dvc push` and `dvc
pull` work on it. It is read and written here without DVC, because a job of the DAG must not touch
DVC's lock, and because importing DVC takes longer than hashing the corpora.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import yaml
from typing_extensions import TypedDict

from bench.experiment import config
from bench.files import UserError, write_text
from bench.strict import as_kind, read_yaml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb: none of its own."""


def run(args: argparse.Namespace) -> int:
    """Entry of the verb: pin the corpora as they are on disk."""
    settings = config.load(args.config)
    if settings.embedded is None or settings.embedded.pin is None:
        raise UserError(f"experiment '{settings.experiment}' has no embedded.pin; nothing to write")
    folders = [Path(dataset.root) for dataset in settings.datasets.values()]
    pinned = {"outs": [folder_entry(folder) for folder in folders]}
    write_text(settings.embedded.pin, yaml.safe_dump(pinned, sort_keys=False))
    print(f"{settings.embedded.pin}: {len(folders)} folders pinned", flush=True)
    return 0


def check(pin: str | Path) -> None:
    """Compare every folder that a DVC file names with what is on disk.

    Raises:
        UserError: the file is missing or unreadable, or a folder has other bytes.
    """
    for wanted in _outputs(Path(pin)):
        folder = Path(pin).parent / wanted["path"]
        found = folder_entry(folder)
        if found["md5"] != wanted["md5"]:
            raise UserError(
                f"{folder}: other bytes than {pin} pins ({found['nfiles']} files, "
                f"{found['size']} bytes, {found['md5']}; pinned {wanted['nfiles']}, "
                f"{wanted['size']}, {wanted['md5']}). If the builder was changed on purpose, run "
                "`python -m bench pin` and commit the file; else report the machine's CPU"
            )


def agrees(pin: str | Path) -> bool:
    """Whether every folder that a DVC file names is there with its bytes."""
    try:
        check(pin)
    except UserError:
        return False
    return True


class _Output(TypedDict):
    path: str
    md5: str
    size: int
    nfiles: int


def _outputs(pin: Path) -> list[_Output]:
    if not pin.exists():
        raise UserError(f"{pin}: no such file; `python -m bench pin` writes it")
    values = read_yaml(pin)
    found = as_kind(dict[Literal["outs"], list[_Output]], values, pin, "restore it from git")
    return list(found.get("outs", []))


def folder_entry(folder: Path) -> dict[str, Any]:
    """A folder as DVC 3 describes it: md5 over the sorted list of relative paths and file md5s.

    Raises:
        UserError: the folder is missing.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; build the corpora first")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(_md5, paths))
    listing = sorted(
        (
            {"md5": d, "relpath": p.relative_to(folder).as_posix()}
            for p, d in zip(paths, digests, strict=True)
        ),
        key=lambda entry: entry["relpath"],
    )
    text = json.dumps(listing, sort_keys=True)
    return {
        "md5": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir",
        "size": sum(path.stat().st_size for path in paths),
        "nfiles": len(paths),
        "hash": "md5",
        "path": folder.as_posix(),
    }


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
