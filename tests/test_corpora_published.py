"""Public lists with their quirks, DESED's at their whole size: what they share is reported."""

from __future__ import annotations

import os
import random
import string
from collections.abc import Iterable
from pathlib import Path

import pytest
from test_corpora_loaders import STRONG_HEADER, write, write_audio

from bench.corpora import check, load, open_corpus, save, shared_recordings
from bench.corpora.desed import CLASSES
from bench.corpora.folds import with_test_fold
from bench.files import UserError, read_json

LISTED = {"train": 1578, "validation": 1168, "test": 692}
FOLDERS = {"train": "train/weak", "validation": "validation/validation", "test": "eval/public"}
SHARED = {"AaeemnJDijQ": ["test", "train"], "L3SIlxdLGxI": ["test", "validation"]}
GONE = 0.15  # share of recorded clips that YouTube no longer has


def awkward_ids(rng: random.Random, count: int) -> list[str]:
    """YouTube ids: each eleven characters; many begin or end with - or _, or begin with Y."""
    letters = string.ascii_letters + string.digits + "-_"
    ids: dict[str, None] = {}
    while len(ids) < count:
        middle = "".join(rng.choices(letters, k=9))
        ids[rng.choice("-_Yab7") + middle + rng.choice("-_Yxz0")] = None
    return list(ids)


def write_lists(root: Path) -> dict[str, list[str]]:
    """The metadata of the real tree: weak, validation and public names by split."""
    rng = random.Random(0)
    ids = iter(awkward_ids(rng, sum(LISTED.values())))

    def name(split: str, video: str, start: int, end: int) -> str:
        if split == "test":
            return f"{video}_{start}_{end}.wav"
        return f"Y{video}_{start:.3f}_{end:.3f}.wav"

    names: dict[str, list[str]] = {
        "train": [name("train", "AaeemnJDijQ", 300, 310)],
        "validation": [name("validation", "L3SIlxdLGxI", 340, 350)],
        "test": [name("test", "L3SIlxdLGxI", 65, 75), name("test", "AaeemnJDijQ", 250, 260)],
    }
    for split, listed in names.items():
        while len(listed) < LISTED[split]:
            start, length = rng.randrange(600), rng.choice([10] * 30 + [4, 7, 9, 11])
            video = next(ids)
            listed.append(name(split, video, start, start + length))
            if len(listed) % 40 == 0 and len(listed) < LISTED[split]:  # two cuts of one video
                listed.append(name(split, video, start + length, start + 2 * length))
    labels = [",".join(rng.sample(CLASSES, rng.randint(1, 3))) for _ in names["train"]]
    rows = zip(names["train"], labels, strict=True)
    lines = "".join(f"{clip}\t{label}\n" for clip, label in rows)
    write(root / "metadata/train/weak.tsv", f"filename\tevent_labels\n{lines}")
    for split, table in (("validation", "validation/validation"), ("test", "eval/public")):
        rows = []
        for clip in names[split]:
            onsets = sorted(round(rng.uniform(0, 3.5), 3) for _ in range(rng.randrange(5)))
            events = [
                f"{t:.3f}\t{t + 0.25:.3f}\t{rng.choice(CLASSES)}" for t in dict.fromkeys(onsets)
            ]
            rows += [f"{clip}\t{event}" for event in events or ["\t\t"]]
        write(root / f"metadata/{table}.tsv", STRONG_HEADER + "\n".join(rows) + "\n")
    seconds = {clip: clip.removesuffix(".wav").rsplit("_", 2)[1:] for clip in names["validation"]}
    lines = "".join(f"{clip}\t{float(b) - float(a)}\n" for clip, (a, b) in seconds.items())
    write(root / "metadata/validation/validation_durations.tsv", f"filename\tduration\n{lines}")
    return names


@pytest.fixture(scope="module")
def desed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public lists on tiny audio: a link to a file of the named length for each clip."""
    root = tmp_path_factory.mktemp("desed") / "dataset"
    rng, names = random.Random(1), write_lists(root)
    for split, listed in names.items():
        folder = root / "audio" / FOLDERS[split]
        folder.mkdir(parents=True)
        for number, clip in enumerate(listed):
            start, end = clip.removesuffix(".wav").rsplit("_", 2)[1:]
            source = root.parent / f"{float(end) - float(start):.0f}.wav"
            if not source.exists():
                write_audio(source, float(end) - float(start))
            if number < 2 or split == "test" or rng.random() > GONE:
                os.link(source, folder / clip)
    return root


def test_the_whole_public_lists_load(desed: Path, tmp_path: Path) -> None:
    saved = save(load("desed", desed, train="weak"), tmp_path)
    by_split = saved.coverage_by_split()
    assert {split: coverage.listed for split, coverage in by_split.items()} == LISTED
    assert by_split["test"].found == LISTED["test"]
    for split in ("train", "validation"):
        assert 0.8 < by_split[split].found / by_split[split].listed < 0.9
    assert shared_recordings(saved) == SHARED
    assert read_json(tmp_path / "corpus.json")["shared_recordings"] == SHARED
    opened = open_corpus(tmp_path)
    check(opened)
    assert shared_recordings(opened) == SHARED
    assert saved.remarks == {}
    groups = set(saved.clips["group"])
    assert all(len(group) == 11 for group in groups)
    assert {group[0] for group in groups} >= set("-_Y")
    strong = saved.clips.loc[saved.clips["strong"], "clip"]
    assert 0 < len(set(strong) - set(saved.events["filename"])) < len(strong) / 2


TWO_CLIPS = ("Yabcdefghijk_30.000_40.000.wav", "abcdefghijk_{}_{}.wav")


@pytest.mark.parametrize(
    ("start", "end", "shared"),
    [(40, 50, True), (20, 30, True), (39, 49, False), (21, 31, False), (30, 40, False),
     (32, 36, False), (0, 90, False)],
)  # fmt: skip
def test_cuts_of_one_video_may_follow_each_other_but_not_overlap(
    tmp_path: Path, start: int, end: int, shared: bool
) -> None:
    weak, public = TWO_CLIPS[0], TWO_CLIPS[1].format(start, end)
    write(tmp_path / "metadata/train/weak.tsv", f"filename\tevent_labels\n{weak}\tCat\n")
    write(tmp_path / "metadata/validation/validation.tsv", STRONG_HEADER)
    write(tmp_path / "metadata/eval/public.tsv", STRONG_HEADER + f"{public}\t0\t1\tDog\n")
    (tmp_path / "audio/validation/validation").mkdir(parents=True)
    write_audio(tmp_path / "audio/train/weak" / weak)
    write_audio(tmp_path / "audio/eval/public" / public)
    if shared:
        corpus = load("desed", tmp_path, train="weak")
        assert shared_recordings(corpus) == {"abcdefghijk": ["test", "train"]}
        return
    with pytest.raises(UserError, match="recording 'abcdefghijk' lies in splits test, train"):
        load("desed", tmp_path, train="weak")
    (tmp_path / "audio/train/weak" / weak).unlink()  # what is missing leaks nothing
    assert load("desed", tmp_path, train="weak").coverage == (1, 2)


def test_a_cut_without_times_may_overlap_any(tmp_path: Path) -> None:
    write(tmp_path / "metadata/train/weak.tsv", "filename\tevent_labels\nYabcdefghijk.wav\tCat\n")
    write(tmp_path / "metadata/validation/validation.tsv", STRONG_HEADER)
    public = "abcdefghijk_400_410.wav"
    write(tmp_path / "metadata/eval/public.tsv", STRONG_HEADER + f"{public}\t0\t1\tDog\n")
    (tmp_path / "audio/validation/validation").mkdir(parents=True)
    write_audio(tmp_path / "audio/train/weak/Yabcdefghijk.wav")
    write_audio(tmp_path / "audio/eval/public" / public)
    with pytest.raises(UserError, match="recording 'abcdefghijk' lies in splits test, train"):
        load("desed", tmp_path, train="weak")


ESC50_SHARED = (  # the lines of meta/esc50.csv whose recording lies in two folds
    ("2-131943-A-38.wav", "clock_tick"),
    ("3-131943-A-37.wav", "clock_alarm"),
    ("2-134049-A-6.wav", "hen"),
    ("3-134049-A-1.wav", "rooster"),
    ("4-209698-A-37.wav", "clock_alarm"),
    ("5-209698-A-38.wav", "clock_tick"),
    ("4-234879-A-6.wav", "hen"),
    ("5-234879-A-1.wav", "rooster"),
    ("5-234879-B-1.wav", "rooster"),
    ("1-100032-A-0.wav", "dog"),
)


def write_esc50(root: Path, clips: Iterable[tuple[str, str]]) -> None:
    """ESC-50's layout: the table's columns follow from the names of its files."""
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for name, category in clips:
        fold, recording, take, target = name.removesuffix(".wav").split("-")
        lines.append(f"{name},{fold},{target},{category},False,{recording},{take}")
        write_audio(root / "audio" / name, 0.5)
    write(root / "meta/esc50.csv", "\n".join(lines) + "\n")


def test_the_recordings_that_esc50s_folds_share_are_reported(tmp_path: Path) -> None:
    write_esc50(tmp_path / "esc", ESC50_SHARED)
    saved = save(load("esc50", tmp_path / "esc"), tmp_path / "corpus")
    opened = open_corpus(tmp_path / "corpus")
    assert opened.straddling == saved.straddling == ("131943", "134049", "209698", "234879")
    check(opened)
    split = with_test_fold(opened, 1)  # folds 2 and 3 of the file test and validate
    assert shared_recordings(split) == {
        "131943": ["test", "validation"],
        "134049": ["test", "validation"],
    }


def test_any_other_recording_in_two_folds_is_refused(tmp_path: Path) -> None:
    write_esc50(tmp_path, [*ESC50_SHARED, ("2-100032-B-0.wav", "dog")])
    with pytest.raises(UserError, match="recording '100032' lies in folds 0, 1"):
        load("esc50", tmp_path)
