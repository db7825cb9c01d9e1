"""The report as one self-contained HTML file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.reporting import charts, context, provenance, token_orders
from bench.reporting.ablations import Effect
from bench.reporting.drawing import Picture
from bench.reporting.escape import prose
from bench.reporting.event_tables import FAMILIES
from bench.reporting.findings import Finding
from bench.reporting.forms import forms
from bench.reporting.names import dataset_name, short_dataset_name
from bench.reporting.problems import problems
from bench.reporting.results import Results
from bench.reporting.soundscapes import gallery
from bench.reporting.speed import speed_chart
from bench.reporting.tables import Table

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")
PROBLEMS = {"Not in this report": True, "In this report, to be read with care": False}
CHECKS = ("protocol", "recipes", "chance", "without_times", "comparisons", "intervals")


def environment() -> Environment:
    """Where the templates lie and how they escape."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["anchor"] = provenance.anchor
    made.filters["code"] = _code
    return made


def _code(text: str) -> Markup:
    """The text, escaped, with the commands in it as code."""
    from markupsafe import Markup, escape

    return Markup(prose(text, escape, lambda command: f"<code>{escape(command)}</code>"))


def style() -> Markup:
    """The style sheet, as it is."""
    from markupsafe import Markup

    return Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))


def render(
    results: Results, tables: list[Table], effects: list[Effect], found: list[Finding]
) -> str:
    """The page's HTML, from all tables of the report."""
    from markupsafe import Markup

    named, faults = {table.name: table for table in tables}, problems(results)
    return (
        environment()
        .get_template("index.html")
        .render(
            title=results.config.title,
            experiment=results.config.experiment,
            banner=context.banner(results.config),
            models=context.models_sentence(results),
            seeds=context.seeds_sentence(results),
            spread=context.SPREAD,
            style=style(),
            script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
            findings=found,
            problems=[
                (title, [problem for problem in faults if problem.left_out == left_out])
                for title, left_out in PROBLEMS.items()
            ],
            tasks=[_task(results, named[dataset]) for dataset in results.config.datasets],
            checks=[named[name] for name in CHECKS if named[name].rows],
            rescored=named.get("rescore"),
            ablations=named["ablations"],
            forests=charts.forests(results, effects),
            orders=token_orders.pictures(results),
            curves=_drawn(charts.learning_curves(results, d) for d in results.config.datasets),
            cost=named["cost"],
            cost_charts=_drawn(
                charts.accuracy_against_cost(results, name) for name in charts.COSTS
            ),
            speed=named.get("speed"),
            speed_charts=_drawn([speed_chart()]),
            sources=provenance.sources(results),
            downloads=downloads,
        )
    )


def downloads(table: Table) -> list[tuple[str, str]]:
    """(file name, data URI) of the table in every format."""
    return [
        (
            f"{table.name}.{suffix}",
            "data:text/plain;charset=utf-8;base64," + base64.b64encode(text.encode()).decode(),
        )
        for suffix, text in forms(table).items()
    ]


def _drawn(pictures: Any) -> list[Picture]:
    return [picture for picture in pictures if picture is not None]


def _task(results: Results, table: Table) -> dict[str, Any]:
    """A data set's section: its table, F1 by class and soundscapes."""
    dataset = table.name
    localize = results.config.datasets[dataset].localize
    families = FAMILIES if localize else ()
    by_class = _drawn(charts.f1_by_class(results, dataset, metric) for metric in families)
    scapes, without = gallery(results, dataset) if localize else ([], "")
    return {
        "id": dataset,
        "name": dataset_name(results.config, dataset),
        "short": short_dataset_name(results.config, dataset),
        "table": table,
        "charts": by_class,
        "scenes": scapes,
        "no_soundscapes": without,
    }
