"""`python -m bench report`: write the report and the tables of a profile."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.experiment import config
from bench.files import UserError, write_text
from reports import rescored
from reports.ablations import ablation_table, effects
from reports.audit import audit_table
from reports.changes import write_metrics
from reports.checks import chance_checks, chance_table, trivial_checks, trivial_table
from reports.claims import claims
from reports.claims_page import claims_table, render_claims
from reports.comparisons import comparison_table, comparisons
from reports.cost_table import cost_table
from reports.event_tables import localization_table
from reports.findings import findings
from reports.forms import write_forms
from reports.intervals import interval_table
from reports.page import render
from reports.problems import problems
from reports.released import ensemble_table, released_table
from reports.results import Results, load_results
from reports.score_tables import classification_table
from reports.speed import speed_table
from reports.tables import Table
from reports.tuning import tuning_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb: none of its own."""


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    path = build(config.load(args.config))
    print(f"report: {path}; tables: {path.parent / 'tables'}", flush=True)
    return 0


def build(settings: config.Config) -> Path:
    """Write index.html, claims.html, metrics.json and tables/*.{md,tex,csv}, the report.

    Returns the path of the page.

    Absent, stale or unlike records do not stop the report: it names each and why.

    Raises:
        UserError: the profile has no record at all.
    """
    results = load_results(settings)
    if not results.groups and not results.refused:
        raise UserError(
            f"{results.layout.results}: no record of profile '{settings.profile}'; run "
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
