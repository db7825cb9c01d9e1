"""`python -m bench tag`: any file, any length, any checkpoint; or one clear line."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from factories import record_values
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench.__main__ import main
from bench.audio.decode import decode
from bench.data import recording
from bench.data.windows import drawn_windows, stitch, window_samples, window_starts
from bench.experiment.config import FrontEnd, load
from bench.models import networks
from bench.models.card import Card
from bench.results.record import Record
from bench.tagging import tag
from modelkit.output import ModelOutput

ROOT = Path(__file__).resolve().parent.parent
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
CANNOT_LOCALIZE = ("ast", "mn", "linear")
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
    "linear": Card("d/linear", "linear", {}, LOGMEL, CLASSES, "bce", None),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model.pt of each architecture, with random weights."""
    paths = {}
    for name, card in CARDS.items():
        torch.manual_seed(0)
        model = networks.construct(card.architecture, card.arguments, card.front_end, len(CLASSES))
        if name == "linear":  # solved elsewhere; here it gets any numbers
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter)
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


@given(length=st.integers(1, 4000), frames=st.integers(1, 600))
def test_windows_overlap_and_cover_everything(length: int, frames: int) -> None:
    starts = window_starts(length, frames)
    assert starts[0] == 0
    if length <= frames + 1:
        assert starts == [0]
        return
    assert starts[-1] + frames == length
    gaps = np.diff(starts)
    assert (gaps > 0).all()
    assert (gaps <= max(1, frames // 2)).all()


@given(lengths=st.lists(st.integers(1, 400), min_size=1), frames=st.integers(1, 100))
def test_drawn_windows_lie_anywhere_in_longer_clips_and_begin_the_others(
    lengths: list[int], frames: int
) -> None:
    every = np.repeat(lengths, 50)
    starts = drawn_windows(every, frames, np.random.default_rng(0))
    longer = every > frames + 1
    assert not starts[~longer].any()
    assert (starts >= 0).all()
    assert (starts[longer] + frames <= every[longer]).all()


def test_every_window_of_a_clip_is_drawn() -> None:
    starts = drawn_windows(np.full(2000, 14), 10, np.random.default_rng(0))
    assert np.unique(starts).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("profile", ["default", "paper"])
def test_a_clip_of_the_trained_length_is_one_window(profile: str) -> None:
    for dataset in load(ROOT / "config" / f"{profile}.yaml").datasets.values():
        for front_end in dataset.front_ends.values():
            samples = round(front_end.seconds * front_end.sample_rate)
            made = front_end.frames_of(samples)
            assert window_starts(made, front_end.frames) == [0]


def test_a_window_fills_the_frames_of_its_front_end_exactly() -> None:
    for front_end in (LOGMEL, FBANK, HTK):
        frames = front_end.frames_of
        assert frames(window_samples(front_end)) == front_end.frames
        assert frames(window_samples(front_end) - 1) < front_end.frames
    frames = KALDI.frames_of  # a whole second's samples make a second's frames
    assert window_samples(KALDI) == KALDI.seconds * RATE
    assert frames(window_samples(KALDI)) == KALDI.frames < frames(window_samples(KALDI) + 1)


@given(length=st.integers(2, 400), step=st.floats(0.05, 0.5), count=st.integers(2, 40))
def test_stitching_keeps_what_does_not_change_and_the_course_of_what_does(
    length: int, step: float, count: int
) -> None:
    """A model gives `count` frames of `step` seconds for windows of 10 times as many features."""
    starts = [start * step / 10 for start in window_starts(length * 10, count * 10)]
    times = np.array(starts)[:, None] + (np.arange(count) + 0.5) * step
    scores = np.stack([np.full_like(times, 0.3), times], axis=-1)
    found = stitch(scores, starts, step)
    assert len(found) == max(count, length)
    assert found[:, 0] == pytest.approx(0.3, abs=1e-5)
    axis = (np.arange(len(found)) + 0.5) * step
    inside = slice(1, len(found) - 2)  # where the last window begins between frames, ends lean in
    assert found[inside, 1] == pytest.approx(axis[inside], abs=step)


def test_one_window_is_left_as_it_is() -> None:
    frames = np.random.default_rng(0).random((1, 10, 3)).astype(np.float32)
    assert np.array_equal(stitch(frames, [0.0], 0.5), frames[0])


class Loud(nn.Module):
    """Knows one class: frames above a level, at 5 feature frames per output."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(60.0))

    def forward(self, features: torch.Tensor, augment: object = None) -> ModelOutput:
        level = features.mean(-1).unfold(1, 5, 5).mean(-1)
        frames = torch.stack([level + self.level, torch.full_like(level, -9)], dim=-1)
        return ModelOutput(frames.mean(1), frames, 5 * 640 / RATE)


@pytest.mark.parametrize("onset", [0.0, 3.1, 20.4, 31.0])
def test_events_of_long_recordings_lie_on_the_real_time_axis(
    onset: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card("loud", "htsat", {}, LOGMEL, ("loud", "never"), "bce", None)
    monkeypatch.setattr(networks, "open_checkpoint", lambda *_: (Loud(), card))
    samples = noise(33.0) * 1e-5
    samples[round(onset * RATE) : round((onset + 2.0) * RATE)] *= 1e5
    soundfile.write(tmp_path / "long.wav", samples, RATE, subtype="FLOAT")
    tagged = tag.tag(tmp_path / "long.wav", tmp_path / "any.pt")
    (event,) = tagged.events
    assert event.label == "loud"
    assert event.onset == pytest.approx(onset, abs=0.21)
    assert event.offset == pytest.approx(onset + 2.0, abs=0.21)
    assert tagged.clip_scores[1] < 0.01


@pytest.mark.parametrize("shift", [5.0, -5.0])
def test_events_of_a_single_label_model_hold_its_softmax(
    shift: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One number added to all logits changes nothing, and one class sounds at a time."""
    card = Card("d/h", "htsat", {"preset": "tiny"}, LOGMEL, tuple("abcd"), "ce", None)
    soundfile.write(tmp_path / "a.wav", noise(17.3), RATE)
    torch.manual_seed(0)
    model = networks.construct("htsat", card.arguments, LOGMEL, 4)
    found = []
    for added in (0.0, shift):
        with torch.no_grad():
            model.tscam_conv.bias += added
        networks.save_run(model, card, tmp_path / "model.pt")
        found.append(tag.tag(tmp_path / "a.wav", tmp_path / "model.pt", threshold=0.25))
    first, second = found
    assert first.events
    assert first.frame_scores.sum(axis=1) == pytest.approx(1.0, abs=2e-3)
    assert second.frame_scores == pytest.approx(first.frame_scores, abs=2e-3)
    for tagged in found:
        for before, after in itertools.pairwise(tagged.events):
            assert before.onset < before.offset <= after.onset


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
    assert found["windows"] == 1451  # 90,001 frames in windows of 125


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
    (tmp_path / "folder").mkdir()
    check("folder", "no audio in this folder")
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


def test_folders_and_files_fill_one_csv(runs, tmp_path: Path, capsys) -> None:
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    names = [tmp_path / "in" / "a.wav", tmp_path / "in" / "deeper" / "b.flac", tmp_path / "c.ogg"]
    for name in names:
        soundfile.write(name, noise(7.0), RATE)
    call = ["tag", tmp_path / "in", names[2], names[0], "--checkpoint", runs["htsat"]]
    call += ["--threshold", 0.01, "--top", 2, "--csv", tmp_path / "out.csv"]
    assert main([*map(str, call)]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "100% 3 of 3 recordings" in shown.err
    rows = pd.read_csv(tmp_path / "out.csv")
    assert list(dict.fromkeys(rows["recording"])) == [str(name) for name in names]
    assert rows.groupby("recording")["kind"].value_counts().unstack()["clip"].tolist() == [2] * 3
    alone = printed(capsys, names[1], "--checkpoint", runs["htsat"], "--threshold", 0.01)
    events = rows[(rows["recording"] == str(names[1])) & (rows["kind"] == "event")]
    assert events["label"].tolist() == [event["label"] for event in alone["events"]]
    assert events["score"].tolist() == [event["score"] for event in alone["events"]]
    assert len(events) > 0

    (tmp_path / "in" / "bad.wav").write_bytes(b"")
    assert main([*map(str, call)]) == 2  # the others are written all the same
    assert "bad.wav: empty file" in capsys.readouterr().err
    assert pd.read_csv(tmp_path / "out.csv").equals(rows)


def test_names_that_are_not_utf8_fill_a_csv_and_what_is_left_out_of_a_folder_is_told(
    runs, tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    latin = os.fsdecode(os.fsencode(folder) + b"/caf\xe9.wav")
    for name in ("a.wav", os.path.basename(latin)):
        soundfile.write(tmp_path / "new.wav", noise(1.0), RATE)
        (tmp_path / "new.wav").rename(folder / name)
    for name in ("b.m4a", "c.m4a", "notes.txt"):
        (folder / name).write_bytes(b"x")
    call = ["tag", str(folder), latin, "--checkpoint", str(runs["htsat"])]
    assert main([*call, "--csv", str(tmp_path / "out.csv")]) == 0
    told = capsys.readouterr().err
    assert "left out b.m4a and 1 more" in told
    assert r"left out caf\xe9.wav (" in told
    names = pd.read_csv(tmp_path / "out.csv")["recording"]
    assert list(dict.fromkeys(names)) == [f"{folder}/a.wav", rf"{folder}/caf\xe9.wav"]
    assert main([*call, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[1]["audio"] == rf"{folder}/caf\xe9.wav"


def test_bad_checkpoints_and_arguments_are_one_line(runs, tmp_path: Path, capsys) -> None:
    audio = tmp_path / "a.wav"
    soundfile.write(audio, noise(1.0), RATE)

    def check(reason: str, *arguments: object) -> None:
        assert reason in refused(capsys, audio, "--checkpoint", *arguments)

    check("no such checkpoint file", tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("hello")
    check("not a readable PyTorch checkpoint", tmp_path / "text.pt")
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


@pytest.mark.parametrize("where", ["weights", "outputs"])
def test_scores_that_are_no_numbers_are_one_line(
    where: str, runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1.0), RATE)
    content = torch.load(runs["htsat"], weights_only=True)
    if where == "weights":
        content["state_dict"]["tscam_conv.bias"][0] = np.nan
    else:
        content["state_dict"]["bn0.weight"].fill_(3e38)  # finite, but what follows is not
    content["card"]["loss"] = "ce"
    torch.save(content, tmp_path / "nan.pt")
    shown = refused(capsys, tmp_path / "a.wav", "--checkpoint", tmp_path / "nan.pt")
    assert f"{tmp_path}/nan.pt" in shown
    assert "NaN" in shown
    assert ("tscam_conv.bias" in shown) == (where == "weights")


@pytest.mark.parametrize("name", [b"caf\xe9.wav", "日本 $x$ & <b>.wav".encode(), b"a\x07 $.wav"])
def test_any_file_name_is_tagged_and_drawn(name: bytes, runs, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1.0), RATE)
    os.rename(tmp_path / "a.wav", os.path.join(os.fsencode(tmp_path), name))
    for kind in ("png", "svg"):
        done = subprocess.run(
            [sys.executable, "-m", "bench", "tag", name, "--checkpoint", runs["pann"],
             "--picture", tmp_path / f"out.{kind}"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"1.00 s" in done.stdout
    ElementTree.parse(tmp_path / "out.svg")


def test_names_are_text_in_pictures(tmp_path: Path) -> None:
    """A pair of $ is no formula, wherever a class or a model has one in its name."""
    classes = ("$\\frac{$ & <b>", "_hidden", "100% $x$")
    card = Card("d/$\\bad{$", "pann", {**CARDS["pann"].arguments}, LOGMEL, classes, "bce", None)
    torch.manual_seed(0)
    model = networks.construct("pann", card.arguments, LOGMEL, 3)
    networks.save_run(model, card, tmp_path / "model.pt")
    soundfile.write(tmp_path / "$a_{$.wav", noise(2.0), RATE)
    arguments = ["--checkpoint", str(tmp_path / "model.pt"), "--threshold", "0.1", "--picture"]
    for kind in ("png", "svg", "pdf"):
        assert main(["tag", str(tmp_path / "$a_{$.wav"), *arguments, f"{tmp_path}/o.{kind}"]) == 0
    drawn = (tmp_path / "o.svg").read_text()
    assert all(f"<!-- {text} -->" in drawn for text in ("100% $x$", " hidden"))


def test_a_picture_shows_the_recording_once_where_a_front_end_repeats(tmp_path: Path) -> None:
    repeating = LOGMEL.model_copy(update={"repeat_to_s": 5.0})
    card = Card("d/h", "htsat", {"preset": "tiny"}, repeating, CLASSES, "bce", None)
    torch.manual_seed(0)
    model = networks.construct("htsat", card.arguments, repeating, 3)
    networks.save_run(model, card, tmp_path / "model.pt")
    soundfile.write(tmp_path / "a.wav", noise(2.0), RATE)
    tagged = tag.tag(tmp_path / "a.wav", tmp_path / "model.pt")
    assert tagged.windows == 1
    assert len(tagged.features) == 1 + 2 * RATE // 640


def test_several_files_are_a_line_of_json_each(runs, tmp_path: Path, capsys) -> None:
    names = [str(tmp_path / f"{number}.wav") for number in range(3)]
    for number, name in enumerate(names, start=1):
        soundfile.write(name, noise(number), RATE)
    assert main(["tag", *names, "--checkpoint", str(runs["htsat"]), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["audio"] for line in lines] == names
    assert [line["duration_s"] for line in lines] == [1, 2, 3]
    picture = ["--picture", str(tmp_path / "out.png")]
    assert "one recording" in refused(capsys, *names, "--checkpoint", runs["htsat"], *picture)


def test_a_runs_own_thresholds_are_used(runs, tmp_path: Path, capsys) -> None:
    soundfile.write(tmp_path / "a.wav", noise(3.0), RATE)
    (tmp_path / "model.pt").write_bytes(runs["htsat"].read_bytes())
    point = {
        "source": "best F1",
        "classes": list(CLASSES),
        "thresholds": [0.001, 0.999, 0.999],
        "median_filters": [1, 3, 1],
    }
    located = {"can_localize": True, "operating_point": point, "seconds_per_frame": 0.1}
    values = {**record_values(), "key": CARDS["htsat"].name, "localization": located}
    record = Record.model_validate(values)
    record.write(tmp_path / "record.json")
    found = printed(capsys, tmp_path / "a.wav", "--checkpoint", tmp_path / "model.pt")
    assert [event["label"] for event in found["events"]] == ["bell"]
    assert found["events"][0]["offset"] == pytest.approx(3.0)
    assert found["thresholds"]["cat"] == 0.999
    assert found["threshold_source"] == "best F1"
    record.model_copy(update={"key": "desed/htsat/base/seed7"}).write(tmp_path / "other.json")
    for other in ((tmp_path / "other.json").read_text(), "[]"):  # not of these weights
        (tmp_path / "record.json").write_text(other)
        found = printed(capsys, tmp_path / "a.wav", "--checkpoint", tmp_path / "model.pt")
        assert set(found["thresholds"].values()) == {0.5}


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


def test_code_outside_of_this_project_runs_only_where_a_person_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "imported"
    (tmp_path / "foreign_net.py").write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\nfrom htsat import HTSAT as Net\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = networks.construct("htsat", {"preset": "tiny"}, LOGMEL, len(CLASSES))
    card = replace(CARDS["htsat"], architecture="foreign_net:Net")
    networks.save_run(model, card, tmp_path / "model.pt")
    soundfile.write(tmp_path / "a.wav", noise(1.0), RATE)
    said = refused(capsys, tmp_path / "a.wav", "--checkpoint", tmp_path / "model.pt")
    assert "its model is 'foreign_net:Net'" in said
    assert "--plugin foreign_net:Net" in said
    assert not mark.exists()
    named = ["--plugin", "foreign_net:Net"]
    printed(capsys, tmp_path / "a.wav", "--checkpoint", tmp_path / "model.pt", *named)
    assert mark.exists()


@pytest.mark.parametrize(
    "card",
    [
        {},
        [],
        7,
        {"classes": "abc"},
        {"classes": [1, 2, 3]},
        {"architecture": 7},
        {"loss": "mse"},
        {"scale": [1.0]},
        {"scale": ["a", "b"]},
        {"arguments": [1]},
        {"front_end": {}},
        {"front_end": None},
        {"arguments": {"preset": "huge"}},
    ],
)
def test_malformed_cards_are_one_line(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], card: Any
) -> None:
    content = torch.load(runs["htsat"], weights_only=True)
    content["card"] = {**content["card"], **card} if card and isinstance(card, dict) else card
    torch.save(content, tmp_path / "model.pt")
    soundfile.write(tmp_path / "a.wav", noise(0.5), RATE)
    said = refused(capsys, tmp_path / "a.wav", "--checkpoint", tmp_path / "model.pt")
    assert said.count(str(tmp_path / "model.pt")) == 1


@pytest.mark.parametrize("state", [{}, [], 7, {"a": 1}, {"a": None}, {1: torch.zeros(1)}])
def test_malformed_state_dicts_are_one_line(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], state: Any
) -> None:
    content = torch.load(runs["htsat"], weights_only=True) | {"state_dict": state}
    torch.save(content, tmp_path / "model.pt")
    soundfile.write(tmp_path / "a.wav", noise(0.5), RATE)
    assert "model.pt" in refused(capsys, tmp_path / "a.wav", "--checkpoint", tmp_path / "model.pt")


@pytest.mark.parametrize("front_end", [LOGMEL, FBANK, KALDI, HTK], ids=lambda f: f.kind)
def test_hours_of_sound_are_read_in_parts_that_join(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, front_end: FrontEnd
) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(47.3, 44100), 44100)
    whole = recording.hear(path, front_end)
    asked: list[float | None] = []

    def decoded(*arguments: Any, **options: Any) -> Any:
        asked.append(options.get("duration_s"))
        return decode(*arguments, **options)

    monkeypatch.setattr(recording, "decode", decoded)
    monkeypatch.setattr(recording, "PART_S", 10.0)
    parts = recording.hear(path, front_end)
    assert len(asked) == 4
    assert all(seconds is None or seconds <= 12 for seconds in asked)
    assert parts.duration_s == pytest.approx(47.3)
    assert parts.features.shape == whole.features.shape
    apart = np.abs(parts.features.astype(np.float32) - whole.features.astype(np.float32))
    assert np.quantile(apart, 0.999) < 0.02


def test_no_output_replaces_what_is_read(runs, tmp_path: Path, capsys) -> None:
    audio, model = tmp_path / "in.wav", tmp_path / "model.pt"
    soundfile.write(audio, np.zeros(1600), 16000)
    model.write_bytes(b"weights")
    (tmp_path / "link.csv").symlink_to(audio)
    os.mkfifo(tmp_path / "pipe.csv")
    before = audio.read_bytes()
    tag = ["tag", str(audio), "--checkpoint", str(model)]
    for output, said in (
        (["--csv", audio], "in.wav"),
        (["--csv", model], "model.pt"),
        (["--csv", tmp_path / "link.csv"], "in.wav"),
        (["--csv", tmp_path / "pipe.csv"], "is no file"),
        (["--csv", tmp_path], "is no file"),
        (["--csv", tmp_path / "x.png", "--picture", tmp_path / "x.png"], "x.png"),
    ):
        assert main([*tag, *map(str, output)]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["tag", "", "--checkpoint", str(model)])
    assert (audio.read_bytes(), model.read_bytes()) == (before, b"weights")
