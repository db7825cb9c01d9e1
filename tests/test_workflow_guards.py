"""What a Snakemake call refuses, and what it keeps apart."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from subprocess import STDOUT

import pytest
import yaml
from workflow_copy import EXPERIMENT, ROOT, due, make_copy, snakemake

from bench.__main__ import main
from bench.experiment import config
from bench.experiment.jobs import list_jobs
from bench.files import UserError, claim
from bench.ops import preflight
from bench.ops.plan import table
from bench.ops.preflight import check
from bench.ops.status import snakemake_lock
from bench.process.locks import hold


def settings_in(folder: Path, **changes: object) -> config.Config:
    """EXPERIMENT with its folders below `folder`."""
    values = copy.deepcopy(EXPERIMENT) | changes
    values["paths"] = {name: str(folder / path) for name, path in EXPERIMENT["paths"].items()}
    return config.load(values)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_copy(tmp_path_factory.mktemp("pipeline"))


def test_a_dry_run_lists_every_job_and_leaves_no_trace(tmp_path: Path) -> None:
    smoke = ROOT / "config" / "smoke.yaml"
    done = snakemake(tmp_path, "-n", "-s", str(ROOT / "Snakefile"), "--configfile", str(smoke))
    assert done.returncode == 0, done.stdout
    listed = re.findall(r"^Job \d+: ", done.stdout, re.MULTILINE)
    assert len(listed) == len(list_jobs(config.load(smoke))) + 1  # rule all
    assert [path.name for path in tmp_path.iterdir()] == [".snakemake"]


def test_an_unknown_key_is_named_before_any_job(pipeline: Path) -> None:
    done = snakemake(pipeline, "--config", "sedes=[0]")
    assert done.returncode != 0
    assert "unknown key 'sedes'; did you mean 'seeds'?" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (pipeline / "results").exists()


def test_a_second_live_call_is_refused_but_not_after_a_dead_one(pipeline: Path) -> None:
    lock = pipeline / "results" / ".snakemake.lock"
    claim(lock.parent, "experiment small", "")
    lock.write_text('{"purpose": "snakemake", "pid": 1}')  # left behind by a kill -9
    with hold(lock, "snakemake on experiment 'small'"):
        done = snakemake(pipeline)
    assert done.returncode != 0
    assert "snakemake on experiment 'small' (process" in done.stdout
    assert "is at work here" in done.stdout
    lock.write_text('{"purpose": "snakemake", "pid": 1}')
    done = snakemake(pipeline, "--until", "embed", "--config", "recipes={base: {epochs: 7}}")
    assert done.returncode == 0, done.stdout
    resolved = json.loads((pipeline / "results" / "config.json").read_text())
    assert resolved["recipes"]["base"] == {**EXPERIMENT["recipes"]["base"], "epochs": 7}


def test_after_a_kill_the_same_command_goes_on(tmp_path: Path) -> None:
    folder = make_copy(tmp_path / "killed")
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    killed = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=STDOUT, text=True)
    assert killed.stdout is not None
    for line in killed.stdout:
        if "train audioset" in line:  # it has just started
            killed.kill()
            break
    assert killed.wait() == -9
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout
    assert "Nothing to be done" not in done.stdout
    assert due(folder) == []
    (folder / "results" / "runs" / "audioset" / "pann" / "base" / "seed0" / "record.json").unlink()
    again = due(folder, "--forcerun", "featurize")  # hides nothing else that has to be made
    assert "evaluate audioset/pann/base/seed0" in again
    assert {"compute the logmel features of desed", "train desed/htsat/base/seed0"} <= set(again)


def test_the_default_profile_starts_one_gpu_job_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(
        "rule all:\n"
        "    input: expand('{n}.done', n=range(3))\n"
        "rule claim:\n"
        "    output: '{n}.done'\n"
        "    resources: gpu=1\n"
        "    shell: 'flock --nonblock gpu.lock sleep 0.3 && touch {output}'\n"
    )
    profile = str(ROOT / "profiles" / "default")
    capped = snakemake(tmp_path, "--cores", "3", "--workflow-profile", profile)
    assert capped.returncode == 0, capped.stdout


def test_profiles_share_what_a_machine_does_not_change() -> None:
    from snakemake.profiles import ProfileConfigFileParser

    profiles = {}
    for name in ("default", "gpu", "slurm"):
        with open(ROOT / "profiles" / name / "profile.yaml") as file:
            profiles[name] = ProfileConfigFileParser().parse(file)
    own = {"executor", "jobs", "latency-wait", "retries", "slurm-requeue", "default-resources"}
    own |= {"resources", "set-resources", "set-threads"}
    for name, profile in profiles.items():
        shared = {key: value for key, value in profiles["default"].items() if key not in own}
        assert shared.items() <= profile.items(), name
        assert set(profile) - set(shared) <= own, name


def test_every_rule_that_takes_a_gpu_requests_one_on_a_cluster() -> None:
    """Its own count is of the node where Snakemake runs."""
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    taking = re.findall(r"rule (\w+):\n(?:(?!rule ).*\n)*? +gpu=GPUS,", rules)
    assert {"train", "tune_pair", "evaluate_released"} <= set(taking)
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text())
    requested = {rule for rule, wants in profile["set-resources"].items() if wants.get("gpu")}
    assert requested == set(taking)


def test_missing_data_names_key_folder_and_remedy(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, embedded=None)
    with pytest.raises(UserError, match=r"datasets\.desed\.root: no such folder: data/desed"):
        check(settings)


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"paths\.results: .*results cannot be written"):
        check(settings_in(tmp_path))


def test_too_little_disk_is_said_with_both_amounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10**8))
    settings = settings_in(tmp_path)
    with pytest.raises(UserError, match=r"0\.1 GB free, about \d+\.\d GB needed"):
        preflight.check_space(settings, list_jobs(settings))


def test_a_wrong_model_argument_is_found_before_work(tmp_path: Path) -> None:
    models = copy.deepcopy(EXPERIMENT["models"])
    models["htsat"]["arguments"]["tokens"] = 3
    with pytest.raises(UserError, match=r"models\.htsat\.arguments: .*tokens"):
        preflight.check_parts(settings_in(tmp_path, models=models))


def test_all_mistakes_of_a_file_are_named_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the schema, of names, of recipes (each once, however many runs it is in), of runs
    and of networks."""
    values = copy.deepcopy(EXPERIMENT)
    values["sedes"] = [0]
    del values["seeds"]
    values["datasets"]["audioset"] |= {"rooot": "x", "metric": "mapp"}
    values["datasets"]["desed"]["selection"] = "accuracy"
    front_end = values["datasets"]["desed"]["front_ends"]["logmel"]
    values["datasets"]["desed"]["front_ends"]["other"] = front_end | {"mel": 3, "frames": 60}
    tiny = {"preset": "tiny"}
    values["models"] |= {
        "unknown": {"architecture": "nope", "front_end": "logmel"},
        "lost": {"architecture": "pann", "front_end": "logmell", "arguments": tiny},
        "one": {"architecture": "pann", "front_end": "logmel", "arguments": {"presett": "tiny"}},
        "two": {"architecture": "htsat", "front_end": "logmel", "arguments": {"preset": "tny"}},
        "three": {"architecture": "ast", "front_end": "logmel", "arguments": tiny | {"stride": 0}},
    }
    values["recipes"]["base"]["epochs"] = 0
    values["recipes"]["pann"] = {"learning_rte": 1e-3}
    values["recipes"]["one"] = {"init": "run:nowhere"}
    factors = values["ablations"]["study"]["factors"]
    factors["order"] = {"time_first": {"recipe": {"optimiser": "sgd"}}}
    values["ablations"]["other"] = {"models": ["htsat"], "datasets": ["dessed"], "factors": {}}
    values["targets"] = {"part": {"about": "x", "datasets": ["desedd"]}}
    values["embedded"]["sizes"] = {"speakrs": 3}
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(values))
    assert main(["check", "--config", str(path)]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if "networks/s" not in line]
    expected = (
        ("'sedes'",),
        ("'seeds'", "missing"),
        ("datasets.audioset.rooot",),
        ("datasets.audioset.metric", "mapp"),
        ("datasets.desed.selection", "accuracy"),
        ("datasets.desed.front_ends.other.mel",),
        ("models.unknown.architecture", "nope"),
        ("models.lost.front_end (in audioset)", "logmell"),
        ("models.lost.front_end (in desed)", "logmell"),
        ("models.one.arguments", "presett"),
        ("models.two.arguments", "tny"),
        ("models.three", "ZeroDivisionError"),
        ("recipes.base", "epochs", "got 0"),
        ("recipes.pann", "learning_rte"),
        ("audioset/one/base", "init", "nowhere"),
        ("desed/one/base", "init", "nowhere"),
        ("ablations.study.factors.order.time_first", "optimiser"),
        ("ablations.other.factors",),
        ("ablations.other.datasets", "dessed"),
        ("targets.part.datasets", "desedd"),
        ("embedded.sizes", "speakrs"),
    )
    for words in expected:
        assert sum(all(word in line for word in words) for line in told) == 1, (words, told)
    assert len(told) == len(expected), told


def test_the_plan_counts_what_is_ahead(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    before = table(settings)
    assert re.search(r"train +5 +0 ", before)
    for job in list_jobs(settings):
        if job.cell is not None and job.cell.dataset == "desed":
            job.output.parent.mkdir(parents=True, exist_ok=True)
            job.output.write_text("{}")  # tells nothing of its cost, and is no reason to fail
    assert re.search(r"train +5 +3 ", table(settings))
    assert "disk ahead: about" in before


def test_the_lock_lies_with_the_results(tmp_path: Path) -> None:
    assert snakemake_lock(settings_in(tmp_path)).parent == tmp_path / "results"


def test_a_job_ends_when_its_snakemake_is_killed(tmp_path: Path) -> None:
    waiting = (
        "import os, signal, sys, time\n"
        "from bench.process.locks import stop_with_supervisor\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "stop_with_supervisor()\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    supervisor = subprocess.Popen(["sleep", "60"])
    environment = {**os.environ, "BENCH_SUPERVISOR": str(supervisor.pid), "PYTHONPATH": str(ROOT)}
    job = subprocess.Popen(
        [sys.executable, "-c", waiting], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert job.stdout is not None
    assert job.stdout.readline() == "ready\n"
    supervisor.kill()
    supervisor.wait()
    assert job.wait(timeout=30) == 143


def with_plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> config.Config:
    """An experiment whose one model is a plug-in in `folder`; `source` continues its class."""
    (folder / f"{folder.name}.py").write_text(
        "from torch import nn\nfrom modelkit.output import ModelOutput\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, classes, *, frames, mels, seconds):\n"
        "        super().__init__()\n" + source
    )
    monkeypatch.syspath_prepend(folder)
    front_end = EXPERIMENT["models"]["htsat"]["front_end"]
    models = {"mine": {"architecture": f"{folder.name}:Net", "front_end": front_end}}
    recipes = {"base": EXPERIMENT["recipes"]["base"]}
    return settings_in(folder, models=models, recipes=recipes, ablations={}, cost={})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return self.head(x)", "forward stopped: RuntimeError: mat1 and mat2 shapes"),
        ("return x.mean((1, 2))", "forward returned Tensor, not modelkit.output.ModelOutput"),
        (
            "return ModelOutput(self.head(x.transpose(1, 2)), None, 0.0)",
            r"clip_logits \(1, 32, 10\), not \(clips, classes\) = \(1, 10\)",
        ),
        (
            "y = self.head(x.transpose(1, 2)); return ModelOutput(y.mean(1), y.mean(2), 0.0)",
            r"frame_logits \(1, 32\), not \(1, times, 10\); .* seconds_per_frame 0\.0",
        ),
    ],
)
def test_a_plug_in_of_wrong_shapes_is_named_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    source = (
        "        self.head = nn.Linear(frames, classes)\n"
        f"    def forward(self, x):\n        {body}\n"
    )
    settings = with_plug_in(tmp_path, monkeypatch, source)
    with pytest.raises(UserError, match=r"models\.mine .* on features \(1, \d+, 32\).*" + words):
        preflight.check_parts(settings)


def test_a_network_that_needs_values_to_be_built_is_tried_with_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "        self.head = nn.Linear(mels, classes)\n"
        "        self.scale = self.head.weight.std().item()\n"
        "    def forward(self, x):\n"
        "        return ModelOutput(self.head(x).mean(1) / self.scale, None, 0.0)\n"
    )
    settings = with_plug_in(tmp_path, monkeypatch, source)
    preflight.check_parts(settings)


FRAMES = {
    "fmn": {"architecture": "mobilenet", "arguments": {"preset": "tiny", "variant": "fmn"}},
    "atst": {"architecture": "atst_frame", "arguments": {"preset": "tiny", "heads_for": "frames"}},
    "dasheng": {"architecture": "dasheng", "arguments": {"preset": "tiny", "heads_for": "frames"}},
}


def frame_models(folder: Path, **recipe: object) -> config.Config:
    """Networks with one head for clips and one for frames, and two that have one for both."""
    models = EXPERIMENT["models"] | {k: v | {"front_end": "logmel"} for k, v in FRAMES.items()}
    models["pann"] = models["pann"] | {"arguments": {"preset": "tiny", "variant": "decision_max"}}
    base = EXPERIMENT["recipes"]["base"]
    recipes = {"base": base, **dict.fromkeys(FRAMES, recipe)}
    return settings_in(folder, models=models, recipes=recipes, ablations={}, cost={})


def test_a_frame_head_that_clip_labels_leave_untrained_is_named_before_work(tmp_path: Path) -> None:
    for name in FRAMES:
        settings = frame_models(tmp_path)
        one = settings.model_copy(update={"models": {name: settings.models[name]}})
        with pytest.raises(
            UserError, match=f"desed/{name}/base: .* leaves strong_head, .* to both"
        ):
            preflight.check_parts(one)


def test_heads_that_the_labels_train_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = frame_models(tmp_path, supervision="both")
    preflight.check_parts(settings)
    told = capsys.readouterr()
    assert told.out == ""
    assert f"of {len(settings.models)} networks" in told.err  # one front end for both data sets
    preflight.check_parts(frame_models(tmp_path, supervision="strong", select="last"))
    notes = capsys.readouterr().out.splitlines()
    assert len(notes) == len(FRAMES) * len(EXPERIMENT["datasets"])
    assert all("leaves weak_head, which makes the clip logits" in note for note in notes)
    chosen = frame_models(tmp_path, supervision="strong", select="best")
    with pytest.raises(UserError, match=r"leaves weak_head, .* choose the epoch"):
        preflight.check_parts(chosen)


COUNT_TIMERS = """
import threading
import time

timers = [0]


def count():
    while True:
        time.sleep(0.05)
        timers.append(sum(isinstance(one, threading.Timer) for one in threading.enumerate()))


threading.Thread(target=count, daemon=True).start()


onsuccess:
    print(f"timers: {max(timers)}")
"""


def test_finished_jobs_do_not_wake_the_scheduler_for_good(tmp_path: Path) -> None:
    folder = make_copy(tmp_path)
    with (folder / "Snakefile").open("a") as file:
        file.write(COUNT_TIMERS)
    done = snakemake(folder)
    assert "timers: 0" in done.stdout.splitlines(), done.stdout
