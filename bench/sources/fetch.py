"""Download files that arrive whole and verified, or not at all.

A download grows in `<name>.part` beside its destination. Interrupted, it continues from there by
an HTTP range request, in this process or a later one. Size and sha256 are checked before the
rename that makes the file visible, so whoever sees the file may use it. A source that fails hands
over to the next mirror; when none is left, the error names every source and how it failed. A source
may also be a path on this machine.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.files import UserError, digest_file
from bench.sources.part_file import Busy, PartFile, check_space, make_folder, open_part, part_path

STALLED_BELOW = 1 << 16  # a try that gained fewer bytes than this counts as a failed one
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_PAUSE_S = 60.0


class FetchError(UserError):
    """No source gave the file; the message says how each of them failed."""


class _MirrorFailed(Exception):
    """This source will not give the file, however often it is asked."""


class _WrongBytes(_MirrorFailed):
    """The file is complete and is not the published one."""


class _TryAgain(Exception):
    """This source may give the file at a later request."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Source:
    """Where a file comes from and what it must be: mirrors in order of preference.

    `size` is in bytes, `sha256` and `md5` in lower-case hex; None where nobody published it.
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
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"{self.urls[0]}: {self.sha256!r} is not a sha256 in lower-case hex")
        if self.md5 is not None and not re.fullmatch(r"[0-9a-f]{32}", self.md5):
            raise ValueError(f"{self.urls[0]}: {self.md5!r} is not an MD5 in lower-case hex")

    @property
    def has_checksum(self) -> bool:
        """Whether the right bytes can be told from wrong ones."""
        return self.sha256 is not None or self.md5 is not None

    def contradiction(self, path: Path, sha256: str) -> str | None:
        """How a file of this sha256 is not what this source promises; None where it is."""
        if self.sha256 is not None and sha256 != self.sha256:
            return f"sha256 {sha256[:12]}… where {self.sha256[:12]}… is due"
        if self.md5 is not None and (found := digest_file(path, "md5")) != self.md5:
            return f"MD5 {found[:12]}… where {self.md5[:12]}… is due"
        return None


@dataclass(frozen=True)
class Fetched:
    """A verified file. `received` counts the bytes that this call took from the network."""

    path: Path
    sha256: str
    size: int
    received: int


def fetch(
    source: Source,
    path: str | Path,
    *,
    client: httpx.Client | None = None,
    tries: int = 5,
    pause: Callable[[float], None] = time.sleep,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> Fetched:
    """Bring the file of `source` to `path`, or say why no mirror gives it.

    A file that is there already and matches `source` is not asked for again. Each mirror gets
    `tries` requests in a row without progress, with exponential back-off between them.

    Args:
        client: HTTP client to use; None makes one that honours the proxy variables.
        pause: called with the seconds to wait before the next try.
        on_bytes: called with the size of every piece that arrives.

    Raises:
        FetchError: every mirror failed, or another process is fetching the same file.
        UserError: too little free space, or the folder cannot be written.
    """
    path = Path(path)
    present = _already_there(source, path)
    if present is not None:
        return present
    if client is None:
        with new_client() as client:
            return fetch(source, path, client=client, tries=tries, pause=pause, on_bytes=on_bytes)
    make_folder(path.parent)
    try:
        with open_part(path) as part:
            present = _already_there(source, path)
            if present is not None:  # another process finished it before this one opened the part
                part.discard()
                return present
            return _from_any(_Download(client, source, part, tries, pause, on_bytes))
    except Busy as error:
        raise FetchError(str(error)) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def fetch_all(
    wanted: Mapping[Path, Source],
    *,
    client: httpx.Client | None = None,
    workers: int = 4,
    on_bytes: Callable[[int], None] = lambda count: None,
    on_file: Callable[[Path, Fetched | FetchError], None] = lambda path, outcome: None,
) -> dict[Path, Fetched | FetchError]:
    """Fetch several files side by side; a file that fails does not stop the others.

    Free space is checked for all of them before the first request.

    Args:
        wanted: destination -> source.
        on_file: called in a worker thread as each file ends, with its outcome.
    """
    if client is None:
        with new_client() as client:
            return fetch_all(
                wanted, client=client, workers=workers, on_bytes=on_bytes, on_file=on_file
            )
    _check_space_for_all(wanted)
    stop = threading.Event()

    def count(size: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        on_bytes(size)

    def one(path: Path) -> Fetched | FetchError:
        outcome: Fetched | FetchError
        try:
            outcome = fetch(wanted[path], path, client=client, on_bytes=count)
        except FetchError as error:
            outcome = error
        on_file(path, outcome)
        return outcome

    with ThreadPoolExecutor(workers) as pool:
        try:
            return dict(zip(wanted, pool.map(one, wanted), strict=True))
        except BaseException:
            stop.set()  # the workers end at their next piece instead of finishing gigabytes
            raise


def new_client(proxy: str | None = None) -> httpx.Client:
    """A client with patient limits; proxies and certificates follow the environment."""
    return httpx.Client(
        follow_redirects=True,
        proxy=proxy,
        timeout=httpx.Timeout(30.0, connect=15.0),
        headers={"User-Agent": "htsat-benchmark"},
    )


def _from_any(download: _Download) -> Fetched:
    path, failures = download.part.path, []
    for url in download.source.urls:
        try:
            digest = download.from_mirror(url)
        except _MirrorFailed as failure:
            failures.append(f"{_public(url)}: {failure}")
        else:
            return Fetched(path, digest, download.part.finish(), download.received)
    raise FetchError(f"{path.name}: no source gave it. " + "; ".join(failures))


@dataclass
class _Download:
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
                raise _MirrorFailed(str(error)) from error
            except (httpx.TransportError, _TryAgain) as error:
                failed = 0 if self.part.held() >= before + STALLED_BELOW else failed + 1
                if failed >= self.tries:
                    reason = str(error) or type(error).__name__
                    raise _MirrorFailed(f"{self.tries} tries, the last: {reason}") from error
                backoff = min(LONGEST_PAUSE_S, 0.5 * 2**failed) * random.uniform(0.5, 1.0)
                self.pause(max(backoff, getattr(error, "wait_s", 0.0)))
            except _WrongBytes:
                if not inherited:
                    raise
                inherited = False  # the bytes found at the start may be to blame: once anew

    def _copy(self, path: Path) -> None:
        """Take the file from a folder of this machine."""
        try:
            check_space(self.part.path.parent, path.stat().st_size)
            self.part.keep(0)
            with open(path, "rb") as file:
                while piece := file.read(1 << 20):
                    self.part.write(piece)
        except FileNotFoundError as error:
            raise _MirrorFailed("no such file") from error

    def _request(self, url: str) -> None:
        """One request; on return the part file is complete as far as its size tells."""
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
            if size is not None and total is not None and total != size:
                raise _MirrorFailed(f"declares {total:,} bytes where {size:,} are published")
            total = size if size is not None else total
            check_space(self.part.path.parent, (total or 0) - start)
            self.part.keep(start)
            if (
                not self.source.has_checksum
            ):  # then only an unchanged version may be continued later
                self.part.remember_version(url, _version(response))
            for piece in response.iter_raw():
                held = self.part.write(piece)
                self.received += len(piece)
                self.on_bytes(len(piece))
                if total is not None and held > total:
                    raise _MirrorFailed(f"sends more than the {total:,} bytes it should")
        if total is not None and self.part.held() < total:
            raise _TryAgain(f"ended after {self.part.held():,} of {total:,} bytes")

    def _place(self, response: httpx.Response, offset: int) -> tuple[int | None, int | None]:
        """Where the body begins and how long the file is; (None, size) if nothing is missing."""
        status = response.status_code
        if status == 200:  # asked for a range or not, this is the whole file
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
        raise _MirrorFailed(reason)

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


def _already_there(source: Source, path: Path) -> Fetched | None:
    """The file at `path` if it is what `source` promises.

    Without a published checksum or size the rename alone vouches for it.
    """
    if not path.is_file():
        return None
    size = path.stat().st_size
    if source.size is not None and size != source.size:
        return None
    digest = digest_file(path)
    if source.contradiction(path, digest) is not None:
        return None
    return Fetched(path, digest, size, received=0)


def _check_space_for_all(wanted: Mapping[Path, Source]) -> None:
    missing: dict[Path, int] = {}
    for path, source in wanted.items():
        if path.exists() or source.size is None:
            continue
        make_folder(path.parent)
        part = part_path(path)
        held = part.stat().st_size if part.exists() else 0
        missing[path.parent] = missing.get(path.parent, 0) + max(0, source.size - held)
    for folder, size in missing.items():
        check_space(folder, size)


def _version(response: httpx.Response) -> str:
    """A validator that If-Range may carry: a strong entity tag, else the time of change."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _whole_number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text) else None


def is_local(url: str) -> bool:
    """Whether an address is a path on this machine."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url) is None


def _public(url: str) -> str:
    """The address as it may be shown: without credentials and signed query."""
    if is_local(url):
        return url
    try:
        return str(httpx.URL(url).copy_with(userinfo=b"", query=None))
    except httpx.InvalidURL:
        return "an address that is not valid"
