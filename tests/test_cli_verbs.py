"""The command line: exit codes, one-line errors, and what plan, status and explain say."""

from __future__ import annotations

import contextlib
import copy
import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from factories import change_record, make_config, make_inputs, make_run, record_values
from workflow_copy import EXPERIMENT, ROOT

from bench import __main__ as cli
from bench import provenance
from bench.data.featurize import run as featurize_run
from bench.experiment.cells import Layout, find_cell
from bench.experiment.cells import plan as cell_plan
from bench.experiment.config import config_digest, load
from bench.experiment.jobs import list_jobs
from bench.experiment.running import Running
from bench.files import UserError, read_json, write_json
from bench.ops import plan, status
from bench.ops.explain import explain
from bench.ops.figure_origin import _origins
from bench.ops.supervise import Watcher, progress_line
from bench.process import locks
from bench.process.locks import hold
from bench.results.record import Metrics, Record
from bench.results.released import _record


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    return path


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_mistake_is_one_line_and_exit_code_2(experiment: Path) -> None:
    experiment.write_text(yaml.safe_dump({**EXPERIMENT, "sedes": [0]}))
    done = bench("plan", "--config", str(experiment))
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"error: {experiment}: unknown key 'sedes'; did you mean 'seeds'?"
    )
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_config_is_named(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--config", "nowhere.yaml"]) == 2
    assert "nowhere.yaml: no such config file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["statsu"], "'status'"),
        (["status", "--results", "--confg", "x.yaml"], "'--confg'"),
        (["status", "--config", "smal.yaml"], "'small.yaml'"),
        (["status", "--config", "small"], "'small.yaml'"),
    ],
)
def test_a_typo_is_one_line_that_names_it(
    experiment: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    assert cli.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_a_misspelt_data_set_of_an_extended_experiment_is_named(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = experiment.with_name("mine.yaml")
    known = next(iter(EXPERIMENT["datasets"]))
    values = {
        "extends": experiment.name,
        "experiment": "mine",
        "datasets": {known[:-1]: {"root": "x"}},
    }
    mine.write_text(yaml.safe_dump(values))
    assert cli.main(["status", "--config", str(mine)]) == 2
    assert f"did you mean '{known}', not '{known[:-1]}'?" in capsys.readouterr().err


def test_an_unknown_run_names_its_neighbours(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["explain", "desed/htsat/base/seed9", "--config", str(experiment)]
    assert cli.main(arguments) == 2
    assert "did you mean 'desed/htsat/base/seed0'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (KeyboardInterrupt(), 130),
        (UserError("mend it"), 2),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 2),
    ],
)
def test_exit_codes(
    experiment: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int
) -> None:
    def fail(args: object) -> int:
        raise raised

    monkeypatch.setattr(plan, "run", fail)
    assert cli.main(["plan", "--config", str(experiment)]) == code


def test_other_errors_keep_their_traceback(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: object) -> int:
        raise OSError(errno.EMFILE, "Input/output error", "x")

    monkeypatch.setattr(plan, "run", fail)
    with pytest.raises(OSError, match="Input/output"):
        cli.main(["plan", "--config", str(experiment)])


def test_every_verb_has_its_module_and_arguments() -> None:
    done = bench("--help")
    for name in cli.VERBS:
        assert f"\n    {name}" in done.stdout
        assert cli._parser([name])
    grouped = [name for group in cli.GROUPS.values() for name in group]
    assert sorted(grouped) == sorted(cli.VERBS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["tag", "-x.wav", "--checkpoint", "model.pt"],
        ["tag", "a.wav", "-x.wav", "--checkpoint", "model.pt"],
        ["tag", "a.wav", "--checkpoint", "-x.wav"],
    ],
)
def test_a_file_named_like_an_option_is_told_with_the_name_that_works(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for exists in (False, True):
        with contextlib.suppress(SystemExit):  # argparse ends some of these itself
            assert cli.main(arguments) == 2
        assert ("./-x.wav" in capsys.readouterr().err) is exists
        (tmp_path / "-x.wav").touch()
    named = [argument.replace("-x.wav", "./-x.wav") for argument in arguments]
    assert cli.main(named) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_the_examples_of_the_help_are_valid() -> None:
    for group in cli.GROUPS.values():
        for name, example in group.items():
            args = cli._parser([name]).parse_args([name, *example.split()])
            assert args.verb == name
            assert "config" not in args or (ROOT / args.config).is_file()
            assert name != "ensemble" or args.name in load(ROOT / args.config).ensembles


def test_the_version_is_that_of_the_citation(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert capsys.readouterr().out.split()[-1] == cited


@pytest.mark.parametrize("config", ["smoke", "paper"])  # below and above the size of a buffer
def test_a_closed_pipe_is_no_error(config: str) -> None:
    command = [sys.executable, "-m", "bench", "plan", "--jobs", "--config", f"config/{config}.yaml"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_a_target_is_planned_with_what_its_runs_start_from_and_read() -> None:
    settings = status.config.load(ROOT / "config" / "paper.yaml")
    jobs = plan.jobs_of(settings, "desed")
    assert {job.cell.dataset for job in jobs if job.cell} == {"desed"}
    assert {job.name for job in jobs if job.stage == "featurize"} == {"desed logmel", "desed fbank"}
    starts = {"htsat-audioset-1", "ast-audioset-10", "pann-decision-max"}
    wanted = {"desed", *(f"checkpoints/{name}" for name in starts)}
    assert {job.name for job in jobs if job.stage == "fetch"} == wanted
    settings = status.config.load(
        ROOT / "tests" / "experiment.yaml",
        {"targets": {"x": {"about": "x", "datasets": ["esc50"]}}},
    )
    trained = {job.cell.dataset for job in plan.jobs_of(settings, "x") if job.cell}
    assert trained == {"esc50", "audioset"}
    with pytest.raises(UserError, match=r"targets of experiment '\w+': unknown 'y'"):
        plan.jobs_of(settings, "y")


def test_one_data_set_is_planned_with_what_its_runs_start_from_and_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = str(ROOT / "tests" / "experiment.yaml")
    assert cli.main(["plan", "--jobs", "--dataset", "esc50", "--config", config]) == 0
    lines = [line.split()[3:] for line in capsys.readouterr().out.splitlines()]
    trained = {name.split("/")[0] for stage, name, *_ in lines if stage == "train"}
    assert trained == {"esc50", "audioset"}  # those of esc50 start from runs of audioset
    read = {name for stage, name, *_ in lines if stage in ("corpus", "featurize")}
    assert read == {"esc50", "audioset"}
    assert len(lines) < len(list_jobs(load(config)))
    assert cli.main(["plan", "--dataset", "esc5", "--config", config]) == 2
    assert "unknown 'esc5'; did you mean 'esc50'?" in capsys.readouterr().err


def test_featurize_names_the_valid_front_ends(experiment: Path) -> None:
    args = cli._parser(["featurize"]).parse_args(
        ["featurize", "desed", "mfcc", "--config", str(experiment)]
    )
    with pytest.raises(UserError, match=r"desed\.front_ends: unknown 'mfcc'; valid: logmel"):
        featurize_run(args)


def made_record(folder: Path) -> tuple[Record, Path]:
    settings = make_config(folder)
    make_inputs(settings)
    cell = find_cell(settings, "desed/htsat/base/seed1")
    make_run(settings, cell)
    path = Layout.of(settings).record(cell)
    return Record.read(path), path


def test_explain_tells_figures_origin_and_how_to_make_them_again(tmp_path: Path) -> None:
    record, path = made_record(tmp_path)
    text = explain(record, path)
    value = record.metrics.test["intersection_f1"].value
    assert re.search(rf"test +intersection_f1 +{100 * value:.1f} %  n = \d+, ", text)
    assert "(synthetic data, experiment default)" in text
    for part in ("code_train digest", "starts from", "seeds", "learning_rate", "commit", "command"):
        assert re.search(rf"^  {part} +\S", text, re.MULTILINE), part
    assert re.search(r"^  .*bench evaluate desed/htsat/base/seed1", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "random weights"),
        ({"recipe": {"init": "imagenet:swin-tiny-c24"}}, "imagenet:swin-tiny-c24"),
        ({"released": {}, "cell": {"variant": "released-ast-x"}}, "ast-x"),
        ({"members": ["d/m/base/seed0", "d/m/base/seed1"]}, "d/m/base/seed0, d/m/base/seed1"),
        ({"recipe": {"init": "run:audioset"}, "parent": "a/m/base/seed0"}, "a/m/base/seed0"),
    ],
)
def test_explain_tells_what_a_run_starts_from(changes: dict[str, Any], said: str) -> None:
    values = record_values()
    values["cell"] |= changes.pop("cell", {})
    values["resolved"] |= changes
    if "parent" in changes:
        values["parent"] = {"key": changes["parent"], "identity": ""}
    text = explain(Record.model_validate(values), Path("record.json"))
    (line,) = re.findall(r"^  starts from +(.*)$", text, re.MULTILINE)
    assert said in line
    assert ("random" in line) == (said == "random weights")


def test_a_record_of_a_changed_checkout_holds_the_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str, given: str | None = None) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        command = ["git", *identity, *arguments]
        subprocess.run(command, cwd=checkout, input=given, text=True, check=True)

    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "model.py").write_text("rate = 1\n\n\n")
    git("init", "-q")
    git("add", "model.py")
    git("commit", "-q", "-m", "first")
    (checkout / "model.py").write_text("rate = 2\n\n\n")
    record, path = made_record(tmp_path)
    monkeypatch.setattr(provenance, "ROOT", checkout)
    made = provenance.source.__wrapped__()
    changed = record.provenance.model_copy(update=made)
    record = record.model_copy(update={"provenance": changed})
    _, patch = explain(record, path).split("uncommitted changes, for `git apply`\n")
    git("checkout", "-q", "model.py")
    git("apply", "-", given=patch + "\n")
    assert (checkout / "model.py").read_text() == "rate = 2\n\n\n"
    monkeypatch.setattr(provenance, "LONGEST_DIFF", 10)
    assert provenance.source.__wrapped__() == {**made, "diff": None}


def test_an_edited_record_speaks_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_config(tmp_path)
    make_inputs(settings)
    cell = find_cell(settings, "esc50/pann/base/fold1-seed1")
    make_run(settings, cell)
    experiment = tmp_path / "experiment.json"
    write_json(experiment, settings.model_dump(mode="json"))
    path = Layout.of(settings).record(cell)
    (shown,) = [line for line in status.results(settings).splitlines() if "1 of 3 runs" in line]
    assert shown.split()[0] == "pann"
    record = read_json(path)
    record["metrics"]["test"]["accuracy"]["value"] = 0.999
    write_json(path, record)
    for what in (str(cell), str(path)):
        assert cli.main(["explain", what, "--config", str(experiment)]) == 2
        assert "record.json: not what was written" in capsys.readouterr().err
    said = status.results(settings)
    assert "1 of 3 runs" not in said
    assert "left out, the record is not what was written: 1 of 72 runs" in said
    assert "left out, no record yet: 71 of 72 runs" in said
    with pytest.raises(UserError, match=r"record\.json: not what was written"):
        _record(settings, cell)
    (said,) = [line for line in _origins(settings, [str(cell)]) if str(cell) in line]
    assert "not what was written" in said


def test_a_record_of_another_config_is_no_result(tmp_path: Path) -> None:
    settings = make_config(tmp_path)
    make_inputs(settings)
    cell = find_cell(settings, "esc50/pann/base/fold1-seed1")
    make_run(settings, cell)
    change_record(settings, cell, config_digest="0" * 64)
    said = status.results(settings)
    assert "left out, made with another config than the present one: 1 of 72 runs" in said
    assert re.search(r"^  pann +no record$", said, re.MULTILINE)


def test_events_decided_by_other_settings_are_no_result(tmp_path: Path) -> None:
    settings = make_config(tmp_path)
    make_inputs(settings)
    cell = find_cell(settings, "desed/pann/base/seed1")
    make_run(settings, cell)
    digests = read_json(Layout.of(settings).record(cell))["digests"]
    change_record(settings, cell, digests=digests | {"protocol": "0" * 64})
    said = status.results(settings)
    assert "left out, events decided by other localization settings" in said


def test_status_shows_the_trainings_at_work(experiment: Path) -> None:
    settings = status.config.load(experiment)
    state = Path("work/state/0123456789abcdef")
    state.mkdir(parents=True)
    points = [{"epoch": 1, "seconds": 40.0}, {"epoch": 2, "seconds": 80.0}]
    (state / "metrics.jsonl").write_text("\n".join(map(json.dumps, points)) + "\n")
    with locks.run_lock(state, "desed/htsat/base/seed0"):
        (found,) = status.running_trainings(settings)
        assert str(found.cell) == "desed/htsat/base/seed0"
        assert (found.epoch, found.epochs, found.seconds_left) == (2, 2, 0.0)
        assert "training desed/htsat/base/seed0: epoch 2 of 2" in status.overview(settings)
    assert status.running_trainings(settings) == []


def test_status_says_which_snakemake_is_at_work(experiment: Path) -> None:
    settings = status.config.load(experiment)
    assert "snakemake is running" not in status.overview(settings)
    with hold(status.snakemake_lock(settings), "snakemake"):
        assert f"snakemake is running: process {os.getpid()}" in status.overview(settings)


def test_results_show_the_spread_over_seeds_and_what_cannot_localize(
    experiment: Path, tmp_path: Path
) -> None:
    values = copy.deepcopy({**EXPERIMENT, "seeds": [0, 1]})
    values["datasets"]["desed"]["metric"] = "intersection_f1"
    experiment.write_text(yaml.safe_dump(values))
    settings = status.config.load(experiment)
    made, _ = made_record(tmp_path / "other")
    for job in list_jobs(settings):
        if job.stage == "evaluate" and job.cell is not None:
            metric = made.metrics.test["mAP"].model_copy(
                update={"value": 0.5 + 0.1 * job.cell.seed}
            )
            protocol = config_digest(settings.localization)
            changes = {
                "metrics": Metrics(test={"mAP": metric}, validation={}),
                "chance": {"mAP": 0.1},
                "digests": made.digests.model_copy(update={"protocol": protocol}),
                "config_digest": cell_plan(settings, job.cell).digest,
            }
            made.model_copy(update=changes).write(job.output)
    text = status.results(settings)
    assert "htsat                        55.0 ±  7.1\n" in text
    assert "chance                       10.0\n" in text
    assert status.few_seeds(2) in text
    assert "one seed has no test" in status.few_seeds(1)
    assert "htsat (scratch)             cannot localize" in text
    assert "out/index.html" in text


def test_progress_counts_new_outputs_only(experiment: Path) -> None:
    settings = status.config.load(experiment)
    jobs = [job for job in list_jobs(settings) if job.stage == "evaluate"]
    for job in jobs[:2]:
        write_json(job.output, {})
    os.utime(jobs[0].output, ns=(0, 0))
    watcher = Watcher(settings, jobs, sys.stderr)
    assert f" 0 of {len(jobs)} jobs" in watcher.line()
    write_json(jobs[0].output, {})  # ran again
    write_json(jobs[4].output, {})  # ran for the first time
    assert f" 2 of {len(jobs)} jobs" in watcher.line()


def test_the_progress_line_tells_what_runs_how_far_and_how_long(experiment: Path) -> None:
    cell = list_jobs(status.config.load(experiment))[-4].cell
    assert cell is not None
    line = progress_line(3, 12, [Running(cell, 5, 16, 50.0)], 600.0)
    expected = f"[######..................] 3 of 12 jobs, {cell} 5/16, about 10 min left"
    assert line == expected
    assert "left" not in progress_line(12, 12, [], 0.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (150, "2 min"), (3900, "1 h 05 min"), (190_800, "2 d 5 h")],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert plan.duration(seconds) == text


def test_a_record_in_the_folder_of_another_run_is_not_explained_as_its(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_config(tmp_path)
    make_inputs(settings)
    cell, other = (find_cell(settings, f"esc50/pann/base/fold{k}-seed{k}") for k in (0, 1))
    make_run(settings, cell)
    layout = Layout.of(settings)
    layout.run(cell).rename(layout.run(other))
    write_json(tmp_path / "small.json", settings.model_dump(mode="json"))
    assert cli.main(["explain", str(other), "--config", str(tmp_path / "small.json")]) == 2
    assert f"is the record of {cell}, not of {other}" in capsys.readouterr().err
    said = "\n".join(_origins(settings, [str(other)]))
    assert f"not of {other}" in said
    assert f"explain KEY --config {layout.resolved_config}`" in said
