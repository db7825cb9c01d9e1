"""The feature store: round trips, filling, statistics, interruption, damage, dying workers."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.data.features as features_module
from bench.audio.decode import decode
from bench.audio.frontend import Transform
from bench.corpora import build_corpus, open_corpus, save
from bench.corpora.base import assemble
from bench.data.array import Outcome, PartialArray
from bench.data.features import featurize
from bench.data.store import FeatureStore
from bench.files import UserError

RATE = 8000
LOGMEL = Transform(
    kind="logmel", sample_rate=RATE, window=256, hop=128, mels=8, fmin=50.0, fmax=4000.0
)
FBANK = Transform(
    kind="fbank", sample_rate=RATE, window=200, hop=80, mels=8, fmin=20.0, fmax=4000.0
)


def make_corpus(folder: Path, seconds: list[float], damage: dict[int, bytes] | None = None) -> Path:
    """Where a corpus of noise clips 0, 1, ... is saved; `damage` replaces the bytes of some."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for number, length in enumerate(seconds):
        path = folder / f"{number:03d}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(int(length * RATE)), RATE)
        if damage and number in damage:
            path.write_bytes(damage[number])
        rows.append(
            {
                "clip": path.name,
                "path": path.name,
                "start_s": 0.0,
                "duration_s": 1.0,
                "split": "train",
                "fold": -1,
                "group": path.name,
                "labels": [],
            }
        )
    corpus = assemble("toy", folder, (), pd.DataFrame(rows), multilabel=True, synthetic=True)
    saved = folder.with_name("saved")
    save(corpus, saved)
    return saved


def stored(corpus: Path, front_end: Transform, folder: Path, **options) -> FeatureStore:
    """The features of a saved corpus, computed and opened."""
    count = featurize(corpus, front_end, folder, **{"code": "1"} | options)
    store = FeatureStore.open(folder)
    assert count == len(store.clips)
    return store


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("front_end", [LOGMEL, FBANK], ids=["logmel", "fbank"])
def test_features_come_back(tmp_path: Path, front_end: Transform) -> None:
    corpus = make_corpus(tmp_path / "data", [0.5, 1.0, 0.2, 3.0])
    store = stored(corpus, front_end, tmp_path / "out")
    assert store.clips == ["000.wav", "001.wav", "002.wav", "003.wav"]
    assert store.data.dtype == np.float16
    for position, clip in enumerate(store.clips):
        samples = decode(tmp_path / "data" / clip, RATE, duration_s=1.0).samples
        expected = front_end.features(samples)
        assert store.frames[position] == len(expected)
        found = store.batch(np.array([position]), frames=len(expected))[0]
        np.testing.assert_array_equal(found, expected.astype(np.float16).astype(np.float32))
    assert sorted(files_of(tmp_path / "out")) == [
        "corpus_report.json",
        "digest.json",
        "features.npy",
        "index.parquet",
    ]


def test_filling(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data", [0.5, 1.0])
    store = stored(corpus, FBANK, tmp_path / "out")
    short = int(store.frames[0])
    assert short == 48
    own = store.batch(np.array([0]), frames=short)[0]
    repeated = store.batch(np.array([1, 0]), frames=210, fill="repeat")
    np.testing.assert_array_equal(repeated[1], np.resize(own, (210, 8)))
    for fill, value in (("zero", 0.0), ("silence", FBANK.silence)):
        batch = store.batch(np.array([0, 1]), frames=60, fill=fill)
        assert batch.dtype == np.float32
        np.testing.assert_array_equal(batch[0, :short], own)
        np.testing.assert_array_equal(batch[0, short:], np.full((12, 8), value, np.float32))
        assert batch[1].any(axis=1).all()  # the longer clip is cut, not filled


def test_statistics(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data", [0.5, 1.0, 0.3])
    store = stored(corpus, FBANK, tmp_path / "out")
    rows = np.array([0, 2])
    values = np.concatenate(
        [store.batch(rows[i : i + 1], frames=n)[0] for i, n in ((0, 48), (1, 28))]
    )
    np.testing.assert_allclose(store.mean_std(rows), (values.mean(), values.std()), rtol=1e-5)
    with pytest.raises(ValueError, match="no clips"):
        store.mean_std(np.array([], int))


def test_bad_files_are_left_out_and_named(tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(RATE), RATE)
    piped = tmp_path / "piped.wav"
    soundfile.write(piped, np.linspace(-0.5, 0.5, RATE // 2), RATE)
    data = piped.read_bytes()
    damage = {
        1: b"",
        3: b"not audio at all",
        4: data[:40] + b"\xff" * 4 + data[44:],  # the length that a pipe's writer cannot know
        5: silent.read_bytes(),
    }
    corpus = make_corpus(tmp_path / "data", [0.5] * 6, damage)
    store = stored(corpus, LOGMEL, tmp_path / "out")
    assert store.clips == ["000.wav", "002.wav", "004.wav", "005.wav"]
    report = json.loads((tmp_path / "out" / "corpus_report.json").read_text())
    assert report["kept"] == 3
    assert report["excluded"][0] == {"clip": "001.wav", "reason": "empty file (0 bytes)"}
    assert report["excluded"][1]["clip"] == "003.wav"
    assert [entry["clip"] for entry in report["repaired"]] == ["004.wav"]
    assert report["remarks"] == [{"clip": "005.wav", "reason": "silent"}]
    assert report["source_rates"] == {"8000": 4}
    batch = store.batch(np.array([1, 3]), frames=20)
    assert batch[0].std() > 1
    assert (batch[1] == -100.0).all()


def test_clips_at_an_odd_rate_are_named_and_kept(tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    soundfile.write(other, np.linspace(-0.5, 0.5, 4000), 4000)
    corpus = make_corpus(tmp_path / "data", [0.2] * 21, {20: other.read_bytes()})
    featurize(corpus, LOGMEL, tmp_path / "out", code="1")
    report = json.loads((tmp_path / "out" / "corpus_report.json").read_text())
    remark = "4000 Hz where 95.2% of the clips have 8000 Hz"
    assert report["remarks"] == [{"clip": "020.wav", "reason": remark}]
    assert report["kept"] == 21


def test_nothing_usable_is_a_user_error(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data", [0.5] * 2, {0: b"", 1: b""})
    with pytest.raises(UserError, match=r"none of its 2 audio files.*000\.wav: empty file"):
        featurize(corpus, LOGMEL, tmp_path / "out", code="1")
    with pytest.raises(UserError, match=r"digest\.json"):
        FeatureStore.open(tmp_path / "out")


def test_bytes_do_not_depend_on_workers(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data", [0.2] * 70, {40: b"damaged"})
    featurize(corpus, LOGMEL, tmp_path / "one", code="1", workers=1)
    featurize(corpus, LOGMEL, tmp_path / "two", code="1", workers=2)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


@pytest.mark.parametrize("torn", [b"", b'{"frames": [1, 2'])
def test_interrupted_work_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bytes
) -> None:
    corpus = make_corpus(tmp_path / "data", [0.2] * 100, {20: b"damaged", 90: b""})
    featurize(corpus, LOGMEL, tmp_path / "whole", code="1")
    plain, calls = features_module._featurize_clip, []

    def failing(job, front_end):
        calls.append(job.path.name)
        if job.path.name == "070.wav":
            raise KeyboardInterrupt
        return plain(job, front_end)

    monkeypatch.setattr(features_module, "_featurize_clip", failing)
    with pytest.raises(KeyboardInterrupt):
        featurize(corpus, LOGMEL, tmp_path / "out", code="1")
    with pytest.raises(UserError, match=r"digest\.json"):
        FeatureStore.open(tmp_path / "out")
    with open(tmp_path / "out" / "features.part", "ab") as file:
        file.write(b"written, but not in the journal")
    with open(tmp_path / "out" / "journal.jsonl", "ab") as file:
        file.write(torn)
    calls.clear()
    monkeypatch.setattr(
        features_module,
        "_featurize_clip",
        lambda *job: calls.append(job[0].path.name) or plain(*job),
    )
    featurize(corpus, LOGMEL, tmp_path / "out", code="1")
    assert calls[0] == "064.wav"  # two tasks of 32 clips were safe
    assert len(calls) == 36
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_journal_that_promises_more_than_the_data_is_cut(tmp_path: Path) -> None:
    part = PartialArray(tmp_path, "id", 2)
    for value in (1.0, 2.0):
        part.append([Outcome(np.full((3, 2), value), "kept", "", 1)])
    part.close()
    data = (tmp_path / "features.part").read_bytes()
    (tmp_path / "features.part").write_bytes(data[:-1])
    again = PartialArray(tmp_path, "id", 2)
    assert again.frames.tolist() == [3]
    again.append([Outcome(np.full((1, 2), 5.0), "kept", "", 1)])
    again.finish()
    assert np.load(tmp_path / "features.npy")[:, 0].tolist() == [1, 1, 1, 5]


def test_complete_work_is_kept_and_other_inputs_begin_anew(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data", [0.2] * 3)
    out = tmp_path / "out"
    first = stored(corpus, LOGMEL, out)
    stamp = os.stat(out / "features.npy").st_mtime_ns

    def changed(**columns: object) -> Path:
        opened = open_corpus(corpus)
        saved = tmp_path / "-".join(columns)
        save(dataclasses.replace(opened, clips=opened.clips.assign(**columns)), saved)
        return saved

    for same in (corpus, changed(split="test")):
        assert stored(same, LOGMEL, out).digest == first.digest
    assert os.stat(out / "features.npy").st_mtime_ns == stamp
    shorter = changed(duration_s=0.1)
    digests = {first.digest}
    for other, front_end, code in (
        (corpus, LOGMEL, "2"),
        (corpus, FBANK, "1"),
        (shorter, LOGMEL, "1"),
    ):
        digests.add(stored(other, front_end, out, code=code).digest)
        assert os.stat(out / "features.npy").st_mtime_ns != stamp
    soundfile.write(tmp_path / "data" / "001.wav", np.linspace(-0.5, 0.5, RATE), RATE)
    digests.add(stored(changed(start_s=0.0), LOGMEL, out).digest)
    assert len(digests) == 5


def test_audio_that_changed_after_it_was_listed_is_refused(tmp_path: Path) -> None:
    """New dates of the same bytes, as a copy has them, are no change."""
    corpus = make_corpus(tmp_path / "data", [0.2] * 3)
    audio = tmp_path / "data" / "001.wav"
    os.utime(audio, (1, 1))
    stored(corpus, LOGMEL, tmp_path / "copied")
    content = audio.read_bytes()
    for other in (content[:-2] + b"\1\1", content + content):
        audio.write_bytes(other)
        with pytest.raises(UserError, match=r"001\.wav: not the file that toy was read from"):
            stored(corpus, LOGMEL, tmp_path / "out")
        assert not (tmp_path / "out" / "digest.json").exists()
    audio.unlink()
    with pytest.raises(UserError, match=r"001\.wav: not the file"):
        stored(corpus, LOGMEL, tmp_path / "out")


@pytest.mark.parametrize("table", [None, b"PAR1 not a table"])
def test_corpora_that_are_absent_or_damaged_are_refused(
    tmp_path: Path, table: bytes | None
) -> None:
    corpus = make_corpus(tmp_path / "data", [0.2])
    if table is None:
        (corpus / "corpus.json").unlink()
    else:
        (corpus / "clips.parquet").write_bytes(table)
    with pytest.raises(UserError, match=r"saved.*run"):
        featurize(corpus, LOGMEL, tmp_path / "x", code="1")


def test_a_clip_that_kills_its_worker_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash inside a native decoder ends the process; the run goes on without that clip."""
    corpus = make_corpus(tmp_path / "data", [0.2] * 70)
    plain, parent = features_module._featurize_clip, os.getpid()

    def crashing(job, front_end):
        if job.path.name == "033.wav":
            assert os.getpid() != parent
            os._exit(139)
        return plain(job, front_end)

    monkeypatch.setattr(features_module, "_featurize_clip", crashing)
    store = stored(corpus, LOGMEL, tmp_path / "out", workers=2)
    assert len(store.clips) == 69
    report = json.loads((tmp_path / "out" / "corpus_report.json").read_text())
    assert report["excluded"] == [{"clip": "033.wav", "reason": "the decoder crashed on it"}]


lots = st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=6)


@settings(max_examples=30, deadline=None)
@given(lengths=lots, mels=st.integers(1, 5), stop=st.integers(0, 6))
def test_any_array_round_trips_through_interruption(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[list[int]], mels: int, stop: int
) -> None:
    folder = tmp_path_factory.mktemp("part")
    rng = np.random.default_rng(0)
    arrays = [[rng.standard_normal((n, mels)).astype(np.float16) for n in lot] for lot in lengths]
    for begin, end in ((0, stop), (stop, None)):
        part = PartialArray(folder, "id", mels)
        assert len(part.frames) == sum(len(lot) for lot in arrays[:begin])
        for lot in arrays[begin:end]:
            part.append([Outcome(a if len(a) else None, "kept", "", 1) for a in lot])
        part.close()
    part = PartialArray(folder, "id", mels)
    assert part.frames.tolist() == [n for lot in lengths for n in lot]
    part.finish()
    data = np.load(folder / "features.npy", mmap_mode="r" if part.rows else None)
    expected = np.concatenate(
        [np.empty((0, mels), np.float16), *(a for lot in arrays for a in lot)]
    )
    np.testing.assert_array_equal(data, expected)


def test_recordings_whose_header_states_no_length_are_used(tmp_path: Path) -> None:
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for label in "ab":
        for take in range(4):
            path = root / label / f"{take}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, rng.normal(0, 0.1, 2 * RATE), RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO's 36 bits of total samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    splits = {"by": "take", "validation": ["2"], "test": ["3"]}
    options = {"name": "own", "pattern": "{label}/{take}", "splits": splits}
    corpus = build_corpus("folder", root, tmp_path / "saved", **options)
    assert corpus.clips["duration_s"].tolist() == [2.0] * 8
    store = stored(tmp_path / "saved", LOGMEL, tmp_path / "out")
    assert len(store.clips) == 8
    assert len(set(store.frames.tolist())) == 1
    report = json.loads((tmp_path / "out" / "corpus_report.json").read_text())
    assert [row["clip"] for row in report["repaired"]] == [corpus.clips["clip"].iloc[-1]]
