"""`python -m bench report`: write the report and the tables of an experiment."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.experiment import config, folders
from bench.experiment.cells import Layout
from bench.files import write_json, write_text
from bench.reporting.ablations import ablation_table, detectable_table
from bench.reporting.changes import NAME, metrics
from bench.reporting.check_tables import (
    audit_table,
    chance_table,
    comparison_table,
    interval_table,
    trivial_table,
    tuning_table,
)
from bench.reporting.claims_page import claims_table, render_claims
from bench.reporting.cost_table import cost_table
from bench.reporting.event_tables import localization_summary, localization_table
from bench.reporting.forms import write_forms
from bench.reporting.overview import overview_table
from bench.reporting.page import render
from bench.reporting.paper_tables import paper_tables
from bench.reporting.problems import problems
from bench.reporting.released import ensemble_table, released_table
from bench.reporting.rescored import rescore_table
from bench.reporting.score_tables import class_table, classification_table
from bench.reporting.speed import speed_table
from bench.reporting.tables import Table
from bench.reporting.training_times import training_time_table
from bench.results import rescored
from bench.results.analysis import Analysis, analyse
from bench.results.released import released_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--released", action="store_true", help="only the tables of released checkpoints, printed"
    )


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    settings = folders.load(args.config)
    if args.released:
        print(write_released(settings), flush=True)
        return 0
    path = build(settings)
    print(f"report: {path}; tables: {path.parent / 'tables'}", flush=True)
    return 0


def write_released(settings: config.Config) -> str:
    """Write only the tables of released checkpoints and predictions; returns their Markdown."""
    tables = [released_table(settings, list(released_runs(settings)))]
    if (scored := rescored.load(settings)) is not None:
        tables.append(rescore_table(scored))
    folder = Layout.of(settings).report / "tables"
    return "\n".join(write_forms(table, folder)["md"] for table in tables)


def build(settings: config.Config) -> Path:
    """Write index.html, claims.html, metrics.json and tables/*.{md,tex,notes.tex,csv}, the report.

    Returns the path of the page.

    Absent, stale or unlike records do not stop the report: it names each with the reason.

    Raises:
        UserError: the experiment has no record at all.
    """
    analysis = analyse(settings)
    tables, folder = make_tables(analysis), analysis.layout.report
    for table in tables:
        write_forms(table, folder / "tables")
    write_json(folder / NAME, metrics(analysis))
    claimed = next(table for table in tables if table.name == "claims")
    write_text(folder / "claims.html", render_claims(analysis, claimed))
    page = folder / "index.html"
    write_text(page, render(analysis, tables))
    for problem in problems(analysis):
        print(f"report: {problem}", flush=True)
    return page


def make_tables(analysis: Analysis) -> list[Table]:
    """Every table of the report, in the order of `listed.table_names`."""
    settings = analysis.config
    located = [name for name, chosen in settings.datasets.items() if chosen.localize]
    tables = [overview_table(analysis)]
    tables += [task_table(analysis, dataset) for dataset in settings.datasets]
    tables += [localization_summary(analysis, dataset) for dataset in located]
    tables += [class_table(analysis, name) for name in settings.datasets if name not in located]
    tables += [ablation_table(analysis), detectable_table(analysis)]
    tables += [training_time_table(analysis), cost_table(analysis)]
    tables += [speed_table(analysis.speed)] if analysis.speed else []
    tables += [chance_table(analysis), trivial_table(analysis)]
    tables += [audit_table(analysis), tuning_table(analysis), interval_table(analysis)]
    tables.append(comparison_table(analysis))
    tables += [rescore_table(analysis.rescored)] if analysis.rescored else []
    tables += [claims_table(analysis), *paper_tables(analysis)]
    tables += [released_table(settings, analysis.released)] if settings.released else []
    tables += [ensemble_table(settings, analysis.ensembles)] if settings.ensembles else []
    return tables


def task_table(analysis: Analysis, dataset: str) -> Table:
    """The table of one data set."""
    if analysis.config.datasets[dataset].localize:
        return localization_table(analysis, dataset)
    return classification_table(analysis, dataset)
