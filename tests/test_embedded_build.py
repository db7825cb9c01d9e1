"""The builder: pools, layouts read by the real loaders, determinism, and half-built folders."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.corpora import audioset, desed, esc50, shared_recordings, speechcommands
from bench.files import UserError, digest_file
from synth import EmbeddedSizes, build, write_audioset
from synth.bank import Bank
from synth.builder import data_digest
from synth.pools import share_out
from synth.scenes import Event
from synth.taxonomy import DESED, shared_parents

TINY = EmbeddedSizes(
    sources=10,
    clip_seconds=2.0,
    balanced=18,
    unbalanced=6,
    evaluation=14,
    esc_classes=2,
    esc_clips=1,
    words=2,
    speakers=16,
    noise_seconds=1.0,
    weak=5,
    strong=5,
    validation=6,
    public=14,
    empty_share=0.3,
)


CODE = "digest of the builder's code"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    build(folder, TINY, CODE, workers=1)  # elsewhere two: the bytes are the same
    return folder


@pytest.fixture(scope="module")
def manifest(root: Path) -> dict:
    return json.loads((root / "manifest.json").read_text())


# Pools ------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(10, 99))
def test_no_source_serves_two_splits_or_folds(sources: int):
    pools = share_out(Bank(sources), 20)
    split_of: dict[object, set[str]] = defaultdict(set)
    for parts in (*pools.audioset.values(), *pools.desed.values(), pools.others, pools.beds):
        assert all(parts.values())
        for split, of in parts.items():
            for source in of:
                split_of[source].add(split)
    assert all(len(splits) == 1 for splits in split_of.values())
    assert list(pools.desed) == list(DESED)
    assert len(pools.esc50) == 20
    for folds in (*pools.esc50.values(), pools.esc_beds):
        assert all(folds)
        for one, other in itertools.combinations(folds, 2):
            assert not set(one) & set(other)
        assert not {source for fold in folds for source in fold} & set(split_of)


def test_how_many_sources_of_a_class_each_corpus_has():
    pools = share_out(Bank(sources=60), 20)
    assert all(len(fold) == 4 for folds in pools.esc50.values() for fold in folds)
    assert len(pools.audioset["dog"]["train"]) == 24


def test_parents_that_one_class_alone_has_are_left_out():
    assert shared_parents(["dog", "rain"]) == ()
    both = shared_parents(["dog", "cat", "chirping_birds"])
    assert [mid for mid in both if mid in ("/m/0jbk", "/m/068hy")] == ["/m/0jbk", "/m/068hy"]
    assert "/m/015p6" not in both  # Bird: chirping_birds alone


# Layouts ----------------------------------------------------------------------------------------


def test_audioset_loads_and_no_source_crosses_its_splits(root: Path, manifest: dict):
    corpus = audioset.load(root / "audioset", train="full", synthetic=True)
    assert corpus.coverage == (38, 38)
    assert len(corpus.classes) >= 28
    assert "Animal" in corpus.classes
    for labels in corpus.clips["labels"]:
        assert labels
        if "Dog" in labels:
            assert {"Domestic animals, pets", "Animal"} <= set(labels)
    assert {name for labels in corpus.clips["labels"] for name in labels} >= {"Dog", "Cat", "Alarm"}
    _no_group_twice(manifest["groups"]["audioset"])


def test_the_builder_knows_the_loaders_validation_clips(tmp_path: Path):
    """Validation clips hold validation sources only, although AudioSet has no such split."""
    layout = write_audioset.plan(EmbeddedSizes(), share_out(Bank(), 20))
    heard = {}
    for planned in layout.clips:
        labels = [sound.label for sound in planned.spec.sounds]
        heard[planned.spec.path] = tuple(Event(label, 0, 1000) for label in labels)
        (tmp_path / planned.spec.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / planned.spec.path).touch()
    for path, text in layout.tables(heard).items():
        (tmp_path / path).write_text(text)
    clips = audioset.load(tmp_path / "audioset", train="full").clips
    loaded = dict(zip("audioset/" + clips["path"], clips["split"], strict=True))
    assert loaded == {planned.spec.path: planned.split for planned in layout.clips}
    assert list(loaded.values()).count("validation") > 60
    assert any(clip.startswith("-") for clip in clips["clip"])


def test_audioset_files_look_like_the_published_ones(root: Path):
    lines = (root / "audioset/eval_segments.csv").read_text().splitlines()
    assert all(line.startswith("#") for line in lines[:3])
    assert lines[2] == "# YTID, start_seconds, end_seconds, positive_labels"
    row = re.compile(r'[\w-]{11}, \d+\.\d{3}, \d+\.\d{3}, "/[mt]/\w+(,/[mt]/\w+)*"')
    assert all(row.fullmatch(line) for line in lines[3:])
    table = list(csv.DictReader((root / "audioset/class_labels_indices.csv").open()))
    assert [int(line["index"]) for line in table] == list(range(len(table)))
    assert '"Domestic animals, pets"' in (root / "audioset/class_labels_indices.csv").read_text()
    info = soundfile.info(next((root / "audioset/audio/eval_segments").glob("Y*.wav")))
    assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")


def test_esc50_loads_with_sources_in_one_fold(root: Path, manifest: dict):
    corpus = esc50.load(root / "esc50", synthetic=True)
    assert corpus.coverage == (10, 10)
    assert corpus.classes == ("dog", "cat")  # by target number
    assert sorted(corpus.clips["fold"].unique()) == [0, 1, 2, 3, 4]
    _no_group_twice(manifest["groups"]["esc50"])
    for path in (root / "esc50/audio").iterdir():
        info = soundfile.info(path)
        assert (info.samplerate, info.frames, info.subtype) == (44_100, 220_500, "PCM_16")
        assert re.fullmatch(r"[1-5]-\d+-[A-Z]-\d+\.wav", path.name)


def test_speechcommands_loads_split_by_speaker(root: Path):
    corpus = speechcommands.load(root / "speechcommands", synthetic=True)
    assert corpus.coverage == (32, 32)
    assert corpus.classes == ("bed", "bird")
    assert set(corpus.clips["split"]) == {"train", "validation", "test"}
    seconds = [
        soundfile.info(root / "speechcommands" / path).duration for path in corpus.clips["path"]
    ]
    assert max(seconds) == 1.0
    assert min(seconds) < 1.0
    noises = {path.stem for path in (root / "speechcommands/_background_noise_").iterdir()}
    assert noises == {
        "white_noise",
        "pink_noise",
        "running_tap",
        "doing_the_dishes",
        "exercise_bike",
        "dude_miaowing",
    }


def test_desed_loads_with_times(root: Path, manifest: dict):
    corpus = desed.load(root / "desed", synthetic=True)
    assert corpus.coverage == (30, 30)
    by_split = corpus.clips.groupby("split").size().to_dict()
    assert by_split == {"train": 10, "validation": 6, "test": 14}
    assert corpus.events is not None
    assert (corpus.events["offset"] <= 2.0).all()
    assert (corpus.events["onset"] < corpus.events["offset"]).all()
    millis = corpus.events[["onset", "offset"]].to_numpy() * 1000
    assert np.allclose(millis, np.rint(millis), atol=1e-6)
    evaluation = corpus.clips[corpus.clips["split"] == "test"]
    assert (evaluation["duration_s"] == 2.0).all()
    assert evaluation["labels"].map(len).eq(0).any()  # clips without events are kept
    assert set(corpus.events["event_label"]) == set(DESED)
    assert shared_recordings(corpus) == {}
    _no_group_twice(manifest["groups"]["desed"])


def test_sounds_are_where_the_labels_say(root: Path):
    """In clips with one event, its span holds more power than the rest."""
    corpus = desed.load(root / "desed", synthetic=True)
    events = corpus.events.set_index("filename")
    gains = []
    for _, clip in corpus.clips[corpus.clips["strong"]].iterrows():
        if (events.index == clip["clip"]).sum() != 1:
            continue
        event = events.loc[clip["clip"]]
        if event["offset"] - event["onset"] > 1.7:
            continue
        x, rate = soundfile.read(root / "desed" / clip["path"])
        start, stop = round(event["onset"] * rate), round(event["offset"] * rate)
        outside = np.concatenate([x[:start], x[stop:]])
        gains.append(10 * np.log10(np.mean(x[start:stop] ** 2) / np.mean(outside**2)))
    assert len(gains) >= 4
    assert np.median(gains) > 5


def _no_group_twice(groups: dict[str, dict[str, list[str]]]) -> None:
    for name, splits in groups.items():
        every = [group for of in splits.values() for group in of]
        assert len(every) == len(set(every)), name


# The builder ------------------------------------------------------------------------------------


def test_the_manifest_tells_the_truth(root: Path, manifest: dict):
    on_disk = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    assert on_disk == {*manifest["files"], "manifest.json"}
    for path, entry in list(manifest["files"].items())[::17]:
        assert (root / path).stat().st_size == entry["bytes"]
        assert digest_file(root / path) == entry["sha256"]
    assert manifest["digest"] == data_digest(manifest["files"])
    assert "eSpeak NG" in (root / "LICENCE.txt").read_text()


def test_a_second_build_does_nothing(root: Path):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")}
    build(root, TINY, CODE, workers=1)
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")}


class Begun(Exception):
    """A build has rendered something."""


def begin(done: int, total: int) -> None:
    raise Begun


def test_damage_and_other_parameters_start_a_new_build(root: Path, manifest: dict, tmp_path: Path):
    shutil.copytree(root, tmp_path / "copy")
    build(tmp_path / "copy", TINY, CODE, workers=1, progress=begin)
    other = TINY.model_copy(update={"room": 0.5})
    with pytest.raises(Begun):
        build(tmp_path / "copy", other, CODE, workers=1, progress=begin)
    with pytest.raises(Begun):
        build(tmp_path / "copy", TINY, "other code", workers=1, progress=begin)
    victim = tmp_path / "copy" / next(path for path in manifest["files"] if path.endswith(".wav"))
    data = bytearray(victim.read_bytes())
    data[1000] ^= 1
    victim.write_bytes(bytes(data))
    with pytest.raises(Begun):
        build(tmp_path / "copy", TINY, CODE, workers=1, progress=begin)


def test_an_interrupted_build_shows_nothing_and_is_finished_later(manifest: dict, tmp_path: Path):
    with pytest.raises(Begun):
        build(tmp_path, TINY, CODE, workers=1, progress=begin)
    assert (tmp_path / ".unfinished").is_dir()
    assert not [path for path in tmp_path.iterdir() if path.name[0] != "."]
    assert build(tmp_path, TINY, CODE, workers=2)["digest"] == manifest["digest"]
    assert not (tmp_path / ".unfinished").exists()


def test_a_folder_of_others_is_left_alone(tmp_path: Path):
    (tmp_path / "audioset").mkdir()
    (tmp_path / "audioset" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="did not make"):
        build(tmp_path, TINY, CODE)
    assert (tmp_path / "audioset" / "thesis.txt").exists()
