"""One file on its way into its part file, over however many requests and mirrors."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.sources.part_file import PartFile, check_space, part_path
from bench.sources.source import Source, is_local

STALLED_BELOW = 1 << 16  # a try that gained fewer bytes than this counts as a failed one,
PATIENCE_S = 60.0  # and one that gains fewer in this many seconds is given up
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_PAUSE_S = 60.0


class MirrorFailed(Exception):
    """This source will not provide the file, however often it is requested."""


class _WrongBytes(MirrorFailed):
    """The file is complete but is not the published one."""


class _TryAgain(Exception):
    """This source may provide the file on a later request."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass
class Transfer:
    """One file on its way into its part file, over however many requests and mirrors."""

    client: httpx.Client
    source: Source
    part: PartFile
    tries: int
    pause: Callable[[float], None]
    on_bytes: Callable[[int], None]
    received: int = 0

    def from_mirror(self, url: str) -> str:
        """Complete the part file from one mirror; its verified sha256."""
        inherited = self.part.held() > 0
        failed = 0
        while True:
            before = self.part.held()
            try:
                if is_local(url):
                    self._copy(Path(url).expanduser())
                else:
                    self._request(url)
                return self._verified()
            except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
                raise MirrorFailed(str(error)) from error
            except (httpx.TransportError, _TryAgain) as error:
                failed = 0 if self.part.held() >= before + STALLED_BELOW else failed + 1
                if failed >= self.tries:
                    reason = str(error) or type(error).__name__
                    raise MirrorFailed(f"{self.tries} tries, the last: {reason}") from error
                backoff = min(LONGEST_PAUSE_S, 0.5 * 2**failed) * random.uniform(0.5, 1.0)
                self.pause(max(backoff, getattr(error, "wait_s", 0.0)))
            except _WrongBytes:
                if not inherited:
                    raise
                inherited = False  # the bytes found at the start may be to blame: start over once

    def _copy(self, path: Path) -> None:
        """Take the file from a folder of this machine."""
        try:
            check_space(self.part.path.parent, path.stat().st_size)
            self.part.keep(0)
            with open(path, "rb") as file:
                while piece := file.read(1 << 20):
                    self.part.write(piece)
                    self.received += len(piece)
                    self.on_bytes(len(piece))
        except FileNotFoundError as error:
            raise MirrorFailed("no such file") from error

    def _request(self, url: str) -> None:
        """One request; on return the part file is complete, judged by its size."""
        size = self.source.size
        offset = self._resume_offset(url)
        if size is not None and offset == size:
            return
        headers = {"Accept-Encoding": "identity"}  # ranges count the bytes that are stored
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if not self.source.has_checksum:
                headers["If-Range"] = self.part.version(url)
        with self.client.stream("GET", url, headers=headers) as response:
            start, total = self._place(response, offset)
            if start is None:
                return
            encoded = response.headers.get("Content-Encoding", "identity")
            if encoded.lower() != "identity":
                raise MirrorFailed(f"sends it encoded ({encoded}), which it was asked not to")
            if size is not None and total is not None and total != size:
                raise MirrorFailed(f"declares {total:,} bytes where {size:,} are published")
            total = size if size is not None else total
            check_space(self.part.path.parent, (total or 0) - start)
            self.part.keep(start)
            if not self.source.has_checksum:  # then only an unchanged version may be resumed
                self.part.remember_version(url, _version(response))
            begun, gained = time.monotonic(), 0
            for piece in response.iter_raw():
                held = self.part.write(piece)
                gained += len(piece)
                if (spent := time.monotonic() - begun) > PATIENCE_S:
                    if gained < STALLED_BELOW:
                        raise _TryAgain(f"{gained:,} bytes in {spent:.0f} s")
                    begun, gained = time.monotonic(), 0
                self.received += len(piece)
                self.on_bytes(len(piece))
                if total is not None and held > total:
                    raise MirrorFailed(f"sends more than the {total:,} bytes it should")
        if total is not None and self.part.held() < total:
            raise _TryAgain(f"ended after {self.part.held():,} of {total:,} bytes")

    def _place(self, response: httpx.Response, offset: int) -> tuple[int | None, int | None]:
        """Where the body begins and how long the file is; (None, size) if nothing is missing."""
        status = response.status_code
        if status == 200:  # whether or not a range was requested, this is the whole file
            return 0, _whole_number(response.headers.get("Content-Length"))
        span = re.fullmatch(
            r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "")
        )
        total = _whole_number(span[2]) if span else None
        if status == 206 and span and span[1] and int(span[1]) == offset:
            return offset, total
        if status == 416 and total is not None and total == offset:
            return None, total
        if status in (206, 416):
            self.part.keep(0)
            raise _TryAgain(f"answered the range from {offset:,} wrongly ({status})")
        reason = f"{status} {response.reason_phrase}"
        if status in TRY_AGAIN:
            wait = _whole_number(response.headers.get("Retry-After")) or 0
            raise _TryAgain(reason, min(float(wait), LONGEST_PAUSE_S))
        raise MirrorFailed(reason)

    def _verified(self) -> str:
        digest = self.part.sha256()
        wrong = self.source.contradiction(part_path(self.part.path), digest)
        if wrong is None and self.source.size not in (None, self.part.held()):
            wrong = f"{self.part.held():,} bytes where {self.source.size:,} are due"
        if wrong is not None:
            self.part.keep(0)
            raise _WrongBytes(f"wrong bytes ({wrong})")
        return digest

    def _resume_offset(self, url: str) -> int:
        """Bytes of the part file that may be kept: all, none, or (without checksum) proven ones."""
        held, size = self.part.held(), self.source.size
        unproven = not self.source.has_checksum and not self.part.version(url)
        if held and (unproven or (size is not None and held > size)):
            self.part.keep(0)
            return 0
        return held


def _version(response: httpx.Response) -> str:
    """A validator for If-Range: a strong entity tag, else the time of change."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _whole_number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text) else None
