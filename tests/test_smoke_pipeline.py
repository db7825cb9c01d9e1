"""The smoke experiment from an empty folder to the report, by the commands that people type."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from independent import COLUMNS, decided
from recomputed import Runs, check
from torture import copy_checkout, digests, kill_once

from bench.corpora import open_corpus
from bench.experiment import cells, config
from bench.models.scores import read_scores
from bench.tagging.tag import Tagger

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENT = ("--configfile", "config/smoke.yaml")
AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@b.c")
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
    shutil.copy(ROOT / ".gitignore", folder)
    for call in (["init"], ["add", "."], [*AUTHOR, "commit", "-m", "clean"]):
        subprocess.run(["git", *call], cwd=folder, check=True, capture_output=True)
    done = _snakemake(folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return folder


def _records(folder: Path) -> dict[str, dict]:
    paths = sorted((folder / "results" / "smoke" / "runs").rglob("record.json"))
    return {record["key"]: record for record in (json.loads(p.read_text()) for p in paths)}


def test_the_pipeline_leaves_the_checkout_clean(finished: Path) -> None:
    call = ["git", "status", "--porcelain", "--untracked-files=all"]
    done = subprocess.run(call, cwd=finished, check=True, capture_output=True, text=True)
    assert done.stdout == ""
    assert not any(record["provenance"]["dirty"] for record in _records(finished).values())


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
    report = finished / "reports" / "smoke"
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
    numbers = check(finished / "reports" / "smoke" / "tables", runs)
    assert set(config["datasets"]) | {"ablations", "cost", "comparisons"} < set(numbers.index)
    assert numbers.min() > 10
    truth = runs.truth("desed")
    for key in (key for key in map(str, CELLS) if key.startswith("desed")):
        point = runs.record(key)["localization"]["operating_point"]
        stored = pd.read_csv(runs.folder(key) / "events.tsv", sep="\t").dropna()
        made = decided(runs.folder(key), point, truth) if point else stored.iloc[:0]
        tables = (t[COLUMNS].sort_values(COLUMNS, ignore_index=True) for t in (made, stored))
        pd.testing.assert_frame_equal(*tables)


def test_tagging_every_test_clip_gives_the_records_scores_and_events(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digit for digit, for all models and tasks: what a run is recorded with is what it hears."""
    monkeypatch.chdir(finished)
    tasks: set[tuple[str, str]] = set()
    for key, record in _records(finished).items():
        folder, dataset = Path("results/smoke/runs") / key, record["cell"]["dataset"]
        corpus = open_corpus(Path("work/smoke/corpora") / dataset)
        paths = dict(zip(corpus.clips["clip"], corpus.clips["path"], strict=True))
        stored = read_scores(folder / "scores.npz", "test")
        tagger = Tagger.open(folder / "model.pt")
        assert tagger.threads == record["provenance"]["threads"]
        torch.set_num_threads(tagger.threads)
        rows = []
        for clip, scores, frames in zip_longest(
            stored.clip_ids, stored.scores.clip_scores, stored.scores.frames()
        ):
            tagged = tagger.tag(corpus.root / paths[clip])
            assert tagged.windows == 1
            assert np.array_equal(tagged.clip_scores, scores), (key, clip)
            assert (frames is None) == (tagged.frame_scores is None)
            if frames is not None:
                assert np.array_equal(tagged.frame_scores, frames), (key, clip)
            rows += [(clip, event.onset, event.offset, event.label) for event in tagged.events]
        if (folder / "events.tsv").exists():
            recorded = pd.read_csv(folder / "events.tsv", sep="\t").dropna()
            made = pd.DataFrame(rows, columns=COLUMNS)
            order = [table.sort_values(COLUMNS, ignore_index=True) for table in (made, recorded)]
            pd.testing.assert_frame_equal(*order, check_exact=True, check_dtype=False)
        tasks.add((dataset, record["cell"]["model"]))
    assert len(tasks) == 4 * 4


def test_the_command_line_tags_as_recorded(finished: Path) -> None:
    record = _records(finished)[CELL]
    stored = read_scores(finished / "results" / "smoke" / "runs" / CELL / "scores.npz", "test")
    corpus = open_corpus(finished / "work" / "smoke" / "corpora" / "desed")
    chosen = corpus.clips[corpus.clips["clip"].isin(stored.clip_ids[:2])]
    audio = [str(corpus.root / path) for path in chosen["path"]]
    checkpoint = f"results/smoke/runs/{CELL}/model.pt"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "tag", *audio, "--checkpoint", checkpoint, "--json"],
        cwd=finished,
        capture_output=True,
        text=True,
        check=True,
    )
    for line, clip in zip(done.stdout.splitlines(), chosen["clip"], strict=True):
        found = json.loads(line)
        best = stored.scores.clip_scores[list(stored.clip_ids).index(clip)].max()
        assert found["labels"][0]["probability"] == round(float(best), 6)
        assert found["threshold_source"] == record["localization"]["operating_point"]["source"]


def test_the_report_finds_the_protocol_kept_and_checks_every_claim(finished: Path) -> None:
    report = finished / "reports" / "smoke"
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
