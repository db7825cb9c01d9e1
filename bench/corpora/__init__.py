"""Data sets: one loader per real on-disk layout, one table for all of them."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import ConfigDict, create_model

from bench import registry
from bench.corpora.base import (
    SPLITS,
    Corpus,
    Coverage,
    check,
    shared_recordings,
)
from bench.corpora.saving import Progress, open_corpus, save
from bench.strict import Strict, parse

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
        name: its key in the experiment, used in messages; the loader's name if left out.
        synthetic: whether the audio was made by the embedded builder.
        options: the loader's.

    Raises:
        UserError: an unknown loader or option, a value of the wrong type for the loader's argument,
            or absent or wrong files.
    """
    name = name or loader
    registry.check(loader, registry.LOADERS, f"datasets.{name}.loader")
    read: Callable[..., Corpus] = registry.find(loader, registry.LOADERS)
    checked = parse(_options_of(read), options, f"datasets.{name}.options")
    typed = {key: getattr(checked, key) for key in checked.model_fields_set}
    return read(Path(root), name=name, synthetic=synthetic, **typed)


class _Options(Strict):
    model_config = ConfigDict(arbitrary_types_allowed=True)


def _options_of(read: Callable[..., Corpus]) -> type[Strict]:
    """A loader's options with their types: its keyword arguments, except those that every loader
    gets."""
    try:
        hints = get_type_hints(read, include_extras=True)
    except NameError:  # a plug-in whose types are known only to a type checker
        hints = {}
    fields: dict[str, Any] = {
        key: (hints.get(key, Any), ... if argument.default is argument.empty else argument.default)
        for key, argument in signature(read).parameters.items()
        if key not in ("root", "name", "synthetic")
    }
    return create_model("Options", __base__=_Options, **fields)


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
