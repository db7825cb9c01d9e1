"""Computing the features of a corpus: in parallel, resumable, in constant memory."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.audio.decode import AudioError, decode
from bench.audio.frontend import Transform
from bench.corpora.listing import Listing
from bench.data.array import Outcome, PartialArray
from bench.data.store import store_facts
from bench.data.windows import is_longer
from bench.files import UserError, atomic_write, digest_of, read_json, write_json
from bench.parallel import ordered_map, run_apart
from bench.process.locks import hold
from bench.process.meter import Meter

CLIPS_PER_TASK = 32
INDEX = pa.schema([("clip", pa.string()), ("first", pa.int64()), ("frames", pa.int64())])
INDEX_ROWS = 4096  # in memory while the index is written
USUAL_RATE = 0.95  # share of clips from which on a sample rate is that of the corpus


class _Job(NamedTuple):
    path: Path
    start_s: float
    duration_s: float


def featurize(
    corpus: str | Path,
    front_end: Transform,
    folder: str | Path,
    *,
    code: str,
    workers: int = 1,
    sees: int | None = None,
) -> int:
    """Compute the features of a saved corpus into `folder`; returns the number of usable clips.

    Writes features.npy, index.parquet (clip, first, frames), corpus_report.json (which clips were
    kept, repaired or excluded, and why) and, last, digest.json; existing output is kept.
    Clips are decoded in `workers` processes and written in the table's order, so the bytes do not
    depend on their number, nor on interruptions: interrupted work resumes where it stopped.

    Args:
        corpus: folder that `save` wrote.
        front_end: what to compute.
        folder: output folder, for this corpus and front end alone; `FeatureStore` opens it.
        code: digest of the code that computes features; other code starts over.
        workers: processes.
        sees: frames that a model takes; the report counts the clips that are longer.

    Raises:
        UserError: no clip is usable, there is no such corpus, its audio has changed since, or the
            folder is in use.
    """
    folder, listing = Path(folder), Listing.open(corpus)
    facts: dict[str, Any] = {
        "data": digest_of([listing.audio_digest, _table_digest(listing)]),
        "front_end": front_end.stored,
        "code": code,
        "silence": front_end.silence,
    }
    facts["digest"] = digest_of(facts)
    done = folder / "digest.json"
    with hold(folder / ".lock", f"featurize {listing.name}"):
        if not done.exists() or store_facts(folder)["digest"] != facts["digest"]:
            done.unlink(missing_ok=True)
            write_json(done, facts | _compute(listing, front_end, folder, facts["digest"], workers))
        if sees is not None:
            _count_longer(folder, sees)
        return store_facts(folder)["clips"]


def _table_digest(listing: Listing) -> str:
    """Digest of each clip's file and part, in order; labels do not count."""
    digest = hashlib.sha256()
    for row in listing.rows("clip", "path", "start_s", "duration_s"):
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _compute(
    listing: Listing, front_end: Transform, folder: Path, identity: str, workers: int
) -> dict[str, int]:
    """Write everything but digest.json; the numbers of usable clips and of their frames."""
    listing.check_audio()
    array = PartialArray(folder, identity, front_end.mels)
    work = partial(_featurize_clips, front_end=front_end)
    try:
        with Meter(f"{listing.name}: {front_end.kind} features", listing.found, "clips") as meter:
            meter.add(len(array.frames))
            tasks = _tasks(listing, skip=len(array.frames))
            for outcomes in ordered_map(work, tasks, workers, partial(_rescue, work)):
                array.append(outcomes)
                meter.add(len(outcomes))
    finally:
        array.close()
    listing.check_audio()  # it may have changed during a computation of hours
    _write_report(listing, array, folder)
    _write_index(listing, array.frames, folder / "index.parquet")
    array.finish()
    return {"clips": sum(map(bool, array.frames)), "frames": array.rows}


def _tasks(listing: Listing, skip: int) -> Iterator[list[_Job]]:
    """The clips from number `skip` on, in lots for one worker call each."""
    rows = islice(listing.rows("path", "start_s", "duration_s"), skip, None)
    jobs = (_Job(listing.root / path, start, duration) for path, start, duration in rows)
    while lot := list(islice(jobs, CLIPS_PER_TASK)):
        yield lot


def _featurize_clips(jobs: list[_Job], front_end: Transform) -> list[Outcome]:
    return [_featurize_clip(job, front_end) for job in jobs]


def _featurize_clip(job: _Job, front_end: Transform) -> Outcome:
    try:
        audio = decode(
            job.path,
            front_end.sample_rate,
            start_s=job.start_s,
            duration_s=job.duration_s or None,  # 0: its length could not be told
        )
    except AudioError as error:
        return Outcome(None, "excluded", error.reason, 0)
    features = front_end.features(audio.samples).astype(np.float16)
    if audio.repairs:
        return Outcome(features, "repaired", "; ".join(audio.repairs), audio.source_rate)
    return Outcome(features, "kept", "silent" if audio.silent else "", audio.source_rate)


def _rescue(work: partial[list[Outcome]], jobs: list[_Job]) -> list[Outcome]:
    """Retry the clips of a lot whose worker died, by halves, until the clip at fault is found."""
    try:
        return run_apart(work, jobs)
    except BrokenProcessPool:
        if len(jobs) == 1:
            return [Outcome(None, "excluded", "the decoder crashed on it", 0)]
        half = len(jobs) // 2
        return _rescue(work, jobs[:half]) + _rescue(work, jobs[half:])


def _write_index(listing: Listing, frames: Iterable[int], path: Path) -> None:
    """Where in the array the frames of each usable clip begin, and how many they are."""
    firsts = accumulate(frames, initial=0)
    places = zip(listing.rows("clip"), firsts, frames, strict=False)
    usable = ({"clip": clip, "first": at, "frames": n} for (clip,), at, n in places if n)
    with atomic_write(path) as temporary, pq.ParquetWriter(temporary, INDEX) as writer:
        while lot := list(islice(usable, INDEX_ROWS)):
            writer.write_table(pa.Table.from_pylist(lot, INDEX))


def _write_report(listing: Listing, array: PartialArray, folder: Path) -> None:
    """corpus_report.json: counts, and every clip with a problem, with the reason.

    Raises:
        UserError: no clip is usable.
    """
    rates = Counter(rate for rate in array.rates if rate)
    odd = ((number, "kept", remark) for number, remark in _odd_rates(array.rates, rates))
    remarks = [*array.remarks, *odd]
    numbers = {number for number, _, _ in remarks}
    rows = enumerate(listing.rows("clip", "path"))
    named = {number: row for number, row in rows if number in numbers}
    listed: dict[str, list[dict[str, str]]] = {"kept": [], "repaired": [], "excluded": []}
    for number, verdict, remark in remarks:
        listed[verdict].append({"clip": named[number][0], "reason": remark})
    usable = listing.found - len(listed["excluded"])
    write_json(
        folder / "corpus_report.json",
        {
            "corpus": listing.name,
            "listed": listing.listed,
            "missing": listing.listed - listing.found,
            "kept": usable - len(listed["repaired"]),
            "repaired": listed["repaired"],
            "excluded": listed["excluded"],
            "remarks": [
                *({"clip": c, "reason": r} for c, r in listing.remarks.items()),
                *listed["kept"],
            ],
            "source_rates": {str(rate): n for rate, n in sorted(rates.items())},
        },
    )
    if not usable:
        raise UserError(
            f"{listing.name}: none of its {listing.found} audio files is usable; the first, "
            f"{listing.root / named[0][1]}: {listed['excluded'][0]['reason']}"
        )


def _count_longer(folder: Path, sees: int) -> None:
    """Add to the report how many clips are longer than a model's input and are scored in
    windows."""
    report, index = folder / "corpus_report.json", pq.ParquetFile(folder / "index.parquet")
    lots = index.iter_batches(INDEX_ROWS, columns=["frames"])
    longer = sum(int(is_longer(lot["frames"].to_numpy(), sees).sum()) for lot in lots)
    counted = {"frames_of_a_model": sees, "longer_than_a_model_sees": longer}
    write_json(report, read_json(report) | counted)


def _odd_rates(rates: Iterable[int], counts: Counter[int]) -> Iterator[tuple[int, str]]:
    """(number, remark) of clips whose sample rate differs from that of nearly all of the corpus."""
    if not counts:
        return
    usual, most = counts.most_common(1)[0]
    share = most / counts.total()
    if share < USUAL_RATE:
        return
    for number, rate in enumerate(rates):
        if rate not in (0, usual):
            yield number, f"{rate} Hz where {share:.1%} of the clips have {usual} Hz"
