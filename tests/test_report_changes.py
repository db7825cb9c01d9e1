"""What changed between two reports: `bench compare` and `dvc metrics diff`, over real commits."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import factories
import pytest

from bench import __main__ as cli
from bench.experiment.cells import list_cells
from bench.experiment.config import Config
from bench.files import UserError, read_json, write_json
from bench.reporting.changes import changes, metrics, read_version
from bench.results.load import load_results

METRICS = Path("reports/default/metrics.json")


def run(*command: str) -> str:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A git repository with two commits of a report: in the second, one model is better."""
    monkeypatch.chdir(tmp_path)
    full = factories.make_config(tmp_path).model_dump(mode="json")
    config = factories.make_config(
        tmp_path,
        seeds=(0, 1, 2),
        paths={"work": "work", "results": "results", "report": str(METRICS.parent)},
        datasets={"speechcommands": full["datasets"]["speechcommands"]},
        models={name: full["models"][name] for name in ("htsat", "linear")},
        recipes={"base": full["recipes"]["base"]},
        ablations={},
        localization={},
        cost={},
    )
    write_json("experiment.json", config.model_dump(mode="json"))
    factories.make_inputs(config)
    for cell in list_cells(config):
        factories.make_run(config, cell)
    Path("dvc.yaml").write_text(f"metrics:\n  - {METRICS}\n")
    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "-q")
    commit(config, "first")
    for cell in list_cells(config):
        if cell.model == "htsat":
            better = {"test": {"accuracy": {"value": 0.99 + cell.seed / 1000}}}
            digests = {"code_train": "f" * 64}
            recipe = {"recipe": {"learning_rate": 0.5}}
            factories.change_record(config, cell, metrics=better, digests=digests, resolved=recipe)
    commit(config, "second")
    return config


def commit(config: Config, message: str) -> None:
    write_json(METRICS, metrics(load_results(config)))
    run("git", "add", "-f", str(METRICS), "dvc.yaml", ".dvc")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    run("git", *identity, "commit", "-q", "-m", message)


def test_two_commits_are_compared(repository: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", "HEAD~1", "HEAD", "--config", "experiment.json"]) == 0
    said = capsys.readouterr().out
    old, new = (read_version(name, METRICS) for name in ("HEAD~1", "HEAD"))
    before = old["speechcommands/htsat/base"]["accuracy"]["mean"]
    line = next(line for line in said.splitlines() if "| 99.1 |" in line)
    assert f"| {100 * before:.1f} | 99.1 | +{99.1 - 100 * before:.1f} |" in line
    assert "its old 95 % interval: config, training code changed" in line
    found = {(c.group, c.metric): c.answer for c in changes(old, new)}
    assert found["speechcommands/linear/base", "accuracy"] == "same"
    assert found["speechcommands/htsat/base", "mAP"] == "same, though config, training code changed"
    assert "linear" not in said  # what is the same is counted, not listed
    same = sum(answer.startswith("same") for answer in found.values())
    assert f"{len(found) - same} of {len(found)} figures changed." in said
    assert f"- {list(found.values()).count('same')} figures: same." in said
    assert (METRICS.parent / "changes.md").read_text(encoding="utf-8") == said

    dvc = run(sys.executable, "-m", "dvc", "metrics", "diff", "--json", "HEAD~1", "HEAD")
    moved = json.loads(dvc)[str(METRICS)]
    assert moved["speechcommands/htsat/base.accuracy.mean"]["new"] == pytest.approx(0.991)
    assert not [name for name in moved if name.startswith("speechcommands/linear")]


def test_equal_reports_are_one_sentence(
    repository: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", "HEAD", "HEAD", "--config", "experiment.json"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"0 of [1-9]\d* figures changed", said)
    assert "|" not in said


def test_figures_that_come_and_go_are_named(repository: Config) -> None:
    old = read_json(METRICS)
    new = {name: {**values, "mAP": values["accuracy"]} for name, values in old.items()}
    del new["speechcommands/linear/base"]
    del old["speechcommands/htsat/base"]["mAP"]
    answers = [(c.group.split("/")[1], c.metric, c.answer) for c in changes(old, new)]
    assert ("htsat", "mAP", "new") in answers
    assert ("linear", "accuracy", "gone") in answers


def test_a_run_leaves_nothing_that_git_would_list(repository: Config) -> None:
    shutil.copy(factories.ROOT / ".gitignore", ".gitignore")
    made = [
        "work/d/a",
        "results/d/mlflow.db",
        "data/x",
        "reports/d/.owner",
        "reports/d/metrics.json",
    ]
    ignored = run("git", "check-ignore", "--no-index", *made)
    assert ignored.split() == made


def test_a_report_is_named_by_its_folder(repository: Config) -> None:
    assert read_version(str(METRICS.parent), METRICS) == read_json(METRICS)


def test_a_commit_without_a_report_is_named(repository: Config) -> None:
    with pytest.raises(UserError, match=r"nowhere: neither a file nor a commit that holds"):
        read_version("nowhere", METRICS)


def test_other_hardware_is_a_cause_and_rounding_is_no_change(repository: Config) -> None:
    old = read_json(METRICS)
    name = "speechcommands/htsat/base"
    made = {**old[name]["made_by"], "hardware": "another CPU, cpu, 2 threads"}

    def shifted(by: float) -> str:
        accuracy = {**old[name]["accuracy"], "mean": old[name]["accuracy"]["mean"] + by}
        new = {**old, name: {**old[name], "accuracy": accuracy, "made_by": made}}
        return {(c.group, c.metric): c.answer for c in changes(old, new)}[name, "accuracy"]

    assert "hardware changed" in shifted(0.01)
    assert "nothing recorded" not in shifted(0.01)
    assert shifted(1e-6) == "same, though hardware changed"
    without = {name: {**old[name], "made_by": {}}}
    (one, *_) = changes(without, {name: {**old[name], "made_by": made}})
    assert "hardware" in one.unknown
    old[name]["accuracy"]["mean"] = 0.50049  # shown as 50.0; 0.0002 more is shown as 50.1
    assert shifted(0.0002) == "same, though hardware changed"
    assert not shifted(0.0006).startswith("same")


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"a": 1}',
        '{"esc50/ast/base": {"figure_of_tomorrow": {"mean": 1, "low": 0, "high": 2}}}',
        '{"esc50/ast/base": {"mAP": {"mean": null, "low": null, "high": null}}}',
        '{"esc50/ast/base": {"mAP": {"mean": 0.5}}}',
    ],
)
def test_json_that_is_no_report_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"other\.json: not the metrics\.json of a report"):
        read_version(str(path), path)
