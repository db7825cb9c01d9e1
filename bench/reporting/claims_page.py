"""The claims as a separate page, and as a table for papers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import get_args

from bench.reporting import context
from bench.reporting.page import downloads, environment, style
from bench.reporting.tables import Column, Entry, Row, Table
from bench.results.analysis import Analysis
from bench.results.claim import Claim
from bench.results.names import short_dataset_name
from bench.results.published import Kind

OTHER: Kind = "not comparable"
KINDS: tuple[Kind, ...] = get_args(Kind)


def render_claims(analysis: Analysis, table: Table) -> str:
    """The page's HTML; its origins lead to the report, which lies beside it."""
    by_section = groupby(analysis.claims, key=lambda claim: claim.section)
    counts = Counter(claim.verdict.kind for claim in analysis.claims)
    config = analysis.config
    return (
        environment()
        .get_template("claims.html")
        .render(
            table=table,
            banner=context.banner(config),
            style=style(),
            counts=[(kind, counts[kind]) for kind in KINDS if counts[kind]],
            sections=[(section, *_parted(list(members))) for section, members in by_section],
            reasons=[
                (short_dataset_name(config, dataset), "; ".join(words))
                for dataset, words in analysis.not_compared.items()
                if words
            ],
            downloads=downloads,
        )
    )


def _parted(claims: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
    """Those with a verdict on the claim, by verdict, and those that cannot be compared."""
    compared = [claim for claim in claims if claim.verdict.kind != OTHER]
    compared.sort(key=lambda claim: KINDS.index(claim.verdict.kind))
    return compared, [claim for claim in claims if claim.verdict.kind == OTHER]


def claims_table(analysis: Analysis) -> Table:
    """A row per claim."""
    return Table(
        name="claims",
        title="Claims of the HTS-AT paper, checked",
        caption="Each claim with what was published and what was measured.",
        data=context.data_words(analysis.config),
        notes=[
            "Reproduced: the 90 % interval of the difference lies within a margin that was fixed "
            "beforehand. Better or below: not reproduced, and the 95 % interval lies on one side. "
            "Inconclusive: too few seeds, or not measured. Not comparable: data, size, protocol or "
            "coverage differ, or models are not ranked. ± is the standard deviation between runs, "
            "brackets are 95 % t-intervals of paired differences."
        ],
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
