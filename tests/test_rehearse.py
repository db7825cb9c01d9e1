"""`rehearse` names what would have failed: each of these was found by a run once, not before it."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_htsat_checkpoints import SMALL, authors_state, imagenet_state

from bench import corpora
from bench.__main__ import main
from bench.code_digest import ROOT
from bench.data.task import Task
from bench.experiment import config, released
from bench.experiment.cells import Layout, find_cell, list_cells, plan
from bench.experiment.config import Config, Recipe
from bench.experiment.estimate import Estimate
from bench.experiment.rates import Rate, read_rates, write_rates
from bench.experiment.released import Backbone, Released
from bench.files import UserError, read_json
from bench.models import torch_setup
from bench.models.team import Team
from bench.ops import rehearse
from bench.ops.plan import table
from bench.ops.rehearsal import scratch
from bench.ops.rehearsal.checkpoints import write_stand_in
from bench.ops.rehearsal.one import Limits, rehearse_run
from bench.ops.rehearsal.outcome import Outcome, Rehearsal
from bench.ops.rehearsal.page import page
from bench.sources.registry import FOLDER
from bench.training import batches, fit
from bench.training.state import StateFolder
from modelkit.checkpoint import read_checkpoint

LOGMEL = {
    "kind": "logmel", "sample_rate": 16000, "window": 512, "hop": 250, "mels": 16, "fmin": 50,
    "fmax": 8000, "frames": 64,
}  # fmt: skip
FREE = Limits(memory=4e9, step_seconds=10.0)


STAND_INS = """
import hashlib, pathlib, sys
from bench.ops.rehearsal import corpora
audio = []
corpora._write = lambda path, of: audio.append((str(path), of))
for loader in corpora.WRITERS:
    corpora.WRITERS[loader](pathlib.Path(loader), {})
made = [(str(p), p.read_bytes()) for p in sorted(pathlib.Path().rglob("*")) if p.is_file()]
print(len(made), hashlib.sha256(repr((made, audio)).encode()).hexdigest())
"""
"""The digest of every stand-in in the working folder: names and tables, and what its audio is."""


def test_stand_ins_are_the_same_in_every_process(tmp_path: Path) -> None:
    digests = set()
    for hash_seed in "012":
        folder = tmp_path / hash_seed
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", STAND_INS],
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """PANN and HTS-AT on Speech Commands, which is not here; nothing else is in the way."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rehearse, "workers", lambda: 1)
    words = {"loader": "speechcommands", "root": "data/words", "source": "speechcommands"}
    words |= {"loss": "bce", "metric": "accuracy", "selection": "accuracy"}
    return {
        "experiment": "small",
        "title": "Small",
        "seeds": [3, 4],
        "datasets": {"words": {**words, "front_ends": {"logmel": LOGMEL}}},
        "models": {
            "pann": {
                "architecture": "pann",
                "front_end": "logmel",
                "arguments": {"preset": "tiny", "channels": [4, 8], "variant": "decision_max"},
            },
            "htsat": {"architecture": "htsat", "front_end": "logmel", "arguments": SMALL},
        },
        "recipes": {
            "base": {"epochs": 9, "batch_size": 16, "learning_rate": 1.0e-3, "precision": "bf16"},
            "pann": {"mixup": {"alpha": 1.0, "pairing": "pairs"}, "average_epochs": 4},
        },
    }


def rehearsed(values: dict[str, Any], *names: str, **options: Any) -> Rehearsal:
    """Here, where a bug can be put back, and without the views of the records."""
    return rehearse.rehearse(
        config.load(values),
        names,
        options.pop("limits", FREE),
        one_run=lambda small, cell, limits, _: rehearse_run(small, cell, limits),
        **options,
    )


@pytest.fixture
def no_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearse, "_views", lambda *_: None)


def said(done: Rehearsal) -> dict[str, str]:
    return {str(group): one.said for group, one in done.outcomes.items()}


def test_each_distinct_run_is_taken_through_once(
    values: dict[str, Any], no_views: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    real = fit.learning_rate

    def rate(recipe: Recipe, step: int, steps: int) -> float:
        seen.append((recipe.epochs, step // steps))
        return real(recipe, step, steps)

    monkeypatch.setattr(fit, "learning_rate", rate)
    settings = config.load(values)
    done = rehearsed(values)
    assert said(done) == {"words/pann/base": "", "words/htsat/base": ""}
    assert set(seen) == {(9, 0), (9, 8)}  # the schedule is that of all nine epochs
    for group, one in done.outcomes.items():
        assert (one.batch, one.rehearsed) == (16, 16)
        assert one.memory > 0
        assert one.digest == plan(settings, find_cell(settings, f"{group}/seed3")).digest
    folder = Path("work/small/rehearsal")
    record = read_json(folder / "results" / "runs" / "words/htsat/base/seed3" / "record.json")
    assert record["config_digest"] == done.outcomes[scratch.Group("words", "htsat", "base")].digest
    assert record["experiment"] == "small-rehearsal"
    assert not list(Path("results/small").glob("*"))
    assert "stand-in" in done.data["words"]


@pytest.mark.parametrize("emulated", [True, False])
def test_bf16_is_rehearsed_in_fp32_on_cpus_that_emulate_it(
    values: dict[str, Any], no_views: None, monkeypatch: pytest.MonkeyPatch, emulated: bool
) -> None:
    used: list[str] = []
    real = fit.train_step

    def step(*args: Any, recipe: Recipe, team: Team) -> torch.Tensor:
        used.append(recipe.precision)
        return real(*args, recipe=recipe, team=team)

    monkeypatch.setattr(torch_setup, "emulates_bf16", lambda device: emulated)
    monkeypatch.setattr(fit, "train_step", step)
    done = rehearsed(values, "words/pann/base")
    assert set(used) == {"fp32" if emulated else "bf16"}
    assert [one.in_fp32 for one in done.outcomes.values()] == [emulated]
    told = "bf16 was rehearsed as fp32" in page(config.load(values), done)
    assert told == emulated


def test_one_epoch_of_one_step_and_the_linear_baseline_are_rehearsed(
    values: dict[str, Any], no_views: None
) -> None:
    values["recipes"]["htsat"] = {"epochs": 1, "batch_size": 37}  # as many as there are
    values["models"]["linear"] = {"architecture": "linear", "front_end": "logmel"}
    done = rehearsed(values, "words/htsat", "words/linear")
    assert said(done) == {"words/htsat/base": "", "words/linear/base": ""}
    one = done.outcomes[scratch.Group("words", "htsat", "base")]
    assert one.rehearsed == 37
    assert min(one.memory_per_clip, one.step_seconds) > 0


def test_odd_batches_mixed_in_pairs_are_named(
    values: dict[str, Any], no_views: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler whose last batch was what remained of an epoch."""

    def cut(task: Task, recipe: Recipe, seed: int, epoch: int) -> list[np.ndarray]:
        rows = np.random.default_rng([seed, epoch]).permutation(task.rows["train"])
        return [rows[at : at + recipe.batch_size] for at in range(0, len(rows), recipe.batch_size)]

    monkeypatch.setattr(batches, "epoch_batches", cut)
    done = rehearsed(values)
    assert "cannot be mixed in pairs" in done.failures["words/pann/base"]
    assert set(done.failures) == {"words/pann/base"}  # the other one went on
    assert "cannot be mixed in pairs" in page(config.load(values), done)


def test_a_start_that_is_in_no_registry_is_named(
    values: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    values["recipes"]["htsat"] = {"init": "official:htsat-audioset-9"}
    with pytest.raises(UserError, match=r"words/htsat.*unknown 'htsat-audioset-9'.*nearest: htsat"):
        rehearsed(values)


def test_a_start_of_another_size_is_named(values: dict[str, Any], no_views: None) -> None:
    values["recipes"]["htsat"] = {"init": "official:htsat-audioset-1"}
    done = rehearsed(values, "words/htsat")
    assert "HTSAT_AudioSet_Saved_1.ckpt: " in done.failures["words/htsat/base"]
    assert "random weights under the released names" in done.starts["htsat-audioset-1"]


def test_without_stand_ins_what_is_not_here_is_named(
    values: dict[str, Any], no_views: None
) -> None:
    done = rehearsed(values, "words/pann", stand_in=False)
    assert "no such folder: data/words" in done.failures["words/pann/base"]
    scratch.WRITERS["speechcommands"](Path("data/words"), {})
    values["recipes"]["htsat"] = {"init": "official:htsat-audioset-1"}
    done = rehearsed(values, "words/htsat", stand_in=False)
    failure = done.failures["words/htsat/base"]
    assert failure.startswith("train (start-up): ")
    assert "HTSAT_AudioSet_Saved_1.ckpt: no such file; download it" in failure
    assert done.data["words"].startswith("real")


def test_a_run_from_a_stand_in_says_so_and_nothing_is_recorded(
    values: dict[str, Any], no_views: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"architecture": "htsat", "megabytes": 1, "licence": "none", "manual": "ask"}
    shared |= {"arguments": SMALL, "classes": "audioset", "loss": "bce", "evaluates": {}}
    front_end = {**LOGMEL, "sample_rate": 32000, "window": 1024, "fmax": 14000}
    shared |= {"front_end": front_end, "file": "theirs.ckpt"}
    entries = {"theirs": Released.model_validate(shared)}
    monkeypatch.setattr(released, "read_registry", lambda: entries)
    before = (FOLDER / "lock.json").read_bytes() if (FOLDER / "lock.json").exists() else b""
    values["recipes"]["htsat"] = {"init": "official:theirs"}
    done = rehearsed(values, "words/htsat")
    assert done.failures == {}
    run = Path("work/small/rehearsal/results/runs/words/htsat/base/seed3")
    assert read_json(run / "record.json")["digests"]["start"] == "stand-in for theirs"
    after = (FOLDER / "lock.json").read_bytes() if (FOLDER / "lock.json").exists() else b""
    assert before == after


def test_a_class_list_of_another_length_is_named(values: dict[str, Any], no_views: None) -> None:
    scratch.WRITERS["esc50"](Path("data/esc"), {})
    with open("data/esc/meta/esc50.csv", newline="") as file:
        header, *rows = csv.reader(file)
    kept = [row for row in rows if row[2] != "17"]
    with open("data/esc/meta/esc50.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *kept])
    values["datasets"]["esc"] = {
        **{"loader": "esc50", "root": "data/esc", "folds": 5, "loss": "ce"},
        **{"metric": "accuracy", "selection": "accuracy", "front_ends": {"logmel": LOGMEL}},
    }
    done = rehearsed(values, "esc/pann")
    assert "data/esc: 49 classes where esc50 has 50" in done.failures["esc/pann/base"]
    values["datasets"]["esc"]["data_kind"] = "recordings"
    assert rehearsed(values, "esc/pann").failures == {}


def test_a_batch_that_does_not_fit_is_named_with_what_fits(
    values: dict[str, Any], no_views: None
) -> None:
    values["recipes"]["htsat"] = {"batch_size": 50_000}
    stated = 1.5e9
    done = rehearsed(values, "words/htsat", limits=Limits(FREE.memory, 0.05, stated=stated))
    one = done.outcomes[scratch.Group("words", "htsat", "base")]
    assert one.rehearsed < one.batch == 50_000
    assert one.memory_needed > stated
    assert one.memory + one.memory_per_clip * (one.fitting(stated) - one.rehearsed) <= stated
    assert f"{one.fitting(stated)} fit; lower recipes.htsat/words.batch_size" in one.said
    assert done.failures["words/htsat/base"].startswith("memory: batch_size 50000 needs about ")
    roomy = rehearsed(values, "words/htsat", limits=Limits(FREE.memory, 0.05, stated=1e15))
    assert roomy.failures == {}


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        ("ast", {"frames": 12}, "features of 12 frames x 16 mels are smaller than AST's patch"),
        ("pann", {"mels": 1}, "features of 64 frames x 1 mels vanish in 2 blocks"),
        ("pann", {"sample_rate": 8000}, "fmax 8000"),
    ],
)
def test_an_impossible_front_end_is_named(
    values: dict[str, Any], no_views: None, model: str, change: dict[str, Any], words: str
) -> None:
    own = {**LOGMEL, "kind": "fbank", **change} if "sample_rate" in change else LOGMEL | change
    values["datasets"]["words"]["front_ends"]["own"] = own
    values["models"][model] = {
        **{"architecture": model, "front_end": "own"},
        "arguments": values["models"].get(model, {}).get("arguments", {"preset": "tiny"}),
    }
    if "sample_rate" in change:
        with pytest.raises(UserError, match=words):
            rehearsed(values)
        return
    done = rehearsed(values, f"words/{model}", "words/htsat")
    assert words in done.failures[f"words/{model}/base"]
    assert set(done.failures) == {f"words/{model}/base"}


def test_stripes_wider_than_the_features_are_named(values: dict[str, Any], no_views: None) -> None:
    values["recipes"]["pann"] |= {"specaugment": {"time_width": 65}}
    failure = rehearsed(values, "words/pann").failures["words/pann/base"]
    assert failure.startswith("train (first training step): ValueError: SpecAugment stripes below")


def test_a_training_that_begins_anew_is_named(
    values: dict[str, Any], no_views: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StateFolder, "load", lambda self: None)
    failure = rehearsed(values, "words/htsat").failures["words/htsat/base"]
    assert failure == "resume: training started over after its interruption"


def test_what_starts_from_a_failed_run_is_not_tried(values: dict[str, Any], no_views: None) -> None:
    values["datasets"]["more"] = {**values["datasets"]["words"], "root": "data/more"}
    values["recipes"] |= {"htsat/words": {"init": "run:more"}, "htsat/more": {"batch_size": 3}}
    values["recipes"]["htsat/more"] |= {"specaugment": {"time_width": 65}}
    done = rehearsed(values, "words/htsat")
    assert list(said(done)) == ["more/htsat/base", "words/htsat/base"]
    assert said(done)["words/htsat/base"] == "it starts from more/htsat/base, which failed"


def test_a_process_that_died_is_what_came_of_its_run(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = config.load(values)
    killed = subprocess.CompletedProcess([], -signal.SIGKILL, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: killed)
    one = rehearse.Processes()(settings, list_cells(settings)[0], FREE, tmp_path)
    assert one.stage == "process"
    assert "ended with -9" in one.said


def test_plan_takes_its_hours_from_what_was_measured_here(
    values: dict[str, Any], no_views: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.load(values)
    cells = {cell.model: cell for cell in list_cells(settings)}
    assert "the hours are rough estimates" in table(settings)
    rate = Rate(
        plan(settings, find_cell(settings, "words/pann/base/seed3")).digest, 2.0, 0.5, 7, "cpu"
    )
    write_rates(settings, {"words/pann/base": rate})
    estimate = Estimate.of(settings)
    trained, others = 84_843, 9_981 + 11_005  # as the registry lists them
    seen = 9 * 16 * -(-trained // 16)
    expected = seen * 2.0 + (9 / 2 + 1) * others * 0.5
    assert estimate.training_seconds(cells["pann"]) == pytest.approx(expected, abs=60)
    assert "the hours of 2 of 4 training runs are from steps measured here" in table(settings)
    values["recipes"]["pann"]["batch_size"] = 8  # another run
    assert read_rates(config.load(values)) == {}
    monkeypatch.setattr("bench.experiment.rates._machine", lambda: {"cpu": "another"})
    assert read_rates(settings) == {}


def test_names_choose_runs_with_what_they_start_from(values: dict[str, Any]) -> None:
    values["datasets"]["more"] = {**values["datasets"]["words"], "root": "data/more"}
    values["recipes"]["htsat/words"] = {"init": "run:more"}
    settings = config.load(values)

    def names(*asked: str) -> list[str]:
        return [str(group) for group in scratch.chosen(settings, asked)]

    assert names() == [
        "words/pann/base", "more/htsat/base", "words/htsat/base", "more/pann/base",
    ]  # fmt: skip
    assert names("words/pann/base/seed4") == ["words/pann/base"]
    assert names("words/htsat") == ["more/htsat/base", "words/htsat/base"]
    with pytest.raises(UserError, match="'word' begins no run; did you mean"):
        names("word")


PRIMES = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37}


@pytest.mark.parametrize(
    ("loader", "options", "classes"),
    [
        ("audioset", {"train": "full", "validation_share": 0.01}, 527),
        ("audioset", {"train": "balanced"}, 527),
        ("esc50", {}, 50),
        ("speechcommands", {}, 35),
        ("desed", {"train": "both"}, 10),
    ],
)
def test_stand_ins_have_the_real_classes_and_what_is_odd_in_real_folders(
    tmp_path: Path, loader: str, options: dict[str, Any], classes: int
) -> None:
    scratch.WRITERS[loader](tmp_path / "data", options)
    corpus = corpora.build_corpus(loader, tmp_path / "data", tmp_path / "table", **options)
    assert len(corpus.classes) == classes
    assert set(corpus.clips["split"].value_counts()) <= PRIMES
    assert len(corpus.missing) == 1
    if loader in ("audioset", "desed"):
        assert any("long where" in remark for remark in corpus.remarks.values())
        assert corpus.clips["labels"].map(len).max() > 1
    if loader == "desed":
        assert len(corpora.shared_recordings(corpus)) == 2
        assert set(corpus.clips["strong"]) == {True, False}
    assert scratch.few_of(corpus) is corpus


def test_of_a_large_data_set_a_few_clips_of_each_kind_are_taken(tmp_path: Path) -> None:
    scratch.WRITERS["desed"](tmp_path, {})
    corpus = corpora.load("desed", tmp_path)
    few = corpus.clips
    many = few.loc[np.repeat(few.index, 40)].reset_index(drop=True)
    many["clip"] = [f"{number}" for number in range(len(many))]
    taken = scratch.few_of(dataclasses.replace(corpus, clips=many)).clips
    counts = taken.groupby(["split", "strong"]).size().to_dict()
    assert counts == {
        ("train", False): 23, ("train", True): 23, ("validation", True): 7, ("test", True): 7,
    }  # fmt: skip


def official(architecture: str, arguments: dict[str, Any], front_end: dict[str, Any]) -> Released:
    shared = {"megabytes": 1, "licence": "none", "manual": "ask", "evaluates": {}}
    shared |= {"classes": "audioset", "loss": "bce", "file": "x.ckpt"}
    shared |= {"architecture": architecture, "arguments": arguments, "front_end": front_end}
    return Released.model_validate(shared)


def backbone(architecture: str) -> Backbone:
    shared = {"kind": "imagenet", "megabytes": 1, "licence": "none", "manual": "ask"}
    return Backbone.model_validate({**shared, "architecture": architecture, "file": "x.pth"})


def shapes(path: Path, wrapped: str, prefix: str) -> dict[str, tuple[int, ...]]:
    content = read_checkpoint(path)
    content = content[wrapped] if wrapped else content
    assert all(name.startswith(prefix) for name in content)
    return {name.removeprefix(prefix): tuple(value.shape) for name, value in content.items()}


AUDIOSET = {**LOGMEL, "sample_rate": 32000, "window": 1024, "hop": 320, "mels": 64, "fmax": 14000}


def test_a_stand_in_of_htsat_has_the_names_and_shapes_of_the_authors(tmp_path: Path) -> None:
    entry = official("htsat", {"preset": "paper"}, AUDIOSET | {"frames": 1001})
    assert write_stand_in(entry, tmp_path / "x.ckpt")
    found = shapes(tmp_path / "x.ckpt", "state_dict", "sed_model.")
    theirs = authors_state(527, 96, (2, 2, 6, 2), (4, 8, 16, 32), grid=64, mels=64, bands=2)
    assert found == {name: tuple(value.shape) for name, value in theirs.items()}


def test_a_stand_in_of_swin_has_its_names(tmp_path: Path) -> None:
    assert write_stand_in(backbone("htsat"), tmp_path / "x.pth")
    found = shapes(tmp_path / "x.pth", "model", "")
    small = set(imagenet_state())
    assert {name for name in found if name.split(".")[0] != "layers"} == {
        name for name in small if name.split(".")[0] != "layers"
    }
    assert found["patch_embed.proj.weight"] == (96, 3, 4, 4)
    assert "layers.2.downsample.reduction.weight" in found  # merging ends a stage


@pytest.mark.parametrize("variant", ["cnn14", "decision_max", "decision_att"])
def test_a_stand_in_of_pann_is_read_whole(tmp_path: Path, variant: str) -> None:
    from baselines.pann import PANN

    arguments = {"preset": "tiny", "variant": variant}
    entry = official("pann", arguments, AUDIOSET | {"frames": 320})
    assert write_stand_in(entry, tmp_path / "x.ckpt")
    torch.manual_seed(1)
    report = PANN(527, mels=64, **arguments).load_official(tmp_path / "x.ckpt")
    assert report.complete
    assert len(report.ignored) == (8 if variant == "decision_att" else 3)


def test_the_verb_prints_the_page_and_fails_where_a_run_does(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import yaml

    def made(settings: Config, *_: Any, **__: Any) -> Rehearsal:
        group = scratch.Group("words", "pann", "base")
        return Rehearsal(FREE, {group: Outcome(str(group), "", stage="evaluate", said="no frames")})

    monkeypatch.setattr(rehearse, "rehearse", made)
    Path("small.yaml").write_text(yaml.safe_dump(values))
    assert main(["rehearse", "--config", "small.yaml", "--write", "page.md"]) == 1
    out = capsys.readouterr().out
    assert "* **words/pann/base**: evaluate: no frames" in out
    assert Path("page.md").read_text() in out
    assert Layout.of(config.load("small.yaml")).work.is_dir()
