"""Data sets of a person's own, by path patterns and tables: read, split, and held to account."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import chdir, redirect_stderr
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from pydantic import TypeAdapter

from bench.__main__ import main
from bench.corpora import Corpus, build_corpus, load
from bench.corpora.entries import Problems
from bench.corpora.folds import with_test_fold
from bench.corpora.pattern import Pattern
from bench.corpora.understood import told
from bench.data.corpus import unmet
from bench.experiment import config
from bench.files import UserError
from bench.registry import OWN_DATA
from bench.strict import Values, read_yaml

FRONT_END = {"kind": "logmel", "sample_rate": 1000, "window": 64, "hop": 40, "mels": 8, "fmin": 50,
             "fmax": 500, "clip_seconds": 1, "fill": "silence"}  # fmt: skip


def put(root: Path, *names: str, seconds: float = 0.1, rate: int = 1000) -> None:
    """Noise in these files; no two are alike."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(name.encode()))
        soundfile.write(path, rng.uniform(-0.5, 0.5, int(seconds * rate)), rate)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def problems_of(loader: str, root: Path, **options: Any) -> list[str]:
    """What the loader refuses; of users' own data, `check` has to find all of it as well."""
    with pytest.raises(UserError) as refused:
        load(loader, root, name="mine", **options)
    lines = str(refused.value).splitlines()
    if loader in OWN_DATA:
        assert set(lines) <= set(refused_by_check(loader, root, options))
    return [line.replace(f"{root}/", "") for line in lines]


def refused_by_check(loader: str, root: Path, options: dict[str, Any]) -> list[str]:
    """The lines of `check` on stderr, run in an empty folder, which stays as it was."""
    mine = {"loader": loader, "root": str(root), "options": options}
    mine |= {
        "loss": "bce",
        "metric": "mAP",
        "selection": "mAP",
        "front_ends": {"logmel": FRONT_END},
    }
    experiment = {
        "experiment": "mine", "title": "Mine", "seeds": [0], "datasets": {"mine": mine},
        "models": {"linear": {"architecture": "linear", "front_end": "logmel"}},
        "recipes": {"base": {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3}},
    }  # fmt: skip
    said = io.StringIO()
    with TemporaryDirectory() as folder, chdir(folder), redirect_stderr(said):
        write(Path("mine.yaml"), yaml.safe_dump(experiment))
        assert main(["check", "--config", "mine.yaml"]) == 2
        assert os.listdir() == ["mine.yaml"]
    return said.getvalue().replace("error: ", "", 1).splitlines()


def by_clip(corpus: Corpus, column: str) -> dict[str, Any]:
    return dict(zip(corpus.clips["clip"], corpus.clips[column], strict=True))


HALVES = {"validation": 0.25, "test": 0.25}


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Two classes of four groups with two takes each, and a note that is no audio."""
    for label in ("wren", "robin"):
        put(tmp_path, *(f"{label}/{g}_{take}.wav" for g in (f"{label[0]}1", f"{label[0]}2",
            f"{label[0]}3", f"{label[0]}4") for take in (0, 1)))  # fmt: skip
    write(tmp_path / "notes.txt", "a walk in May")
    return tmp_path


# --- patterns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path", "fields"),
    [
        (
            "{label}/{group}_nohash_{take}.wav",
            "yes/0a7c2a8d_nohash_0.wav",
            {"label": "yes", "group": "0a7c2a8d", "take": "0"},
        ),
        (
            "{ignore} - {label}/{fold}-{group}-{take}.ogg",
            "001 - Dog bark/1-30226-A.ogg",
            {"label": "Dog bark", "fold": "1", "group": "30226", "take": "A"},
        ),
        (
            "{label}_{group}_{take}.wav",
            "3_george_17.wav",
            {"label": "3", "group": "george", "take": "17"},
        ),
        (r"{label}_{take:\d+}", "big_dog_03.flac", {"label": "big_dog", "take": "03"}),
        ("{group}/{group}-{label}", "g1/g1-x.mp3", {"group": "g1", "label": "x"}),
        ("{group}/{group}-{label}", "g1/g2-x.mp3", None),
        ("{label}/{take}", "a/b/c.wav", None),
        ("{label}/{take}.wav", "a/b.flac", None),
        ("{label}.{take}", "a.b.wav", {"label": "a", "take": "b"}),
    ],
)
def test_patterns_read_paths(pattern: str, path: str, fields: dict[str, str] | None) -> None:
    assert Pattern(pattern, "pattern").fields_of(path) == fields


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{lable}/{take}.wav", "{lable}; did you mean {label}?"),
        ("{group}/{take}.wav", "no {label}"),
        ("{label/{take}.wav", "brace"),
        ("{label:[}/x.wav", "no valid pattern"),
    ],
)
def test_patterns_that_mean_nothing_are_refused(pattern: str, said: str) -> None:
    with pytest.raises(UserError, match=r"^here: ") as refused:
        Pattern(pattern, "here")
    assert said in str(refused.value)


def test_a_name_that_fits_in_two_ways_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path, "big_dog_03.wav")
    (line,) = problems_of("folder", tmp_path, pattern="{label}_{take}", splits=HALVES)[:1]
    assert "big_dog_03.wav" in line
    assert "label 'big', take 'dog_03', or label 'big_dog', take '03'" in line


def test_a_pattern_that_fits_no_file_shows_what_lies_there(birds: Path) -> None:
    (line,) = problems_of("folder", birds, pattern="{fold}/{label}/{take}", splits=HALVES)
    assert line.startswith("datasets.mine.options.pattern: ")
    assert "16 audio files" in line
    assert "'robin/r1_0.wav'" in line


@pytest.mark.parametrize("by", ["split", "fold"])
def test_equal_files_in_two_splits_or_folds_are_refused(tmp_path: Path, by: str) -> None:
    names = {"split": ("train", "validation", "test"), "fold": ("1", "2", "3")}[by]
    put(tmp_path / "data", *(f"{x}/{label}_{n}.wav" for x in names for label in "ab" for n in "01"))
    of: dict[str, Any] = {"name": "mine", "pattern": f"{{{by}}}/{{label}}_{{take}}"}
    if by == "split":
        of["splits"] = {"by": "split", "validation": ["validation"], "test": ["test"]}
    root = tmp_path / "data"
    build_corpus("folder", root, tmp_path / "c", **of)
    (root / names[0] / "b_0.wav").write_bytes((root / names[0] / "a_0.wav").read_bytes())
    build_corpus("folder", root, tmp_path / "c", **of)  # within one it is no leak
    for other in names[1:]:
        (root / other / "a_1.wav").write_bytes((root / names[0] / "a_0.wav").read_bytes())
    with pytest.raises(UserError) as refused:
        build_corpus("folder", root, tmp_path / "c", **of)
    lines = str(refused.value).splitlines()
    assert len([line for line in lines if f"two {by}s" in line]) == 2
    assert all("a_1.wav" in line for line in lines)


def test_files_without_sound_are_no_copies_of_each_other(tmp_path: Path) -> None:
    root = tmp_path / "data"
    put(root, *(f"{label}/{take}.wav" for label in "ab" for take in range(6)))
    for number, content in enumerate((b"", b"RIFF")):
        for name in (f"a/{2 + number}.wav", f"b/{4 + number}.wav"):
            (root / name).write_bytes(content)
    for name in ("a/0.wav", "b/2.wav"):
        soundfile.write(root / name, np.zeros(100), 1000)
    splits = {"by": "take", "validation": ["2", "3"], "test": ["4", "5"]}
    of: dict[str, Any] = {"name": "mine", "pattern": "{label}/{take}", "splits": splits}
    assert len(build_corpus("folder", root, tmp_path / "c", **of).clips) == 12
    (root / "a/1.wav").write_bytes((root / "b/1.wav").read_bytes())
    build_corpus("folder", root, tmp_path / "c", **of)
    (root / "a/5.wav").write_bytes((root / "b/1.wav").read_bytes())
    with pytest.raises(UserError, match=r"a/1\.wav and \S+a/5\.wav are equal"):
        build_corpus("folder", root, tmp_path / "c", **of)


# --- a folder ---------------------------------------------------------------------------------


def test_shares_are_drawn_by_group_and_reach_every_class(birds: Path) -> None:
    corpus = load("folder", birds, pattern="{label}/{group}_{take}", splits=HALVES)
    assert corpus.classes == ("robin", "wren")
    assert not corpus.multilabel
    counts = corpus.clips.assign(label=corpus.clips["labels"].str[0])
    assert set(counts.groupby(["label", "split"]).size()) == {2, 4}
    assert corpus.clips.groupby("group")["split"].nunique().max() == 1
    again = load("folder", birds, pattern="{label}/{group}_{take}", splits=HALVES)
    assert by_clip(again, "split") == by_clip(corpus, "split")


def test_groups_with_every_class_are_drawn_once(tmp_path: Path) -> None:
    put(tmp_path, *(f"{d}_{s}_{t}.wav" for d in "01" for s in "abcde" for t in "01"))
    corpus = load(
        "folder",
        tmp_path,
        pattern="{label}_{group}_{take}",
        splits={"validation": 0.2, "test": 0.2},
    )
    assert corpus.clips.groupby("split")["group"].nunique().to_dict() == {
        "train": 3, "validation": 1, "test": 1,
    }  # fmt: skip


def test_listed_groups_takes_and_shares_go_together(tmp_path: Path) -> None:
    put(tmp_path, *(f"{d}_{s}_{t}.wav" for d in "01" for s in "abcd" for t in range(5)))
    pattern = "{label}_{group}_{take}"
    groups = load("folder", tmp_path, pattern=pattern, splits={"validation": ["a"], "test": ["d"]})
    assert groups.clips.groupby("group")["split"].first().to_dict() == {
        "a": "validation", "b": "train", "c": "train", "d": "test",
    }  # fmt: skip
    takes = load(
        "folder", tmp_path, pattern="{label}_{ignore}_{take}",
        splits={"by": "take", "validation": 0.25, "test": [0]},
    ).clips  # fmt: skip
    assert set(takes.loc[takes["split"] == "test", "clip"].str[-5]) == {"0"}
    assert takes["split"].value_counts().to_dict() == {"train": 24, "validation": 8, "test": 8}


def test_folders_of_splits_under_their_own_names(tmp_path: Path) -> None:
    put(tmp_path, *(f"{s}/{x}/1.wav" for s in ("train", "val", "test") for x in "ab"))
    pattern = "{split}/{label}/{take}"
    named = {"by": "split", "validation": ["val"], "test": ["test"]}
    corpus = load("folder", tmp_path, pattern=pattern, splits=named)
    assert by_clip(corpus, "split")["val/a/1.wav"] == "validation"
    (line,) = [s for s in problems_of("folder", tmp_path, pattern=pattern) if "'val'" in s]
    assert "by: split" in line


def test_every_group_a_fold_of_its_own(tmp_path: Path) -> None:
    speakers = ("ann", "bob", "cid", "dan")
    put(tmp_path, *(f"{d}_{s}_{t}.wav" for d in "01" for s in speakers for t in "01"))
    corpus = load("folder", tmp_path, pattern="{label}_{group}_{take}", splits={"folds": "group"})
    assert corpus.clips.groupby("group")["fold"].unique().map(list).to_dict() == {
        "ann": [0], "bob": [1], "cid": [2], "dan": [3],
    }  # fmt: skip
    assert set(with_test_fold(corpus, 3).clips.query("split == 'validation'")["group"]) == {"ann"}


@pytest.mark.parametrize(
    ("pattern", "splits", "said"),
    [
        ("{label}/{group}_{ignore}_{take}", HALVES, "no class has more than 2 groups"),
        ("{label}/{ignore}_{ignore}_0", {"by": "take"} | HALVES, "give the pattern a {take}"),
    ],
)
def test_shares_of_too_little_say_what_is_missing(
    tmp_path: Path, pattern: str, splits: dict[str, Any], said: str
) -> None:
    put(tmp_path, *(f"{x}/{g}_{n}_0.wav" for x in "ab" for g in (f"{x}1", f"{x}2") for n in "12"))
    lines = problems_of("folder", tmp_path, pattern=pattern, splits=splits)
    assert any(said in line for line in lines), lines


def test_folds_beside_splits_are_refused(tmp_path: Path) -> None:
    put(tmp_path, *(f"{s}/{x}_{f}.wav" for s in ("train", "test") for x in "ab" for f in "123"))
    lines = problems_of("folder", tmp_path, pattern="{split}/{label}_{fold}")
    assert any("states folds and splits" in line for line in lines)


def test_a_list_does_not_invent_a_class(birds: Path) -> None:
    write(birds / "v.txt", "wrem/w1_0.wav\nwren/w2_0.wav\nrobin/r1_0.wav\n")
    write(birds / "t.txt", "wren/w3_0.wav\nrobin/r2_0.wav\n")
    (line,) = problems_of(
        "folder", birds, pattern="{label}/{ignore}_{take}",
        splits={"validation": "v.txt", "test": "t.txt"},
    )  # fmt: skip
    assert line.startswith("v.txt, line 1: 'wrem/w1_0.wav' names no clip")


def test_classes_in_order_renamed_and_left_out(birds: Path) -> None:
    put(birds, "wind/1_0.wav")
    corpus = load(
        "folder", birds, pattern="{label}/{group}_{take}", splits=HALVES,
        classes=["Zaunkönig", "robin"], rename={"wren": "Zaunkönig"}, leave_out=["wind"],
    )  # fmt: skip
    assert corpus.classes == ("Zaunkönig", "robin")
    assert by_clip(corpus, "labels")["wren/w1_0.wav"] == ["Zaunkönig"]
    assert len(corpus.clips) == 16
    write(birds / "held.txt", "robin/r1_0.wav\n")
    (line,) = problems_of(
        "folder", birds, pattern="{label}/{group}_{take}", splits={"test": "held.txt"},
        leave_out=["robin", "wind", "wren"],
    )  # fmt: skip
    assert "options.leave_out" in line


def test_numbers_are_names_and_classes_of_numbers_are_in_their_order(tmp_path: Path) -> None:
    put(tmp_path, *(f"{d}/{g}.wav" for d in (2, 10) for g in ("007", "008", "009")))
    splits = {"validation": ["007"], "test": ["008"]}
    corpus = load("folder", tmp_path, pattern="{label}/{group}", splits=splits)
    assert corpus.classes == ("2", "10")
    (line,) = problems_of(
        "folder", tmp_path, pattern="{label}/{group}", splits={**splits, "test": [8, "009"]}
    )
    assert "no clip has the group '8'" in line


def test_names_in_quotes_may_look_like_values(tmp_path: Path) -> None:
    put(tmp_path, *(f"{label}/{number}.wav" for label in ("1e5", "true") for number in range(9)))
    write(
        tmp_path / "options.yaml",
        'pattern: "{label}/{take}"\nclasses: ["true", "1e5"]\n'
        'splits: {by: take, validation: ["7"], test: ["8"]}\n',
    )
    options = TypeAdapter(Values).validate_python(read_yaml(tmp_path / "options.yaml"))
    assert load("folder", tmp_path, **options).classes == ("true", "1e5")


def test_other_audio_is_told_and_other_forms_are_missing(birds: Path) -> None:
    put(birds, "readme.wav")
    (birds / "wren/w9_0.m4a").write_bytes(b"a phone's")
    corpus = load("folder", birds, pattern="{label}/{group}_{take}", splits=HALVES)
    assert corpus.coverage == (16, 17)
    assert set(corpus.remarks) == {"readme.wav", "wren/w9_0.m4a"}


def test_everything_wrong_with_a_folder_is_told_at_once(birds: Path) -> None:
    put(birds, "wren/r1_0.wav", "wren/w1_0.flac", "wrne/w5_0.wav")
    lines = problems_of(
        "folder", birds, pattern="{label}/{group}_{take}", classes=["wren", "robin", "owl"],
        rename={"kestrel": "owl"}, splits={"validation": ["w1", "r1"], "test": ["w2", "r9"]},
    )  # fmt: skip
    for said in (
        "wren/w1_0: lies there in 2 forms",
        "options.rename: no clip has the label 'kestrel'",
        "wrne/w5_0.wav: label 'wrne' is not in datasets.mine.options.classes; did you mean 'wren'?",
        "splits.test: no clip has the group 'r9'; did you mean",
        "the train split has no clip of 'owl'",
        "the test split has no clip of 'robin', 'owl'",
    ):
        assert any(said in line for line in lines), said


def test_a_group_in_two_splits_is_refused(birds: Path) -> None:
    splits = {"by": "take", "validation": [0], "test": [1]}
    lines = problems_of("folder", birds, pattern="{label}/{group}_{take}", splits=splits)
    assert sum("lies in splits" in line for line in lines) == 8
    assert "group 'r1' lies in splits validation (robin/r1_0.wav) and test" in lines[0]


def test_a_group_in_two_folds_and_a_class_in_too_few_are_refused(tmp_path: Path) -> None:
    put(tmp_path, *(f"{f}-g{f}-{x}.wav" for f in range(1, 5) for x in "ab"))
    put(tmp_path, "1-g2-a.wav", "1-g1-c.wav")
    lines = problems_of("folder", tmp_path, pattern="{fold}-{group}-{label}")
    assert any("group 'g2' lies in folds 1 " in line for line in lines)
    assert any("'c' in fewer than three folds" in line for line in lines)


def test_problems_beyond_twenty_are_counted() -> None:
    problems = Problems()
    for number in range(25):
        problems.add(f"line {number}")
    with pytest.raises(UserError) as refused:
        problems.refuse()
    assert str(refused.value).splitlines()[20:] == ["… and 5 more problems"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"patern": "x"}, "unknown key 'patern'; did you mean 'pattern'?"),
        ({"pattern": 3}, "pattern: "),
        ({"pattern": "{label}", "classes": "wren"}, "classes: "),
        ({"pattern": "{label}", "classes": [True]}, "put it in quotes"),
        ({"pattern": "{label}", "classes": [1.1]}, "put it in quotes"),
        ({"pattern": "{label}", "rename": {"wren": 1000.0}}, "put it in quotes"),
        ({"pattern": "{label}", "leave_out": [None]}, "put it in quotes"),
        ({"pattern": "{label}", "splits": {"test": "20%"}}, "without quotes, such as 0.2"),
        ({"pattern": "{label}", "splits": {"validaton": 0.1}}, "did you mean 'validation'?"),
        ({"pattern": "{label}", "splits": {"test": 1.5}}, "splits.test"),
    ],
)
def test_options_are_typed(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    text = "\n".join(problems_of("folder", tmp_path, **options))
    assert text.startswith("datasets.mine.options: ")
    assert said in text


def test_lists_that_name_no_clip_or_one_twice_are_refused(birds: Path) -> None:
    write(birds / "v.txt", "wren/w1_0.wav\nrobin/r1_0\nwren/w9_0.wav\nhawk.wav\n")
    write(birds / "t.txt", "wren/w1_0.wav\nrobin/r2_0.wav\n")
    lines = problems_of(
        "folder", birds, pattern="{label}/{ignore}_{take}",
        splits={"validation": "v.txt", "test": "t.txt"},
    )  # fmt: skip
    assert lines == [
        "v.txt, line 1: 'wren/w1_0.wav' stands in the list of another split too; delete it "
        "from one of them",
        "v.txt, line 4: 'hawk.wav' names no clip of the data set; clips are named in the "
        "form of 'robin/r1_0.wav': correct it, or delete the line",
        "datasets.mine.options.splits: the validation split has no clip of 'wren'; choose other "
        "shares or lists, add recordings, or name the class in leave_out",
        "wren/w9_0.wav: no file of 'wren/w9_0.wav' is there; it is the first of 1 of 17 clips that "
        "count as missing",
    ]
    (line, *_) = problems_of(
        "folder", birds, pattern="{label}/{ignore}_{take}", splits={"validation": "w1", "test": 0.2}
    )
    assert "no such list file: w1; names of groups go into a list: [w1]" in line


def test_options_of_official_loaders_and_plug_ins_are_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = problems_of("audioset", tmp_path, validation_share="some")
    assert line.startswith("datasets.mine.options: validation_share: ")
    write(
        tmp_path / "odd_loader.py",
        "from __future__ import annotations\n"
        "def load(root: Path, *, name: str, synthetic: bool, kind: Unknown = 1): return kind\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load("odd_loader:load", tmp_path, kind=2) == 2
    (line,) = problems_of("odd_loader:load", tmp_path, kid=2)
    assert "did you mean 'kind'?" in line


# --- links ------------------------------------------------------------------------------------


def test_a_linked_folder_does_not_hide_the_one_that_it_leads_to(birds: Path) -> None:
    (birds / "alias").symlink_to("wren")
    corpus = load("folder", birds, pattern="{label}/{group}_{take}", splits=HALVES)
    assert corpus.classes == ("robin", "wren")
    assert corpus.coverage == (16, 16)


def test_a_table_may_name_audio_by_a_linked_folder(listed: Path) -> None:
    (listed / "alias").symlink_to("clips")
    text = (listed / "clips.csv").read_text().replace("clips/3.wav", "alias/3.wav")
    write(listed / "clips.csv", text)
    corpus = load("table", listed, table="clips.csv", columns=COLUMNS, label_separator=";")
    assert corpus.coverage == (8, 8)
    assert by_clip(corpus, "path")["alias/3.wav"] == "alias/3.wav"


def test_links_without_a_target_count_as_missing(birds: Path) -> None:
    (birds / "wren" / "w9_0.wav").symlink_to("annexed.wav")
    corpus = load("folder", birds, pattern="{label}/{group}_{take}", splits=HALVES)
    assert corpus.coverage == (16, 17)
    assert "target is missing" in corpus.remarks["wren/w9_0.wav"]


# --- what an experiment needs of its data -------------------------------------------------------


def unmet_by(corpus: Corpus, recipe: dict[str, Any] | None = None, **dataset: Any) -> list[str]:
    """What the experiment misses in this corpus."""
    mine = {"loader": "folder", "root": ".", "loss": "bce", "metric": "mAP", "selection": "mAP"}
    settings = config.load(
        {
            "experiment": "mine", "title": "Mine", "seeds": [0],
            "datasets": {"mine": mine | {"front_ends": {"logmel": FRONT_END}} | dataset},
            "models": {"pann": {"architecture": "pann", "front_end": "logmel",
                                "arguments": {"preset": "tiny"}}},
            "recipes": {"base": {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3}
                        | (recipe or {})},
        }
    )  # fmt: skip
    return list(unmet(settings, "mine", corpus))


def test_folds_of_the_data_and_of_the_config_agree(tmp_path: Path) -> None:
    put(tmp_path, *(f"{d}_{s}_{t}.wav" for d in "01" for s in "abcd" for t in "01"))
    corpus = load("folder", tmp_path, pattern="{label}_{group}_{take}", splits={"folds": "group"})
    assert unmet_by(corpus, folds=4) == []
    for stated in (0, 3):
        (line,) = unmet_by(corpus, folds=stated)
        assert line == f"datasets.mine.folds: {stated}, and the data has 4; set it to 4"


def test_one_class_alone_has_no_other_to_be_told_from(birds: Path) -> None:
    corpus = load(
        "folder", birds, pattern="{label}/{group}_{take}", splits=HALVES, rename={"wren": "robin"}
    )
    (line,) = unmet_by(corpus, loss="ce", metric="accuracy", selection="accuracy")
    assert "'robin' is its only class" in line
    assert unmet_by(corpus) == []


LOCALIZED: dict[str, Any] = {"localize": True, "metric": "intersection_f1"}


@pytest.mark.parametrize(
    ("timed", "said"),
    [
        ((4, 5, 6, 7), []),
        ((0, 4, 5), ["2 clips of the test split have labels and no times, such as clips/6.wav"]),
        ((0, 6, 7), ["2 clips of the validation split have labels and no times"]),
        ((4, 6, 7), ["1 clips of the validation split have labels and no times"]),
    ],
)
def test_clips_without_times_are_not_scored_as_silent(
    listed: Path, timed: tuple[int, ...], said: list[str]
) -> None:
    heard = [f"clips/{n}.wav\t0.5\t1\t{label}" for n in timed for label in "ab"[: n % 2 + 1]]
    write(listed / "events.tsv", "filename\tonset\toffset\tevent_label\n" + "\n".join(heard) + "\n")
    corpus = load(
        "table", listed, table="clips.csv", columns=COLUMNS, label_separator=";",
        events="events.tsv",
    )  # fmt: skip
    lines = unmet_by(corpus, **LOCALIZED)
    assert len(lines) == len(said)
    assert all(x in line for x, line in zip(said, lines, strict=True))
    trained = unmet_by(corpus, {"supervision": "both"}, **LOCALIZED)
    needs = [
        line for line in trained if line.startswith("recipes of mine/pann: supervision 'both'")
    ]
    assert len(needs) == (0 not in timed)


def test_localizing_takes_events(listed: Path) -> None:
    corpus = load("table", listed, table="clips.csv", columns=COLUMNS, label_separator=";")
    (line,) = unmet_by(corpus, **LOCALIZED)
    assert "datasets.mine.localize: true, and the data has no events" in line


# --- as the official loaders ------------------------------------------------------------------


def esc50(root: Path) -> tuple[str, Path, dict[str, Any]]:
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for target, category in ((0, "dog"), (30, "door_wood_knock")):
            for take in "AB":
                name = f"{fold}-{1000 * fold + target}-{take}-{target}.wav"
                lines.append(
                    f"{name},{fold},{target},{category},True,{1000 * fold + target},{take}"
                )
                put(root, f"audio/{name}")
    write(root / "meta" / "esc50.csv", "\n".join(lines) + "\n")
    pattern = "{fold}-{group}-{take}-{label}"
    rename = {0: "dog", 30: "door_wood_knock"}
    classes = ["dog", "door_wood_knock"]
    return "esc50", root / "audio", {"pattern": pattern, "rename": rename, "classes": classes}


def commands(root: Path) -> tuple[str, Path, dict[str, Any]]:
    put(root, *(f"{w}/{s}_nohash_{t}.wav" for w in ("yes", "no") for s in "abcd" for t in "01"))
    put(root, "_background_noise_/white_noise.wav")
    for speaker, file in (("a", "validation_list.txt"), ("b", "testing_list.txt")):
        names = [f"{w}/{speaker}_nohash_{t}.wav\n" for w in ("yes", "no") for t in "017"]
        write(root / file, "".join(names[:-1]))
    lists = {"validation": "validation_list.txt", "test": "testing_list.txt"}
    return "speechcommands", root, {"pattern": "{label}/{group}_nohash_{take}.wav", "splits": lists}


def test_names_and_lists_are_read_as_people_write_them(tmp_path: Path) -> None:
    apart = "Mo\u0308we"  # o and its dots, as some systems name files
    put(tmp_path, *(f"{x}/{n}.wav" for x in (apart, "Amsel") for n in range(5)))
    write(tmp_path / "v.txt", f"M\u00f6we/0\n./Amsel/1.wav\n{tmp_path}/Amsel/2.flac\n")
    corpus = load(
        "folder", tmp_path, pattern=r"{label}/{take:\d{1}}", classes=["M\u00f6we", "Amsel"],
        splits={"validation": "v.txt", "test": 0.2},
    )  # fmt: skip
    chosen = corpus.clips[corpus.clips["split"] == "validation"]
    assert set(chosen["path"]) == {f"{apart}/0.wav", "Amsel/1.wav", "Amsel/2.wav"}
    assert chosen["labels"].tolist() == [["Amsel"], ["Amsel"], ["M\u00f6we"]]


def test_a_name_that_no_table_can_hold_is_refused(birds: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(birds / "wren") + b"/\xff_0.wav"))
    odd.write_bytes((birds / "wren" / "w1_0.wav").read_bytes())
    (line,) = problems_of("folder", birds, pattern="{label}/{group}_{take}", splits=HALVES)
    assert line.startswith("wren/\\xff_0.wav: the name is not UTF-8")


def test_a_file_is_no_folder_of_data(birds: Path) -> None:
    with pytest.raises(UserError, match=r"w1_0\.wav: not a folder; set datasets\.mine\.root"):
        load("folder", birds / "wren" / "w1_0.wav", name="mine", pattern="{label}", splits=HALVES)


def test_a_validation_part_is_drawn_from_published_training_clips(tmp_path: Path) -> None:
    put(tmp_path, *(f"{s}/{x}/{n}.wav" for s in ("train", "eval") for x in "ab" for n in range(5)))
    options: dict[str, Any] = {"pattern": "{split}/{label}/{take}"}
    asked = {"by": "split", "validation": 0.2, "test": ["eval"]}
    corpus = load("folder", tmp_path, splits=asked, **options)
    for clip, split in by_clip(corpus, "split").items():
        assert (split == "test") == clip.startswith("eval/")
    assert corpus.coverage_by_split()["validation"].found == 2
    lines = problems_of("folder", tmp_path, splits=HALVES, **options)
    assert any("split 'eval', and datasets.mine.options.splits splits by group" in x for x in lines)


def test_folds_of_groups_need_groups(birds: Path) -> None:
    (line,) = problems_of("folder", birds, pattern="{label}/{take}", splits={"folds": "group"})
    assert line.startswith("datasets.mine.options.splits.folds: ")


def test_a_dot_in_a_name_begins_no_suffix(tmp_path: Path) -> None:
    put(tmp_path, "rec_3.wav", "rec_3.5.wav", "rec_4.wav")
    write(tmp_path / "t.csv", "filename,x,y\nrec_3.5,a,train\nrec_3,a,test\nrec_4,a,validation\n")
    corpus = load("table", tmp_path, table="t.csv", columns={"label": "x", "split": "y"})
    assert by_clip(corpus, "path")["rec_3.5"] == "rec_3.5.wav"
    assert by_clip(corpus, "path")["rec_3"] == "rec_3.wav"


@pytest.mark.parametrize("layout", [esc50, commands])
def test_a_folder_is_read_as_by_the_official_loader(
    layout: Callable[[Path], tuple[str, Path, dict[str, Any]]], tmp_path: Path
) -> None:
    loader, place, options = layout(tmp_path / "data")
    official = build_corpus(loader, tmp_path / "data", tmp_path / "official")
    ours = build_corpus("folder", place, tmp_path / "ours", **options)
    assert ours.classes == official.classes
    assert ours.multilabel == official.multilabel
    for table in ("clips", "missing"):
        one, two = (getattr(c, table).drop(columns="path") for c in (official, ours))
        pd.testing.assert_frame_equal(one, two)
    assert (ours.root / ours.clips["path"][0]).samefile(official.root / official.clips["path"][0])
    if loader == "speechcommands":
        assert ours.digest == official.digest


# --- a table ----------------------------------------------------------------------------------

NAMES = [f"clips/{number}.wav" for number in range(8)]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Eight clips of 2 s, and the weak labels of each."""
    put(tmp_path, *NAMES, seconds=2.0)
    splits = ["train"] * 4 + ["validation"] * 2 + ["test"] * 2
    rows = [
        f"{name},{'a;b' if n % 2 else 'a'},{splits[n]},s{n // 2}" for n, name in enumerate(NAMES)
    ]
    write(tmp_path / "clips.csv", "file,species,set,site\n" + "\n".join(rows) + "\n")
    return tmp_path


COLUMNS = {"path": "file", "label": "species", "split": "set", "group": "site"}


def test_several_labels_in_one_column(listed: Path) -> None:
    corpus = load("table", listed, table="clips.csv", columns=COLUMNS, label_separator=";")
    assert corpus.multilabel
    assert by_clip(corpus, "labels")["clips/1.wav"] == ["a", "b"]
    assert by_clip(corpus, "split")["clips/7.wav"] == "test"
    assert by_clip(corpus, "group")["clips/7.wav"] == "s3"
    assert corpus.events is None
    assert not corpus.clips["strong"].any()


def test_labels_in_columns_of_0_and_1_of_a_tsv(listed: Path) -> None:
    rows = [f"{n}.wav\t{n % 2}\t1\tg{n}" for n in range(8)]
    write(listed / "clips.tsv", "filename\tcat\tdog\tgroup\n" + "\n".join(rows) + "\n")
    corpus = load(
        "table", listed, table="clips.tsv", audio="clips", splits=HALVES,
        columns={"label": ["cat", "dog"], "group": "group"},
    )  # fmt: skip
    assert corpus.multilabel
    assert by_clip(corpus, "labels")["1.wav"] == ["cat", "dog"]
    assert by_clip(corpus, "path")["1.wav"] == "clips/1.wav"


def test_events_make_clips_strong_and_label_them(listed: Path) -> None:
    text = "filename\tonset\toffset\tevent_label\n1.wav\t0.5\t1.0\ta\n1.wav\t0.7\t2.05\tb\n"
    write(listed / "events.tsv", text + "clips/0.wav\t0\t1\ta\n")
    both = load(
        "table",
        listed,
        table="clips.csv",
        columns=COLUMNS,
        label_separator=";",
        events="events.tsv",
    )
    assert by_clip(both, "strong") == {name: name in NAMES[:2] for name in NAMES}
    assert both.events is not None
    assert both.events.values.tolist() == [
        ["clips/0.wav", 0.0, 1.0, "a"],
        ["clips/1.wav", 0.5, 1.0, "a"],
        ["clips/1.wav", 0.7, 2.05, "b"],
    ]
    for number in range(8):
        text += (
            f"{number}.wav\t0\t1\ta\n{number}.wav\t1\t2\tb\n" if number != 6 else "6.wav\t\t\t\n"
        )
    write(listed / "events.tsv", text)
    columns = {key: value for key, value in COLUMNS.items() if key != "label"}
    alone = load("table", listed, table="clips.csv", columns=columns, events="events.tsv")
    assert alone.clips["strong"].all()
    assert by_clip(alone, "labels")["clips/6.wav"] == []
    assert by_clip(alone, "labels")["clips/7.wav"] == ["a", "b"]


def test_columns_of_events_are_named_in_the_config(listed: Path) -> None:
    text = "wav;von;bis;Art\n1.wav;0.5;1.0;a\n1.wav;0.7;2.0;b\n3.wav;;;\n"
    text += "".join(f"{number}.wav;0;1;a\n{number}.wav;0;1;b\n" for number in (5, 7))
    write(listed / "events.csv", text)
    own = {"path": "wav", "onset": "von", "offset": "bis", "label": "Art"}
    columns = {key: value for key, value in COLUMNS.items() if key != "label"}
    of: dict[str, Any] = {"table": "clips.csv", "events": "events.csv", "columns": columns}
    (line,) = problems_of("table", listed, **of)
    assert line.startswith("events.csv, line 1: ")
    assert "options.event_columns" in line
    corpus = load("table", listed, **of, event_columns=own)
    assert corpus.events is not None
    assert corpus.events.query("filename == 'clips/1.wav'").values.tolist() == [
        ["clips/1.wav", 0.5, 1.0, "a"], ["clips/1.wav", 0.7, 2.0, "b"],
    ]  # fmt: skip
    assert by_clip(corpus, "labels")["clips/3.wav"] == []
    (line,) = problems_of("table", listed, table="clips.csv", event_columns=own)
    assert "options.events" in line


def test_cuts_of_long_files_and_their_events(tmp_path: Path) -> None:
    put(tmp_path, *(f"{x}.wav" for x in "abc"), seconds=10.0)
    splits = {"a": "train", "b": "validation", "c": "test"}
    cuts = [
        f"{x}.wav,{start},{end},{s}" for x, s in splits.items() for start, end in ((0, 4), (4, 10))
    ]
    write(tmp_path / "cuts.csv", "file,from,to,set\n" + "\n".join(cuts) + "\n")
    events = [f"{x}.wav\t3.0\t5.5\tcall" for x in splits]
    write(tmp_path / "e.tsv", "filename\tonset\toffset\tevent_label\n" + "\n".join(events) + "\n")
    corpus = build_corpus(
        "table", tmp_path, tmp_path / "out", table="cuts.csv", events="e.tsv",
        columns={"path": "file", "start": "from", "end": "to", "split": "set"},
    )  # fmt: skip
    assert by_clip(corpus, "duration_s") | {} == {
        f"{x}.wav@{cut}": seconds for x in splits for cut, seconds in (("0-4", 4.0), ("4-10", 6.0))
    }
    assert by_clip(corpus, "group")["a.wav@4-10"] == "a.wav"
    assert corpus.events is not None
    own = corpus.events[corpus.events["filename"].str.startswith("a.wav")]
    assert own[["onset", "offset"]].values.tolist() == [[3.0, 4.0], [0.0, 1.5]]


def test_a_list_file_takes_all_cuts_of_a_file_that_it_names(tmp_path: Path) -> None:
    put(tmp_path, "a.wav", "b.wav", "c.wav", seconds=6.0)
    rows = [f"{x}.wav,{start},{start + 2},call" for x in "abc" for start in (0, 2, 4)]
    write(tmp_path / "cuts.csv", "filename,start,end,label\n" + "\n".join(rows) + "\n")
    write(tmp_path / "v.txt", "b.wav\n")
    write(tmp_path / "t.txt", "c.wav\n")
    of: dict[str, Any] = {
        "table": "cuts.csv",
        "columns": {"start": "start", "end": "end", "label": "label"},
        "splits": {"validation": "v.txt", "test": "t.txt"},
    }
    taken = load("table", tmp_path, **of).clips.groupby("split")["path"].agg(list)
    assert taken.to_dict() == {
        "train": ["a.wav"] * 3, "validation": ["b.wav"] * 3, "test": ["c.wav"] * 3,
    }  # fmt: skip
    write(tmp_path / "t.txt", "c.wav\nb.wav@2-4\n")
    lines = problems_of("table", tmp_path, **of)
    assert lines[0].startswith("v.txt, line 1: 'b.wav' stands in the list of another split")


@pytest.mark.parametrize("column", ["split", "fold"])
def test_overlapping_cuts_in_two_splits_or_folds_are_refused(tmp_path: Path, column: str) -> None:
    put(tmp_path, "long.wav", seconds=30.0)
    names = {"split": ("train", "validation", "test"), "fold": ("1", "2", "3")}[column]

    def cut(*ends: str) -> dict[str, Any]:
        rows = [f"long.wav,call,{ends[i]},{names[i]},g{i}" for i in range(3)]
        write(
            tmp_path / "cuts.csv", f"filename,label,start,end,{column},animal\n" + "\n".join(rows)
        )
        columns = {key: key for key in ("label", "start", "end", column)}
        return {"table": "cuts.csv", "columns": columns | {"group": "animal"}}

    assert len(load("table", tmp_path, **cut("0,10", "10,20", "20,30")).clips) == 3
    lines = problems_of("table", tmp_path, **cut("0,10", "5,15", "9,19"))
    assert [line.partition(":")[0] for line in lines] == [f"cuts.csv, line {n}" for n in (3, 4, 4)]
    assert "long.wav from 5 s to 15 s overlaps 0 s to 10 s (cuts.csv, line 2)" in lines[0]


def test_a_cut_without_an_end_lasts_to_the_end_of_its_file(listed: Path) -> None:
    rows = [f"{n}.wav,0.5,a,{s}" for n, s in enumerate(["train", "validation", "test"])]
    write(listed / "cuts.csv", "filename,start,label,split\n" + "\n".join(rows) + "\n")
    corpus = load(
        "table", listed, table="cuts.csv", audio="clips",
        columns={"start": "start", "label": "label", "split": "split"},
    )  # fmt: skip
    assert set(corpus.clips["duration_s"]) == {1.5}


def test_everything_wrong_with_tables_is_told_at_once(listed: Path) -> None:
    text = (listed / "clips.csv").read_text() + "clips/1.wav,a,train,s0\nclips/x.wav,,train,s9\n"
    text += "clips/9.wav,a,train\n,a,train,s0\n"
    write(listed / "clips.csv", text.replace("clips/5.wav,a;b", "clips/5.wav,a;c"))
    write(
        listed / "events.tsv",
        "filename\tonset\toffset\tevent_label\n"
        "nine.wav\t0\t1\ta\n1.wav\t1.5\t2.5\ta\n1.wav\t1.0\t0.5\ta\n3.wav\tsoon\t2\ta\n"
        "2.wav\t0\t1\tb\n0.wav\t0\t1\td\n0.wav\t0\t1\t\nclips/2\t0.0\t1.0\tb\n"
        "1.wav\t0\t1\td\n",
    )
    lines = problems_of(
        "table", listed, table="clips.csv", columns=COLUMNS, label_separator=";",
        classes=["a", "b"], events="events.tsv",
    )  # fmt: skip
    for said in (
        "clips.csv, line 10: 'clips/1.wav' stands in line 3 too",
        "clips.csv, line 12: 3 fields where the header names 4",
        "clips.csv, line 13: no file in column file",
        "clips.csv, line 7: label 'c' is not in",
        "events.tsv, line 2: 'nine.wav' is no clip of the table",
        "events.tsv, line 3: an event from 1.5 s to 2.5 s, and clips/1.wav is 2.000 s long",
        "events.tsv, line 4: an event from 1 s to 0.5 s",
        "events.tsv, line 5: 'soon' in column onset is not a number",
        "events.tsv, line 7 and 1 more: label 'd' is not in datasets.mine.options.classes; ",
        "events.tsv, line 8: an event without a label",
        "events.tsv, line 9: repeats line 6",
        "clips.csv, line 4: labels 'a', and its events in events.tsv 'b'",
    ):
        assert any(said in line for line in lines), (said, lines)


def test_an_event_that_no_clip_holds_is_told(tmp_path: Path) -> None:
    put(tmp_path, *(f"{n}.wav" for n in range(6)), seconds=2.0)
    splits = ("train", "validation", "test") * 2
    rows = [f"{n}.wav,0,{'' if n else 0.5},{splits[n]}" for n in range(6)]
    write(tmp_path / "clips.csv", "file,from,to,set\n" + "\n".join(rows) + "\n")
    events = [f"{n}.wav\t0.1\t0.4\ta" for n in range(6)] + ["0.wav\t0.7\t0.9\towl"]
    write(tmp_path / "events.tsv", "filename\tonset\toffset\tevent_label\n" + "\n".join(events))
    columns = {"path": "file", "start": "from", "end": "to", "split": "set"}
    corpus = load("table", tmp_path, table="clips.csv", columns=columns, events="events.tsv")
    assert corpus.classes == ("a",)
    assert np.isnan(corpus.clips["duration_s"]).sum() == 5  # no end: the end of the file
    assert list(corpus.remarks) == [f"{tmp_path}/events.tsv, line 8"]
    assert any("not used or odd: 1" in line for line in told(corpus))


def test_a_file_outside_the_folder_is_named(listed: Path, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside.wav"
    put(outside.parent, outside.name)
    with (listed / "clips.csv").open("a") as table:
        table.write(f"{outside},a,train,s9\n")
    (line,) = problems_of("table", listed, table="clips.csv", columns=COLUMNS, label_separator=";")
    assert line.startswith("clips.csv, line 10: ")
    assert "lies outside" in line


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_any_separator_and_blanks_are_read(separator: str, listed: Path) -> None:
    text = (listed / "clips.csv").read_text().replace(";", "+").replace(",", f" {separator} ")
    (listed / "clips.csv").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    events = "filename,onset,offset,event_label\n0,0.5,1,a\n./clips/2.wav,0.5,1,a \n"
    write(listed / "events.tsv", events.replace(",", separator))
    corpus = load(
        "table", listed, table="clips.csv", columns=COLUMNS, label_separator="+",
        events="events.tsv",
    )  # fmt: skip
    assert by_clip(corpus, "labels")["clips/1.wav"] == ["a", "b"]
    assert by_clip(corpus, "split")["clips/7.wav"] == "test"
    assert corpus.events is not None
    assert corpus.events["filename"].tolist() == ["clips/0.wav", "clips/2.wav"]
    assert corpus.events["event_label"].tolist() == ["a", "a"]


@pytest.mark.parametrize("name", ["{root}/clips/0.wav", "./clips/0.wav", "clips\\0.wav", "clips/0"])
def test_a_file_is_one_clip_however_it_is_called(name: str, listed: Path) -> None:
    text = (listed / "clips.csv").read_text()
    called = name.format(root=listed)
    write(listed / "clips.csv", text.replace("clips/0.wav", called))
    corpus = load("table", listed, table="clips.csv", columns=COLUMNS, label_separator=";")
    assert sorted(corpus.clips["path"]) == NAMES
    write(listed / "clips.csv", text + f"{called},a,test,s9\n")
    (line,) = problems_of(
        "table", listed, table="clips.csv", columns=COLUMNS, label_separator=";"
    )  # fmt: skip
    assert line.startswith("clips.csv, line 10: ")
    assert "stands in line 2 too" in line


@pytest.mark.parametrize("way", ["root", "table"])
def test_absolute_paths_may_lead_through_a_link(way: str, listed: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(listed, target_is_directory=True)
    root, called = (link, listed) if way == "root" else (listed, link)
    text = (listed / "clips.csv").read_text()
    write(listed / "clips.csv", text.replace("clips/", f"{called.absolute()}/clips/"))
    corpus = load("table", root, table="clips.csv", columns=COLUMNS, label_separator=";")
    assert sorted(corpus.clips["clip"]) == NAMES


def test_events_and_labels_agree_under_their_new_names(listed: Path) -> None:
    header = "filename\tonset\toffset\tevent_label\n"
    write(listed / "events.tsv", header + "0.wav\t0\t1\told\n0.wav\t0\t1\ta\n")
    corpus = load(
        "table", listed, table="clips.csv", columns=COLUMNS, label_separator=";",
        events="events.tsv", rename={"old": "a"},
    )  # fmt: skip
    assert by_clip(corpus, "labels")["clips/0.wav"] == ["a"]
    assert corpus.events is not None
    assert corpus.events.values.tolist() == [["clips/0.wav", 0.0, 1.0, "a"]]


def test_a_separator_that_separates_nothing_is_refused(listed: Path) -> None:
    (line,) = problems_of("table", listed, table="clips.csv", columns=COLUMNS, label_separator="")
    assert line.startswith("datasets.mine.options: label_separator: ")


def test_a_quote_that_is_not_closed_takes_in_no_other_line(listed: Path) -> None:
    text = (listed / "clips.csv").read_text()
    write(listed / "clips.csv", text.replace("clips/6.wav", '"clips/6.wav'))
    lines = problems_of("table", listed, table="clips.csv", columns=COLUMNS, label_separator=";")
    assert lines[0].startswith("clips.csv, line 8: ")


def test_clips_without_files_are_named_where_a_class_is_lacking(listed: Path) -> None:
    text = (listed / "clips.csv").read_text()
    write(listed / "clips.csv", text.replace("clips/7.wav", "clips/seven.wav"))
    lines = problems_of("table", listed, table="clips.csv", columns=COLUMNS, label_separator=";")
    assert any(line.startswith("clips.csv, line 9: no file of 'clips/seven.wav'") for line in lines)


def test_headers_of_both_tables_are_told_at_once(listed: Path) -> None:
    write(listed / "events.tsv", "file\tfrom\tto\tlabel\n")
    lines = problems_of(
        "table", listed, table="clips.csv", columns={"label": "x"}, events="events.tsv"
    )
    assert [line.partition(":")[0] for line in lines] == ["clips.csv, line 1", "events.tsv, line 1"]
    assert "columns 'filename', 'x' are missing" in lines[0]
    write(listed / "twice.csv", "filename,x,x\n0.wav,a,b\n")
    (line,) = problems_of("table", listed, table="twice.csv", columns={"label": "x"})
    assert "column 'x' stands twice" in line


def test_files_that_are_not_there_are_named_with_their_options(listed: Path) -> None:
    lines = problems_of("table", listed, table="clip.csv", audio="wavs", events="events.tsv")
    assert [line.partition(":")[0] for line in lines] == ["clip.csv", "wavs", "events.tsv"]
    for line, key in zip(lines, ("table", "audio", "events"), strict=True):
        assert f"datasets.mine.options.{key}" in line


def test_a_column_that_is_not_there_is_named(listed: Path) -> None:
    (line,) = problems_of("table", listed, table="clips.csv", columns={"label": "species"})
    assert "column 'filename' is missing (found: file, species, set, site)" in line
    (line,) = problems_of("table", listed, table="clips.csv")
    assert "columns.label" in line
