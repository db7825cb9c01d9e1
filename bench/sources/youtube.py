"""Clips that only YouTube has, one after the other, with yt-dlp: slowly, and no deleted video
twice.

yt-dlp is called as the program that the user installed: YouTube changes faster than a pin, so the
newest release is the one that works.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.files import UserError
from bench.process.meter import Meter
from bench.sources.clips import Absent, put

PAUSE_S = 2.0  # between two videos
LIMIT_S = 300  # for one clip
GIVE_UP_AFTER = 20  # failures in a row, whatever each of them says
# What yt-dlp says about a video that will not come back. All else may be temporary, or due to this
# place or this yt-dlp: "not available" (in this country, on this app, in this format), "try again
# later", an age or a membership to be confirmed.
GONE = re.compile(
    r"video unavailable\.?$|private video|video is private|video has been removed|"
    r"video is no longer available|account associated with this video has been terminated",
    re.IGNORECASE,
)
# What it says about a video that is blocked for this place or account, perhaps temporarily.
KEPT = re.compile(
    r"in your country|confirm your age|join this channel|members-only|video is not available\.?$",
    re.IGNORECASE,
)
REFUSED = re.compile(r"HTTP Error 429|too many requests|not a bot|rate.?limit", re.IGNORECASE)


def take(
    absent: Iterable[Absent],
    folder: Path,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, int]:
    """Write the absent clips that YouTube still has; returns how many came, are gone, or failed.

    FOLDER/.fetched/youtube.jsonl notes every answer: videos that are gone are not requested again;
    other failures are retried by the next call, after the clips that were never requested. A video
    that is blocked a second time says nothing about YouTube, and does not count as a failure in a
    row.

    Raises:
        UserError: yt-dlp or ffmpeg is missing, or YouTube refuses to answer or fails
            GIVE_UP_AFTER times in a row (call again later).
    """
    for tool, remedy in (("yt-dlp", "pip install -U yt-dlp"), ("ffmpeg", "install it")):
        if shutil.which(tool) is None:
            raise UserError(f"{tool} is not here, and YouTube clips need it ({remedy})")
    journal = folder / ".fetched" / "youtube.jsonl"
    asked = {line["id"]: line["reason"] for line in _lines(journal)}
    gone = {video for video, reason in asked.items() if GONE.search(reason)}
    wanted = [clip for clip in absent if clip.youtube_id not in gone]
    wanted.sort(key=lambda clip: clip.youtube_id in asked)
    counts = {"came": 0, "gone": len(gone), "failed": 0}
    in_a_row = 0
    journal.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(journal, "a", encoding="utf-8") as notes,
        Meter("clips of YouTube", len(wanted), "clips") as meter,
    ):
        for number, clip in enumerate(wanted):
            if number:
                pause(PAUSE_S)
            outcome, reason = _one(clip, folder)
            note = {"id": clip.youtube_id, "outcome": outcome, "reason": reason}
            notes.write(json.dumps(note) + "\n")
            notes.flush()
            counts[outcome] += 1
            meter.add(1)
            if outcome != "failed":
                in_a_row = 0
            elif not (asked.get(clip.youtube_id) == reason and KEPT.search(reason)):
                in_a_row += 1
            if in_a_row == GIVE_UP_AFTER or REFUSED.search(reason):
                raise UserError(
                    f"YouTube does not answer as it should ({reason}); {counts['came']} clips "
                    "came: wait some hours, then rerun the command to resume"
                )
    return counts


def _one(clip: Absent, folder: Path) -> tuple[str, str]:
    """(came, gone or failed; the reason) of one clip."""
    suffix = Path(clip.path).suffix or ".flac"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".youtube-") as place:
        command = [
            "yt-dlp", "--quiet", "--no-warnings", "--no-progress", "--no-playlist", "--no-mtime",
            "--format", "bestaudio/best", "--extract-audio", "--audio-format", suffix[1:],
            "--download-sections", f"*{clip.start_s}-{clip.end_s}", "--force-keyframes-at-cuts",
            "--retries", "3", "--sleep-requests", "1", "--limit-rate", "4M",
            "--output", f"{place}/clip.%(ext)s",
            f"https://www.youtube.com/watch?v={clip.youtube_id}",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=LIMIT_S
            )
        except subprocess.TimeoutExpired:
            return "failed", f"no answer within {LIMIT_S} s"
        path = Path(place, f"clip{suffix}")
        if done.returncode == 0 and path.is_file() and path.stat().st_size:
            put(folder / Path(clip.path).with_suffix(suffix), path.read_bytes())
            return "came", ""
    said = [line for line in done.stderr.splitlines() if line.strip()]
    reason = said[-1].removeprefix("ERROR: ") if said else f"exit code {done.returncode}, no file"
    return ("gone" if GONE.search(reason) else "failed"), reason


def _lines(journal: Path) -> list[dict[str, Any]]:
    """The whole lines of the journal; the last may have been cut off."""
    if not journal.exists():
        return []
    lines = []
    for line in journal.read_text(encoding="utf-8").split("\n"):
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines
