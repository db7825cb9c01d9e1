"""Data sets: one loader per real on-disk layout, one table for all of them."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

from bench import registry
from bench.corpora.base import (
    SPLITS,
    Corpus,
    Coverage,
    check,
    shared_recordings,
)
from bench.corpora.saving import Progress, open_corpus, save
from bench.files import UserError

__all__ = [
    "SPLITS",
    "Corpus",
    "Coverage",
    "build_corpus",
    "check",
    "load",
    "open_corpus",
    "save",
    "shared_recordings",
]


def load(
    loader: str,
    root: str | Path,
    *,
    name: str | None = None,
    synthetic: bool = False,
    **options: Any,
) -> Corpus:
    """Read a data set from its own layout below `root`.

    Args:
        loader: a key of `registry.LOADERS`, or module:function.
        root: folder of the data set.
        name: its key in the experiment, by which messages call it; as the loader if left out.
        synthetic: whether the audio was made by the embedded builder.
        options: the loader's.

    Raises:
        UserError: an unknown loader or option, or files that are absent or wrong.
    """
    name = name or loader
    registry.check(loader, registry.LOADERS, f"datasets.{name}.loader")
    read: Callable[..., Corpus] = registry.find(loader, registry.LOADERS)
    valid = set(signature(read).parameters) - {"root", "name", "synthetic"}
    for key in set(options) - valid:
        raise UserError(
            f"datasets.{name}.options: unknown option '{key}'; "
            f"valid: {', '.join(sorted(valid)) or 'none'}"
        )
    return read(Path(root), name=name, synthetic=synthetic, **options)


def build_corpus(
    loader: str,
    root: str | Path,
    folder: str | Path,
    *,
    threads: int = 8,
    progress: Progress | None = None,
    **of: Any,
) -> Corpus:
    """`load` a data set (`of` are its further arguments) and `save` it to `folder`.

    `progress` is called with the numbers of files read so far and in all.
    """
    return save(load(loader, root, **of), folder, threads=threads, progress=progress)
