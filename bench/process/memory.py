"""How this process gets its memory from the system."""

from __future__ import annotations

import ctypes
import os
import re
from contextlib import suppress
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step instead of handing it back.

    A training step allocates the same tensors again and again; without this each comes as fresh
    pages that the kernel must clear (a fifth of a small model's step). Elsewhere than on glibc
    nothing happens.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)  # the largest that glibc takes
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed() -> None:
    """Hand freed memory back to the system, on glibc."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def start_peak() -> bool:
    """Count `peak_bytes` from now on; False where the system does not (Linux does)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak of the resident set, see proc(5)
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """Largest resident set since `start_peak`; or since the process began, where the system does
    not tell it."""
    return _resident("VmHWM")


def resident_bytes() -> int:
    """What this process holds in memory now."""
    return _resident("VmRSS")


def _resident(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def give_back_tables() -> None:
    """Let Arrow return the memory of reading and writing tables; call it before importing Arrow.

    Its own pools keep it: 20 MB more after 100,000 rows.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
