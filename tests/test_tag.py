"""`python -m bench tag`: any file, any length, any checkpoint; or one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench.__main__ import main
from bench.experiment.config import FrontEnd
from bench.files import write_json
from bench.models import networks
from bench.models.card import Card
from bench.models.windows import stitch, window_samples, window_starts
from bench.tagging import tag
from modelkit.output import ModelOutput

RATE, CLASSES = 16000, ("bell", "cat", "dog")
LOGMEL = FrontEnd(
    kind="logmel", sample_rate=RATE, window=1024, hop=640, mels=32, fmin=50, fmax=8000, frames=125
)
FBANK = FrontEnd(
    kind="fbank", sample_rate=RATE, window=512, hop=320, mels=64, fmin=20, fmax=8000, frames=248,
    fill="zero", normalise=True,
)  # fmt: skip
KALDI = FrontEnd(
    kind="preemphasis", sample_rate=RATE, window=400, hop=160, mels=64, fmin=0, fmax=7000,
    log_floor=1e-7, frames=500, fill="silence", normalise=(-4.5, 2.5),
)  # fmt: skip
HTK = FrontEnd(
    kind="htk", sample_rate=RATE, window=512, hop=160, mels=64, fmin=0, fmax=8000, range_db=120,
    frames=501, fill="silence",
)  # fmt: skip
CANNOT_LOCALIZE = ("ast", "mn")
CARDS = {
    "htsat": Card("d/htsat", "htsat", {"preset": "tiny"}, LOGMEL, CLASSES, "bce", None),
    "pann": Card(
        "d/pann",
        "pann",
        {"preset": "tiny", "variant": "decision_max"},
        LOGMEL,
        CLASSES,
        "bce",
        None,
    ),
    "ast": Card("d/ast", "ast", {"preset": "tiny"}, FBANK, CLASSES, "ce", (-8.0, 4.0)),
    "mn": Card("d/mn", "mobilenet", {"preset": "tiny"}, KALDI, CLASSES, "bce", (-4.5, 2.5)),
    "fmn": Card(
        "d/fmn",
        "mobilenet",
        {"preset": "tiny", "variant": "fmn"},
        HTK,
        CLASSES,
        "bce",
        None,
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model.pt of each architecture, with random weights."""
    paths = {}
    for name, card in CARDS.items():
        torch.manual_seed(0)
        model = networks.construct(card.architecture, card.arguments, card.front_end, len(CLASSES))
        paths[name] = tmp_path_factory.mktemp(name) / "model.pt"
        networks.save_run(model, card, paths[name])
    return paths


def noise(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    shape = (round(seconds * rate), channels)
    return np.random.default_rng(0).normal(0, 0.1, shape).clip(-0.9, 0.9).astype(np.float32)


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["tag", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["tag", *map(str, arguments)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    return shown.err


@given(samples=st.integers(1, 4000), window=st.integers(1, 600))
def test_windows_overlap_and_cover_everything(samples: int, window: int) -> None:
    starts = window_starts(samples, window)
    assert starts[0] == 0
    assert starts[-1] + window == max(samples, window)
    gaps = np.diff(starts)
    assert (gaps > 0).all()
    assert (gaps <= max(1, window // 2)).all()


def test_a_window_fills_the_frames_of_its_front_end_exactly() -> None:
    for front_end in (LOGMEL, FBANK, HTK):
        frames = front_end.transform.frames
        assert frames(window_samples(front_end)) == front_end.frames
        assert frames(window_samples(front_end) - 1) < front_end.frames
    frames = KALDI.transform.frames  # a whole second's samples make a second's frames
    assert window_samples(KALDI) == KALDI.seconds * RATE
    assert frames(window_samples(KALDI)) == KALDI.frames < frames(window_samples(KALDI) + 1)


@given(samples=st.integers(100, 40_000), step=st.floats(0.05, 0.5), count=st.integers(2, 40))
def test_stitching_keeps_what_does_not_change_and_the_course_of_what_does(
    samples: int, step: float, count: int
) -> None:
    rate = 1000
    duration, window = samples / rate, max(1, int(count * step * rate))
    starts = [start / rate for start in window_starts(samples, window)]
    times = np.array(starts)[:, None] + (np.arange(count) + 0.5) * step
    scores = np.stack([np.full_like(times, 0.3), times], axis=-1)
    found = stitch(scores, starts, step, duration)
    assert len(found) == max(1, int(np.ceil(duration / step - 1e-6)))
    assert found[:, 0] == pytest.approx(0.3, abs=1e-5)
    axis = (np.arange(len(found)) + 0.5) * step
    inside = slice(1, len(found) - 2)  # where the last window begins between frames, ends lean in
    assert found[inside, 1] == pytest.approx(axis[inside], abs=step)


def test_one_window_is_left_as_it_is() -> None:
    frames = np.random.default_rng(0).random((1, 10, 3)).astype(np.float32)
    assert stitch(frames, [0.0], 0.5, 5.0) == pytest.approx(frames[0])
    assert stitch(frames, [0.0], 0.5, 3.2) == pytest.approx(frames[0, :7])


class Loud(nn.Module):
    """Knows one class: frames above a level, at 8 features frames per output."""

    def forward(self, features: torch.Tensor, augment: object = None) -> ModelOutput:
        level = features.mean(-1).unfold(1, 5, 5).mean(-1)
        frames = torch.stack([level + 60, torch.full_like(level, -9)], dim=-1)
        return ModelOutput(frames.mean(1), frames, 5 * 640 / RATE)


@pytest.mark.parametrize("onset", [0.0, 3.1, 20.4, 31.0])
def test_events_of_long_recordings_lie_on_the_real_time_axis(
    onset: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card("loud", "htsat", {}, LOGMEL, ("loud", "never"), "bce", None)
    monkeypatch.setattr(networks, "open_checkpoint", lambda path, entry: (Loud(), card))
    samples = noise(33.0) * 1e-5
    samples[round(onset * RATE) : round((onset + 2.0) * RATE)] *= 1e5
    soundfile.write(tmp_path / "long.wav", samples, RATE, subtype="FLOAT")
    tagged = tag.tag(tmp_path / "long.wav", tmp_path / "any.pt")
    (event,) = tagged.events
    assert event.label == "loud"
    assert event.onset == pytest.approx(onset, abs=0.21)
    assert event.offset == pytest.approx(onset + 2.0, abs=0.21)
    assert tagged.clip_scores[1] < 0.01


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("seconds", [0.1, 4.9, 4.97, 5.0, 5.1, 17.3])
def test_any_length(name: str, seconds: float, runs, tmp_path: Path, capsys) -> None:
    soundfile.write(tmp_path / "a.wav", noise(seconds), RATE)
    found = printed(capsys, tmp_path / "a.wav", "--checkpoint", runs[name])
    assert found["duration_s"] == pytest.approx(seconds)
    assert found["can_localize"] == (name not in CANNOT_LOCALIZE)
    assert [label["probability"] for label in found["labels"]] == sorted(
        (label["probability"] for label in found["labels"]), reverse=True
    )
    assert all(0 <= e["onset"] < e["offset"] <= seconds + 1e-6 for e in found["events"])
    if name == "ast":
        assert sum(label["probability"] for label in found["labels"]) == pytest.approx(1, abs=1e-4)


@pytest.mark.long
def test_an_hour(runs, tmp_path: Path, capsys) -> None:
    soundfile.write(tmp_path / "hour.flac", noise(3600.0), RATE)
    found = printed(capsys, tmp_path / "hour.flac", "--checkpoint", runs["htsat"])
    assert found["duration_s"] == 3600
    assert found["windows"] == 1451


FORMATS = {
    "pcm16.wav": ("WAV", "PCM_16", 1, 16000),
    "8bit.wav": ("WAV", "PCM_U8", 1, 8000),
    "float.wav": ("WAV", "FLOAT", 2, 48000),
    "surround.wav": ("WAVEX", "PCM_24", 6, 44100),
    "stereo.flac": ("FLAC", "PCM_16", 2, 44100),
    "stereo.ogg": ("OGG", "VORBIS", 2, 22050),
    "mono.mp3": ("MP3", "MPEG_LAYER_III", 1, 44100),
}


@pytest.mark.parametrize("name", FORMATS)
def test_any_format(name: str, runs, tmp_path: Path, capsys) -> None:
    container, subtype, channels, rate = FORMATS[name]
    path = tmp_path / name
    soundfile.write(path, noise(6.0, rate, channels), rate, format=container, subtype=subtype)
    found = printed(capsys, path, "--checkpoint", runs["htsat"], "--threshold", 0.01)
    assert found["duration_s"] == pytest.approx(6.0, abs=0.1)
    assert {event["label"] for event in found["events"]} == set(CLASSES)
    assert found["threshold_source"] == "given"


def test_silence_is_tagged_and_named(runs, tmp_path: Path, capsys) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE * 6), RATE)
    found = printed(capsys, tmp_path / "silence.wav", "--checkpoint", runs["pann"])
    assert found["notes"] == ["the recording is silent"]


def test_bad_audio_is_one_line(runs, tmp_path: Path, capsys) -> None:
    def check(name: str, reason: str) -> None:
        shown = refused(capsys, tmp_path / name, "--checkpoint", runs["htsat"])
        assert reason in shown
        assert shown.count("\n") == 1

    check("absent.wav", "absent.wav: cannot be read")
    (tmp_path / "text.wav").write_text("not audio at all\n" * 50)
    check("text.wav", "not decodable")
    (tmp_path / "empty.wav").write_bytes(b"")
    check("empty.wav", "empty file")
    check(".", "not decodable")
    spoiled = noise(2.0)
    spoiled[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", spoiled, RATE, subtype="FLOAT")
    check("nan.wav", "1 samples are NaN")
    soundfile.write(tmp_path / "no_samples.wav", np.zeros(0), RATE)
    check("no_samples.wav", "no samples")
    for name in ("cut.wav", "cut.flac", "cut.ogg"):
        soundfile.write(tmp_path / name, noise(4.0), RATE)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        check(name, "truncated" if name != "cut.flac" else name)


def test_bad_checkpoints_and_arguments_are_one_line(runs, tmp_path: Path, capsys) -> None:
    audio = tmp_path / "a.wav"
    soundfile.write(audio, noise(1.0), RATE)

    def check(reason: str, *arguments: object) -> None:
        assert reason in refused(capsys, audio, "--checkpoint", *arguments)

    check("no such checkpoint file", tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("hello")
    check("not a readable PyTorch checkpoint", tmp_path / "text.pt")
    with open(tmp_path / "linear.pt", "wb") as file:
        np.savez(file, weights=np.zeros(3))
    check("holds a linear baseline", tmp_path / "linear.pt")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "unknown.pt")
    check("say which one it is with --as", tmp_path / "unknown.pt")
    check("nearest: htsat-audioset", tmp_path / "unknown.pt", "--as", "htsat-audio")
    check("front-end entry", tmp_path / "unknown.pt", "--as", "pann-cnn14")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "pickle.pt")
    check("refused, because it asks for more", tmp_path / "pickle.pt")
    state = torch.load(runs["htsat"], weights_only=True)
    del state["state_dict"]["bn0.weight"]
    torch.save(state, tmp_path / "short.pt")
    check("bn0.weight", tmp_path / "short.pt")
    state["card"]["front_end"]["hops"] = 3
    torch.save(state, tmp_path / "foreign.pt")
    check("another version", tmp_path / "foreign.pt")
    check("must lie between 0 and 1", runs["htsat"], "--threshold", "7")
    check("must be at least 1", runs["htsat"], "--top", "0")
    check("ends in .png", runs["htsat"], "--picture", tmp_path / "out.txt")


def test_a_runs_own_thresholds_are_used(runs, tmp_path: Path, capsys) -> None:
    soundfile.write(tmp_path / "a.wav", noise(3.0), RATE)
    (tmp_path / "model.pt").write_bytes(runs["htsat"].read_bytes())
    point = {
        "source": "best F1",
        "classes": list(CLASSES),
        "thresholds": [0.001, 0.999, 0.999],
        "median_filters": [1, 3, 1],
    }
    write_json(tmp_path / "record.json", {"localization": {"operating_point": point}})
    found = printed(capsys, tmp_path / "a.wav", "--checkpoint", tmp_path / "model.pt")
    assert [event["label"] for event in found["events"]] == ["bell"]
    assert found["events"][0]["offset"] == pytest.approx(3.0)
    assert found["thresholds"]["cat"] == 0.999
    assert found["threshold_source"] == "best F1"


@pytest.mark.parametrize("name", CARDS)
def test_tables_and_picture(name: str, runs, tmp_path: Path, capsys) -> None:
    import matplotlib.image

    soundfile.write(tmp_path / "a.wav", noise(12.0), RATE)
    picture = tmp_path / "out.png"
    arguments = ["--threshold", "0.4", "--picture", str(picture)]
    assert main(["tag", str(tmp_path / "a.wav"), "--checkpoint", str(runs[name]), *arguments]) == 0
    shown = capsys.readouterr().out
    assert "12.00 s" in shown
    assert ("cannot localize" in shown) == (name in CANNOT_LOCALIZE)
    pixels = matplotlib.image.imread(picture)
    assert pixels.shape[1] == 1350
    assert pixels[..., :3].std() > 0.1
