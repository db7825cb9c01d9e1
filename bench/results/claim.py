"""What a claim is, and what the checks of all claims share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.results import published
from bench.results.groups import Group
from bench.results.identity import fingerprints
from bench.results.load import Results
from bench.results.published import Published, Verdict

CLAIMS, FIGURES = "Claims of the paper", "Published figures beside measured ones"
NOT_MEASURED = Verdict("inconclusive", "not measured in this experiment")
PAPER = "HTS-AT (arXiv 2202.00874)"
AUDIOSET = "AudioSet-2M"


@dataclass(frozen=True)
class Claim:
    """One claim; `groups` are the places of the records behind what was measured."""

    key: str
    section: str
    text: str
    published: str
    measured: str
    verdict: Verdict
    groups: tuple[str, ...] = ()
    records: tuple[str, ...] = ()


def make_claim(
    key: str,
    text: str,
    printed: str,
    measured: str,
    verdict: Verdict,
    groups: Sequence[Group | None] = (),
) -> Claim:
    """A claim of the paper with the places and keys of the records behind it."""
    known = [group for group in groups if group is not None]
    return Claim(
        key,
        CLAIMS,
        text,
        printed,
        measured,
        verdict,
        tuple(group.name for group in known),
        tuple(dict.fromkeys(run for group in known for run in group.record_keys)),
    )


def groups_of(results: Results, network: str, data: str) -> Iterator[tuple[str, Group | None]]:
    """(data set, group) of every model with a published network's architecture on every data set in
    a published one's layout: candidates, whether or not they are the published ones."""
    known = fingerprints()
    loader, architecture = known.data[data].loader, known.networks[network].architecture
    for dataset, settings in results.config.datasets.items():
        for model, chosen in results.config.models.items():
            if settings.loader == loader and chosen.architecture == architecture:
                yield dataset, results.group(dataset, model)


def entry_beside(network: str, data: str) -> Published:
    """The published row of a network on a data set."""
    return next(e for e in published.load() if (e.beside, e.dataset) == (network, data))


def printed(system: str, variant: str, figure: str) -> float:
    """A figure of the paper about a system on AudioSet, from published.yaml."""
    return next(
        entry.figures[figure]
        for entry in published.load()
        if (entry.system, entry.variant, entry.dataset) == (system, variant, AUDIOSET)
        and figure in entry.figures
        and entry.source.startswith(PAPER)
    )
