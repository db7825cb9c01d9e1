"""`python -m bench track`: MLflow as a view of the records, rebuilt by one writer.

One experiment per data set; one parent run per (model, variant) with its mean figures, pictures and
the best seed's model, one nested run per fold and seed. A run is found by its key and left
unchanged while it shows its record and its files exist, so that calling this twice changes nothing.
Training processes never write to the store: concurrent first writers corrupt a fresh SQLite file.

`--live` shows running trainings on a server (`bench.tracking.live`).
"""

from __future__ import annotations

import argparse
import errno
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.code_digest import stage_digest
from bench.experiment import cells, config, folders
from bench.experiment.cells import Layout
from bench.figures.drawing import Picture
from bench.files import UserError
from bench.results.load import load_results
from bench.results.names import short_dataset_name
from bench.tracking import notes
from bench.tracking.attachments import log_model, log_pictures, pictures
from bench.tracking.questions import SAVED, link, questions
from bench.tracking.server import SERVER, first_line, reachable, server
from bench.tracking.store import PARENT, Seal, Store, address, one_writer, write_seal
from bench.tracking.views import Tracked, TrackedGroup, TrackedRecord


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--live", action="store_true", help=f"show running trainings on the server of {SERVER}"
    )
    parser.add_argument(
        "--links",
        metavar="ADDRESS",
        help="print a link to MLflow at ADDRESS for each question; write nothing",
    )
    parser.add_argument(
        "--store", action="store_true", help="print the address of the store; write nothing"
    )


def run(args: argparse.Namespace) -> int:
    if args.store:
        print(address(config.load(args.config)))
        return 0
    settings = folders.load(args.config)
    if args.live:
        from bench.tracking.live import follow

        follow(settings)
    if args.links is not None:
        print("\n".join(links(settings, args.links)), flush=True)
        return 0
    if not _written(settings):
        write_seal(settings, Seal(store=None, files={}))  # so the next call tries again
    return 0


def links(settings: config.Config, page: str) -> Iterator[str]:
    """The questions that a store's pages at the address `page` answer, each with its link.

    Raises:
        UserError: there is no store yet.
    """
    if server() is None and not (database := Layout.of(settings).results / "mlflow.db").is_file():
        raise UserError(
            f"{database}: no such file; `snakemake` or `python -m bench track` makes it from "
            "finished runs"
        )
    store = Store(settings)
    for dataset in settings.datasets:
        experiment = store.experiment(dataset)
        yield f"{short_dataset_name(settings, dataset)}:"
        for question in questions(settings, dataset):
            yield f"  {question.text}  {link(page.rstrip('/') + '/', experiment, question)}"


def _written(settings: config.Config) -> bool:
    """Write the store; False if its server is lost and the run continues without it.

    Raises:
        UserError: the server refuses something, or is lost and `tracking.unreachable` says stop.
        OSError: no space left.
    """
    try:
        if not reachable(settings):
            return False
        with one_writer(settings):
            counts = sync(settings)
    except Exception as error:  # of MLflow, SQLAlchemy, sqlite3 or requests
        if "database or disk is full" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "mlflow.db") from error
        if server() is None or isinstance(error, UserError):
            raise
        if reachable(settings):
            raise UserError(f"{server()}: {first_line(error)}") from error
        return False
    print(f"MLflow: {counts['written']} runs written, {counts['kept']} unchanged", flush=True)
    return True


def sync(settings: config.Config) -> dict[str, int]:
    """Bring the store in line with the records; returns how many runs were written and kept.

    Raises:
        UserError: a record is missing.
    """
    store, results = Store(settings), None
    counts = {"written": 0, "kept": 0}
    files: dict[str, int] = {}
    for dataset, parents in _parents(settings).items():
        items: dict[str, Tracked] = {parent.key: parent for parent in parents}
        items |= {record.key: record for parent in parents for record in parent.records}
        experiment = store.experiment(dataset)
        own = store.runs(experiment)
        standing = {key: run for key, run in own if store.stands(run, items.get(key))}
        shown: Mapping[str, list[tuple[str, Picture]]] = {}
        if any(parent.key not in standing for parent in parents):
            results = results or load_results(settings)
            shown = pictures(results, dataset)
        for parent in parents:
            new = _missing(store, experiment, parent, standing, shown.get(parent.key, ()))
            files |= store.fill(new)
            counts["written"] += len(new)
        asked = list(questions(settings, dataset))
        note = notes.of_experiment(
            settings, dataset, [(one.text, link("", experiment, one)) for one in asked]
        )
        store.describe(experiment, note, {SAVED + one.key: one.view() for one in asked})
        for key, run in own:
            if standing.get(key) is run:
                files |= store.files_of(run)
                counts["kept"] += 1
            else:
                store.delete(run)
    write_seal(settings, Seal(store=store.uri, files=files))
    return counts


def _parents(settings: config.Config) -> dict[str, list[TrackedGroup]]:
    """Every parent run with its records, by data set."""
    layout, code = Layout.of(settings), stage_digest("track")
    groups: dict[tuple[str, str, str], list[TrackedRecord]] = defaultdict(list)
    for cell in cells.list_cells(settings):
        record = TrackedRecord(settings, cell, layout.run(cell), code)
        groups[cell.dataset, cell.model, cell.variant].append(record)
    parents: dict[str, list[TrackedGroup]] = {dataset: [] for dataset in settings.datasets}
    for (dataset, model, variant), records in groups.items():
        metric, change = settings.datasets[dataset].selection, records[0].change
        reference = groups.get((dataset, model, change.against), ()) if change else ()
        key = f"{dataset}/{model}/{variant}"
        parents[dataset].append(TrackedGroup(key, metric, records, reference))
    return parents


def _missing(
    store: Store,
    experiment: str,
    parent: TrackedGroup,
    standing: Mapping[str, Any],
    shown: Sequence[tuple[str, Picture]],
) -> dict[str, Tracked]:
    """Create the runs of a group that are absent or out of date, with their files; by id."""
    new: dict[str, Tracked] = {}
    if parent.key in standing:
        parent_id = standing[parent.key].info.run_id
    else:
        parent_id = store.add(experiment, parent)
        new[parent_id] = parent
        log_pictures(store.client, parent_id, shown)
        log_model(store, parent_id, parent.best)
    for record in parent.records:
        run = standing.get(record.key)
        if run is None:
            new[store.add(experiment, record, parent_id)] = record
        elif run.data.tags.get(PARENT) != parent_id:
            store.client.set_tag(run.info.run_id, PARENT, parent_id)
    return new
