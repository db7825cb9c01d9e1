"""Build the four embedded corpora and their manifest."""

from __future__ import annotations

import hashlib
import io
import math
import multiprocessing
import shutil
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.files import (
    OWNER,
    UserError,
    claim,
    digest_file,
    digest_of,
    owner_of,
    read_json,
    write_json,
    write_text,
)
from bench.parallel import ordered_map
from bench.process.locks import Lock
from bench.process.memory import keep_freed_memory
from synth import write_audioset, write_desed, write_esc50, write_speechcommands
from synth.bank import NOTICE, Bank
from synth.layout import Layout, Planned
from synth.pools import share_out
from synth.scenes import Clip, Event, Spec
from synth.sizes import EmbeddedSizes

MANIFEST = "manifest.json"
LICENCE = "LICENCE.txt"
CORPORA = ("audioset", "esc50", "speechcommands", "desed")
BATCH = 8  # specs per task
_BUILDER = "the embedded builder"  # owns the folders that it may write over
_LOCK = ".embedded-lock"
_STAGE = ".unfinished"

Progress = Callable[[int, int], None]
"""Called with (done, total) in specifications."""


@dataclass(frozen=True)
class Written:
    """A file that a worker wrote."""

    path: str
    size: int
    sha256: str
    events: tuple[Event, ...]


def build(
    root: str | Path,
    sizes: EmbeddedSizes,
    code: str,
    *,
    workers: int = 2,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `root`/{audioset,esc50,speechcommands,desed}, a licence text and manifest.json.

    Nothing happens if intact corpora of the same sizes and code are there. Otherwise everything is
    made in a hidden folder and moved into place, and the manifest is written last, so if a manifest
    exists, so does everything that it names. Any number of workers gives the same bytes.

    Args:
        root: an empty or absent folder, or one that an earlier call wrote.
        sizes: numbers of clips and difficulty.
        code: digest of the builder's code: with another one they are rebuilt.
        workers: processes.
        progress: see `Progress`.

    Returns:
        The manifest: `files` (path -> size and sha256), `digest` over them, `total_bytes`,
        `parameters`, and `groups` (corpus -> class -> split -> sources).

    Raises:
        UserError: `root` holds files that the builder did not make, cannot be written, or is
            already being built.
    """
    root = Path(root)
    parameters = _parameters(sizes, code)
    claim(root, _BUILDER, "set embedded.root to an empty folder")
    lock = Lock(root / _LOCK, f"building {root}").acquire(math.inf)
    try:
        found = _intact(root, parameters)
        return found or _build(root, sizes, parameters, workers, progress)
    finally:
        lock.release()


def _build(
    root: Path,
    sizes: EmbeddedSizes,
    parameters: dict[str, Any],
    workers: int,
    progress: Progress | None,
) -> dict[str, Any]:
    bank, layouts = _plan(sizes)
    stage = root / _STAGE
    shutil.rmtree(stage, ignore_errors=True)
    files: dict[str, dict[str, Any]] = {}
    events: dict[str, tuple[Event, ...]] = {}
    specs = [planned.spec for layout in layouts for planned in layout.clips]
    for written in _render(stage, bank, specs, workers, progress):
        files[written.path] = {"bytes": written.size, "sha256": written.sha256}
        events[written.path] = written.events
    texts = {LICENCE: NOTICE}
    for layout in layouts:
        texts |= layout.tables(events)
    for path, text in texts.items():
        write_text(stage / path, text)
        data = text.encode()
        files[path] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = _manifest(layouts, parameters, files)
    (root / MANIFEST).unlink(missing_ok=True)
    for name in (*CORPORA, LICENCE):
        _remove(root / name)
        (stage / name).rename(root / name)
    stage.rmdir()
    write_json(root / MANIFEST, manifest)
    return manifest


def adopt(root: str | Path, sizes: EmbeddedSizes, code: str) -> dict[str, Any]:
    """Adopt corpora that came from elsewhere; returns the manifest.

    The caller has compared them with their pin: nothing is rendered again.
    """
    root = Path(root)
    write_text(root / LICENCE, NOTICE)
    paths = [root / LICENCE, *(p for name in CORPORA for p in (root / name).rglob("*"))]
    files = {
        path.relative_to(root).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": digest_file(path),
        }
        for path in paths
        if path.is_file()
    }
    manifest = _manifest(_plan(sizes)[1], _parameters(sizes, code), files)
    write_text(root / OWNER, f"{_BUILDER}\n")
    write_json(root / MANIFEST, manifest)
    return manifest


def is_ours(root: str | Path) -> bool:
    """Whether the builder wrote or adopted what is in `root`."""
    return owner_of(Path(root)) == _BUILDER


def _plan(sizes: EmbeddedSizes) -> tuple[Bank, tuple[Layout, ...]]:
    bank = Bank(sizes.sources, sizes.variation)
    pools = share_out(bank, sizes.esc_classes)
    return bank, (
        write_audioset.plan(sizes, pools),
        write_esc50.plan(sizes, pools),
        write_speechcommands.plan(sizes, bank),
        write_desed.plan(sizes, pools),
    )


def _manifest(
    layouts: Sequence[Layout],
    parameters: dict[str, Any],
    files: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    return {
        "parameters": parameters,
        "digest": data_digest(files),
        "total_bytes": sum(entry["bytes"] for entry in files.values()),
        "groups": {layout.name: _groups(layout.clips) for layout in layouts},
        "files": dict(sorted(files.items())),
    }


def data_digest(files: dict[str, dict[str, Any]]) -> str:
    """sha256 over (path, size, sha256) of all files, by path."""
    return digest_of([[p, f["bytes"], f["sha256"]] for p, f in sorted(files.items())])


def _parameters(sizes: EmbeddedSizes, code: str) -> dict[str, Any]:
    """Everything that the bytes depend on."""
    return {
        "sizes": sizes.model_dump(mode="json"),
        "code": code,
        "versions": {name: version(name) for name in ("espeakng-loader", "numpy", "scipy")},
    }


def _intact(root: Path, parameters: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest, if it has these parameters and every file matches it."""
    if not (root / MANIFEST).exists():
        return None
    try:
        manifest = read_json(root / MANIFEST)
        if manifest["parameters"] != parameters:
            return None
        whole = all(
            digest_file(root / path) == entry["sha256"] for path, entry in manifest["files"].items()
        )
    except (UserError, OSError, KeyError, TypeError, AttributeError):
        return None
    return manifest if whole else None


def _render(
    stage: Path,
    bank: Bank,
    specs: Sequence[Spec],
    workers: int,
    progress: Progress | None,
) -> Iterator[Written]:
    batches = [specs[start : start + BATCH] for start in range(0, len(specs), BATCH)]
    work = partial(_render_batch, stage, bank)
    done = 0
    for batch, written in zip(batches, ordered_map(work, batches, workers, work), strict=True):
        yield from written
        done += len(batch)
        if progress:
            progress(done, len(specs))


def _render_batch(stage: Path, bank: Bank, specs: Sequence[Spec]) -> list[Written]:
    if multiprocessing.parent_process() is not None:
        keep_freed_memory()
    return [_write(stage, clip) for spec in specs for clip in spec.make(bank)]


def _write(stage: Path, clip: Clip) -> Written:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(clip.rate)
        file.writeframes(clip.samples.astype("<i2").tobytes())
    data = buffer.getvalue()
    path = stage / clip.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Written(clip.path, len(data), hashlib.sha256(data).hexdigest(), clip.events)


@cache
def _groups(clips: Sequence[Planned]) -> dict[str, dict[str, list[str]]]:
    """Class -> split -> groups in use."""
    used: dict[str, dict[str, set[str]]] = {}
    for planned in clips:
        for name, group in planned.spec.sources():
            used.setdefault(name, {}).setdefault(planned.split, set()).add(group)
    return {
        name: {split: sorted(groups) for split, groups in sorted(splits.items())}
        for name, splits in sorted(used.items())
    }


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
