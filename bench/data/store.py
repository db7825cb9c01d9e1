"""Features on disk: one memory-mapped float16 array per corpus and front end, with an index."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from bench.audio.decode import AudioError, decode
from bench.audio.frontend import FrontEnd
from bench.corpora.base import Corpus
from bench.data.array import DATA, Outcome, PartialArray
from bench.files import UserError, atomic_write, damage_told, digest_of, read_json, write_json
from bench.process.locks import hold
from bench.process.meter import Meter
from bench.process.parallel import ordered_map, run_apart

Fill = Literal["repeat", "zero", "silence"]

CLIPS_PER_TASK = 32
USUAL_RATE = 0.95  # share of clips from which on a sample rate is that of the corpus


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """Features of a corpus.

    Attributes:
        data: all clips' frames one after another, float16 (frames, F), memory-mapped.
        clips: names of the usable clips, in the corpus table's order; positions below count here.
        first, frames: int64, where each clip begins in `data` and how long it is.
        silence: feature value of digital silence.
        digest: identity of audio, front end and code.
    """

    data: np.ndarray
    clips: list[str]
    first: np.ndarray
    frames: np.ndarray
    silence: float
    digest: str

    @classmethod
    def open(cls, folder: str | Path) -> FeatureStore:
        """Open what `featurize` wrote.

        Raises:
            UserError: the folder holds no complete features, or damaged ones.
        """
        folder = Path(folder)
        facts = read_json(folder / "digest.json")
        with damage_told(folder, "delete this folder and run again"):
            index = pd.read_parquet(folder / "index.parquet")
            store = cls(
                data=np.load(folder / DATA, mmap_mode="r"),
                clips=index["clip"].tolist(),
                first=index["first"].to_numpy(np.int64),
                frames=index["frames"].to_numpy(np.int64),
                silence=facts["silence"],
                digest=facts["digest"],
            )
            ends = store.first + store.frames
            if len(ends) and (store.first.min() < 0 or ends.max() > len(store.data)):
                raise ValueError(f"{len(store.data)} frames, the index asks for {ends.max()}")
            return store

    def batch(self, positions: np.ndarray, *, frames: int, fill: Fill = "repeat") -> np.ndarray:
        """Features of these clips as float32 (B, frames, F).

        Longer clips are cut at the end. Shorter ones are repeated, or followed by zeros (as AST
        does, before it normalises) or by the value of digital silence.

        Raises:
            ValueError: an unknown `fill`.
        """
        if fill not in ("repeat", "zero", "silence"):
            raise ValueError(f"fill '{fill}'; repeat, zero or silence")
        out = np.empty((len(positions), frames, self.data.shape[1]), np.float32)
        for row, position in zip(out, np.asarray(positions), strict=True):
            first, length = self.first[position], min(self.frames[position], frames)
            row[:length] = self.data[first : first + length]
            if fill == "repeat":
                while length < frames:  # doubling: what stands there is whole repetitions
                    more = min(length, frames - length)
                    row[length : length + more] = row[:more]
                    length += more
            else:
                row[length:] = 0.0 if fill == "zero" else self.silence
        return out

    def mean_std(
        self, positions: np.ndarray, *, frames: int | None = None, fill: Fill = "zero"
    ) -> tuple[float, float]:
        """Mean and standard deviation over all values of these clips.

        With `frames`, over the batches that a model sees, padding included: AST's published
        statistics are made so (src/get_norm_stats.py).

        Raises:
            ValueError: no clips.
        """
        if not len(positions):
            raise ValueError("statistics of no clips")
        count, total, squares = 0, 0.0, 0.0
        for position in np.asarray(positions):
            if frames is None:
                first = self.first[position]
                values = self.data[first : first + self.frames[position]].astype(np.float64)
            else:
                values = self.batch(np.array([position]), frames=frames, fill=fill)
                values = values.astype(np.float64)
            count += values.size
            total += float(values.sum())
            squares += float(np.square(values).sum())
        mean = total / count
        return mean, float(np.sqrt(max(squares / count - mean**2, 0.0)))


class _Job(NamedTuple):
    path: Path
    start_s: float
    duration_s: float


def featurize(
    corpus: Corpus,
    front_end: FrontEnd,
    folder: str | Path,
    *,
    code: str,
    workers: int = 1,
) -> FeatureStore:
    """Compute the features of a saved corpus into `folder`; what is there already is kept.

    Writes features.npy, index.parquet (clip, first, frames), corpus_report.json (which clips were
    kept, repaired or excluded, and why) and, last, digest.json. Clips are decoded in `workers`
    processes and written in the table's order, so the bytes do not depend on their number, nor on
    interruptions: work that was stopped goes on where it was.

    Args:
        corpus: from `open_corpus` or `save`.
        front_end: what to compute.
        folder: output folder, for this corpus and front end alone.
        code: digest of the code that computes features; other code begins anew.
        workers: processes.

    Raises:
        UserError: no clip is usable, the corpus was never saved, or the folder is in use.
    """
    folder = Path(folder)
    if not corpus.audio_digest:
        raise UserError(f"{corpus.name}: the corpus has no digest; save it first")
    facts: dict[str, Any] = {
        "data": digest_of([corpus.audio_digest, _table_digest(corpus.clips)]),
        "front_end": dataclasses.asdict(front_end),
        "code": code,
        "silence": front_end.silence,
    }
    facts["digest"] = digest_of(facts)
    with hold(folder / ".lock", f"featurize {corpus.name}"):
        if not _is_complete(folder, facts["digest"]):
            _compute(corpus, front_end, folder, facts, workers)
    return FeatureStore.open(folder)


def _table_digest(clips: pd.DataFrame) -> str:
    """Which part of which file is which clip, in which order; not what it is labelled."""
    text = clips[["clip", "path", "start_s", "duration_s"]].to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_complete(folder: Path, digest: str) -> bool:
    done = folder / "digest.json"
    return done.exists() and read_json(done)["digest"] == digest


def _compute(
    corpus: Corpus, front_end: FrontEnd, folder: Path, facts: dict[str, Any], workers: int
) -> None:
    (folder / "digest.json").unlink(missing_ok=True)
    partial_array = PartialArray(folder, facts["digest"], front_end.mels)
    work = partial(_featurize_clips, front_end=front_end)
    total = len(corpus.clips)
    try:
        with Meter(f"{corpus.name}: {front_end.kind} features", total, "clips") as meter:
            meter.add(len(partial_array.frames))
            tasks = _tasks(corpus, skip=len(partial_array.frames))
            for outcomes in ordered_map(work, tasks, workers, partial(_rescue, work)):
                partial_array.append(outcomes)
                meter.add(len(outcomes))
    finally:
        partial_array.close()
    _write_report(corpus, partial_array, folder)
    frames = np.asarray(partial_array.frames, np.int64)
    usable = frames > 0
    index = pd.DataFrame(
        {
            "clip": corpus.clips["clip"][usable].to_numpy(),
            "first": (np.cumsum(frames) - frames)[usable],
            "frames": frames[usable],
        }
    )
    with atomic_write(folder / "index.parquet") as path:
        index.to_parquet(path, index=False)
    partial_array.finish()
    write_json(folder / "digest.json", facts | {"clips": len(index), "frames": int(frames.sum())})


def _tasks(corpus: Corpus, skip: int) -> Iterator[list[_Job]]:
    """The clips from number `skip` on, in lots for one worker call each."""
    columns = ("path", "start_s", "duration_s")
    rows = islice(zip(*(corpus.clips[column] for column in columns), strict=True), skip, None)
    jobs = (_Job(corpus.root / path, start, duration) for path, start, duration in rows)
    while lot := list(islice(jobs, CLIPS_PER_TASK)):
        yield lot


def _featurize_clips(jobs: list[_Job], front_end: FrontEnd) -> list[Outcome]:
    return [_featurize_clip(job, front_end) for job in jobs]


def _featurize_clip(job: _Job, front_end: FrontEnd) -> Outcome:
    try:
        audio = decode(
            job.path, front_end.sample_rate, start_s=job.start_s, duration_s=job.duration_s
        )
    except AudioError as error:
        return Outcome(None, "excluded", error.reason, 0)
    features = front_end.features(audio.samples).astype(np.float16)
    if audio.repairs:
        return Outcome(features, "repaired", "; ".join(audio.repairs), audio.source_rate)
    return Outcome(features, "kept", "silent" if audio.silent else "", audio.source_rate)


def _rescue(work: partial[list[Outcome]], jobs: list[_Job]) -> list[Outcome]:
    """The clips of a lot whose worker died, by halves, until the deadly clip stands alone."""
    try:
        return run_apart(work, jobs)
    except BrokenProcessPool:
        if len(jobs) == 1:
            return [Outcome(None, "excluded", "the decoder crashed on it", 0)]
        half = len(jobs) // 2
        return _rescue(work, jobs[:half]) + _rescue(work, jobs[half:])


def _write_report(corpus: Corpus, work: PartialArray, folder: Path) -> None:
    """corpus_report.json: counts, and every clip that is not plainly good, with the reason.

    Raises:
        UserError: no clip is usable.
    """
    names = corpus.clips["clip"]
    listed: dict[str, list[dict[str, str]]] = {"kept": [], "repaired": [], "excluded": []}
    for number, verdict, remark in work.remarks:
        listed[verdict].append({"clip": names[number], "reason": remark})
    rates = Counter(rate for rate in work.rates if rate)
    for number, remark in _odd_rates(work.rates, rates):
        listed["kept"].append({"clip": names[number], "reason": remark})
    usable = len(names) - len(listed["excluded"])
    write_json(
        folder / "corpus_report.json",
        {
            "corpus": corpus.name,
            "listed": corpus.coverage.listed,
            "missing": len(corpus.missing),
            "kept": usable - len(listed["repaired"]),
            "repaired": listed["repaired"],
            "excluded": listed["excluded"],
            "remarks": listed["kept"],
            "source_rates": {str(rate): n for rate, n in sorted(rates.items())},
        },
    )
    if not usable:
        first = listed["excluded"][0]
        raise UserError(
            f"{corpus.name}: none of its {len(names)} audio files is usable; the first, "
            f"{corpus.root / corpus.clips['path'][0]}: {first['reason']}"
        )


def _odd_rates(rates: Iterable[int], counts: Counter[int]) -> Iterator[tuple[int, str]]:
    """(number, remark) of clips at another sample rate than nearly all of their corpus has."""
    if not counts:
        return
    usual, most = counts.most_common(1)[0]
    share = most / counts.total()
    if share < USUAL_RATE:
        return
    for number, rate in enumerate(rates):
        if rate not in (0, usual):
            yield number, f"{rate} Hz where {share:.1%} of the clips have {usual} Hz"
