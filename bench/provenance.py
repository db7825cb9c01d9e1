"""Where a number came from: code, environment and machine, as plain JSON values."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.code_digest import ROOT
from bench.files import digest_file

PACKAGES = (
    "torch",
    "timm",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "soundfile",
    "soxr",
    "sed_eval",
    "snakemake",
    "mlflow",
)
LONGEST_DIFF = 100_000  # characters


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip("\n")


@cache
def source() -> dict[str, Any]:
    """Git commit, whether the tree differs from it, and the difference with its digest.

    All are None outside a git checkout (a release archive), which the report then says. A
    difference of more than LONGEST_DIFF characters is left out, but its digest is kept. Committed
    reports do not count: each run would change them, and nothing reads them.
    """
    difference = _git("diff", "HEAD", "--", ".", ":(exclude)reports")
    kept = difference if difference and len(difference) <= LONGEST_DIFF else None
    return {
        "git_sha": _git("rev-parse", "HEAD"),
        "dirty": None if difference is None else bool(difference),
        "diff": kept,
        "diff_sha256": hashlib.sha256(difference.encode()).hexdigest() if difference else None,
    }


@cache
def environment() -> dict[str, Any]:
    """Versions, the digest of the pins, and the hardware that equal digits depend on."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "pins_sha256": digest_file(ROOT / "requirements.txt"),
        "platform": platform.platform(),
        "cpu": _cpu_name(Path("/proc/cpuinfo")),
        "cores": os.cpu_count(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name(info: Path) -> str:
    """Model name, numbers and vector extensions: together they decide the order of float additions.

    Hypervisors give several generations one name; the numbers, where there are any, differ.
    """
    try:
        text = info.read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    fields = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in text.splitlines())
        if value
    }
    flags = set(fields.get("flags", "").split())
    vector = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    numbers = [
        f"{key.removeprefix('cpu ')} {fields[key]}"
        for key in ("cpu family", "model", "stepping")
        if key in fields
    ]
    return " ".join([fields.get("model name", platform.machine()), *numbers, *vector])
