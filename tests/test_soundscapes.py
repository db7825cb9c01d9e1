"""Soundscapes mixed from recordings: what is heard when, from which folds, and made once."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile

from bench.corpora import load
from bench.corpora.soundscapes import BEDS, heard_in
from bench.experiment.config import DataKind
from bench.files import UserError
from bench.reporting.context import BANNERS
from bench.results.names import DATA
from synth.synth import RATE

LABELS = (*BEDS, "Baby cry", "Chainsaw", "Dog bark")
SIZES = {"weak": 6, "strong": 6, "validation": 4, "test": 6, "seconds": 4.0}
BURSTS = ((0.5, 0.8), (1.6, 2.0))


def pitch(number: int, fold: int) -> int:
    """Hz: every class and fold has its own."""
    return 400 * fold + 50 * number


def folds_heard(path: Path) -> set[int]:
    """The folds of the tones in a soundscape: lines far above their surroundings."""
    sound, rate = soundfile.read(path)
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / rate)

    def stands_out(tone: int) -> bool:
        away = np.abs(hertz - tone)
        around = np.median(power[(away > 4) & (away < 20)])
        return bool(power[away < 2].max() > 100 * around)

    return {fold for fold in range(1, 6) for n in range(len(LABELS)) if stands_out(pitch(n, fold))}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A clip for every class and fold: two bursts of a tone, in beds a steady one in noise."""
    root, rate = tmp_path / "esc10", 8000
    for number, label in enumerate(LABELS):
        for fold in range(1, 6):
            rng = np.random.default_rng([number, fold])
            times = np.arange(3 * rate) / rate
            tone = np.sin(2 * np.pi * pitch(number, fold) * times)
            if label in BEDS:
                sound = 0.1 * (rng.standard_normal(len(times)) + tone)
            else:
                sound = 0.5 * tone * sum((a <= times) & (times < b) for a, b in BURSTS)
            path = root / f"{number:03d} - {label}" / f"{fold}-{100 * number + fold}-A.ogg"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound, rate)
    return root


def test_every_kind_of_data_has_words_in_the_report() -> None:
    assert set(get_args(DataKind)) == set(DATA) == set(BANNERS)


def test_what_is_heard_is_told_apart_by_its_pauses() -> None:
    times = np.arange(3 * RATE) / RATE
    tone = np.sin(2 * np.pi * 440 * times) * sum((a <= times) & (times < b) for a, b in BURSTS)
    assert np.allclose(heard_in(tone), BURSTS, atol=0.05)
    (one,) = heard_in(np.sin(2 * np.pi * 440 * times))
    assert one == pytest.approx((0, 3), abs=0.05)


def test_soundscapes_have_the_times_of_their_sounds(clips: Path, tmp_path: Path) -> None:
    corpus = load("soundscapes", clips, into=str(tmp_path / "mixed"), **SIZES)
    assert corpus.classes == ("Baby cry", "Chainsaw", "Dog bark")
    assert corpus.clips["split"].value_counts().to_dict() == {
        "train": 12, "validation": 4, "test": 6,
    }  # fmt: skip
    assert corpus.clips["strong"].sum() == 16
    assert corpus.events is not None
    assert corpus.events["onset"].min() >= 0
    assert corpus.events["offset"].max() <= 4.05
    quiet, loud = [], []
    for row in corpus.clips[corpus.clips["strong"]].itertuples():
        sound, rate = soundfile.read(corpus.root / row.path)
        inside = np.zeros(len(sound), bool)
        for event in corpus.events[corpus.events["filename"] == row.clip].itertuples():
            inside[round(event.onset * rate) : round(event.offset * rate)] = True
        if inside.any() and not inside.all():
            quiet.append(np.mean(sound[~inside] ** 2))
            loud.append(np.mean(sound[inside] ** 2))
    assert len(loud) > 8
    assert np.all(np.array(loud) > 2 * np.array(quiet))
    heard = {
        split: [folds_heard(corpus.root / path) for path in own["path"]]
        for split, own in corpus.clips.groupby("split")
    }
    assert all(heard["train"])
    assert set().union(*heard["train"]) == {1, 2, 3}
    assert all(folds == {4} for folds in heard["validation"])
    assert all(folds == {5} for folds in heard["test"])


def test_soundscapes_are_mixed_once_and_anew_from_other_clips(clips: Path, tmp_path: Path) -> None:
    def made() -> dict[str, int]:
        corpus = load("soundscapes", clips, into=str(tmp_path / "mixed"), **SIZES)
        return {p: (corpus.root / p).stat().st_mtime_ns for p in corpus.clips["path"]}

    first = made()
    assert made() == first
    bark = next((clips / "005 - Dog bark").iterdir())
    soundfile.write(bark, np.random.default_rng(0).uniform(-0.1, 0.1, 8000), 8000)
    again = made()
    assert again.keys() == first.keys()
    assert all(again[path] > first[path] for path in first)


def test_soundscapes_refuse_a_folder_of_others_and_a_class_without_clips(
    clips: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match=r"mine: holds files.*soundscapes\.options\.into"):
        load("soundscapes", clips, into=str(tmp_path / "mine"), **SIZES)
    with pytest.raises(UserError, match=r"soundscapes\.options: seconds: .*greater .* 4"):
        load("soundscapes", clips, into=str(tmp_path / "mixed"), seconds=3)
    next((clips / "001 - Rain").glob("4-*")).unlink()
    with pytest.raises(UserError, match="no clip of 'Rain' in folds 4"):
        load("soundscapes", clips, into=str(tmp_path / "mixed"), **SIZES)
