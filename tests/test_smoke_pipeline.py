"""The smoke experiment from an empty folder to the report, by the commands that people type."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from independent import COLUMNS, decided
from recomputed import Runs, check
from torture import copy_checkout, digests, kill_once

from bench.experiment import cells, config

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENT = ("--configfile", "config/smoke.yaml")
CELL = "desed/htsat/base/seed0"
CELLS = cells.list_cells(config.load(ROOT / "config" / "smoke.yaml"))
GROUPS = {(cell.dataset, cell.model, cell.variant) for cell in CELLS}


def _snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--cores", "all", *EXPERIMENT],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_checkout(tmp_path_factory.mktemp("smoke"))
    done = _snakemake(folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return folder


def _records(folder: Path) -> dict[str, dict]:
    paths = sorted((folder / "results" / "smoke" / "runs").rglob("record.json"))
    return {record["key"]: record for record in (json.loads(p.read_text()) for p in paths)}


def test_every_run_has_a_record(finished: Path) -> None:
    records = _records(finished)
    assert set(records) == set(map(str, CELLS))
    assert {record["data_kind"] for record in records.values()} == {"synthetic"}
    located = records[CELL]["metrics"]["test"]
    assert {"intersection_f1", "event_based_f1", "segment_based_f1"} <= set(located)
    ast = records["desed/ast/base/seed0"]
    assert ast["localization"]["can_localize"] is False
    assert "intersection_f1" not in ast["metrics"]["test"]


def test_report_tables_and_store_stand_and_agree_with_the_records(finished: Path) -> None:
    report = finished / "reports" / "out" / "smoke"
    assert "synthetic" in (report / "index.html").read_text()
    for name in ("audioset", "esc50", "speechcommands", "desed", "ablations", "cost"):
        for kind in ("md", "tex", "csv"):
            assert (report / "tables" / f"{name}.{kind}").stat().st_size > 0
        assert len(pd.read_csv(report / "tables" / f"{name}.csv")) > 0
    records = _records(finished)
    with sqlite3.connect(finished / "results" / "smoke" / "mlflow.db") as store:
        rows = store.execute(
            "select t.value, m.value from tags t join latest_metrics m on m.run_uuid = t.run_uuid"
            " join runs r on r.run_uuid = t.run_uuid where t.key = 'key'"
            " and m.key = 'test_mAP' and r.lifecycle_stage = 'active'"
        ).fetchall()
    stored = dict(rows)
    assert len(stored) == len(CELLS) + len(GROUPS)  # one parent for each model and variant
    for key, record in records.items():
        assert stored[key] == record["metrics"]["test"]["mAP"]["value"]


def test_every_number_of_every_table_equals_a_recomputation(finished: Path) -> None:
    results = finished / "results" / "smoke"
    config = json.loads((results / "config.json").read_text())
    runs = Runs(results, finished / "work" / "smoke" / "corpora", config)
    numbers = check(finished / "reports" / "out" / "smoke" / "tables", runs)
    assert set(config["datasets"]) | {"ablations", "cost", "comparisons"} < set(numbers.index)
    assert numbers.min() > 10
    truth = runs.truth("desed")
    for key in (key for key in map(str, CELLS) if key.startswith("desed")):
        point = runs.record(key)["localization"]["operating_point"]
        stored = pd.read_csv(runs.folder(key) / "events.tsv", sep="\t").dropna()
        made = decided(runs.folder(key), point, truth) if point else stored.iloc[:0]
        tables = (t[COLUMNS].sort_values(COLUMNS, ignore_index=True) for t in (made, stored))
        pd.testing.assert_frame_equal(*tables)


def test_the_report_finds_the_protocol_kept_and_checks_every_claim(finished: Path) -> None:
    report = finished / "reports" / "out" / "smoke"
    assert set(pd.read_csv(report / "tables" / "protocol.csv")["answer"]) == {"kept"}
    claims = pd.read_csv(report / "tables" / "claims.csv")
    assert "not comparable" in set(claims["verdict"])
    page = (report / "claims.html").read_text()
    assert page.count("<dt>Verdict</dt>") == len(claims)
    figures = json.loads((report / "metrics.json").read_text())
    assert figures.keys() == {"/".join(group) for group in GROUPS}


def test_a_second_call_finds_nothing_to_do(finished: Path) -> None:
    done = _snakemake(finished)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_tracking_twice_writes_nothing_twice(finished: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "track", "--config", "results/smoke/config.json"],
        cwd=finished,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"0 runs written, {len(CELLS) + len(GROUPS)} unchanged" in done.stdout


def test_another_clean_copy_killed_three_times_gives_the_same_digits(
    finished: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """kill -9 at random moments, and the same command again: the short form of `make torture`."""
    other = copy_checkout(tmp_path_factory.mktemp("again"))
    record = f"results/smoke/runs/{CELL}/record.json"
    call = [sys.executable, "-m", "snakemake", record, "--cores", "all", *EXPERIMENT]
    rng = random.Random(0)
    kills = [kill_once(other, call, rng.uniform(5.0, 15.0), rng)[0] for _ in range(3)]
    assert any(kill != "finished" for kill in kills)
    done = _snakemake(other, record)
    assert done.returncode == 0, done.stderr[-6000:]
    assert digests(other, "smoke")[CELL] == digests(finished, "smoke")[CELL]
    first, second = (json.loads((folder / record).read_text()) for folder in (finished, other))
    for name in ("metrics", "chance", "trivial", "localization", "digests", "identity", "files"):
        if name == "files":  # curves hold seconds, archives hold times
            assert first[name]["events.tsv"] == second[name]["events.tsv"]
        else:
            assert first[name] == second[name], name
