"""The bank of recordings: cleaning, classes, groups, rendering and credits."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.corpora.recordings.bank import BED, BED_LABELS, LEAST_GROUPS, RecordingsBank
from bench.corpora.recordings.clips import RATE, ClipError, clean, load_clip
from bench.corpora.recordings.fetch import clip_path
from bench.corpora.recordings.manifest import Recording, read_manifest
from bench.data.embed import group_lines
from bench.experiment import config
from synth import SyntheticBank
from synth.pools import share_out
from synth.taxonomy import AUDIOSET

LISTED = read_manifest()


def tone(hertz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def stored(cache: Path, label: str, group: str, samples: np.ndarray, rate: int = RATE) -> Recording:
    """A recording whose file lies in the cache as `collect` leaves it."""
    template = next(clip for clip in LISTED if clip.path.endswith(".wav"))
    cache.mkdir(exist_ok=True)
    soundfile.write(cache / "new.wav", samples, RATE, subtype="FLOAT")
    sha256 = hashlib.sha256((cache / "new.wav").read_bytes()).hexdigest()
    clip = dataclasses.replace(
        template, label=label, group=group, sha256=sha256, container="plain", member=""
    )
    clip_path(cache, clip).parent.mkdir(exist_ok=True)
    (cache / "new.wav").rename(clip_path(cache, clip))
    return clip


@pytest.fixture
def bank(tmp_path) -> RecordingsBank:
    clips = [
        stored(tmp_path, label, f"{label}-{group}", tone(200 + 100 * group + 10 * take, length))
        for label, length in (("dog", 0.5), ("footsteps", 0.2), ("owl", 1.0), ("wind", 3.0))
        for group in range(2 if label == "owl" else 3)
        for take in range(2)
    ]
    return RecordingsBank(tmp_path, tuple(clips))


def test_classes_have_enough_originals_and_lasting_noises_are_the_bed(bank):
    assert bank.classes() == ("dog", "footsteps")
    assert bank.backgrounds() == (BED,)
    assert bank.groups("dog") == ("dog-0", "dog-1", "dog-2")
    assert bank.groups(BED) == ("wind-0", "wind-1", "wind-2")
    assert not bank.is_synthetic("dog")


def test_the_whole_list_gives_the_expected_bank(tmp_path):
    bank = RecordingsBank(tmp_path, LISTED)
    groups = {name: bank.groups(name) for name in (*bank.classes(), *bank.backgrounds())}
    assert min(map(len, groups.values())) >= LEAST_GROUPS
    every = [group for of in groups.values() for group in of]
    assert len(every) == len(set(every))
    assert len(bank.classes()) == 37
    assert len(bank.groups(BED)) == 9
    assert not set(BED_LABELS) & set(bank.classes())
    assert {"cat", "dog", "running_water", "speech", "alarm_bell"} <= set(bank.classes())
    assert not {"blender", "electric_shaver", "frying", "vacuum_cleaner"} & set(bank.classes())


def test_takes_pick_the_recordings_of_a_group_and_nothing_else(bank):
    rng = np.random.default_rng(0)
    first, rate = bank.render("dog", "dog-1", 0, rng)
    second, _ = bank.render("dog", "dog-1", 1, rng)
    again, _ = bank.render("dog", "dog-1", 2, rng)
    assert rate == RATE
    assert first.dtype == np.float64
    np.testing.assert_array_equal(first, again)
    assert dominant(first) == pytest.approx(300, abs=3)
    assert dominant(second) == pytest.approx(310, abs=3)


def dominant(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples, 4 * RATE))
    return float(np.argmax(spectrum)) / 4


def test_steps_come_as_runs_that_the_generator_alone_decides(bank):
    one, _ = bank.render("footsteps", "footsteps-0", 0, np.random.default_rng(1))
    same, _ = bank.render("footsteps", "footsteps-0", 0, np.random.default_rng(1))
    other, _ = bank.render("footsteps", "footsteps-0", 0, np.random.default_rng(2))
    np.testing.assert_array_equal(one, same)
    assert len(one) != len(other)
    assert len(one) > 3 * 0.35 * RATE
    loud = np.abs(one).reshape(-1)[: len(one) // 160 * 160].reshape(-1, 160).max(axis=1) > 0.2
    assert 4 <= np.count_nonzero(np.diff(loud.astype(int), prepend=0) == 1) <= 12


def test_a_caller_may_change_what_it_gets(bank):
    sound, _ = bank.render("dog", "dog-0", 0, np.random.default_rng(0))
    before = sound.copy()
    sound *= 0
    again, _ = bank.render("dog", "dog-0", 0, np.random.default_rng(0))
    np.testing.assert_array_equal(again, before)


def test_workers_get_an_equal_bank(bank):
    copy = pickle.loads(pickle.dumps(bank))
    assert copy == bank
    assert copy.describe() == bank.describe()
    sound = copy.render("dog", "dog-0", 1, np.random.default_rng(0))[0]
    np.testing.assert_array_equal(sound, bank.render("dog", "dog-0", 1, None)[0])


def test_the_description_follows_the_recordings_in_use(bank, tmp_path):
    fewer = RecordingsBank(tmp_path, bank.recordings[1:])
    assert fewer.describe() != bank.describe()
    unused = [clip for clip in bank.recordings if clip.label != "owl"]
    assert RecordingsBank(tmp_path, tuple(unused)).describe() == bank.describe()


def test_credits_name_every_recording_in_use_with_author_and_licence(bank, tmp_path):
    text = RecordingsBank(tmp_path, LISTED).notice()
    assert "Cheeseheadburger" in text
    assert "https://creativecommons.org/licenses/by-sa/3.0/" in text
    assert "[src/wav/osfx_08.wav]\n    airplane, group airplane-01. OpenSFX" in text
    assert "owl" not in bank.notice()


def test_clean_removes_offset_rumble_and_silent_ends():
    quiet = np.zeros(RATE)
    samples = 0.5 + np.concatenate([quiet, 0.1 * tone(440, 1.0), quiet])
    samples += 0.3 * tone(5, 3.0)
    sound = clean(samples, RATE)
    assert abs(len(sound) / RATE - 1.0) < 0.2
    assert np.abs(sound).max() == 1.0
    assert abs(sound.mean()) < 1e-3
    assert dominant(sound) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.full(RATE, 0.7), np.ones(10), np.zeros(0)])
def test_clean_gives_nothing_where_there_is_no_sound(samples):
    assert clean(samples, RATE).size == 0


def test_bare_samples_take_their_rate_from_the_list(tmp_path):
    path = tmp_path / "x.s16"
    path.write_bytes((tone(440, 0.5, 29_000) * 20_000).astype("<i2").tobytes())
    sound = load_clip(path, 29_000)
    assert abs(len(sound) / RATE - 0.5) < 0.01
    assert dominant(sound) == pytest.approx(440, abs=2)


def test_files_that_hold_no_sound_are_named(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"RIFF" + bytes(40))
    with pytest.raises(ClipError, match=r"x\.wav: cannot be decoded"):
        load_clip(tmp_path / "x.wav", RATE)
    (tmp_path / "x.s16").write_bytes(bytes(2000))
    with pytest.raises(ClipError, match=r"x\.s16: holds no sound"):
        load_clip(tmp_path / "x.s16", RATE)


def test_the_builder_shares_the_originals_out_without_straddling(tmp_path):
    bank = RecordingsBank(tmp_path, LISTED)
    assert set(bank.classes()) <= set(AUDIOSET)
    pools = share_out(bank, SyntheticBank(), 50)
    assert len(pools.esc50) == 14
    assert set(pools.borrowed) == {
        "Blender", "Dishes", "Electric_shaver_toothbrush", "Frying", "Vacuum_cleaner"
    }  # fmt: skip
    parts = [
        *([set(fold) for fold in folds] for folds in (*pools.esc50.values(), pools.esc_beds)),
        *([set(split) for split in of.values()] for of in (*pools.audioset.values(), pools.beds)),
        *([set(split) for split in of.values()] for of in pools.desed.values()),
    ]
    for split_apart in parts:
        assert sum(map(len, split_apart)) == len(set().union(*split_apart))
        assert all(split_apart)
    of_split: dict[str, set] = {split: set() for split in ("train", "validation", "test")}
    for of in (*pools.audioset.values(), *pools.desed.values()):
        for split, sources in of.items():
            of_split[split] |= set(sources)
    assert not of_split["train"] & of_split["test"]
    assert not of_split["train"] & of_split["validation"]
    assert not of_split["validation"] & of_split["test"]


def test_the_experiment_marks_what_is_spoken_by_the_builder():
    settings = config.load("config/recordings.yaml")
    kinds = {name: settings.data_kind(name) for name in settings.datasets}
    made = {name for name, kind in kinds.items() if kind == "synthetic"}
    assert made == {"speechcommands"}
    assert {kinds[name] for name in kinds if name not in made} == {"recordings"}
    settings = config.load("config/default.yaml")
    assert {settings.data_kind(name) for name in settings.datasets} == {"synthetic"}


def test_the_verb_prints_originals_per_class_and_split():
    lines = list(group_lines({"esc50": {"dog": {"fold 1": ["dog-1", "dog-2"], "fold 2": []}}}))
    assert lines == ["esc50: sources per class and split", "  dog: fold 1 2, fold 2 0"]
