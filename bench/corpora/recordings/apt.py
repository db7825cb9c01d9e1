"""Ask Debian's package tools where packages lie, and take files out of them without installing."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.request import getproxies

import httpx

from bench.files import UserError
from bench.sources.fetch import new_client
from bench.sources.source import Source

TOOLS = ("apt-get", "dpkg-deb")
LARGEST_FILE = 256 << 20


class DebianPackage(NamedTuple):
    """A package as this machine's package lists name it."""

    file: str
    source: Source


def require_tools() -> None:
    """Say what is needed where the package tools are missing.

    Raises:
        UserError: this is no Debian or Ubuntu.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise UserError(
            "the real recordings come out of Debian packages, which are read with apt-get and "
            f"dpkg-deb (here missing: {', '.join(missing)}). Run this on Debian or Ubuntu, or copy "
            "the cache folder from such a machine; config/default.yaml needs neither"
        )


def locate(package: str) -> DebianPackage | None:
    """What `apt-get download --print-uris` says about a package; None where it knows none."""
    answer = subprocess.run(
        ["apt-get", "download", "--print-uris", package],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LC_ALL": "C"},
    )
    return parse_uris(answer.stdout) if answer.returncode == 0 else None


def parse_uris(text: str) -> DebianPackage | None:
    """The package in a line like `'http://…/a_1.deb' a_1.deb 1234 SHA256:12ab…`, if any."""
    found = re.search(r"^'([^']+)' (\S+) (\d+)(?: (\S+))?$", text, re.MULTILINE)
    if not found:
        return None
    uri, file, size, checksum = found.groups()
    kind, _, digest = (checksum or "").partition(":")
    sha256 = digest.lower() if kind == "SHA256" else None
    return DebianPackage(Path(file).name, Source(_addresses(uri), int(size), sha256))


def client() -> httpx.Client:
    """An HTTP client that goes the way apt goes: the proxy of its settings, if it has one."""
    if getproxies():
        return new_client()
    answer = subprocess.run(
        ["apt-config", "shell", "PROXY", "Acquire::http::Proxy"],
        capture_output=True,
        text=True,
        check=False,
    )
    words = shlex.split(answer.stdout)
    proxy = words[0].partition("=")[2] if words else ""
    return new_client(proxy=proxy if proxy not in ("", "DIRECT") else None)


def _addresses(uri: str) -> tuple[str, ...]:
    """The mirrors of a `mirror+file:/LIST/pool/…` address (GitHub's Ubuntu images); else itself."""
    path = uri.removeprefix("mirror+file:")
    if path == uri:
        return (uri,)
    for folder in Path(path).parents:
        if folder.is_file():
            lines = folder.read_text(encoding="utf-8").split("\n")
            bases = [line.split()[0].rstrip("/") for line in lines if line[:4] == "http"]
            rest = Path(path).relative_to(folder)
            return tuple(f"{base}/{rest}" for base in bases) or (uri,)
    return (uri,)


def read_package(deb: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of the wanted regular files of a package; paths without leading slash.

    `dpkg-deb` decompresses whatever the package uses; the files are picked by their exact names
    and never unpacked to the disk, so names and links in the archive can do no harm.

    Raises:
        UserError: the package cannot be read.
    """
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for entry in archive:
                    path = entry.name.removeprefix("./")
                    if path not in wanted or not entry.isreg():
                        continue
                    if entry.size > LARGEST_FILE:
                        raise UserError(f"{deb.name}: {path} declares {entry.size:,} bytes")
                    file = archive.extractfile(entry)
                    assert file is not None
                    yield path, file.read()
            while process.stdout.read(1 << 20):
                pass  # the padding after the archive, so that dpkg-deb ends by itself
            if process.wait():
                raise tarfile.ReadError
        except (tarfile.TarError, EOFError) as error:
            process.stdout.close()
            said = process.stderr.read().decode(errors="replace").strip()
            raise UserError(f"{deb.name}: cannot be read ({said or error})") from error
        finally:
            process.stdout.close()  # a reader that stops early ends dpkg-deb as well
