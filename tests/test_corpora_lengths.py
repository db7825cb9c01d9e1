"""Files that are longer or shorter than the clip that is listed: cut where it is, or left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_corpora_loaders import (
    SEGMENT_HEADER,
    STRONG_HEADER,
    commands_root,  # noqa: F401 - fixtures
    desed_root,  # noqa: F401
    esc50_root,  # noqa: F401
    row,
    write,
    write_audio,
)
from test_sources_clips import write_pack

from bench.audio.decode import read
from bench.audio.frontend import Transform
from bench.corpora import load, open_corpus, save
from bench.corpora.lengths import SEGMENT_S, TOLERANCE_S, part_of
from bench.data.features import featurize
from bench.files import UserError

RATE = 1000
LOGMEL = Transform(kind="logmel", sample_rate=RATE, window=64, hop=50, mels=4, fmin=20, fmax=500)


def ramp(path: Path, seconds: float) -> None:
    """A recording whose sample at t seconds is t / 100."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.arange(round(seconds * RATE)) / RATE / 100
    soundfile.write(path, samples, RATE, subtype="FLOAT")


@pytest.mark.parametrize(
    ("file_s", "listed_s", "cut_s", "start_s", "duration_s"),
    [
        (10.0, 10.0, 30.0, 0.0, 10.0),
        (10.08, 10.0, 30.0, 0.0, 10.0),  # what encoders add
        (9.8, 10.0, 30.0, 0.0, 9.8),
        (10.0, 7.0, 30.0, 0.0, 7.0),  # padded, as PANNs' files are
        (7.15, 10.0, 2.0, 0.0, 7.15),  # the video ended: E7G8TNZVi88 of DESED
        (2.0, 10.0, 30.0, 0.0, 0.0),  # a stub
        (20.0, 10.0, 30.0, 0.0, 0.0),  # from the keyframe before, or however else
        (60.0, 10.0, 30.0, 30.0, 10.0),  # the whole video
        (39.6, 10.0, 30.0, 30.0, 9.6),
        (60.0, 10.0, 0.0, 0.0, 10.0),
        (60.0, 10.0, -1.0, 0.0, 0.0),  # in a pack
    ],
)
def test_the_part_of_a_file_that_is_a_clip(
    file_s: float, listed_s: float, cut_s: float, start_s: float, duration_s: float
) -> None:
    part = part_of(file_s, listed_s, cut_s, shortest=0.5)
    assert (part.start_s, part.duration_s) == pytest.approx((start_s, duration_s))
    usual = abs(file_s - listed_s) <= TOLERANCE_S or abs(file_s - SEGMENT_S) <= TOLERANCE_S
    assert bool(part.remark) is not usual


SECONDS = {"whole_video": 60.0, "cut_of_20_s": 20.0, "stub_of_2_s": 2.0, "ended_early": 6.5,
           "usual______": 10.04}  # fmt: skip


@pytest.fixture
def lengths_root(tmp_path: Path) -> Path:
    write(tmp_path / "class_labels_indices.csv", "index,mid,display_name\n0,/m/0a,Dog\n")
    listed = "".join(f'{clip}, 30.000, 40.000, "/m/0a"\n' for clip in SECONDS)
    write(tmp_path / "balanced_train_segments.csv", SEGMENT_HEADER + listed)
    write(tmp_path / "eval_segments.csv", SEGMENT_HEADER)
    for clip, seconds in SECONDS.items():
        ramp(tmp_path / "audio" / f"Y{clip}.wav", seconds)
    return tmp_path


def test_audioset_files_are_cut_where_the_list_says_or_left_out(lengths_root: Path) -> None:
    saved = save(load("audioset", lengths_root, audio="audio"), lengths_root / "out")
    places = saved.clips.set_index("clip")[["start_s", "duration_s"]].T.to_dict("list")
    assert places == {
        "whole_video": [30.0, 10.0],
        "ended_early": [0.0, 6.5],
        "usual______": [0.0, 10.0],
    }
    assert saved.missing["clip"].tolist() == ["cut_of_20_s", "stub_of_2_s"]
    assert saved.missing["duration_s"].tolist() == [10.0, 10.0]
    assert set(saved.remarks) == set(SECONDS) - {"usual______"}
    assert open_corpus(lengths_root / "out").remarks == saved.remarks
    place = row(saved, "whole_video")
    heard = read(
        saved.root / place["path"], RATE, start_s=place["start_s"], duration_s=place["duration_s"]
    )
    assert (len(heard), heard[0]) == (10 * RATE, pytest.approx(0.3))
    featurize(lengths_root / "out", LOGMEL, lengths_root / "features", code="1")
    report = json.loads((lengths_root / "features" / "corpus_report.json").read_text())
    assert {entry["clip"]: entry["reason"] for entry in report["remarks"]} == saved.remarks
    assert (report["listed"], report["missing"], report["kept"]) == (5, 2, 3)


def test_a_corpus_of_other_cuts_alone_is_refused(lengths_root: Path) -> None:
    for path in (lengths_root / "audio").iterdir():
        ramp(path, 20.0)
    with pytest.raises(
        UserError, match=r"cuts: none of its 5 .* cut_of_20_s: 20\.0 s long where 10 s"
    ):
        save(load("audioset", lengths_root, audio="audio", name="cuts"), lengths_root / "out")


def test_of_a_videos_files_the_one_named_after_the_listed_segment_is_taken(
    lengths_root: Path,
) -> None:
    audio = lengths_root / "audio"
    for path in audio.iterdir():
        path.unlink()
    ramp(audio / "usual_______0_10.wav", 10.0)  # named after other seconds than 30 to 40
    ramp(audio / "whole_video_0_10.wav", 10.0)
    ramp(audio / "whole_video_30.000_40.000.wav", 10.0)
    ramp(audio / "Yended_early_30000_40000.wav", 10.0)  # milliseconds
    ramp(audio / "stub_of_2_s_0_3600.wav", 60.0)  # all of a long video, as far as a name can tell
    saved = save(load("audioset", lengths_root, audio="audio"), lengths_root / "out")
    places = saved.clips.set_index("clip")[["path", "start_s"]].T.to_dict("list")
    assert places == {
        "whole_video": ["whole_video_30.000_40.000.wav", 0.0],
        "ended_early": ["Yended_early_30000_40000.wav", 0.0],
        "stub_of_2_s": ["stub_of_2_s_0_3600.wav", 30.0],
    }
    assert list(saved.missing["clip"]) == ["cut_of_20_s", "usual______"]
    assert "usual_______0_10.wav" in saved.remarks["usual______"]


def test_rows_of_packs_are_held_to_the_list_too(lengths_root: Path) -> None:
    for path in (lengths_root / "audio").iterdir():
        path.unlink()
    for name, seconds in (("a", 10.0), ("b", 2.0)):
        clips = {"Yusual______.wav": None, "Ystub_of_2_s.wav": None} | {
            f"Y{clip}.wav": np.full(round(32_000 * seconds), 0.1, np.float32)
            for clip in ("usual______" if name == "a" else "stub_of_2_s",)
        }
        write_pack(lengths_root / "packs" / f"{name}.h5", clips)
    corpus = load("audioset", lengths_root, audio="audio", packs="packs")
    saved = save(corpus, lengths_root / "out")
    assert saved.clips["clip"].tolist() == ["usual______"]
    assert list(saved.remarks) == ["stub_of_2_s"]


def test_desed_files_are_cut_where_their_name_says_or_taken_as_long_as_they_are(
    desed_root: Path,  # noqa: F811
) -> None:
    audio = desed_root / "dataset" / "audio"
    ramp(audio / "train" / "weak" / "Y0weak__0002_30.000_40.000.wav", 100.0)
    ramp(audio / "validation" / "validation" / "Yvalidati_2_10.000_20.000.wav", 2.0)
    ramp(audio / "eval" / "public" / "1Ro0FgMWTUE_120_130.wav", 7.148)
    saved = save(load("desed", desed_root), desed_root / "out")
    assert row(saved, "Y0weak__0002_30.000_40.000.wav")["start_s"] == 30.0
    assert row(saved, "1Ro0FgMWTUE_120_130.wav")["duration_s"] == 7.148
    assert row(saved, "Yvalidation_10.000_20.000.wav")["duration_s"] == 9.97
    assert row(saved, "0.wav")["duration_s"] == 10.0  # a soundscape is its file
    assert row(saved, "Yvalidati_2_10.000_20.000.wav")["duration_s"] == 2.0  # as the video was
    assert len(saved.remarks) == 3


@pytest.mark.parametrize("times", ["1000\t2000", "0\t1000", "9\t11.5"])
def test_desed_events_after_the_end_of_their_clip_are_told(
    desed_root: Path,  # noqa: F811
    times: str,
) -> None:
    table = desed_root / "dataset" / "metadata" / "eval" / "public.tsv"
    write(table, STRONG_HEADER + f"1Ro0FgMWTUE_120_130.wav\t{times}\tSpeech\n")
    saved = save(load("desed", desed_root), desed_root / "out")
    assert list(saved.remarks) == ["1Ro0FgMWTUE_120_130.wav"]
    assert "1 of its events" in saved.remarks["1Ro0FgMWTUE_120_130.wav"]


@pytest.mark.parametrize("fixture", ["esc50_root", "commands_root"])
def test_a_clip_without_listed_times_is_its_whole_file(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    root = request.getfixturevalue(fixture)
    loader = {"esc50_root": "esc50", "commands_root": "speechcommands"}[fixture]
    path = root / load(loader, root).clips["path"].iat[3]
    write_audio(path, 12.3)
    saved = save(load(loader, root), tmp_path / "out")
    assert saved.clips["duration_s"].iat[3] == 12.3
    assert saved.clips["duration_s"].nunique() == 2
    assert saved.remarks == {}


def test_a_file_that_was_measured_is_not_measured_again(
    lengths_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = save(load("audioset", lengths_root, audio="audio"), lengths_root / "out")
    monkeypatch.setattr(soundfile, "info", None)
    again = save(load("audioset", lengths_root, audio="audio"), lengths_root / "out")
    assert again.digest == first.digest
