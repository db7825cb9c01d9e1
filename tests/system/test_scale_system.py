"""A thousand records with 300 curve points each: the report stays small, the store complete."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import factories
import pytest

from bench.reporting.build import build

pytestmark = pytest.mark.system


def test_a_thousand_records_fit_a_report_and_a_store(tmp_path: Path) -> None:
    from bench.tracking.sync import sync

    config = factories.make_config(tmp_path, seeds=tuple(range(42)))
    count = factories.make_many(config, points=300)
    assert count >= 1000
    started = time.process_time()
    page = build(config)
    print(f"report of {count} records: {time.process_time() - started:.0f} s of CPU")
    assert page.stat().st_size < 25e6
    started = time.process_time()
    written = sync(config)["written"]
    print(f"MLflow store of {count} records: {time.process_time() - started:.0f} s of CPU")
    runs = count + count // 42  # a parent run for each 42 seeds, with their mean curve
    assert written == runs
    with sqlite3.connect(tmp_path / "results" / "mlflow.db") as store:
        query = "SELECT count(*) FROM metrics WHERE key = 'curve_train_loss'"
        assert store.execute(query).fetchone() == (300 * runs,)
