"""Values and files that nobody should write: one line that names file, key and remedy, from `check`
where it can know, and never a traceback, a hang or a full memory."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from workflow_copy import EXPERIMENT

from bench.__main__ import main
from bench.corpora import build_corpus
from bench.corpora.listing import corpus_facts
from bench.corpora.reading import AudioFolder
from bench.data import pin
from bench.data.store import FeatureStore
from bench.experiment.running import running_trainings
from bench.files import UserError, regular_files
from bench.process.locks import hold
from bench.results.tuning import Trials

ROOT = Path(__file__).resolve().parent.parent
TABLES = {
    "reference": "filename\tonset\toffset\tevent_label\nä.wav\t0\t1\tVögel\n",
    "predictions": "filename\tonset\toffset\tevent_label\nä.wav\t0\t1\t鳥\n",
    "durations": "filename\tduration\nä.wav\t10\n",
}
PATHS = ("work", "results", "report", "checkpoints", "tuning")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(capsys: pytest.CaptureFixture[str], text: str) -> str:
    """What `check` says of an experiment that it refuses."""
    Path("mine.yaml").write_text(text)
    assert main(["check", "--config", "mine.yaml"]) == 2
    networks, _, said = capsys.readouterr().err.rpartition("error: ")
    assert len(networks.splitlines()) <= 1
    return said


def changed(*place: str | int, value: Any) -> str:
    """EXPERIMENT with one value changed, as YAML."""
    values: Any = copy.deepcopy(EXPERIMENT)
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return yaml.safe_dump(values)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("recipes", "base", "betas"), [0.9, 2], "betas"),
        (("recipes", "base", "betas"), [0.9, 1.0], "betas"),
        (("recipes", "base", "learning_rate"), float("inf"), "finite"),
        (("recipes", "base", "learning_rate"), "1e999", "finite"),
        (("recipes", "base", "weight_decay"), float("nan"), "finite"),
        (("localization", "median_filters"), [0], "median_filters"),
        (("localization", "median_filters"), [2], "odd"),
        (("localization", "median_filters"), [], "median_filters"),
        (("localization", "thresholds"), 10**9, "thresholds"),
        (("experiment",), "x" * 300, "experiment"),
        (("models", "m" * 300), EXPERIMENT["models"]["pann"], "300 characters"),
        (("paths", "work"), "what?", "paths.work"),
        (("paths", "work"), "x/" * 3000 + "x", "paths.work"),
        *((("paths", key), f"a/{'x' * 300}/b", f"paths.{key}: xxxx") for key in PATHS),
        (("datasets", "desed", "root"), "é" * 200, "datasets.desed.root: éé"),
        (("datasets", "desed", "front_ends", "logmel", "fmax"), float("inf"), "finite"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_by_check(
    here: Path, capsys: pytest.CaptureFixture[str], place: tuple[str, ...], value: Any, words: str
) -> None:
    assert words in checked(capsys, changed(*place, value=value))


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "title: one\ntitle: two\n",
            "mine.yaml, line 2: not valid YAML: the key 'title' is repeated",
        ),
        ("paths: {work: a, work: b}\n", "the key 'work' is repeated"),
        (BOMB, "aliases that stand for more than"),
        ("a: &a [*a]\n", "aliases that stand for more than"),
        ("a: &a {b: *a}\n", "aliases that stand for more than"),
        ("[" * 5000, "mine.yaml"),
        ("a: b: c\n", "mine.yaml, line 1: not valid YAML"),
        ("title: birds: spring\n", "put a text that has a colon in quotes"),
        ("\tx: 1\n", "mine.yaml, line 1: not valid YAML"),
        ("- 1\n", "expected a mapping"),
        ("", "expected a mapping"),
        ("extends: mine.yaml\n", "a circle"),
        ("extends: [mine.yaml]\n", "extends"),
        ("\0", "mine.yaml"),
    ],
)
def test_yaml_that_is_none_or_more_than_it_looks_is_refused_by_check(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    said = checked(capsys, text)
    assert words in said
    assert len(said.splitlines()) == 1


def test_an_experiment_may_repeat_itself_by_aliases(here: Path) -> None:
    from bench.strict import read_yaml

    Path("mine.yaml").write_text("a: &a {x: 1}\nb: *a\nc: {<<: *a, x: 2}\n")
    assert read_yaml("mine.yaml") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 2}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"title": "a", "paths": {"work": "b", "work": "c"}}', "the key 'work' is repeated"),
        ('{"title": "a"', "not valid JSON"),
        ("[" * 5000, "mine.json"),
        ("[]", "expected a mapping"),
        ('{"seeds": NaN}', "seeds"),
    ],
)
def test_an_experiment_in_json_is_read_as_strictly(here: Path, text: str, words: str) -> None:
    from bench.experiment.config import load

    Path("mine.json").write_text(text)
    with pytest.raises(UserError, match=words) as told:
        load("mine.json")
    assert "mine.json" in str(told.value)


SHAPES = ("{}", "[]", "7", "null", '{"digest": 1}', '{"tables": []}', "{", "\xff", "")


@pytest.mark.parametrize("text", SHAPES)
def test_facts_of_another_shape_are_one_line_each(here: Path, text: str) -> None:
    for name in ("corpus.json", "digest.json", "data.dvc", "mine.json"):
        Path(name).write_bytes(text.encode("latin-1"))
    for read, name in (
        (lambda: corpus_facts(here), "corpus.json"),
        (lambda: FeatureStore.open(here), "digest.json"),
        (lambda: Trials.recorded(here / "mine.json"), "mine.json"),
    ):
        with pytest.raises(UserError, match=name) as told:
            read()
        assert len(str(told.value).splitlines()) == 1
        assert "delete" in str(told.value)
    if text != "{}":  # which pins nothing
        with pytest.raises(UserError, match=r"data\.dvc"):
            pin.check(here / "data.dvc")


@pytest.mark.parametrize("outs", [None, {}, [7], [{}], [{"path": "a"}], [{"md5": "b", "path": 3}]])
def test_a_dvc_file_with_missing_keys_is_one_line(here: Path, outs: Any) -> None:
    Path("data.dvc").write_text(yaml.safe_dump({"outs": outs}))
    with pytest.raises(UserError, match=r"data\.dvc: outs.*restore it from git"):
        pin.check(Path("data.dvc"))


@pytest.mark.parametrize("line", ["{}", "[]", "[1]", '{"epoch": "x"}', '{"epoch": null}', "{"])
def test_a_damaged_curve_of_a_running_training_only_hides_how_far_it_is(
    here: Path, line: str
) -> None:
    from bench.experiment import config
    from bench.experiment.cells import Layout, list_cells

    settings = config.load(EXPERIMENT)
    cell = list_cells(settings)[0]
    state = Layout.of(settings).work / "state" / "0123456789abcdef"
    state.mkdir(parents=True)
    (state / "metrics.jsonl").write_text(f"{line}\n")
    with hold(state.with_name(f"{state.name}.lock"), str(cell)):
        assert [item.epoch for item in running_trainings(settings)] == [0]


@pytest.mark.parametrize("duration", ["1e308", "inf", "1e12"])
def test_times_that_no_recording_has_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str], duration: str
) -> None:
    Path("r.tsv").write_text("filename\tonset\toffset\tevent_label\na.wav\t0\t1\tdog\n")
    Path("d.tsv").write_text(f"filename\tduration\na.wav\t{duration}\n")
    files = ["--reference", "r.tsv", "--predictions", "r.tsv", "--durations", "d.tsv"]
    assert main(["score", *files]) == 2
    assert f"d.tsv, line 2: duration is {duration}" in capsys.readouterr().err


def lists() -> Iterator[tuple[str, dict[str, str]]]:
    """Per loader its lists, each with nothing but a header."""
    strong = "filename\tonset\toffset\tevent_label\n"
    yield "esc50", {"meta/esc50.csv": "filename,fold,target,category,esc10,src_file,take\n"}
    yield (
        "audioset",
        {
            "class_labels_indices.csv": "index,mid,display_name\n",
            **{
                f"{part}_segments.csv": "# YTID, start_seconds, end_seconds, positive_labels\n"
                for part in ("balanced_train", "unbalanced_train", "eval")
            },
        },
    )
    yield (
        "desed",
        {
            "metadata/train/weak.tsv": "filename\tevent_labels\n",
            "metadata/train/synthetic20/soundscapes.tsv": strong,
            "metadata/validation/validation.tsv": strong,
            "metadata/eval/public.tsv": strong,
        },
    )
    yield "speechcommands", {"validation_list.txt": "", "testing_list.txt": ""}


@pytest.mark.parametrize(("loader", "files"), [*lists()])
def test_lists_of_a_header_alone_are_one_line(
    here: Path, loader: str, files: dict[str, str]
) -> None:
    for name, text in files.items():
        path = here / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with pytest.raises(UserError):
        build_corpus(loader, here / "data", here / "corpus")


def test_loops_pipes_and_devices_among_the_audio_are_passed_over(here: Path) -> None:
    (here / "audio" / "inner").mkdir(parents=True)
    soundfile.write(here / "audio" / "inner" / "a.wav", np.zeros(100), 8000)
    (here / "audio" / "inner" / "up").symlink_to(here / "audio")
    (here / "audio" / "circle.wav").symlink_to(here / "audio" / "circle.wav")
    (here / "audio" / "endless.wav").symlink_to("/dev/zero")
    os.mkfifo(here / "audio" / "pipe.wav")
    (here / "audio" / "lost+found").mkdir()
    soundfile.write(here / "audio" / "lost+found" / "b.wav", np.zeros(100), 8000)
    assert [name for name, _ in regular_files(here / "audio")] == ["inner/a.wav"]
    assert AudioFolder(here, "audio").names == ["inner/a.wav"]


def test_a_folder_that_may_not_be_read_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "audio" / "locked").mkdir(parents=True)
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":  # root may read any folder
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="audio/locked"):
        AudioFolder(here, "audio")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["featurize", "desed", "logmel", "--workers", "-1"], "--workers -1: must be at least 0"),
        (["train", "x", "--threads", "0"], "--threads 0: must be at least 1"),
        (["train", "x", "--save-every", "nan"], "--save-every nan: must be at least 0"),
        (["train", "x", "--gpus", "-1"], "--gpus -1: must be at least 0"),
        (["cost", "x", "--threads", "-3"], "--threads -3: must be at least 1"),
        (["explain", "x" * 5000], "error: "),
        (["check", "--config", "x" * 5000], "error: "),
        (["check", "--config", "/"], "error: "),
        (["train", "\x1b[2Jred"], "\ufffd[2Jred"),
    ],
)
def test_odd_arguments_are_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    if "--config" not in arguments:
        Path("config").mkdir()
        Path("config/default.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "\x1b" not in said


def test_options_in_a_commit_s_place_never_reach_git(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    assert main(["compare", "--config", "mine.yaml", "--", "--output=stolen", "HEAD"]) == 2
    assert "--output=stolen: neither a file nor a commit" in capsys.readouterr().err
    assert not list(here.glob("stolen*"))


def test_a_person_s_matplotlib_settings_change_no_figure(here: Path) -> None:
    code = (
        "from bench.figures.drawing import new_figure, picture\n"
        "figure, axes = new_figure(3, 2)\n"
        "axes.plot([0, 1]); axes.set_title('T')\n"
        "print(picture(figure, 'a', 'c').uri)\n"
    )
    plain = {**os.environ, "PYTHONPATH": str(ROOT)}
    odd = plain | {"MPLBACKEND": "nonsense", "HOME": "/nowhere"}
    drawn = []
    for environment in (plain, odd):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        drawn.append(done.stdout)
        Path("matplotlibrc").write_text("font.size: 30\nlines.linewidth: 9\n")
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    "odd",
    [
        {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "MPLCONFIGDIR": "/proc/no"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""},
    ],
    ids=["HOME cannot be written", "a terminal of ASCII"],
)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status", "--config", "mine.yaml"], 0),
        (["plan", "--config", "wrong.yaml"], 2),
        (["score", *(f"--{name}={name}.tsv" for name in TABLES)], 0),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_neither_home_nor_the_terminal_changes_what_is_said(
    here: Path, odd: dict[str, str], arguments: list[str], code: int
) -> None:
    cost = {"models": {}}
    for file, values in (("mine", {"title": "Vögel"}), ("wrong", {"Vögel": "鳥"})):
        text = yaml.safe_dump(EXPERIMENT | {"cost": cost} | values, allow_unicode=True)
        Path(f"{file}.yaml").write_text(text, encoding="utf-8")
    for name, text in TABLES.items():
        Path(f"{name}.tsv").write_text(text, encoding="utf-8")
    plain = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "bench", *arguments]
    usual, other = (
        subprocess.run(command, capture_output=True, env=environment, check=False)
        for environment in (plain, plain | odd)
    )
    assert (usual.returncode, other.returncode) == (code, code), other.stderr.decode()
    assert b"Traceback" not in other.stderr
    for one, two in ((usual.stdout, other.stdout), (usual.stderr, other.stderr)):
        shown = one.decode().encode("ascii", "backslashreplace") if "LC_ALL" in odd else one
        assert two == shown
    assert usual.stdout + usual.stderr


def test_what_is_read_back_is_what_was_written(here: Path) -> None:
    from bench.files import write_json
    from bench.strict import read_as

    write_json("a.json", {"a": [1, 2]})
    assert read_as(dict[str, list[int]], "a.json", "") == json.loads(Path("a.json").read_text())
    with pytest.raises(UserError, match=r"a\.json: a\.0: .*; make it again"):
        read_as(dict[str, list[str]], "a.json", "make it again")
