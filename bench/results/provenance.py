"""Where the numbers come from: the origin of each group of records, and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.results.analysis import Analysis
from bench.results.columns import metric_column
from bench.results.groups import Group, Run
from bench.results.intervals import metrics_of
from bench.results.measured import RESCORED, Measurement, Rescored
from bench.results.training import Origin, Provenance
from bench.results.words import counted

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RunSource:
    """One record: its figures as shown, in the order of `Source.metrics`, and its digests."""

    name: str
    values: tuple[str, ...]
    digests: Facts


@dataclass(frozen=True)
class Source:
    """The records behind one row: their figures and commands, then facts that they share."""

    name: str
    commands: tuple[str, ...]
    facts: Facts
    digests: Facts = ()
    metrics: tuple[str, ...] = ()
    runs: tuple[RunSource, ...] = ()


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
        ("coverage", f"{coverage.found:,} of {coverage.listed:,} clips"),
        ("parameters", f"{first.parameters:,}"),
        *_recipe(analysis, group),
        ("hardware", _shared(_hardware(run.record.provenance) for run in group.runs)),
        ("software", _shared(_software(run.record.provenance) for run in group.runs)),
        ("git", _shared(run.record.provenance.commit for run in group.runs)),
    ]
    if first.parent:
        parents = (run.record.parent.key for run in group.runs if run.record.parent)
        facts.append(("starts from", _shared(parents)))
    shared = [
        *((f"{name} digest", str(getattr(digests, name))) for name in ("data", "features", "pins")),
        ("training code", str(digests.code_train)),
        ("evaluation code", str(digests.code_evaluate)),
    ]
    metrics = [m for m in metrics_of(analysis, group.dataset) if group.figures(m)]
    return Source(
        group.name,
        tuple(run.record.provenance.command for run in group.runs),
        tuple(facts),
        tuple(shared),
        tuple(metric_column(metric).title for metric in metrics),
        tuple(_of_run(run, metrics) for run in group.runs),
    )


def _recipe(analysis: Analysis, group: Group) -> list[tuple[str, str]]:
    """How the recipe was chosen, and the file of its trials if there is one."""
    tuned = analysis.tunings.get(group.name)
    if tuned is None:
        return []
    return [("recipe", tuned.words), *([("trials", str(tuned.path))] if tuned.trials else [])]


def _of_run(run: Run, metrics: Sequence[str]) -> RunSource:
    record = run.record
    values = ((metric, run.figure(metric)) for metric in metrics)
    return RunSource(
        run.key.rpartition("/")[2],
        tuple(metric_column(m).text(value) if value is not None else "–" for m, value in values),
        (
            ("record", run.key),
            ("finished", str(record.provenance.finished)),
            ("config digest", record.config_digest),
            ("identity", record.identity),
            ("seeds", ", ".join(f"{name} {seed}" for name, seed in record.seeds.items())),
            *((f"sha256 of {name}", digest) for name, digest in record.files.items()),
        ),
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
    )
    return Source(f"cost/{model}", (f"python -m bench cost {model}",), facts)


def _of_rescore(scored: Rescored) -> Source:
    facts = (
        ("files from", scored.source),
        ("git", scored.provenance.commit),
        ("software", _software(scored.provenance)),
    )
    digests = ((f"sha256 of {name}", digest) for name, digest in scored.files.items())
    return Source(RESCORED, (scored.command,), facts, tuple(digests))


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
