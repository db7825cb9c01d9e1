"""Whose folders are whose: what an experiment takes over from another, what it never touches."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from workflow_copy import EXPERIMENT, ROOT, due, make_copy, snakemake, write_experiment

from bench import __main__ as cli
from bench.experiment import config, folders
from bench.experiment.cells import Layout
from bench.experiment.wanted import fetched_here
from bench.files import UserError, claim
from bench.ops import preflight

CHILD = "extends: default.yaml\nexperiment: child\n"
ARGUMENTS = {
    "corpus": ["desed"],
    "featurize": ["desed", "logmel"],
    "train": ["desed/htsat/base/seed0"],
    "evaluate": ["desed/htsat/base/seed0"],
    "released": ["desed/htsat/released-x/seed0"],
    "ensemble": ["all"],
    "cost": ["htsat"],
    "tune": ["desed", "htsat"],
    "compare": ["HEAD"],
    "teach": ["desed/htsat/base/seed0", "--scores", "scores.npz"],
    "explain": ["desed/htsat/base/seed0"],
    "fetch": ["desed"],
}
WRITERS = {*ARGUMENTS, "embed", "track", "report", "rescore", "rehearse"} - {"explain"}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_copy(tmp_path_factory.mktemp("pipeline"))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".snakemake" not in path.parts
    }


def test_make_clean_deletes_what_is_claimed_and_no_download(tmp_path: Path) -> None:
    for made in ("work/x", "results/x", "reports/x", "data/default", "data/real/soundscapes"):
        claim(tmp_path / made, "a run", "")
        write(tmp_path / made / "deeper" / "file", "")
    write(tmp_path / "data" / "real" / "esc10" / "dog.ogg", "")
    command = ["make", "-f", str(ROOT / "Makefile"), "clean"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert list(contents(tmp_path)) == ["data/real/esc10/dog.ogg"]
    assert not (tmp_path / "data" / "real" / "soundscapes").exists()


def test_a_child_has_its_own_name_and_folders(tmp_path: Path) -> None:
    parent = yaml.safe_load((ROOT / "config" / "default.yaml").read_text())
    parent["paths"] = {"work": "w", "results": "r", "report": "p", "checkpoints": "c"}
    write(tmp_path / "default.yaml", yaml.safe_dump(parent))
    child = config.load(write(tmp_path / "child.yaml", CHILD))
    layout = Layout.of(child)
    assert (layout.work, layout.results) == (Path("work/child"), Path("results/child"))
    assert layout.report == Path("reports/child")
    given = config.load(write(tmp_path / "given.yaml", CHILD + "paths: {report: /srv/page}\n"))
    assert Layout.of(given).report == Path("/srv/page")
    assert Layout.of(given).results == Path("results/child")
    nameless = write(tmp_path / "nameless.yaml", "extends: default.yaml\n")
    with pytest.raises(UserError, match=r"nameless\.yaml: key 'experiment' is missing"):
        config.load(nameless)


def test_a_parent_lies_beside_its_child_or_in_config(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "team" / "mine.yaml", CHILD)
    assert config.load(elsewhere).seeds == config.load(ROOT / "config" / "default.yaml").seeds
    parent = yaml.safe_load((ROOT / "config" / "default.yaml").read_text())
    write(tmp_path / "team" / "default.yaml", yaml.safe_dump({**parent, "seeds": [7]}))
    assert config.load(elsewhere).seeds == (7,)
    nowhere = write(tmp_path / "team" / "lost.yaml", CHILD.replace("default", "absent"))
    with pytest.raises(UserError, match=r"lost\.yaml: extends: there is no .*team/absent\.yaml"):
        config.load(nowhere)


def test_files_that_extend_one_another_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "extends: b.yaml\nexperiment: a\n")
    write(tmp_path / "b.yaml", "extends: a.yaml\nexperiment: b\n")
    with pytest.raises(UserError, match=r"a\.yaml extends .*b\.yaml extends .*a\.yaml"):
        config.load(tmp_path / "a.yaml")


def test_snakemake_and_the_verbs_find_the_same_parent(pipeline: Path) -> None:
    file = write(pipeline / "config" / "team" / "sub.yaml", CHILD.replace("child", "sub"))
    chosen = ("--configfile", str(file.relative_to(pipeline)))
    assert "write the report" in due(pipeline, *chosen)
    done = snakemake(pipeline, *chosen, "--until", "embed", "--config", "seeds=[3]")
    assert done.returncode == 0, done.stdout
    resolved = config.load(pipeline / "results" / "sub" / "config.json")
    assert (resolved.experiment, resolved.seeds) == ("sub", (3,))
    assert Layout.of(resolved).report == Path("reports/sub")


def test_the_kind_of_data_belongs_to_each_data_set(tmp_path: Path) -> None:
    text = (
        "datasets: {esc50: {root: /data/esc10}, desed: {root: /data/mixed, data_kind: recordings}}"
    )
    child = config.load(write(tmp_path / "mine.yaml", CHILD + text))
    assert {name: child.data_kind(name) for name in child.datasets} == {
        "audioset": "synthetic",
        "esc50": "real",
        "speechcommands": "synthetic",
        "desed": "recordings",
    }
    grandchild = "extends: mine.yaml\nexperiment: next\ndatasets: {desed: {root: /data/own}}\n"
    assert config.load(write(tmp_path / "next.yaml", grandchild)).data_kind("desed") == "real"


def test_synthetic_sounds_are_not_taken_for_real_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    claim(tmp_path / "data" / "default", "the embedded builder", "")
    for name in ("audioset", "esc50", "speechcommands", "desed"):
        write(tmp_path / "data" / "default" / name / "list", "")
    preflight.check(config.load(write(tmp_path / "built.yaml", CHILD)))
    copied = write(tmp_path / "copied.yaml", CHILD + "embedded: {root: data/other}\n")
    with pytest.raises(UserError, match=r"datasets\.esc50\.data_kind to synthetic"):
        preflight.check(config.load(copied))
    text = "datasets: {esc50: {root: data/default/esc50/, data_kind: synthetic}}\n"
    preflight.check(config.load(write(tmp_path / "said.yaml", CHILD + text)))


def test_nothing_is_fetched_into_a_folder_that_replaces_another(tmp_path: Path) -> None:
    text = "extends: paper.yaml\nexperiment: mine\ndatasets: {esc50: {root: /data/esc10}}\n"
    mine = config.load(write(tmp_path / "mine.yaml", text))
    assert "esc50" not in fetched_here(mine)
    assert "desed" in fetched_here(mine)
    asked = text.replace("esc10}", "esc10, source: esc50}")
    assert "esc50" in fetched_here(config.load(write(tmp_path / "asked.yaml", asked)))


@pytest.mark.parametrize("key", ["work", "results", "report"])
@pytest.mark.parametrize(
    "verb", sorted(name for name, verb in cli.VERBS.items() if verb.experiment)
)
def test_no_verb_writes_into_a_folder_of_another(
    verb: str,
    key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    values = {**copy.deepcopy(EXPERIMENT), "paths": {}}
    if verb != "embed":
        values["embedded"] = None
    write(Path("mine.yaml"), yaml.safe_dump(values))
    folder = vars(Layout.of(config.load("mine.yaml")))[key]
    claim(folder, "experiment other", "")
    write(folder / "index.html", "kept")
    before = contents(folder)
    code = cli.main([verb, *ARGUMENTS.get(verb, []), "--config", "mine.yaml"])
    assert contents(folder) == before
    if verb in WRITERS or verb == "check":
        words = f"{folder}: belongs to experiment other; give this experiment another name"
        assert (code, words in capsys.readouterr().err) == (2, True)


def test_a_persons_folder_is_refused_whole(tmp_path: Path) -> None:
    page = write(tmp_path / "public" / "tables" / "prices.csv", "1").parent.parent
    values = {**copy.deepcopy(EXPERIMENT), "paths": {"report": str(page)}}
    settings = config.load(values)
    (line,) = folders.foreign(settings)
    assert line == (
        f"{page}: holds files that experiment small did not make; "
        "give this experiment another name, or set paths.report to a folder of its own"
    )


def test_snakemake_keeps_a_persons_page_and_tables(pipeline: Path, tmp_path: Path) -> None:
    folder = make_copy(tmp_path / "run")
    write(folder / "out" / "tables" / "prices.csv", "1")
    write(folder / "out" / "index.html", "my page")
    before = contents(folder / "out")
    for arguments in (("-n",), ()):
        done = snakemake(folder, *arguments)
        assert done.returncode != 0
        assert "out: holds files that experiment small did not make" in done.stdout
        assert "Traceback" not in done.stdout
        assert contents(folder / "out") == before
    assert not (folder / "results").exists()


def test_folders_may_have_spaces_and_signs_of_the_shell(tmp_path: Path) -> None:
    folder = make_copy(tmp_path / "run")
    values = copy.deepcopy(EXPERIMENT)
    values["paths"] = {
        "work": "disk one/work & more; touch hit",
        "results": "disk one/it's > all",
        "report": "disk one/(page) #1",
        "tuning": "disk one/tuning",
    }
    values["embedded"]["root"] = "disk one/data"
    for name, dataset in values["datasets"].items():
        dataset["root"] = f"disk one/data/{name}"
    write_experiment(folder, values)
    other = write(folder / "disk", "kept")
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout
    done = snakemake(folder, "tune")
    assert done.returncode == 0, done.stdout
    assert other.read_text() == "kept"
    assert not (folder / "hit").exists()
    assert (folder / "disk one" / "(page) #1" / "index.html").exists()
    assert json.loads((folder / "disk one" / "it's > all" / "config.json").read_text())
    added = {path.name for path in folder.iterdir()} - {path.name for path in ROOT.iterdir()}
    assert added - {".snakemake"} == {"disk", "disk one"}


@pytest.mark.parametrize("path", ["a$(touch x)", "a`b`", "{cell}", "a*", "a\nb", 'say "a"', "a\\b"])
@pytest.mark.parametrize(
    "place", ["paths.results", "paths.tuning", "embedded.root", "datasets.desed.root"]
)
def test_a_path_that_cannot_be_quoted_is_named(place: str, path: str) -> None:
    values = copy.deepcopy(EXPERIMENT)
    *parts, last = place.split(".")
    section = values
    for part in parts:
        section = section[part]
    section[last] = path
    with pytest.raises(UserError, match=rf"^{re.escape(place)}: .* rename the folder$"):
        config.load(values)


def test_every_value_in_a_shell_command_is_quoted() -> None:
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for command in re.findall(r'shell:\n((?:\s+".*"\n)+)', path.read_text()):
            values = re.findall(r"\{([^}]*)\}", command)
            assert values, path
            assert all(value.endswith(":q") for value in values), (path, command)
