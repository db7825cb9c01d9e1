"""What a file must be and where it may come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.files import digest_file


@dataclass(frozen=True)
class Source:
    """Where a file comes from and what it must be: mirrors in order of preference.

    `size` is in bytes, `sha256` (or its beginning) and `md5` in lower-case hex; None where it is
    not published.
    """

    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("a source needs at least one URL")
        if self.size is not None and self.size < 0:
            raise ValueError(f"{self.urls[0]}: a size of {self.size} bytes is not possible")
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{8,64}", self.sha256):
            raise ValueError(f"{self.urls[0]}: {self.sha256!r} is not a sha256 in lower-case hex")
        if self.md5 is not None and not re.fullmatch(r"[0-9a-f]{32}", self.md5):
            raise ValueError(f"{self.urls[0]}: {self.md5!r} is not an MD5 in lower-case hex")

    @property
    def has_checksum(self) -> bool:
        """Whether right bytes can be distinguished from wrong ones."""
        return self.sha256 is not None or self.md5 is not None

    def contradiction(self, path: Path, sha256: str) -> str | None:
        """How a file of this sha256 differs from what this source promises; None if it does not."""
        if self.sha256 is not None and not sha256.startswith(self.sha256):
            return f"sha256 {sha256[:12]}… where {self.sha256[:12]}… is due"
        if self.md5 is not None and (found := digest_file(path, "md5")) != self.md5:
            return f"MD5 {found[:12]}… where {self.md5[:12]}… is due"
        return None

    def found_at(self, path: Path) -> Fetched | None:
        """The file at `path` if it is what this source promises.

        Without a published checksum or size, only the final name shows that it is complete.
        """
        if not path.is_file():
            return None
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return None
        digest = digest_file(path)
        if self.contradiction(path, digest) is not None:
            return None
        return Fetched(path, digest, size, received=0)


@dataclass(frozen=True)
class Fetched:
    """A verified file. `received` counts the bytes that this call took, from the network or a
    folder of this machine."""

    path: Path
    sha256: str
    size: int
    received: int


def is_local(url: str) -> bool:
    """Whether an address is a path on this machine."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url) is None


def shown(url: str) -> str:
    """The address as it may be shown: without credentials and signed query."""
    if is_local(url):
        return url
    try:
        return str(httpx.URL(url).copy_with(userinfo=b"", query=None))
    except httpx.InvalidURL:
        return "an address that is not valid"
