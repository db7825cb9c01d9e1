"""300 damaged files: audio, tables and archives. Nothing crashes, hangs or gets a wrong label."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from test_corpora_loaders import audioset_root, commands_root, desed_root, esc50_root  # noqa: F401
from test_sources_unpack import tar_of, zip_of

from bench.audio.frontend import Transform
from bench.corpora import Corpus, load, save
from bench.corpora.base import assemble
from bench.data.features import featurize
from bench.data.store import FeatureStore
from bench.files import UserError, digest_file
from bench.sources.unpack import unpack

RATE = 8_000
LOGMEL = Transform(
    kind="logmel", sample_rate=RATE, window=256, hop=80, mels=8, fmin=50.0, fmax=4000.0
)
Mutation = Callable[[bytes, random.Random], bytes]


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) - len(data) // 8)]


def flip_head(data: bytes, rng: random.Random) -> bytes:
    return flipped(data, rng, min(len(data), 44))


def flip_anywhere(data: bytes, rng: random.Random) -> bytes:
    return flipped(data, rng, len(data))


def flipped(data: bytes, rng: random.Random, reach: int) -> bytes:
    body = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        body[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(body)


def huge_size(data: bytes, rng: random.Random) -> bytes:
    """Four bytes of the head become a number near 2^31 or 2^32."""
    at = rng.randrange(4, 40)
    size = rng.choice([0x7FFFFFF0, 0xFFFFFFF0, 0x7FFFFFFF, 0x80000000])
    return data[:at] + size.to_bytes(4, rng.choice(["little", "big"])) + data[at + 4 :]


def wrong_magic(data: bytes, rng: random.Random) -> bytes:
    return rng.choice([b"OggS", b"fLaC", b"RIFF", b"ID3\x04", b"<htm"]) + data[4:]


def nothing(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(3)]


def noise(data: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 3000))


MUTATIONS: tuple[Mutation, ...] = (
    cut, flip_head, flip_anywhere, huge_size, wrong_magic, nothing, noise,
)  # fmt: skip


def encoded(kind: str, rng: np.random.Generator) -> bytes:
    file = io.BytesIO()
    container, _, subtype = kind.partition("/")
    samples = 0.1 * rng.standard_normal(RATE // 2)
    soundfile.write(file, samples, RATE, format=container, subtype=subtype or None)
    return file.getvalue()


def features_of(folder: Path, files: dict[str, bytes]) -> FeatureStore:
    """The features of these files, made and opened in `folder`-features."""
    folder.mkdir(parents=True)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    table = {
        "clip": list(files),
        "path": list(files),
        "start_s": 0.0,
        "duration_s": 0.5,
        "split": "train",
        "fold": -1,
        "group": list(files),
        "labels": [[] for _ in files],
    }
    corpus = assemble("t", folder, (), pd.DataFrame(table), multilabel=True, synthetic=True)
    saved, made = (folder.with_name(f"{folder.name}-{what}") for what in ("saved", "features"))
    save(corpus, saved)
    featurize(saved, LOGMEL, made, code="1", workers=2)
    return FeatureStore.open(made)


def test_200_damaged_recordings_are_named_and_harm_no_other(tmp_path: Path) -> None:
    rng, noises = random.Random(1), np.random.default_rng(1)
    kinds = ("WAV/PCM_16", "WAV/FLOAT", "FLAC", "OGG", "MP3")
    good = {f"good{n}.{kind.split('/')[0].lower()}": encoded(kind, noises)
            for n, kind in enumerate(kinds)}  # fmt: skip
    files, original = dict(good), {}
    while len(original) < 200:
        name = rng.choice(list(good))
        mutated = rng.choice(MUTATIONS)(good[name], rng)
        if mutated != good[name]:
            damaged = f"bad{len(original):03d}{Path(name).suffix}"
            files[damaged], original[damaged] = mutated, name
    store = features_of(tmp_path / "data", files)
    clean = features_of(tmp_path / "clean", good)
    alone = {name: clean.batch(np.array([n]), frames=51)[0] for n, name in enumerate(clean.clips)}
    here = {name: store.batch(np.array([n]), frames=51)[0] for n, name in enumerate(store.clips)}
    for name in good:
        np.testing.assert_array_equal(here[name], alone[name], err_msg=name)
    report = json.loads((tmp_path / "data-features" / "corpus_report.json").read_text())
    listed = [entry for key in ("excluded", "repaired", "remarks") for entry in report[key]]
    named = {entry["clip"]: entry["reason"] for entry in listed}
    assert all(named.values())
    assert set(named).isdisjoint(good)
    assert report["kept"] + len(report["repaired"]) + len(report["excluded"]) == len(files)
    # What is not named either sounds as it did, or was changed inside the samples themselves, where
    # no header can tell; that the file is another one shows in the corpus' table of digests.
    unnamed = set(original) - set(named)
    silent_changes = {
        name for name in unnamed if not np.array_equal(here[name], alone[original[name]])
    }
    table = pd.read_parquet(tmp_path / "data-saved" / "files.parquet").set_index("path")["sha256"]
    for name in silent_changes:
        assert table[name] != digest_file(tmp_path / "clean" / original[name])
    print(f"{len(named)} named, {len(silent_changes)} changed inside their samples")
    assert len(named) >= 120, len(named)
    assert len(silent_changes) <= 60, sorted(silent_changes)


def attempt(action: Callable[[], Any]) -> tuple[Any, str]:
    """What an action gives, or None and the message of its UserError."""
    try:
        return action(), ""
    except UserError as error:
        return None, str(error)


def labels_of(corpus: Corpus) -> dict[str, set[int]]:
    """Class numbers by clip: a damaged display name is still the name of its class."""
    rows = pd.concat([corpus.clips, corpus.missing])
    number = {name: index for index, name in enumerate(corpus.classes)}
    return {
        clip: {number[label] for label in labels}
        for clip, labels in zip(rows["clip"], rows["labels"], strict=True)
    }


TABLES = {
    "audioset": ("balanced_train_segments.csv", "eval_segments.csv", "class_labels_indices.csv"),
    "esc50": ("meta/esc50.csv",),
    "speechcommands": ("validation_list.txt", "testing_list.txt"),
    "desed": (
        "dataset/metadata/train/weak.tsv",
        "dataset/metadata/validation/validation.tsv",
        "dataset/metadata/eval/public.tsv",
    ),
}


@pytest.mark.parametrize("name", list(TABLES))
def test_damaged_tables_are_refused_or_label_the_rest_right(name: str, request) -> None:
    """15 mutations a data set, 60 in all."""
    fixture = {"audioset": "audioset_root", "esc50": "esc50_root", "desed": "desed_root"}
    root = request.getfixturevalue(fixture.get(name, "commands_root"))
    right, rng = labels_of(load(name, root)), random.Random(2)
    tables = [root / path for path in TABLES[name]]
    refused = 0
    for number in range(15):
        path = tables[number % len(tables)]
        whole = path.read_bytes()
        path.write_bytes(rng.choice(MUTATIONS)(whole, rng))
        found, said = attempt(lambda: labels_of(load(name, root)))
        path.write_bytes(whole)
        if found is None:
            assert str(root) in said or name in said
            refused += 1
            continue
        for clip in found.keys() & right.keys():  # a table that was cut has fewer rows, not others
            assert found[clip] <= right[clip], clip
    assert refused >= 5


def test_40_damaged_archives_give_the_right_files_or_none(tmp_path: Path) -> None:
    rng = random.Random(3)
    members = {f"a/{n}.wav": rng.randbytes(400) + b"text " * 200 for n in range(6)}
    archives = [
        zip_of(tmp_path / "x.zip", *members.items()).read_bytes(),
        tar_of(tmp_path / "x.tgz", *members.items()).read_bytes(),
    ]
    refused = 0
    for number in range(40):
        path, folder = tmp_path / "damaged", tmp_path / f"out{number}"
        path.write_bytes(rng.choice(MUTATIONS)(archives[number % 2], rng))
        found, said = attempt(partial(unpack, path, folder))
        files = [file for file in folder.rglob("*") if file.is_file()]
        if found is None:
            assert "damaged" in said
            assert not files
            refused += 1
        assert all(file.read_bytes() in members.values() for file in files)
    assert refused >= 25
