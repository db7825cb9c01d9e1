"""The smoke profile from an empty folder to the report, by the commands that people type."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from independent import COLUMNS, Truth, clip_figures, decided, event_figures
from torture import copy_checkout, digests, kill_once

from bench.corpora.desed import CLASSES
from bench.experiment import cells, config

ROOT = Path(__file__).resolve().parent.parent
PROFILE = ("--configfile", "config/smoke.yaml")
CELL = "desed/htsat/base/seed0"
CELLS = cells.list_cells(config.load(ROOT / "config" / "smoke.yaml"))
FAMILIES = {
    "Intersection": "intersection_f1",
    "Event": "event_based_f1",
    "Segment": "segment_based_f1",
}
GROUPS = {(cell.dataset, cell.model, cell.variant) for cell in CELLS}


def _snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--cores", "all", *PROFILE],
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


def _rows(folder: Path, name: str) -> Iterator[tuple[pd.Series, list[Path]]]:
    """The rows of a table that stand on records, each with the folders of its runs."""
    frame = pd.read_csv(folder / "reports" / "out" / "smoke" / "tables" / f"{name}.csv")
    for _, row in frame[frame["records"].notna()].iterrows():
        keys = row["records"].split()
        yield row, [folder / "results" / "smoke" / "runs" / key for key in keys]


@pytest.mark.parametrize("name", ["audioset", "esc50", "speechcommands"])
def test_every_tagging_figure_equals_one_by_scikit_learn(finished: Path, name: str) -> None:
    models = set()
    for row, folders in _rows(finished, name):
        figures = pd.DataFrame([clip_figures(folder) for folder in folders])
        figures["accuracy_percent"] = 100 * figures["accuracy"]
        if row["model"] == "Chance":
            if name == "audioset":
                assert row["mAP"] == pytest.approx(figures["chance"].mean())
            continue
        for metric in {"mAP", "mAUC", "d_prime", "accuracy_percent"} & set(row.index):
            assert row[metric] == pytest.approx(figures[metric].mean(), rel=1e-9)
            assert row[f"{metric}_sd"] == pytest.approx(figures[metric].std(), abs=1e-9)
            models.add(row["model"])
    assert models == {"HTS-AT", "AST", "PANN-CNN", "Linear baseline"}


def test_clip_precision_by_class_equals_one_by_scikit_learn(finished: Path) -> None:
    rows = [r for r in _rows(finished, "desed") if r[0]["section"].startswith("Clip tagging")]
    for row, folders in rows:
        figures = 100 * pd.DataFrame([clip_figures(folder) for folder in folders])
        chance = row["model"] == "Chance"
        assert row["macro_percent"] == pytest.approx(figures["chance" if chance else "mAP"].mean())
        for label in () if chance else CLASSES:
            assert row[f"{label}_percent"] == pytest.approx(figures[label].mean())
    assert len(rows) == 4 + 1


def test_located_f1_by_class_equals_one_by_sed_eval_and_psds_eval(finished: Path) -> None:
    """From frame scores and the thresholds that the records name; no figure of theirs is used."""
    truth = Truth.read(finished / "work" / "smoke" / "corpora" / "desed")
    assert truth.classes == sorted(CLASSES)

    @cache
    def figures(folder: Path, kind: str) -> dict[str, dict[str, float]]:
        if kind == "always":
            return event_figures(truth.always(), truth)
        record = json.loads((folder / "record.json").read_text())
        made = decided(folder, record[kind]["operating_point"], truth)
        if kind == "localization":
            stored = pd.read_csv(folder / "events.tsv", sep="\t").dropna()
            tables = (t[COLUMNS].sort_values(COLUMNS, ignore_index=True) for t in (made, stored))
            pd.testing.assert_frame_equal(*tables)
        return event_figures(made, truth)

    checked: Counter[str] = Counter()
    for row, folders in _rows(finished, "desed"):
        section = row["section"].removeprefix("Variants (see the ablations): ")
        family, label = FAMILIES.get(section.split("-")[0]), row["model"]
        if family is None or row["remark"] == "cannot localize" or "clip labels" in label:
            continue
        kind = "hand_set" if "hand-set" in label else "localization"
        kind = "always" if label == "Always active" else kind
        found = 100 * pd.DataFrame([figures(folder, kind)[family] for folder in folders])
        assert row["macro_percent"] == pytest.approx(found.mean(axis=1).mean()), label
        for name in () if kind == "always" else CLASSES:
            assert row[f"{name}_percent"] == pytest.approx(found[name].mean()), (label, name)
        checked[kind] += 1
    # Two models in three families, and two variants of HTS-AT in two.
    assert checked == {"localization": 2 * 3 + 2 * 2, "hand_set": 2 * 3, "always": 3}


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
    call = [sys.executable, "-m", "snakemake", record, "--cores", "all", *PROFILE]
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
