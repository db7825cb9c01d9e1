"""Rows of MLflow's tables, in a results folder's own SQLite database.

Everything else goes through MLflow's public client. Two things do not:

* many points at once: the client asks the database for the predecessors of each. The curves of
  1,008 records of 300 epochs took it 370 s, these statements 18 s (same machine, same load);
* the addresses of files whose folder has moved: the client has no call for that.

`tests/test_tracking_rows.py` compares both with what the public client writes and reads, so that
another layout of MLflow's tables is noticed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path

from bench.tracking.views import Tracked

LEADING = ("test_intersection_f1", "test_accuracy", "test_mAP")
NO_WAIT = "PRAGMA synchronous = OFF"
"""Do not wait for the disk in transactions: after a power cut, the view is rebuilt."""
BIG_CACHE = "PRAGMA cache_size = -262144"  # KiB, negative by SQLite's convention
ADDRESSES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
Row = tuple[str, float, int, int, str]


@contextmanager
def transaction(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on a database: all of the block's statements count, or none."""
    with closing(sqlite3.connect(path, timeout=60)) as database, database:
        database.execute(NO_WAIT)
        database.execute(BIG_CACHE)
        yield database


def fill(path: Path, runs: Mapping[str, Tracked], tags: Mapping[str, Mapping[str, str]]) -> None:
    """Write curves, figures, parameters and tags of runs that have none yet, and end them."""
    points: list[Row] = []
    last: list[Row] = []
    for run_id, item in runs.items():
        own = [(name, value, at, step, run_id) for name, value, step, at in item.points()]
        points += own
        newest = {row[0]: row for row in sorted(own, key=itemgetter(3, 2, 1))}
        last += sorted(newest.values(), key=_place)  # the UI lists them as they were inserted
    points.sort(
        key=itemgetter(0, 2, 3)
    )  # in the order of the table's key: pages are filled sequentially
    columns = "(key, value, timestamp, step, run_uuid, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
    pairs = "(key, value, run_uuid) VALUES (?, ?, ?)"
    with transaction(path) as database:
        database.executemany(f"INSERT OR IGNORE INTO metrics {columns}", points)
        database.executemany(f"INSERT INTO latest_metrics {columns}", last)
        for run_id, item in runs.items():
            for table, values in (("params", item.parameters()), ("tags", tags[run_id])):
                rows = [(*pair, run_id) for pair in values.items()]
                database.executemany(f"INSERT OR REPLACE INTO {table} {pairs}", rows)
            end = "UPDATE runs SET status = 'FINISHED', end_time = ? WHERE run_uuid = ?"
            database.execute(end, (item.finished, run_id))


def move(path: Path, old: str, new: str) -> None:
    """Replace the folder `old` by `new` (two URIs) wherever an address of files begins with it."""
    with transaction(path) as database:
        for table, column in ADDRESSES.items():
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                f" WHERE substr({column}, 1, ?) = ?",
                (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
            )


def _place(row: Row) -> tuple[int, bool, bool, str]:
    """The leading figures first (a comparison's plot opens with the first), then those of the test
    clips, spreads last among them."""
    name = row[0]
    leads = LEADING.index(name) if name in LEADING else len(LEADING)
    return leads, not name.startswith("test_"), name.endswith("_sd"), name
