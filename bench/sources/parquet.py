"""Clips from a mirror of parquet shards, streamed shard by shard with the `datasets` library."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.files import UserError, digest_of, write_json
from bench.process.meter import Meter
from bench.sources.clips import Absent, put, suffix_of
from bench.sources.registry import Parquet
from bench.strict import read_as

TRIES = 5
HUB = "hf://datasets"


def take(
    mirror: Parquet,
    absent: Iterable[Absent],
    folder: Path,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Write the absent clips that the mirror has; returns how many.

    Shards are read in order. FOLDER/.fetched/parquet/ remembers which ids each of them holds, so
    that a later call reads only shards with clips that are still absent; an interrupted shard is
    read again, without the clips already written.

    Raises:
        UserError: the mirror cannot be reached or is not what the registry says.
    """
    wanted: dict[str, dict[str, Absent]] = {}
    for clip in absent:
        wanted.setdefault(clip.part, {})[clip.youtube_id] = clip
    total, came = sum(map(len, wanted.values())), 0
    with Meter(f"clips of {mirror.repository}", total, "clips") as meter:
        for part, clips in wanted.items():
            if part not in mirror.shards:
                continue
            for shard in _shards(mirror, part):
                came += _take_shard(mirror, shard, clips, folder, meter, pause)
                if not clips:
                    break
    return came


def _take_shard(
    mirror: Parquet,
    shard: str,
    clips: dict[str, Absent],
    folder: Path,
    meter: Meter,
    pause: Callable[[float], None],
) -> int:
    """Write the wanted clips that one shard has, and remove them from `clips`."""
    key = digest_of([mirror.repository, mirror.revision, shard])[:16]
    note = folder / ".fetched" / "parquet" / f"{key}.json"
    if note.exists() and (ids := _ids_noted(note)) and clips.keys().isdisjoint(ids):
        return 0
    came = 0
    for attempt in range(1, TRIES + 1):
        ids = []
        try:
            for clip_id, audio in _rows(mirror, shard):
                ids.append(clip_id)
                suffix = suffix_of(audio) if clip_id in clips else None
                if suffix is not None:  # else another clip, or not audio: it stays absent
                    put(folder / f"{clips.pop(clip_id).path}{suffix}", audio)
                    came += 1
                    meter.add(1)
            break
        except UserError:
            raise
        except Exception as error:  # whatever the hub's client, fsspec or Arrow raise
            if attempt == TRIES:
                raise UserError(f"{shard}: cannot be read after {TRIES} tries ({error})") from error
            pause(2.0**attempt)
    write_json(note, {"shard": shard, "ids": ids})
    return came


def _ids_noted(note: Path) -> list[str]:
    """The ids of a shard that was read; none if the note is damaged, so that it is read again."""
    try:
        return list(read_as(dict[str, str | list[str]], note, "")["ids"])
    except (UserError, KeyError):
        return []


def _rows(mirror: Parquet, shard: str) -> Iterator[tuple[str, bytes]]:
    """(id, bytes of the audio file) of every row; nothing is decoded."""
    from datasets import Audio, load_dataset

    rows = load_dataset(
        "parquet",
        data_files=shard,
        split="train",
        streaming=True,
        columns=[mirror.id, mirror.audio],
    )
    for name in (mirror.id, mirror.audio):
        if rows.features is not None and name not in rows.features:
            raise UserError(f"{shard}: has no column '{name}'")
    row: Mapping[str, Any]
    for row in rows.cast_column(mirror.audio, Audio(decode=False)):
        yield str(row[mirror.id]), row[mirror.audio]["bytes"] or b""


def _shards(mirror: Parquet, part: str) -> list[str]:
    """The shards of a part in order.

    Raises:
        UserError: there are none, or the hub does not answer.
    """
    pattern, local = mirror.shards[part], Path(mirror.repository).expanduser()
    if local.is_dir():
        found = [str(path) for path in sorted(local.glob(pattern))]
    else:
        from huggingface_hub import HfFileSystem

        revision = f"@{mirror.revision}" if mirror.revision else ""
        try:
            listed = HfFileSystem().glob(f"datasets/{mirror.repository}{revision}/{pattern}")
        except Exception as error:
            raise UserError(f"{HUB}/{mirror.repository}: cannot be listed ({error})") from error
        found = [f"hf://{path}" for path in sorted(map(str, listed))]
    if not found:
        raise UserError(f"{mirror.repository}: no shards like {pattern}")
    return found
