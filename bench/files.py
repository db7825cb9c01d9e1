"""Files that are either complete or absent, and digests of their content."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SEAL = "sealed_sha256"
UMASK = os.umask(0o022)  # read once, at import: it cannot be read without being set
os.umask(UMASK)
OWNER = ".owner"
"""In a folder that this project made: whose it is, so that nobody else writes there."""


class UserError(Exception):
    """A mistake that the user can fix: the message names the file, the value and the remedy."""


@contextmanager
def damage_told(place: str | Path, remedy: str) -> Iterator[None]:
    """Turn whatever a reader raises about a damaged or missing file into one clear error.

    Raises:
        UserError: the block raised anything but the disk's own errors, which pass through: a reader
            of arbitrary bytes fails in arbitrary ways.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT, errno.EINVAL):
            raise
        raise UserError(f"{place}: missing or damaged ({error}); {remedy}") from error


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it into place when the block succeeds.

    The temporary file is flushed to disk before the rename and removed when the block raises,
    so a reader sees the old file or the new one, never a part. The suffix is kept, because
    NumPy and soundfile choose the format by it.

    Raises:
        UserError: the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}.", suffix=f".tmp{path.suffix}"
        )
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); "
            "check the folder's permissions and free space"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.chmod(temporary, 0o666 & ~UMASK)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def refuse_output(path: Path, option: str, inputs: Iterable[Path]) -> None:
    """Refuse a file that a user names for a result if writing it would destroy something.

    Args:
        option: what names it, such as --csv.
        inputs: files that are read, or written for another option.

    Raises:
        UserError: it is one of `inputs`, a folder, or a pipe or device.
    """
    for other in inputs:
        known = path.exists() and other.exists()
        if path.resolve() == other.resolve() or (known and path.samefile(other)):
            raise UserError(f"{option} {path}: would replace {other}; give another name")
    if path.exists() and not path.is_file():
        raise UserError(f"{option} {path}: is there and is no file; give the name of a file")


def owner_of(folder: Path) -> str | None:
    """The owner that `claim` marked a folder with; None without a mark."""
    mark = folder / OWNER
    return mark.read_text(encoding="utf-8").strip() if mark.is_file() else None


def refuse_foreign(folder: Path, owner: str, remedy: str) -> None:
    """Refuse a folder that holds files and was not made for `owner`.

    Raises:
        UserError: naming the folder, whose it is, and `remedy`.
    """
    if folder.is_dir() and any(folder.iterdir()):
        found = owner_of(folder)
        if found != owner:
            whose = f"belongs to {found}" if found else f"holds files that {owner} did not make"
            raise UserError(f"{folder}: {whose}; {remedy}")


def claim(folder: Path, owner: str, remedy: str) -> None:
    """Claim a missing or empty folder for `owner` by a mark that keeps others from writing there.

    Raises:
        UserError: as `refuse_foreign`, or it cannot be used as a folder.
    """
    try:
        refuse_foreign(folder, owner, remedy)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be used as a folder ({error.strerror})") from error
    if not (folder / OWNER).exists():
        write_text(folder / OWNER, f"{owner}\n")


def open_own(path: Path) -> int:
    """A descriptor of a small file of this project, created if missing, for reading and writing.

    Raises:
        OSError: it cannot be opened, or is a link or not a plain file: someone may have put it
            there to have another file overwritten.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666 & ~UMASK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return descriptor


def regular_files(
    root: Path, on_dangling: Callable[[str], object] = lambda path: None
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(path relative to `root`, entry) of every file below it; hidden names are left out.

    Links are followed, a folder is entered once, by its own name rather than by a link's, and
    pipes, sockets and devices do not count, nor does a file system's own `lost+found`.

    Args:
        on_dangling: called with the path of each link to a file that is not there.

    Raises:
        UserError: a folder may not be read.
    """
    seen: set[tuple[int, int]] = set()
    waiting, linked = [""], list[str]()
    while waiting or linked:
        linked.sort(reverse=True)
        inner = (waiting or linked).pop()
        try:
            here = os.stat(root / inner)
            if (here.st_dev, here.st_ino) in seen:
                continue
            seen.add((here.st_dev, here.st_ino))
            entries = list(os.scandir(root / inner))
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise UserError(
                f"{root / inner}: may not be read ({error.strerror}); make it readable, or move it "
                f"out of {root}"
            ) from error
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "lost+found":
                continue
            try:
                if entry.is_dir():
                    (linked if entry.is_symlink() else waiting).append(f"{inner}{entry.name}/")
                elif entry.is_file():
                    yield inner + entry.name, entry
                elif entry.is_symlink() and not os.path.exists(entry):
                    on_dangling(inner + entry.name)
            except OSError:  # a link in a circle, or gone meanwhile
                continue


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces; the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically; NaN is refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_json_lines(path: str | Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON object per line, atomically; NaN is refused."""
    write_text(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; run the stage that makes it first "
            "(`python -m bench plan --jobs` lists them in order)"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); delete it and run again") from error


def write_sealed(path: str | Path, values: dict[str, Any]) -> None:
    """`write_json` with the values' own digest, so that `read_sealed` sees any change."""
    write_json(path, {**values, SEAL: digest_of(values)})


def read_sealed(path: str | Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote, without the seal.

    Raises:
        UserError: the file is missing, damaged or edited.
    """
    values = read_json(path)
    seal = values.pop(SEAL, None) if isinstance(values, dict) else None
    if seal != digest_of(values):
        raise UserError(f"{path}: not what was written, its digest differs; make it again")
    return values


def digest_of(value: Any) -> str:
    """sha256 (hex) of a JSON-like value in its canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_file(path: str | Path, algorithm: str = "sha256") -> str:
    """Digest (hex) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def write_tensors(path: Path, values: dict[str, Any]) -> None:
    """Write tensors in PyTorch's format, atomically.

    Raises:
        OSError: the disk refused; torch alone would hide that behind a RuntimeError.
    """
    import torch

    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        try:
            torch.save(values, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise
