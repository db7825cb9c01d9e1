"""AudioSet-strong: its lists in their layout, and the mean PSDS1 of its classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import median_filter
from test_corpora_loaders import row, write, write_audio

from bench.corpora import build_corpus, load, open_corpus
from bench.corpora.audioset_strong import absent
from bench.evaluation.locate import mean_psds1
from bench.files import UserError
from bench.metrics.event_arrays import FrameScores, encode
from bench.metrics.psds import PSDS1, psds
from bench.models.scores import Scores, StoredScores

HEADER = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes, of which the training list has two."""
    write(
        tmp_path / "mid_to_display_name.tsv",
        "/m/09x0r\tSpeech\n/m/05zppz\tMale speech, man speaking\n/m/0k4j\tCar\n",
    )
    write(
        tmp_path / "audioset_train_strong.tsv",
        HEADER
        + "b0RFKhbpFJA_30000\t0.000\t10.000\t/m/09x0r\n"
        + "b0RFKhbpFJA_30000\t4.753\t5.720\t/m/05zppz\n"
        + "b0RFKhbpFJA_30000\t6.899\t7.010\t/m/05zppz\n"
        + "b0RFKhbpFJA_30000\t8.000\t8.000\t/m/09x0r\n"
        + "-0RWZT-miFs_420000\t0.500\t2.000\t/m/09x0r\n",
    )
    write(
        tmp_path / "audioset_eval_strong.tsv",
        HEADER
        + "s9d-2nhuJCQ_30000\t2.627\t7.237\t/m/05zppz\n"
        + "s9d-2nhuJCQ_30000\t1.000\t2.000\t/m/0k4j\n"
        + "eval_____12_5000\t0.000\t1.000\t/m/0k4j\n"
        + "missing___1_0\t0.000\t1.000\t/m/09x0r\n",
    )
    write_audio(tmp_path / "audio" / "Yb0RFKhbpFJA.wav")
    write_audio(tmp_path / "audio" / "unbalanced" / "-0RWZT-miFs_420_430.wav", seconds=7.5)
    write_audio(tmp_path / "audio" / "eval" / "s9d-2nhuJCQ.flac")
    write_audio(tmp_path / "audio" / "eval" / "eval_____12.wav")
    return tmp_path


def test_clips_classes_and_events_are_those_of_the_lists(root: Path, tmp_path: Path) -> None:
    build_corpus("audioset_strong", root, tmp_path / "corpus", validation_share=0.0)
    corpus = open_corpus(tmp_path / "corpus")
    assert corpus.classes == ("Male speech, man speaking", "Speech")  # those that are trained
    assert set(corpus.clips["clip"]) == {
        "b0RFKhbpFJA_30000",
        "-0RWZT-miFs_420000",
        "s9d-2nhuJCQ_30000",
    }
    clip = row(corpus, "b0RFKhbpFJA_30000")
    assert (clip["split"], clip["group"], clip["cut_s"]) == ("train", "b0RFKhbpFJA", 30.0)
    assert clip["labels"] == ["Speech", "Male speech, man speaking"]
    assert clip["strong"]
    assert row(corpus, "-0RWZT-miFs_420000")["duration_s"] == 7.5
    own = corpus.events[corpus.events["filename"] == "b0RFKhbpFJA_30000"]
    assert own[["onset", "offset"]].to_numpy().tolist() == [[0, 10], [4.753, 5.72], [6.899, 7.01]]
    tested = corpus.events[corpus.events["filename"] == "s9d-2nhuJCQ_30000"]
    assert tested["event_label"].tolist() == ["Male speech, man speaking"]  # Car cannot be scored
    assert corpus.missing["clip"].tolist() == ["missing___1_0"]
    assert corpus.coverage == (3, 4)


def test_whole_videos_are_cut_and_other_cuts_are_missing(root: Path, tmp_path: Path) -> None:
    write_audio(root / "audio" / "Yb0RFKhbpFJA.wav", seconds=60.0)
    (root / "audio" / "eval" / "s9d-2nhuJCQ.flac").unlink()
    write_audio(root / "audio" / "eval" / "s9d-2nhuJCQ_100_110.wav")
    saved = build_corpus("audioset_strong", root, tmp_path / "corpus", validation_share=0.0)
    places = saved.clips.set_index("clip")[["start_s", "duration_s"]].T.to_dict("list")
    assert places == {"b0RFKhbpFJA_30000": [30.0, 10.0], "-0RWZT-miFs_420000": [0.0, 7.5]}
    assert saved.missing["clip"].tolist() == ["missing___1_0", "s9d-2nhuJCQ_30000"]
    assert "s9d-2nhuJCQ_100_110.wav" in saved.remarks["s9d-2nhuJCQ_30000"]
    assert {clip.youtube_id for clip in absent(root)} == {"s9d-2nhuJCQ", "missing___1"}


def test_validation_clips_are_those_of_audiosets_rule(root: Path) -> None:
    for share in (0.0, 0.3, 0.6, 0.99):
        corpus = load("audioset_strong", root, validation_share=share)
        held_out = set(corpus.clips["clip"][corpus.clips["split"] == "validation"])
        assert held_out <= {"b0RFKhbpFJA_30000", "-0RWZT-miFs_420000"}
        assert (corpus.clips["split"] == "test").sum() == 1
        assert len(held_out) == {0.0: 0, 0.99: 2}.get(share, len(held_out))


def test_absent_clips_say_where_they_lie_in_their_video(root: Path) -> None:
    (clip,) = absent(root)
    assert (clip.part, clip.start_s, clip.end_s) == ("evaluation", 0.0, 10.0)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("short_30000\t0\t1\t/m/09x0r\n", r"line 7: 'short_30000' is no YouTube id"),
        ("b0RFKhbpFJA_30000\t2\t1\t/m/09x0r\n", r"line 7: an event from 2\.0 s to 1\.0 s"),
        ("s9d-2nhuJCQ_30000\t0\t1\t/m/09x0r\n", r"eval_strong\.tsv, line 2: 's9d-2nhuJCQ_30000'"),
        ("b0RFKhbpFJA_30000\t0\t1\t/m/xx\n", r"line 7: label '/m/xx' is not one of"),
    ],
)
def test_a_malformed_line_is_named(root: Path, line: str, said: str) -> None:
    path = root / "audioset_train_strong.tsv"
    path.write_text(path.read_text() + line)
    with pytest.raises(UserError, match=said):
        load("audioset_strong", root)


def test_the_figure_is_the_mean_of_the_classes_psds1(root: Path) -> None:
    """On filtered scores of clips with events; a class that none has takes no part."""
    clips = [f"clip{i}" for i in range(6)]
    classes = ("a", "b", "never")
    rng = np.random.default_rng(0)
    frames = rng.random((6, 250, 3)).astype(np.float16)
    events = []
    for number, clip in enumerate(clips[:5]):
        onset = 1.0 + number
        events.append((clip, onset, onset + 2.0, classes[number % 2]))
        frames[number, int(onset / 0.04) : int((onset + 2) / 0.04), number % 2] += 0.5
    table = pd.DataFrame(events, columns=["filename", "onset", "offset", "event_label"])
    corpus = load("audioset_strong", root)
    durations = pd.DataFrame({"clip": clips, "duration_s": 10.0})
    corpus = replace(corpus, classes=classes, clips=durations, events=table)
    scores = Scores(frames.max(1), frames, 0.04, np.full(6, 250))
    stored = StoredScores(np.array(clips), classes, scores, np.zeros((6, 3)))
    found = mean_psds1(stored, corpus)
    filtered = median_filter(frames[:5].astype(np.float32), (1, 9, 1), mode="reflect")
    each = [
        psds(
            FrameScores(filtered[:, :, [place]], 0.04, tuple(clips[:5]), (name,), np.full(5, 10.0)),
            encode(table[table["event_label"] == name], dict.fromkeys(clips[:5], 10.0), [name]),
            PSDS1,
        ).value
        for place, name in enumerate(classes[:2])
    ]
    assert found["value"] == pytest.approx(np.mean(each))
    assert 0 < found["value"] < 1
    assert found["n"] == 5
    assert found["parameters"]["median_filter"] == 9
    assert found["parameters"]["classes"] == 2
