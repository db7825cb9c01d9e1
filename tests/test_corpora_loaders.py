"""Each loader against a small tree in the data set's real layout, with its quirks."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from bench.corpora import build_corpus, load, open_corpus, save, saving
from bench.corpora.audioset import youtube_id
from bench.corpora.desed import CLASSES as DESED_CLASSES
from bench.corpora.folds import with_test_fold
from bench.data.task import split_corpus
from bench.files import UserError


def write_audio(path: Path, seconds: float = 10.0, rate: int = 1000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(seconds * rate), np.float32), rate)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def row(corpus, clip):
    (found,) = corpus.clips[corpus.clips["clip"] == clip].to_dict("records")
    return found


# --- AudioSet ---------------------------------------------------------------------------------

SEGMENT_HEADER = (
    "# Segments csv created Sun Mar  5 10:54:31 2017\n"
    "# num_ytids=4, num_segs=4, num_unique_labels=3, num_positive_labels=6\n"
    "# YTID, start_seconds, end_seconds, positive_labels\n"
)


@pytest.fixture
def audioset_root(tmp_path: Path) -> Path:
    write(
        tmp_path / "class_labels_indices.csv",
        "index,mid,display_name\n"
        '0,/m/09x0r,"Speech"\n'
        '1,/m/05zppz,"Male speech, man speaking"\n'
        '2,/m/0k4j,"Car"\n',
    )
    write(
        tmp_path / "balanced_train_segments.csv",
        SEGMENT_HEADER
        + '--4gqARaEJE, 0.000, 10.000, "/m/0k4j"\n'
        + '-0RWZT-miFs, 420.000, 430.000, "/m/05zppz,/m/09x0r"\n'
        + 'YabcdefghiJ, 30.000, 40.000, "/m/09x0r"\n'
        + 'missing_id1, 30.000, 37.500, "/m/09x0r"\n',
    )
    write(
        tmp_path / "unbalanced_train_segments.csv",
        SEGMENT_HEADER + 'unbalanced1, 0.000, 10.000, "/m/0k4j"\n',
    )
    write(
        tmp_path / "eval_segments.csv",
        SEGMENT_HEADER
        + '__eval____1, 0.000, 10.000, "/m/09x0r"\n'
        + 'eval_____12, 5.000, 15.000, "/m/0k4j"\n',
    )
    write_audio(tmp_path / "audio" / "train" / "Y--4gqARaEJE.wav")
    write_audio(tmp_path / "audio" / "train" / "-0RWZT-miFs_420.000_430.000.flac")
    write_audio(tmp_path / "audio" / "YabcdefghiJ_30_40.wav")
    write_audio(tmp_path / "audio" / "unbalanced1.wav")
    write_audio(tmp_path / "audio" / "eval" / "Y__eval____1_0.000_10.000.wav")
    write_audio(tmp_path / "audio" / "eval" / "eval_____12.flac")
    write_audio(tmp_path / "audio" / "unrelated recording.wav")
    return tmp_path


def test_audioset_reads_lists_labels_and_every_audio_layout(audioset_root: Path) -> None:
    corpus = load("audioset", audioset_root, validation_share=0.0)
    assert corpus.classes == ("Speech", "Male speech, man speaking", "Car")
    assert corpus.multilabel
    assert corpus.coverage == (5, 6)
    assert corpus.coverage_by_split() == {"train": (3, 4), "test": (2, 2)}
    assert corpus.missing["clip"].tolist() == ["missing_id1"]
    assert corpus.missing["duration_s"].tolist() == [7.5]
    found = row(corpus, "-0RWZT-miFs")
    assert found["path"] == "audio/train/-0RWZT-miFs_420.000_430.000.flac"
    assert found["labels"] == ["Male speech, man speaking", "Speech"]
    assert (found["start_s"], found["duration_s"]) == (0.0, 10.0)
    assert row(corpus, "YabcdefghiJ")["path"] == "audio/YabcdefghiJ_30_40.wav"
    assert row(corpus, "__eval____1")["split"] == "test"


def test_audioset_training_lists(audioset_root: Path) -> None:
    sizes = {
        train: (load("audioset", audioset_root, train=train).clips["split"] != "test").sum()
        for train in ("balanced", "unbalanced", "full")
    }
    assert sizes == {"balanced": 3, "unbalanced": 1, "full": 4}


def test_audioset_validation_is_a_stable_share_of_training_clips(audioset_root: Path) -> None:
    ids = [f"id{number:09d}" for number in range(400)]
    lines = "".join(f'{clip}, 0.000, 10.000, "/m/0k4j"\n' for clip in ids)
    write(audioset_root / "balanced_train_segments.csv", SEGMENT_HEADER + lines)
    for clip in ids:
        (audioset_root / "audio" / f"{clip}.wav").touch()
    small = load("audioset", audioset_root, validation_share=0.1).clips
    large = load("audioset", audioset_root, validation_share=0.3).clips
    in_small = set(small.loc[small["split"] == "validation", "clip"])
    in_large = set(large.loc[large["split"] == "validation", "clip"])
    assert 20 <= len(in_small) <= 60
    assert in_small < in_large
    assert not any(clip.startswith("eval") for clip in in_large)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("-0RWZT-miFs", "-0RWZT-miFs"),
        ("Y-0RWZT-miFs", "-0RWZT-miFs"),
        ("Y-0RWZT-miFs_420.000_430.000", "-0RWZT-miFs"),
        ("-0RWZT-miFs_420000", "-0RWZT-miFs"),
        ("YabcdefghiJ", "YabcdefghiJ"),
        ("Yabcdefgh_12", "abcdefgh_12"),
        ("abcdefgh_12", "abcdefgh_12"),
        ("too_short", None),
        ("-0RWZT-miFs_420_430_440", None),
    ],
)
def test_youtube_id(stem: str, expected: str | None) -> None:
    assert youtube_id(stem) == expected


def test_audioset_names_the_line_of_an_unknown_label(audioset_root: Path) -> None:
    write(
        audioset_root / "eval_segments.csv",
        SEGMENT_HEADER + '__eval____1, 0.000, 10.000, "/m/09x0r,/m/nonsense"\n',
    )
    with pytest.raises(UserError, match=r"eval_segments\.csv, line 4: label '/m/nonsense'"):
        load("audioset", audioset_root)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("__eval____1, 0.000, 10.000", "line 4: 3 fields"),
        ('__eval____1, zero, 10.000, "/m/0k4j"', "line 4: 'zero'"),
        ('__eval____1, nan, 10.000, "/m/0k4j"', "line 4: .*nan"),
        ('__eval____1, 10.000, 10.000, "/m/0k4j"', "line 4: the segment ends"),
    ],
)
def test_audioset_names_malformed_lines(audioset_root: Path, line: str, message: str) -> None:
    write(audioset_root / "eval_segments.csv", SEGMENT_HEADER + line + "\n")
    with pytest.raises(UserError, match=message):
        load("audioset", audioset_root)


def test_audioset_repeated_clip_is_refused(audioset_root: Path) -> None:
    segments = (audioset_root / "balanced_train_segments.csv").read_text()
    write(audioset_root / "unbalanced_train_segments.csv", segments)
    with pytest.raises(UserError, match=r"unbalanced_train\S+, line 4: '--4gqARaEJE'"):
        load("audioset", audioset_root, train="full")


# --- ESC-50 -----------------------------------------------------------------------------------


@pytest.fixture
def esc50_root(tmp_path: Path) -> Path:
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for target, category in ((0, "dog"), (30, "door_wood_knock")):
            for take in "AB":
                source = 1000 * fold + target
                name = f"{fold}-{source}-{take}-{target}.wav"
                lines.append(f"{name},{fold},{target},{category},{target == 0},{source},{take}")
                write_audio(tmp_path / "audio" / name, 5.0)
    write(tmp_path / "meta" / "esc50.csv", "\n".join(lines) + "\n")
    return tmp_path


def test_esc50_folds_takes_and_classes(esc50_root: Path) -> None:
    corpus = load("esc50", esc50_root)
    assert corpus.classes == ("dog", "door_wood_knock")
    assert not corpus.multilabel
    assert len(corpus.clips) == 20
    clip = row(corpus, "3-3030-B-30.wav")
    assert (clip["fold"], clip["group"], clip["labels"]) == (2, "3030", ["door_wood_knock"])


def test_esc50_clean_and_published_splits(esc50_root: Path) -> None:
    corpus = load("esc50", esc50_root)
    for test_fold in range(5):
        clips = with_test_fold(corpus, test_fold).clips
        by_split = clips.groupby("split")["fold"].unique().map(sorted).to_dict()
        validation = (test_fold + 1) % 5
        assert by_split["test"] == [test_fold]
        assert by_split["validation"] == [validation]
        assert by_split["train"] == sorted(set(range(5)) - {test_fold, validation})
        published = with_test_fold(corpus, test_fold, "published").clips
        assert set(published["split"]) == {"train", "test"}
        assert (published["split"] == "train").sum() == 16
    with pytest.raises(ValueError, match="folds 0 to 4"):
        with_test_fold(corpus, 5)


def test_a_fold_that_the_data_lack_is_told_by_its_key(esc50_root: Path, tmp_path: Path) -> None:
    save(load("esc50", esc50_root), tmp_path / "out")
    cell = SimpleNamespace(dataset="mine", fold=5)
    dataset = SimpleNamespace(folds=7, fold_protocol="clean")
    plan: Any = SimpleNamespace(cell=cell, dataset=dataset)
    with pytest.raises(UserError, match=r"datasets\.mine\.folds: 7 .* folds 0 to 4"):
        split_corpus(plan, tmp_path / "out")


def test_esc50_source_in_two_folds_is_refused(esc50_root: Path) -> None:
    meta = esc50_root / "meta" / "esc50.csv"
    write(meta, meta.read_text().replace(",dog,True,2000,A", ",dog,True,1000,A"))
    with pytest.raises(UserError, match="recording '1000' lies in folds 0, 1"):
        load("esc50", esc50_root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",src_file,", ",source,", "column 'src_file' is missing"),
        ("1,0,dog,True,1000,B", "1,0,cat,True,1000,B", "line 3: target 0 is 'cat' here"),
        ("1,0,dog,True,1000,B", "1,0.5,dog,True,1000,B", "line 3: '0.5'"),
        ("1-1000-B-0.wav", "1-1000-A-0.wav", "line 3: '1-1000-A-0.wav' repeats line 2"),
        ("1,0,dog,True,1000,B", "0,0,dog,True,1000,B", "line 3: fold 0"),
    ],
)
def test_esc50_names_wrong_metadata(esc50_root: Path, old: str, new: str, message: str) -> None:
    meta = esc50_root / "meta" / "esc50.csv"
    text = meta.read_text()
    assert old in text
    write(meta, text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        load("esc50", esc50_root)


# --- Speech Commands --------------------------------------------------------------------------


@pytest.fixture
def commands_root(tmp_path: Path) -> Path:
    for word in ("yes", "no", "backward"):
        for speaker in ("0a7c2a8d", "1b4c9b89", "3cf85a0d"):
            for take in range(2):
                write_audio(tmp_path / word / f"{speaker}_nohash_{take}.wav", 0.8)
    write_audio(tmp_path / "_background_noise_" / "pink_noise.wav", 0.1)
    write(tmp_path / "README.md", "about\n")
    splits = {"validation_list.txt": "1b4c9b89", "testing_list.txt": "3cf85a0d"}
    for name, speaker in splits.items():
        lines = [f"{w}/{speaker}_nohash_{t}.wav" for w in ("yes", "no", "backward") for t in (0, 1)]
        write(tmp_path / name, "\n".join(lines) + "\n")
    return tmp_path


def test_speech_commands_lists_speakers_and_class_order(commands_root: Path) -> None:
    corpus = load("speechcommands", commands_root)
    assert corpus.classes == ("backward", "no", "yes")
    assert corpus.clips["split"].value_counts().to_dict() == {
        "train": 6,
        "validation": 6,
        "test": 6,
    }
    clip = row(corpus, "no/3cf85a0d_nohash_1.wav")
    assert (clip["split"], clip["group"], clip["labels"]) == ("test", "3cf85a0d", ["no"])
    assert not any("_background_noise_" in path for path in corpus.clips["path"])


def test_speech_commands_counts_listed_files_that_are_gone(commands_root: Path) -> None:
    (commands_root / "yes" / "3cf85a0d_nohash_0.wav").unlink()
    corpus = load("speechcommands", commands_root)
    assert corpus.coverage == (17, 18)
    assert corpus.missing["clip"].tolist() == ["yes/3cf85a0d_nohash_0.wav"]


def test_speech_commands_speaker_in_two_splits_is_refused(commands_root: Path) -> None:
    write(commands_root / "testing_list.txt", "yes/3cf85a0d_nohash_0.wav\n")
    with pytest.raises(UserError, match="recording '3cf85a0d' lies in splits test, train"):
        load("speechcommands", commands_root)


def test_speech_commands_names_bad_entries(commands_root: Path) -> None:
    listing = commands_root / "testing_list.txt"
    good = listing.read_text()
    write(listing, good + "maybe/3cf85a0d_nohash_0.wav\n")
    with pytest.raises(UserError, match=r"testing_list\.txt, line 7: 'maybe/"):
        load("speechcommands", commands_root)
    write(listing, good + "yes/1b4c9b89_nohash_0.wav\n")
    with pytest.raises(UserError, match=r"line 7: .* stands in validation_list\.txt too"):
        load("speechcommands", commands_root)


def test_words_and_speakers_are_the_same_however_their_accents_are_written(tmp_path: Path) -> None:
    apart, whole = (unicodedata.normalize(form, "\u00e9t\u00e9") for form in ("NFD", "NFC"))
    for word in (apart, "non"):
        for speaker in (apart, "ann", "bob"):
            write_audio(tmp_path / word / f"{speaker}_nohash_0.wav", 0.8)
    for name, speaker in (("validation_list.txt", "ann"), ("testing_list.txt", apart)):
        write(tmp_path / name, f"{apart}/{speaker}_nohash_0.wav\nnon/{speaker}_nohash_0.wav\n")
    corpus = load("speechcommands", tmp_path, speaker=r"(\w+)_nohash_0")
    assert corpus.classes == ("non", whole)
    assert len(corpus.clips) == 6
    assert corpus.clips.groupby("group")["split"].agg(list).to_dict() == {
        "ann": ["validation"] * 2, whole: ["test"] * 2, "bob": ["train"] * 2,
    }  # fmt: skip
    assert set(corpus.clips.query("split == 'test'")["path"].str.split("/").str[0]) == {
        apart,
        "non",
    }


@pytest.mark.parametrize(
    ("speaker", "groups"),
    [(r"\d+_(\w+?)_\d+", {"george", "theo"}), ("(.+)", {"0_george_0", "0_george_1", "0_theo_0"})],
)
def test_words_under_other_names_are_read_once_the_speaker_is_told(
    tmp_path: Path, speaker: str, groups: set[str]
) -> None:
    for name in ("0_george_0", "0_george_1", "0_theo_0"):
        write_audio(tmp_path / "zero" / f"{name}.wav", 1.6)
    write(tmp_path / "validation_list.txt", "zero/0_theo_0.wav\n")
    write(tmp_path / "testing_list.txt", "")
    with pytest.raises(UserError, match=r"0_george_0.*datasets\.digits\.options\.speaker"):
        load("speechcommands", tmp_path, name="digits")
    corpus = load("speechcommands", tmp_path, name="digits", speaker=speaker)
    assert set(corpus.clips["group"]) == groups
    with pytest.raises(UserError, match=r"datasets\.digits\.options: speaker: .* string"):
        load("speechcommands", tmp_path, name="digits", speaker=3)
    for wrong in (r"\d+_\w+_\d+", "("):
        with pytest.raises(UserError, match=r"datasets\.digits\.options\.speaker: .* group"):
            load("speechcommands", tmp_path, name="digits", speaker=wrong)
    with pytest.raises(UserError, match=r"does not fit datasets\.digits"):
        load("speechcommands", tmp_path, name="digits", speaker=r"\d+_(george)?.*")


# --- DESED ------------------------------------------------------------------------------------

STRONG_HEADER = "filename\tonset\toffset\tevent_label\n"


@pytest.fixture
def desed_root(tmp_path: Path) -> Path:
    data = tmp_path / "dataset"
    audio, metadata = data / "audio", data / "metadata"
    weak = ("Y-0RWZT-miFs_420.000_430.000.wav", "Y0weak__0002_30.000_40.000.wav")
    write(
        metadata / "train" / "weak.tsv",
        f"filename\tevent_labels\n{weak[0]}\tSpeech,Dog,Speech\n{weak[1]}\tCat\n",
    )
    for name in weak:
        write_audio(audio / "train" / "weak" / name)
    soundscapes = Path("train") / "synthetic21_train"
    write(
        metadata / soundscapes / "soundscapes.tsv",
        STRONG_HEADER + "0.wav\t1.0\t2.5\tBlender\n0.wav\t0.25\t0.5\tDog\n1.wav\t\t\t\n",
    )
    for name in ("0.wav", "1.wav"):
        write_audio(audio / soundscapes / "soundscapes" / name)
    write(
        metadata / "validation" / "validation.tsv",
        STRONG_HEADER
        + "Yvalidation_10.000_20.000.wav\t0.0\t9.97\tVacuum_cleaner\n"
        + "Yvalidati_2_10.000_20.000.wav\t\t\t\n",
    )
    write(
        metadata / "validation" / "validation_durations.tsv",
        "filename\tduration\nYvalidation_10.000_20.000.wav\t9.97\n",
    )
    for name in ("Yvalidation_10.000_20.000.wav", "Yvalidati_2_10.000_20.000.wav"):
        write_audio(audio / "validation" / "validation" / name)
    write(
        metadata / "eval" / "public.tsv",
        STRONG_HEADER
        + "1Ro0FgMWTUE_120_130.wav\t0.000\t2.081\tSpeech\n"
        + "absent_____1_0_10.wav\t0.000\t2.081\tSpeech\n",
    )
    write_audio(audio / "eval" / "public" / "1Ro0FgMWTUE_120_130.wav")
    return tmp_path


def test_desed_parts_labels_and_events(desed_root: Path) -> None:
    corpus = load("desed", desed_root)
    assert corpus.classes == DESED_CLASSES
    weak = row(corpus, "Y-0RWZT-miFs_420.000_430.000.wav")
    assert (weak["strong"], weak["labels"]) == (False, ["Speech", "Dog"])
    assert weak["group"] == "-0RWZT-miFs"
    soundscape = row(corpus, "0.wav")
    assert (soundscape["strong"], soundscape["labels"]) == (True, ["Blender", "Dog"])
    assert soundscape["path"] == "audio/train/synthetic21_train/soundscapes/0.wav"
    assert row(corpus, "1.wav")["labels"] == []
    validation = row(corpus, "Yvalidation_10.000_20.000.wav")
    assert (validation["split"], validation["duration_s"]) == ("validation", 9.97)
    assert (validation["group"], validation["cut_s"]) == ("Yvalidation", 10.0)
    assert row(corpus, "1Ro0FgMWTUE_120_130.wav")["split"] == "test"
    assert corpus.coverage == (7, 8)
    events = corpus.events[corpus.events["filename"] == "0.wav"]
    assert events.values.tolist() == [["0.wav", 0.25, 0.5, "Dog"], ["0.wav", 1.0, 2.5, "Blender"]]
    assert len(corpus.events) == 4  # neither event-free clips nor absent files leave a row


def test_an_event_that_a_published_list_repeats_counts_once(desed_root: Path) -> None:
    path = desed_root / "dataset/metadata/train/synthetic21_train/soundscapes.tsv"
    before = load("desed", desed_root)
    write(path, path.read_text() + "0.wav\t1\t2.50\tBlender\n")
    after = load("desed", desed_root)
    assert after.events.equals(before.events)
    assert list(after.remarks) == ["0.wav"]


def test_a_file_of_two_desed_lists_is_refused(desed_root: Path) -> None:
    path = desed_root / "dataset" / "metadata" / "eval" / "public.tsv"
    write(path, path.read_text() + "0.wav\t1.0\t2.5\tBlender\n")
    with pytest.raises(UserError, match=r"public\.tsv, line 4: '0\.wav' stands in .*soundscapes"):
        load("desed", desed_root)


@pytest.mark.parametrize(("train", "strong"), [("weak", [False, False]), ("strong", [True, True])])
def test_desed_training_parts(desed_root: Path, train: str, strong: list[bool]) -> None:
    clips = load("desed", desed_root, train=train).clips
    assert clips.loc[clips["split"] == "train", "strong"].tolist() == strong


def test_desed_tables_may_repeat_a_file_but_not_contradict_themselves(desed_root: Path) -> None:
    metadata = desed_root / "dataset" / "metadata"
    for table, repeated, other in (
        ("validation/validation_durations.tsv", "Yvalidation_10.000_20.000.wav\t9.97", "duration"),
        ("train/weak.tsv", "Y0weak__0002_30.000_40.000.wav\tCat", "labels"),
    ):
        path = metadata / table
        whole = path.read_text() + repeated + "\n"
        write(path, whole)
        assert load("desed", desed_root).coverage == (7, 8)
        changed = repeated.replace("9.97", "8.1").replace("Cat", "Dog")
        write(path, whole + changed + "\n")
        line = whole.count("\n") + 1
        found = rf"{re.escape(path.name)}, line {line}: .* (an)?other {other} here"
        with pytest.raises(UserError, match=found):
            load("desed", desed_root)
        write(path, whole)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.wav\t0.0\t1.0\tBark\n", "line 2: label 'Bark'"),
        ("a.wav\t2.0\t1.0\tDog\n", r"line 2: an event from 2\.0 s to 1\.0 s"),
        ("a.wav\t\t1.0\tDog\n", "line 2: '' in column onset"),
        ("a.wav\t0.0\t1.0\n", "line 2: 3 fields"),
    ],
)
def test_desed_names_wrong_lines(desed_root: Path, line: str, message: str) -> None:
    write(desed_root / "dataset" / "metadata" / "eval" / "public.tsv", STRONG_HEADER + line)
    with pytest.raises(UserError, match=r"public\.tsv, " + message):
        load("desed", desed_root)


# --- all --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["audioset", "esc50", "speechcommands", "desed"])
def test_missing_data_names_the_path_and_the_key_to_set(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such file.*set datasets\.my_set\.root"):
        load(name, tmp_path / "nowhere", name="my_set")
    with pytest.raises(UserError, match=r"^datasets\.my_set\.options: unknown key 'flods'"):
        load(name, tmp_path, name="my_set", flods=3)
    if name in ("audioset", "desed"):
        with pytest.raises(UserError, match=r"^datasets\.my_set\.options\.train: 'most'"):
            load(name, tmp_path, name="my_set", train="most")


def test_audio_that_is_elsewhere_names_the_key_to_set(esc50_root: Path) -> None:
    for path in (esc50_root / "audio").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"none of the 20 clips.*datasets\.esc10\.root"):
        load("esc50", esc50_root, name="esc10")


ROOTS = {name: f"{name}_root" for name in ("audioset", "esc50", "desed")}
ROOTS["speechcommands"] = "commands_root"


@pytest.mark.parametrize("name", list(ROOTS))
def test_audio_that_is_not_read_is_named_and_what_is_read_is_found_under_any_suffix(
    name: str, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(ROOTS[name])
    before = load(name, root)
    audio = sorted(path for path in root.rglob("*.*") if path.suffix in (".wav", ".flac"))
    for path in audio:
        path.rename(path.with_suffix(".ogg"))
    renamed = load(name, root)
    assert set(renamed.clips["path"].str.rpartition(".")[2]) == {"ogg"}
    key = ["clip", "split", "labels"] if name != "speechcommands" else ["split", "labels"]
    assert renamed.clips[key].astype(str).values.tolist() == (
        before.clips[key].astype(str).values.tolist()
    )
    keep = renamed.root / renamed.clips["path"].iat[0]
    for path in audio:
        if path.with_suffix(".ogg") != keep:
            path.with_suffix(".ogg").rename(path.with_suffix(".m4a"))
    part = load(name, root)
    assert part.coverage == (1, before.coverage.listed)
    assert len(part.remarks) == before.coverage.found - 1
    assert all(".m4a files are not read" in remark for remark in part.remarks.values())
    keep.rename(keep.with_suffix(".m4a"))
    with pytest.raises(UserError, match=r"can be read; \S+\.m4a: \.m4a files are not read"):
        load(name, root)


@pytest.mark.parametrize("name", list(ROOTS))
def test_audio_whose_name_no_list_can_hold_is_told(
    name: str, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(ROOTS[name])
    before = load(name, root)
    path = before.root / before.clips.query("split == 'train'")["path"].iat[0]
    path.rename(os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9.wav"))
    if name == "speechcommands":  # whose training clips are those on disk
        with pytest.raises(UserError, match=r"caf\\xe9\.wav: the name is not UTF-8 text"):
            load(name, root)
        return
    after = load(name, root)
    assert after.coverage == (before.coverage.found - 1, before.coverage.listed)
    (told,) = after.remarks.keys() - before.remarks.keys()
    assert told.endswith(r"caf\xe9.wav")


def test_building_loads_and_saves(desed_root: Path, tmp_path: Path) -> None:
    built = build_corpus("desed", desed_root, tmp_path / "out", synthetic=True, train="weak")
    opened = open_corpus(tmp_path / "out")
    assert opened.digest == built.digest != ""
    assert opened.synthetic
    assert opened.coverage == (5, 6)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_digests_do_not_depend_on_how_tables_are_read(
    desed_root: Path, tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = load("desed", desed_root)
    whole = save(corpus, tmp_path / "whole")
    monkeypatch.setattr(saving, "ROWS_AT_ONCE", rows)
    parts = save(corpus, tmp_path / "parts")
    assert (parts.digest, parts.audio_digest) == (whole.digest, whole.audio_digest)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00binary\x00", b"", b"\x00" * 40])
def test_damaged_tables_are_named(esc50_root: Path, content: bytes) -> None:
    (esc50_root / "meta" / "esc50.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"esc50\.csv"):
        load("esc50", esc50_root)


def test_unknown_names_and_options(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown .urbansound.*valid: audioset, .*desed"):
        load("urbansound", tmp_path)
    with pytest.raises(UserError, match="unknown key 'folds'; valid: none"):
        load("esc50", tmp_path, folds=3)
    with pytest.raises(UserError, match="valid: audio, packs, train, validation_share"):
        load("audioset", tmp_path, share=0.1)
