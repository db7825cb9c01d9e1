"""The report as one self-contained HTML file."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures.curves import learning_curves
from bench.figures.drawing import Picture
from bench.figures.soundscapes import scenes
from bench.reporting import charts, context, dots, overview, token_orders, training_times
from bench.reporting.escape import prose
from bench.reporting.event_tables import FAMILIES
from bench.reporting.findings import findings
from bench.reporting.forms import forms
from bench.reporting.leads import task_findings
from bench.reporting.listed import OVERVIEW, classes_name, layouts, summary_name
from bench.reporting.problems import problems
from bench.reporting.speed import speed_chart
from bench.reporting.tables import Table
from bench.results.analysis import Analysis
from bench.results.names import short_dataset_name
from bench.results.provenance import sources

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")
PROBLEMS = {"Not in this report": True, "In this report, to be read with care": False}
CHECKS = ("protocol", "recipes", "chance", "without_times", "comparisons", "intervals", "rescore")
RELEASED = ("released", "ensembles")


def environment() -> Environment:
    """Where the templates are and how they escape."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["anchor"] = anchor
    made.filters["code"] = _code
    return made


def anchor(name: str) -> str:
    """The id of a group's place in the page; every name has its own."""
    return "from-" + re.sub(r"[^A-Za-z0-9-]", lambda sign: f"_{ord(sign[0]):x}_", name)


def _code(text: str) -> Markup:
    """The text, escaped, with the commands in it as code."""
    from markupsafe import Markup, escape

    return Markup(prose(text, escape, lambda command: f"<code>{escape(command)}</code>"))


def style() -> Markup:
    """The style sheet, unescaped."""
    from markupsafe import Markup

    return Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))


def render(analysis: Analysis, tables: list[Table]) -> str:
    """The page's HTML, from all tables of the report."""
    from markupsafe import Markup

    config, faults = analysis.config, problems(analysis)
    named = {table.name: table for table in tables}
    return (
        environment()
        .get_template("index.html")
        .render(
            title=config.title,
            headline=overview.headline(analysis),
            experiment=config.experiment,
            facts=overview.facts(analysis),
            banner=context.banner(config),
            mixed=context.is_mixed(config),
            picture=dots.models_by_tasks(analysis),
            overview=named[OVERVIEW],
            findings=findings(analysis),
            reading=list(dict.fromkeys(words for table in tables for words in table.reading)),
            style=style(),
            script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
            problems=[
                (title, [problem for problem in faults if problem.left_out == left_out])
                for title, left_out in PROBLEMS.items()
            ],
            tasks=[_task(analysis, named, dataset) for dataset in config.datasets],
            released=[named[name] for name in RELEASED if name in named and named[name].rows],
            checks=[named[name] for name in CHECKS if name in named and named[name].rows],
            ablations=named["ablations"],
            detectable=named["detectable"],
            forests=charts.forests(analysis),
            times=training_times.pictures(analysis),
            training_time=named["training_time"],
            orders=token_orders.pictures(config),
            cost=named["cost"],
            cost_charts=_drawn(
                charts.accuracy_against_cost(analysis, name) for name in charts.COSTS
            ),
            speed=named.get("speed"),
            speed_charts=[speed_chart(analysis.speed)] if analysis.speed else [],
            paper=[named[name] for name in layouts(config)],
            sources=sources(analysis),
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


def _task(analysis: Analysis, named: dict[str, Table], dataset: str) -> dict[str, Any]:
    """A data set's section: findings, figures, tables, soundscapes."""
    config, settings = analysis.config, analysis.config.datasets[dataset]
    by_class = _drawn([dots.by_class(analysis, dataset, settings.metric)])
    learning = _drawn([learning_curves(config, dataset, analysis.curves[dataset])])
    scapes, without = analysis.soundscapes.get(dataset, ([], ""))
    others = [metric for metric in FAMILIES if settings.localize and metric != settings.metric]
    return {
        "id": dataset,
        "name": context.task_name(config, dataset),
        "short": short_dataset_name(config, dataset),
        "findings": list(task_findings(analysis, dataset)),
        "figures": by_class + learning,
        "table": named[summary_name(dataset) if settings.localize else dataset],
        "folded": [named[dataset if settings.localize else classes_name(dataset)]],
        "more": _drawn(dots.by_class(analysis, dataset, metric) for metric in others),
        "scenes": scenes(config, scapes),
        "no_soundscapes": without,
    }
