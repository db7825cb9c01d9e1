"""The corpus table: what is saved comes back, digests follow content, recordings stay together."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.corpora import Corpus, check, open_corpus, save
from bench.corpora.base import COLUMNS, assemble
from bench.corpora.folds import with_test_fold
from bench.files import UserError


def table(rows: list[dict]) -> pd.DataFrame:
    plain = {
        "path": "",
        "start_s": 0.0,
        "duration_s": 1.0,
        "split": "train",
        "fold": -1,
        "strong": False,
    }
    return pd.DataFrame([plain | {"group": row["clip"], "labels": []} | row for row in rows])


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    root = tmp_path / "data"
    root.mkdir()
    for name in ("a.wav", "b.wav", "c.wav"):
        (root / name).write_bytes(name.encode() * 10)
    clips = table(
        [
            {"clip": "c.wav", "path": "c.wav", "split": "test", "labels": []},
            {"clip": "a.wav", "path": "a.wav", "labels": ["Dog", "Cat, or so"], "strong": True},
            {"clip": "b.wav", "path": "b.wav", "split": "validation", "labels": ["Dog"]},
            {"clip": "-gone", "split": "test", "labels": ["Dog", "Cat, or so"], "group": "007"},
        ]
    )
    events = pd.DataFrame(
        [
            ("a.wav", 0.1, 0.35, "Dog"),
            ("a.wav", 0.0, 1 / 3, "Cat, or so"),
            ("-gone", 0.0, 1.0, "Dog"),
        ],
        columns=["filename", "onset", "offset", "event_label"],
    )
    return assemble(
        "desed",
        root,
        ("Cat, or so", "Dog"),
        clips,
        multilabel=True,
        synthetic=True,
        events=events,
    )


def test_assembling_sorts_and_sets_missing_clips_aside(corpus: Corpus) -> None:
    assert corpus.clips["clip"].tolist() == ["a.wav", "b.wav", "c.wav"]
    assert corpus.missing["clip"].tolist() == ["-gone"]
    assert corpus.coverage == (3, 4)
    assert corpus.events["filename"].tolist() == ["a.wav", "a.wav"]


def test_saved_corpora_come_back(corpus: Corpus, tmp_path: Path) -> None:
    saved = save(corpus, tmp_path / "out")
    opened = open_corpus(tmp_path / "out")
    for field in dataclasses.fields(Corpus):
        expected, found = getattr(saved, field.name), getattr(opened, field.name)
        if isinstance(expected, pd.DataFrame):
            pd.testing.assert_frame_equal(found, expected, obj=field.name)
        else:
            assert found == expected, field.name
    assert len(opened.digest) == len(opened.audio_digest) == 64


def test_corpora_without_events_or_missing_clips_come_back(corpus: Corpus, tmp_path: Path) -> None:
    plain = dataclasses.replace(corpus, events=None, missing=corpus.missing[:0])
    save(plain, tmp_path / "out")
    opened = open_corpus(tmp_path / "out")
    assert opened.events is None
    assert opened.coverage == (3, 3)
    assert opened.missing.columns.tolist() == list(COLUMNS)


def test_digests_follow_content_not_place(corpus: Corpus, tmp_path: Path) -> None:
    first = save(corpus, tmp_path / "1")
    moved = tmp_path / "moved"
    corpus.root.rename(moved)
    again = save(dataclasses.replace(corpus, root=moved), tmp_path / "2")
    assert (again.digest, again.audio_digest) == (first.digest, first.audio_digest)
    relabelled = corpus.clips.assign(labels=[["Dog"]] * 3)
    other = save(dataclasses.replace(corpus, root=moved, clips=relabelled), tmp_path / "3")
    assert other.audio_digest == first.audio_digest
    assert other.digest != first.digest
    (moved / "a.wav").write_bytes(b"changed")
    changed = save(dataclasses.replace(corpus, root=moved), tmp_path / "2")
    assert changed.audio_digest != first.audio_digest
    assert changed.digest != first.digest


def test_unchanged_files_are_not_read_again(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.corpora import saving

    first = save(corpus, tmp_path / "out")
    read: list[str] = []

    def spy(path: str | Path) -> str:
        own = Path(path).is_relative_to(corpus.root)  # not the tables
        read.extend([Path(path).name] if own else [])
        return digest(path)

    digest = saving.digest_file
    monkeypatch.setattr(saving, "digest_file", spy)
    assert save(corpus, tmp_path / "out").digest == first.digest
    assert read == []
    os.utime(corpus.root / "b.wav", ns=(1, 1))
    assert save(corpus, tmp_path / "out").digest == first.digest
    assert read == ["b.wav"]


def test_incomplete_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"corpus\.json: no such file"):
        open_corpus(tmp_path)


clips_of_groups = st.lists(
    st.tuples(st.sampled_from("pqrs"), st.sampled_from(["train", "validation", "test"])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=50, deadline=None)
@given(clips_of_groups)
def test_check_refuses_exactly_the_straddling_recordings(pairs: list[tuple[str, str]]) -> None:
    rows = [
        {"clip": str(number), "path": "x", "group": group, "split": split}
        for number, (group, split) in enumerate(pairs)
    ]
    splits: dict[str, set[str]] = {}
    for group, split in pairs:
        splits.setdefault(group, set()).add(split)
    straddling = sorted(group for group, where in splits.items() if len(where) > 1)

    def make() -> Corpus:
        return assemble("toy", Path(), (), table(rows), multilabel=True, synthetic=True)

    if straddling:
        with pytest.raises(UserError, match=f"recording '{straddling[0]}' lies in splits"):
            make()
    else:
        assert make().clips.groupby("group")["split"].nunique().max() == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=5, max_size=30), st.integers(0, 4))
def test_cross_validation_keeps_recordings_together(sources: list[int], test_fold: int) -> None:
    """Folds by source, as in ESC-50: every split of every protocol passes the check."""
    sources = [*range(5), *sources]
    rows = [
        {"clip": str(number), "path": "x", "group": str(source), "fold": source % 5}
        for number, source in enumerate(sources)
    ]
    corpus = assemble("toy", Path(), (), table(rows), multilabel=False, synthetic=True)
    for protocol in ("clean", "published"):
        split = with_test_fold(corpus, test_fold, protocol)
        check(split)
        assert len(split.clips) == len(sources)
        assert set(split.clips.loc[split.clips["split"] == "test", "fold"]) == {test_fold}
