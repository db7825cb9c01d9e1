"""What a change runs again, asked of Snakemake itself after a whole DAG has run."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import workflow_copy
from workflow_copy import EXPERIMENT, due, make_copy, snakemake

from bench.files import OWNER

VIEWS = {"bring the MLflow store up to date", "write the report", "the report and the MLflow store"}
HTSAT = ("audioset/htsat/base/seed0", "desed/htsat/base/seed0", "desed/htsat/scratch/seed0")


def runs(*cells: str) -> set[str]:
    """The jobs of these cells and of everything that shows their records."""
    return {f"{stage} {cell}" for cell in cells for stage in ("train", "evaluate")} | VIEWS


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_copy(tmp_path_factory.mktemp("finished"))
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout
    return folder


@contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(text)


@contextmanager
def configured(folder: Path, *place: str, value: object) -> Iterator[None]:
    values = copy.deepcopy(EXPERIMENT)
    section: dict = values
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    workflow_copy.write_experiment(folder, values)
    try:
        yield
    finally:
        workflow_copy.write_experiment(folder, EXPERIMENT)


def test_comments_touched_files_and_code_without_results_run_nothing(finished: Path) -> None:
    for path in ("bench/experiment/config.py", "bench/process/locks.py", "bench/ops/status.py"):
        with open(finished / path, "a") as source:
            source.write("\n\nUNUSED = 1\n")
    future = "from __future__ import annotations"
    for path in ("htsat/model.py", "bench/training/fit.py", "bench/data/store.py"):
        source = finished / path
        source.write_text(source.read_text().replace(future, f"# A remark.\n{future}", 1))
    (finished / "work/corpora/desed/corpus.json").touch()
    audio = finished / "data/desed/audio/a.wav"  # pulled anew by DVC, which dates what it touches
    audio.parent.mkdir(parents=True)
    audio.write_bytes(b"sound")
    (finished / "data/manifest.json").touch()
    assert due(finished) == []


def test_the_forward_pass_of_htsat_runs_its_trainings_and_what_hangs_on_them(
    finished: Path,
) -> None:
    with edited(finished / "htsat/model.py", "def forward(", "EXTRA = 1\n\n    def forward("):
        assert set(due(finished)) == runs(*HTSAT) | {"measure the full-size htsat"}


def test_one_recipe_value_runs_its_cell_alone(finished: Path) -> None:
    with configured(finished, "recipes", "pann/desed", value={"epochs": 3}):
        assert set(due(finished)) == runs("desed/pann/base/seed0")


def test_a_pretraining_value_runs_what_starts_from_it_too(finished: Path) -> None:
    with configured(finished, "recipes", "htsat/audioset", value={"epochs": 3}):
        assert set(due(finished)) == runs("audioset/htsat/base/seed0", "desed/htsat/base/seed0")


def test_how_events_are_cut_trains_nothing(finished: Path) -> None:
    located = [*HTSAT[1:], "desed/pann/base/seed0"]
    with configured(finished, "localization", "thresholds", value=9):
        assert set(due(finished)) == {f"evaluate {cell}" for cell in located} | VIEWS


def test_the_title_concerns_the_report(finished: Path) -> None:
    with configured(finished, "title", value="Another"):
        assert set(due(finished)) == {"write the report", "the report and the MLflow store"}


def test_snakemakes_own_report_holds_page_claims_and_tables_with_captions(finished: Path) -> None:
    done = snakemake(finished, "--report", "report.html")
    assert done.returncode == 0, done.stdout
    page = (finished / "report.html").read_text()
    for words in ("A table of the report", "The paper's claims", "self-contained", "Tables"):
        assert words in page


def test_what_a_person_adds_to_the_tables_outlives_the_next_report(finished: Path) -> None:
    assert (finished / "out" / OWNER).read_text() == "experiment small\n"
    note = finished / "out" / "tables" / "note.md"
    note.write_text("mine")
    done = snakemake(finished, "--forcerun", "report")
    assert done.returncode == 0, done.stdout
    assert "write the report" in done.stdout
    assert note.read_text() == "mine"


@pytest.mark.parametrize("jump", [-(10**8), 10**8])
def test_a_clock_that_jumped_while_files_were_written_runs_nothing_again(
    finished: Path, jump: int
) -> None:
    """Small files are compared by their content, however their times are ordered."""
    written = [p for part in ("work", "results", "data") for p in (finished / part).rglob("*.*")]
    for path in sorted(path for path in written if path.is_file())[::2]:
        os.utime(path, times=(path.stat().st_atime, path.stat().st_mtime + jump))
    assert due(finished) == []


def test_lost_memory_and_lost_dates_change_nothing(finished: Path) -> None:
    """As after `cp -r` of the whole folder without `.snakemake`."""
    memory = finished / ".snakemake"
    memory.rename(finished / "memory")
    written = [
        p for part in ("work", "results", "data", "out") for p in (finished / part).rglob("*")
    ]
    for number, path in enumerate(sorted(written, reverse=True)):
        os.utime(path, (10**9 + number, 10**9 + number))
    assert due(finished) == []
    with configured(finished, "recipes", "pann/desed", value={"epochs": 3}):
        assert set(due(finished)) == runs("desed/pann/base/seed0")
    shutil.rmtree(memory)
    (finished / "memory").rename(memory)


def test_lost_outputs_are_made_again(finished: Path) -> None:
    run = finished / "results" / "runs" / "desed/pann/base/seed0"
    lost = [finished / "out" / "claims.html", run / "scores.npz"]
    for path in lost:
        path.unlink()
    assert set(due(finished)) == runs("desed/pann/base/seed0")
    done = snakemake(finished)
    assert done.returncode == 0, done.stdout
    assert all(path.is_file() for path in lost)
    assert due(finished) == []


def test_trials_run_on_request_parents_first_and_reports_show_them(finished: Path) -> None:
    pairs = {
        f"{dataset}/{model}" for dataset in ("audioset", "desed") for model in EXPERIMENT["models"]
    }
    choice = "the best recipes"
    assert set(due(finished, "tune")) == {choice, *(f"tune {pair}" for pair in pairs)}
    done = snakemake(finished, "tune")
    assert done.returncode == 0, done.stdout
    times = {
        pair: (finished / "config/tuning/small" / f"{pair}.json").stat().st_mtime_ns
        for pair in pairs
    }
    assert times["audioset/htsat"] < times["desed/htsat"]
    assert due(finished, "tune") == [choice]
    with configured(finished, "tuning", value={"trials": 2}):
        assert len(due(finished, "tune")) == len(pairs) + 1
    assert due(finished) == ["the report and the MLflow store", "write the report"]
    shutil.rmtree(finished / "config" / "tuning")


def test_a_deleted_record_is_made_again_though_the_report_stands(finished: Path) -> None:
    record = finished / "results" / "runs" / "desed/pann/base/seed0" / "record.json"
    kept = record.with_name("kept")
    record.rename(kept)
    try:
        assert set(due(finished)) == {"evaluate desed/pann/base/seed0"} | VIEWS
    finally:
        kept.rename(record)


def test_a_lost_store_is_made_again_and_nothing_else(finished: Path) -> None:
    store = finished / "results" / "mlflow.db"
    content = store.read_bytes()
    store.unlink()
    assert due(finished) == ["bring the MLflow store up to date", "the report and the MLflow store"]
    assert snakemake(finished).returncode == 0
    assert store.read_bytes() == content
    assert due(finished) == []
