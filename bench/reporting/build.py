"""`python -m bench report`: write the report and the tables of an experiment."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.experiment import config, folders
from bench.files import UserError, write_text
from bench.reporting import rescored
from bench.reporting.ablations import ablation_table, effects
from bench.reporting.audit import audit_table
from bench.reporting.changes import write_metrics
from bench.reporting.checks import chance_checks, chance_table, trivial_checks, trivial_table
from bench.reporting.claims import claims
from bench.reporting.claims_page import claims_table, render_claims
from bench.reporting.comparisons import comparison_table, comparisons
from bench.reporting.cost_table import cost_table
from bench.reporting.event_tables import localization_table
from bench.reporting.findings import findings
from bench.reporting.forms import write_forms
from bench.reporting.intervals import interval_table
from bench.reporting.page import render
from bench.reporting.problems import problems
from bench.reporting.released import ensemble_table, released_table, write_tables
from bench.reporting.results import Results, load_results
from bench.reporting.score_tables import classification_table
from bench.reporting.speed import speed_table
from bench.reporting.tables import Table
from bench.reporting.tuning import tuning_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--released", action="store_true", help="only the tables of released checkpoints, printed"
    )


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    settings = folders.load(args.config)
    if args.released:
        print(write_tables(settings), flush=True)
        return 0
    path = build(settings)
    print(f"report: {path}; tables: {path.parent / 'tables'}", flush=True)
    return 0


def build(settings: config.Config) -> Path:
    """Write index.html, claims.html, metrics.json and tables/*.{md,tex,csv}, the report.

    Returns the path of the page.

    Absent, stale or unlike records do not stop the report: it names each and why.

    Raises:
        UserError: the experiment has no record at all.
    """
    results = load_results(settings)
    if not results.groups and not results.refused:
        raise UserError(
            f"{results.layout.results}: no record of experiment '{settings.experiment}'; run "
            "`snakemake --cores all` with its config first"
        )
    found = effects(results)
    tables = [task_table(results, dataset) for dataset in settings.datasets]
    chance, trivial = chance_checks(results), trivial_checks(results)
    speed = speed_table()
    tables += [ablation_table(results, found), cost_table(results)]
    tables += [speed] if speed else []
    tables += [chance_table(results, chance), trivial_table(results, trivial)]
    tables += [audit_table(results), tuning_table(results), interval_table(results)]
    tables.append(comparison_table(results, comparisons(results, found)))
    scored_again = rescored.load(results.config)
    tables += [rescored.rescore_table(scored_again)] if scored_again else []
    checked = claims(results)
    claimed = claims_table(results, checked)
    tables.append(claimed)
    tables += [released_table(settings)] if settings.released else []
    tables += [ensemble_table(settings)] if settings.ensembles else []
    said = findings(results, found, chance, trivial)
    for table in tables:
        write_forms(table, results.layout.report / "tables")
    write_metrics(results)
    page = results.layout.report / "index.html"
    write_text(page.with_name("claims.html"), render_claims(results, claimed, checked))
    write_text(page, render(results, tables, found, said))
    for problem in problems(results):
        print(f"report: {problem}", flush=True)
    return page


def task_table(results: Results, dataset: str) -> Table:
    """The table of one data set."""
    if results.config.datasets[dataset].localize:
        return localization_table(results, dataset)
    return classification_table(results, dataset)
