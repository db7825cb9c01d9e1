"""Piczak's baselines: the features as librosa makes them, the decisions as scikit-learn's."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from baselines.classic import Classic, Forest, NearestNeighbours, SupportVectors
from bench.audio.cepstra import crossing_rates
from bench.audio.frontend import Transform
from bench.results import published
from bench.results.claim import entry_beside

SIZES = {"frames": 20, "mels": 4, "seconds": 1.0}
CEPSTRA = {"kind": "cepstra", "sample_rate": 44100, "window": 2048, "hop": 512, "mels": 13,
           "fmin": 0.0, "fmax": 22050.0}  # fmt: skip


def clips(classes: int, each: int, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    centres = rng.normal(0, 1, (classes, 1, 4))
    features = centres[labels] + rng.normal(0, 1.5, (len(labels), 20, 4))
    return torch.from_numpy(features.astype(np.float32)), labels


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(
    ("build", "peer"),
    [
        (NearestNeighbours, lambda: KNeighborsClassifier(8)),
        (SupportVectors, lambda: SVC(kernel="linear", C=0.1)),
        (Forest, lambda: RandomForestClassifier(30, random_state=20150420)),
    ],
)
def test_decisions_are_those_of_scikit_learn(build, peer, classes: int) -> None:
    arguments = {"trees": 30} if build is Forest else {}
    model: Classic = build(classes, **SIZES, **arguments)
    assert not model(clips(classes, 3)[0]).clip_logits.isnan().any()  # before it is fitted
    features, labels = clips(classes, 20)
    x = model.summary(features).numpy()
    model.solve(x, np.eye(classes)[labels], exclusive=True)
    other, _ = clips(classes, 50, seed=1)
    ours = model(other).clip_logits
    theirs = peer().fit(x, labels)
    expected = theirs.predict(model.summary(other).numpy())
    assert ours.argmax(dim=1).tolist() == expected.tolist()
    assert ours.exp().sum(dim=1).allclose(torch.ones((), dtype=torch.float64), atol=1e-6)
    if build is Forest:
        shares = theirs.predict_proba(model.summary(other).numpy())
        assert np.allclose(ours.exp().numpy(), shares.clip(1e-9))
    again: Classic = build(classes, **SIZES, **arguments)
    again.fit_shapes(model.state_dict())
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(other).clip_logits, ours)


def test_too_little_to_fit_is_refused() -> None:
    features, labels = clips(3, 2)
    x = Classic.summary(features).numpy()
    with pytest.raises(ValueError, match="6 training clips are fewer than 8 neighbours"):
        NearestNeighbours(3, **SIZES).solve(x, np.eye(3)[labels], exclusive=True)
    with pytest.raises(ValueError, match="3 of 4 classes have training clips"):
        SupportVectors(4, **SIZES).solve(x, np.eye(4)[labels], exclusive=True)


@pytest.fixture
def sound() -> np.ndarray:
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.1, 44100) * np.hanning(44100)
    sound[:8000] = 0
    return sound.astype(np.float32)


def test_cepstra_are_those_of_librosa(sound: np.ndarray) -> None:
    front_end = Transform(**CEPSTRA)
    found = front_end.features(sound)
    assert found.shape == (front_end.frames_of(len(sound)), 13) == (87, 13)
    raw = ((np.rint(sound * 32768) + 0.5) / 32767.5).astype(np.float32)  # as Piczak reads 16 bits
    mfcc = librosa.feature.mfcc(y=raw, sr=44100, n_mfcc=13)[1:].T
    inner = slice(3, -3)  # librosa pads with zeros since 0.10, and reflected what it heard before
    assert np.allclose(found[inner, :12], mfcc[inner], atol=0.05)
    frames = [raw[start : start + 512] for start in range(0, len(raw), 512)]
    rates = [np.mean(0.5 * np.abs(np.diff(np.sign(frame)))) for frame in frames]
    assert np.allclose(found[:, 12], rates)


def test_a_whole_number_of_frames_has_no_crossings_after_its_end() -> None:
    assert crossing_rates(np.array([1.0, -1.0, 1.0, 1.0]), 2, 3).tolist() == [1, 0, 0]


def test_statistics_are_in_the_order_of_the_published_table() -> None:
    features = clips(2, 3)[0].numpy().astype(np.float64)
    mean, std = features.mean(axis=1), features.std(axis=1)
    expected = np.c_[mean[:, :3], std[:, :3], mean[:, 3], std[:, 3]]
    assert np.allclose(Classic.summary(torch.from_numpy(features)).numpy(), expected)


def test_a_waveform_is_cut_or_padded_to_a_length(sound: np.ndarray) -> None:
    front_end = Transform(**CEPSTRA, fit_to_s=2.0)
    assert len(front_end.features(sound)) == front_end.frames_of(len(sound)) == 173
    longer = np.concatenate([sound] * 3)
    assert np.array_equal(front_end.features(longer), front_end.features(longer[:88200]))
    padded = np.concatenate([sound, np.zeros(44100, np.float32)])
    assert np.array_equal(front_end.features(sound), front_end.features(padded))
    with pytest.raises(ValueError, match="kind cepstra makes 13 values"):
        Transform(**{**CEPSTRA, "mels": 26})


def test_published_folds_are_compared_fold_by_fold() -> None:
    entries = {entry.beside: entry for entry in published.load() if entry.folds}
    assert set(entries) == {"piczak-knn", "piczak-svm", "piczak-forest", "piczak-cnn"}
    for entry in entries.values():
        assert entry.figures["accuracy"] == pytest.approx(np.mean(entry.folds), abs=0.1)
    forest = entries["piczak-forest"]
    own = [share / 100 for share in forest.folds]

    def kind(figures: list[float]) -> str:
        kept = [x - published._above_mean(forest, fold) for fold, x in enumerate(figures)]
        verdict = published.compare(kept, 0.727, 0.005, folds=range(5), test_share=0.25)
        return verdict.kind

    assert kind(own) == "reproduced"
    assert kind([x + 0.03 for x in own]) == "better"
    assert kind(own[::-1]) == "inconclusive"


HANDED = Path(__file__).resolve().parents[2] / "shared" / "data"
ARCHIVE = HANDED / "ESC-10-553c8f1743b9dba6b282e1323c3ca8fa76923448.zip"


@pytest.mark.long
@pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"{ARCHIVE} is not there")
def test_the_published_folds_are_those_of_the_real_clips() -> None:
    front_end = Transform(**CEPSTRA, fit_to_s=5.0)
    rows, labels, folds = [], [], []
    with zipfile.ZipFile(ARCHIVE) as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".ogg")):
            sound, _ = soundfile.read(io.BytesIO(archive.read(name)), dtype="float32")
            features = torch.from_numpy(front_end.features(sound)[None])
            rows.append(Classic.summary(features).numpy()[0])
            _, label, clip = name.split("/")
            labels.append(int(label[:3]) - 1)
            folds.append(int(clip[0]))
    x, y, fold = np.array(rows), np.eye(10)[labels], np.array(folds)
    for name, build in (("knn", NearestNeighbours), ("svm", SupportVectors), ("forest", Forest)):
        found = []
        for tested in range(1, 6):
            model = build(10, frames=431, mels=13, seconds=5.0)
            model.solve(x[fold != tested], y[fold != tested], exclusive=True)
            chosen = model.probabilities(torch.from_numpy(x[fold == tested])).argmax(dim=1)
            found.append(100 * np.mean(chosen.numpy() == y[fold == tested].argmax(axis=1)))
        allowed = 2.5 if name == "forest" else 0.06  # two clips of 80; published ones are cut
        expected = entry_beside(f"piczak-{name}", "ESC-10").folds
        assert np.allclose(found, expected, rtol=0, atol=allowed + 1e-9), name
