"""Third-party checkpoints: read without running their code, loaded without silent gaps.

A PyTorch checkpoint is a pickle, and a pickle can run any program when it is read. Files are read
with `weights_only=True`, which builds tensors and plain containers and nothing else, plus NumPy
arrays, which the PANNs files hold.
"""

from __future__ import annotations

import _codecs
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names file, keys and remedy."""


def read_checkpoint(path: str | Path) -> Any:
    """Read a PyTorch file on the CPU without executing anything in it.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: not a PyTorch file, or one that asks for objects beyond tensors, NumPy
            arrays and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        _check_archive(path)
        with torch.serialization.safe_globals(_numpy_globals()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a reader of arbitrary bytes fails in arbitrary ways
        refused = re.search(r"GLOBAL \S+|<class '[\w.]+'>", str(error))
        if refused:
            raise CheckpointError(
                f"{path}: refused, because it asks for more than tensors, NumPy arrays and plain "
                f"containers ({refused[0]}); if you trust its source, save its state dict alone "
                "with torch.save and use that file"
            ) from error
        raise CheckpointError(
            f"{path}: not a readable PyTorch checkpoint (cut short, damaged, or another "
            "kind of file); fetch it again"
        ) from error


def _check_archive(path: Path) -> None:
    """Check a zip archive's checksums, which torch writes but does not verify, and its size: torch
    never compresses, so an archive that unpacks to more than its file was not written by it.

    Raises:
        BadZipFile: a byte of it has changed, or it would grow in memory.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise zipfile.BadZipFile("compressed entries")
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"checksum of {damaged}")


def _numpy_globals() -> list[Any]:
    """What pickled NumPy arrays and scalars refer to, by the module paths of NumPy 1 and 2."""
    reconstruct = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    dtypes = {type(np.dtype(code)) for code in "?bBhHiIlLqQefdgSU"}
    return [
        np.ndarray,
        np.dtype,
        reconstruct,
        scalar,
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        (scalar, "numpy.core.multiarray.scalar"),
        _codecs.encode,  # how Python 3 writes an array's bytes into an old pickle protocol
        *dtypes,
    ]


def read_state_dict(
    path: str | Path, *, prefixes: Iterable[str] = ("module.",)
) -> dict[str, Tensor]:
    """The state dict inside a checkpoint file, with wrapper keys and name prefixes removed.

    Unwraps {"state_dict": ...} (Lightning) and {"model": ...} (PANNs, Swin), turns NumPy arrays
    into tensors, and strips each of `prefixes`, in order, where every key carries it.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is unreadable (see `read_checkpoint`), or holds no state dict.
    """
    return state_dict_of(read_checkpoint(path), path, prefixes=prefixes)


def state_dict_of(
    content: Any, path: str | Path, *, prefixes: Iterable[str] = ("module.",)
) -> dict[str, Tensor]:
    """`read_state_dict` for content that has been read already."""
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path}: holds no state dict but {type(content).__name__}")
    state = {}
    for key, value in content.items():
        if isinstance(value, np.ndarray | np.generic):
            value = torch.from_numpy(np.array(value))
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: state dict entry {key!r} is a {type(value).__name__}, not an array"
            )
        state[str(key)] = value
    for prefix in prefixes:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


@dataclass(frozen=True)
class KeyReport:
    """What became of the entries of a checkpoint.

    Attributes:
        loaded: entries copied into the model.
        missing: entries of the model that the file lacks.
        unexpected: entries of the file that the model lacks.
        misshaped: (name, shape in the file, shape in the model).
        ignored: entries of the file left out on purpose.
        fresh: entries of the model that keep their initial values on purpose.
    """

    loaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    ignored: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Every entry of file and model is accounted for."""
        return not (self.missing or self.unexpected or self.misshaped)

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} entries loaded"]
        for title in ("missing", "unexpected", "ignored", "fresh"):
            names = getattr(self, title)
            if names:
                lines.append(f"{len(names)} {title}: {', '.join(names)}")
        for name, found, wanted in self.misshaped:
            lines.append(f"misshaped: {name} is {found} in the file, {wanted} in the model")
        return "\n".join(lines)


def load_checked(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    ignore: Iterable[str] = (),
    fresh: Iterable[str] = (),
    strict: bool = True,
    source: str | Path = "checkpoint",
) -> KeyReport:
    """Copy `state` into `module` and account for every entry of both.

    Args:
        ignore: patterns (`head.*`) of file entries to leave out.
        fresh: patterns of model entries that keep their initial values; a file's entries of these
            names are left out too.
        strict: refuse a state dict with missing, unexpected or misshaped entries, leaving the
            module as it was. Otherwise what fits is loaded and the rest reported.
        source: the file, for messages.

    Raises:
        CheckpointError: strict, and not every entry fits (the message names each), or an entry
            holds values that are not finite.
    """
    ignore, fresh = tuple(ignore), tuple(fresh)
    own = module.state_dict()
    kept = {name for name in own if _matches(name, fresh)}
    ignored = {name for name in state if name in kept or _matches(name, ignore)}
    offered = {name: value for name, value in state.items() if name not in ignored}
    misshaped = {
        name for name, value in offered.items() if name in own and value.shape != own[name].shape
    }
    loaded = [name for name in own if name in offered and name not in misshaped]
    report = KeyReport(
        loaded=tuple(loaded),
        missing=tuple(name for name in own if name not in offered and name not in kept),
        unexpected=tuple(name for name in offered if name not in own),
        misshaped=tuple(
            (name, tuple(offered[name].shape), tuple(own[name].shape))
            for name in own
            if name in misshaped
        ),
        ignored=tuple(name for name in state if name in ignored),
        fresh=tuple(name for name in own if name in kept),
    )
    if strict and not report.complete:
        raise CheckpointError(f"{source}: does not fit the model:\n{report}")
    spoiled = next((name for name in loaded if not offered[name].isfinite().all()), None)
    if spoiled is not None:
        raise CheckpointError(
            f"{source}: {spoiled} holds values that are not finite (NaN or Inf): its training "
            "diverged, or the file is damaged; train again, or fetch it again"
        )
    module.load_state_dict({name: offered[name] for name in loaded}, strict=False)
    return report


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
