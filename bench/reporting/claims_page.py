"""The claims as a page of their own, and as a table for papers."""

from __future__ import annotations

from itertools import groupby

from bench.reporting import context
from bench.reporting.page import downloads, environment, style
from bench.reporting.tables import Column, Entry, Row, Table
from bench.results.analysis import Analysis


def render_claims(analysis: Analysis, table: Table) -> str:
    """The page's HTML; its origins lead to the report, which lies beside it."""
    by_section = groupby(analysis.claims, key=lambda claim: claim.section)
    return (
        environment()
        .get_template("claims.html")
        .render(
            table=table,
            banner=context.banner(analysis.config),
            style=style(),
            sections=[(section, list(members)) for section, members in by_section],
            downloads=downloads,
        )
    )


def claims_table(analysis: Analysis) -> Table:
    """A row per claim."""
    words = context.data_words(analysis)
    return Table(
        name="claims",
        title=f"Claims of the HTS-AT paper, checked ({words})",
        caption=(
            "Each claim with what was published, what was measured here and a verdict. Reproduced: "
            "the 90 % interval of the difference lies within a margin that was fixed beforehand. "
            "Better or below: it does not, and the 95 % interval lies on one side. Inconclusive: "
            "too few seeds, or not measured. Not comparable: data, size, protocol or coverage "
            f"differ. ± is the standard deviation between runs, brackets are 95 % t-intervals of "
            f"paired differences. Measured on {words}."
        ),
        columns=[
            Column("published", "published", words=True),
            Column("measured", "measured", words=True),
            Column("verdict", "verdict", words=True),
            Column("reason", "reason", words=True),
        ],
        rows=[
            Row(
                claim.text,
                {
                    "published": Entry(words=claim.published),
                    "measured": Entry(words=claim.measured),
                    "verdict": Entry(words=claim.verdict.kind),
                    "reason": Entry(words=claim.verdict.reason),
                },
                claim.records,
                claim.groups[0] if claim.groups else "",
                claim.section,
            )
            for claim in analysis.claims
        ],
        head="Claim",
    )
