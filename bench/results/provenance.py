"""Where the numbers come from: what each group of records was made of, and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.results.analysis import Analysis
from bench.results.groups import Group, Run
from bench.results.measured import RESCORED, Measurement, Rescored
from bench.results.training import Origin, Provenance
from bench.results.words import counted


@dataclass(frozen=True)
class Source:
    """The records behind one row: facts that they share, then one line per record."""

    name: str
    facts: tuple[tuple[str, str], ...]
    records: tuple[tuple[tuple[str, str], ...], ...]


def sources(analysis: Analysis) -> list[Source]:
    """One source per group and per cost measurement, in the order of the tables."""
    found = [_of_group(analysis, group) for group in analysis.groups.values()]
    return [*found, *measured_sources(analysis.costs, analysis.rescored)]


def measured_sources(costs: Mapping[str, Measurement], scored: Rescored | None) -> list[Source]:
    """One source per measurement beside the runs."""
    found = [_of_cost(model, cost) for model, cost in costs.items()]
    return found + ([_of_rescore(scored)] if scored else [])


def _of_group(analysis: Analysis, group: Group) -> Source:
    digests, first = group.first.digests, group.first
    coverage = first.coverage
    facts = [
        ("data", first.data_kind),
        ("coverage", f"{coverage.found} of {coverage.listed} clips"),
        *((f"{name} digest", str(getattr(digests, name))) for name in ("data", "features", "pins")),
        ("training code", str(digests.code_train)),
        ("evaluation code", str(digests.code_evaluate)),
        ("parameters", f"{first.parameters:,}"),
        *_recipe(analysis, group),
        ("hardware", _shared(_hardware(run.record.provenance) for run in group.runs)),
        ("software", _shared(_software(run.record.provenance) for run in group.runs)),
    ]
    if first.parent:
        facts.append(
            (
                "starts from",
                _shared(run.record.parent.key for run in group.runs if run.record.parent),
            )
        )
    return Source(group.name, tuple(facts), tuple(_of_run(run) for run in group.runs))


def _recipe(analysis: Analysis, group: Group) -> list[tuple[str, str]]:
    """How the recipe came to be, and the file of its trials where there is one."""
    tuned = analysis.tunings.get(group.name)
    if tuned is None:
        return []
    return [("recipe", tuned.words), *([("trials", str(tuned.path))] if tuned.trials else [])]


def _of_run(run: Run) -> tuple[tuple[str, str], ...]:
    record, provenance = run.record, run.record.provenance
    return (
        ("record", run.key),
        ("git", provenance.commit),
        ("config digest", record.config_digest),
        ("identity", record.identity),
        ("seeds", ", ".join(f"{name} {seed}" for name, seed in record.seeds.items())),
        ("finished", str(provenance.finished)),
        ("command", provenance.command),
        *((f"sha256 of {name}", digest) for name, digest in record.files.items()),
    )


def _of_cost(model: str, cost: Measurement) -> Source:
    provenance = cost.provenance
    facts = (
        ("git", provenance.commit),
        ("hardware", f"{provenance.cpu}, device {cost.device}"),
        ("threads", str(cost.threads)),
        ("software", _software(provenance)),
        (
            "batch and steps",
            f"{counted(cost.batch_size, 'clip')}, {counted(cost.steps, 'step')}",
        ),
        ("command", f"python -m bench cost {model}"),
    )
    return Source(f"cost/{model}", facts, ())


def _of_rescore(scored: Rescored) -> Source:
    facts = (
        ("files from", scored.source),
        *((f"sha256 of {name}", digest) for name, digest in scored.files.items()),
        ("git", scored.provenance.commit),
        ("software", _software(scored.provenance)),
        ("command", scored.command),
    )
    return Source(RESCORED, facts, ())


def _hardware(provenance: Provenance) -> str:
    return (
        f"{provenance.cpu}, device {provenance.device}, {provenance.threads} of "
        f"{provenance.cores} cores, {provenance.platform}"
    )


def _software(provenance: Origin) -> str:
    packages = ", ".join(f"{k} {v}" for k, v in provenance.packages.items() if v)
    return f"Python {provenance.python}, {packages}"


def _shared(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))
