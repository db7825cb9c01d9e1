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
    Progress,
    check,
    open_corpus,
    save,
)
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
]


def load(name: str, root: str | Path, *, synthetic: bool = False, **options: Any) -> Corpus:
    """Read a data set from its own layout below `root`; `options` are its loader's.

    Raises:
        UserError: an unknown data set or option, or files that are absent or wrong.
    """
    registry.check(name, registry.LOADERS, "loader")
    load_dataset: Callable[..., Corpus] = registry.find(name, registry.LOADERS)
    valid = set(signature(load_dataset).parameters) - {"root", "synthetic"}
    for key in set(options) - valid:
        raise UserError(
            f"datasets.{name}.options: unknown option '{key}'; "
            f"valid: {', '.join(sorted(valid)) or 'none'}"
        )
    return load_dataset(Path(root), synthetic=synthetic, **options)


def build_corpus(
    name: str,
    root: str | Path,
    folder: str | Path,
    *,
    synthetic: bool = False,
    threads: int = 8,
    progress: Progress | None = None,
    **options: Any,
) -> Corpus:
    """`load` a data set and `save` it to `folder`; returns it with its digests.

    `progress` is called with the numbers of files hashed so far and in all.
    """
    corpus = load(name, root, synthetic=synthetic, **options)
    return save(corpus, folder, threads=threads, progress=progress)
