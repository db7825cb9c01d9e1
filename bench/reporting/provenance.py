"""Where the numbers come from: what each group of records was made of, and how to repeat it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.experiment.ablations import BASE
from bench.experiment.trials import path_of
from bench.reporting import rescored
from bench.reporting.results import Group, Results, Run
from bench.reporting.tuning import how_chosen
from bench.reporting.words import counted


@dataclass(frozen=True)
class Source:
    """The records behind one row: facts that they share, then one line per record."""

    anchor: str
    name: str
    facts: tuple[tuple[str, str], ...]
    records: tuple[tuple[tuple[str, str], ...], ...]


def anchor(name: str) -> str:
    """The id of a group's place in the page; every name has its own."""
    return "from-" + re.sub(r"[^A-Za-z0-9-]", lambda sign: f"_{ord(sign[0]):x}_", name)


def sources(results: Results) -> list[Source]:
    """One source per group and per cost measurement, in the order of the tables."""
    found = [_of_group(results, group) for group in results.groups.values()]
    found += [_of_cost(model, cost) for model, cost in results.costs.items()]
    scored_again = rescored.load(results.config)
    return found + ([_of_rescore(scored_again)] if scored_again else [])


def _of_group(results: Results, group: Group) -> Source:
    digests, first = group.first["digests"], group.first
    coverage = first["coverage"]
    facts = [
        ("data", first["data_kind"]),
        ("coverage", f"{coverage['found']} of {coverage['listed']} clips"),
        *((f"{name} digest", str(digests.get(name))) for name in ("data", "features", "pins")),
        ("training code", str(digests.get("code_train"))),
        ("evaluation code", str(digests.get("code_evaluate"))),
        ("parameters", f"{first['parameters']:,}"),
        *_recipe(results, group),
        ("hardware", _shared(_hardware(run.values["provenance"]) for run in group.runs)),
        ("software", _shared(_software(run.values["provenance"]) for run in group.runs)),
    ]
    if first.get("parent"):
        facts.append(("starts from", _shared(run.values["parent"]["key"] for run in group.runs)))
    return Source(
        anchor(group.name), group.name, tuple(facts), tuple(_of_run(run) for run in group.runs)
    )


def _recipe(results: Results, group: Group) -> list[tuple[str, str]]:
    """How the recipe came to be, and the file of its trials where there is one."""
    if group.variant != BASE:
        return []
    path = path_of(results.config, group.dataset, group.model)
    trials = [("trials", str(path))] if path.is_file() else []
    return [("recipe", how_chosen(results, group)), *trials]


def _of_run(run: Run) -> tuple[tuple[str, str], ...]:
    values, provenance = run.values, run.values["provenance"]
    return (
        ("record", run.key),
        ("git", _commit(provenance)),
        ("config digest", values["config_digest"]),
        ("identity", values["identity"]),
        ("seeds", ", ".join(f"{name} {seed}" for name, seed in values["seeds"].items())),
        ("finished", str(provenance["finished"])),
        ("command", provenance["command"]),
        *((f"sha256 of {name}", digest) for name, digest in values["files"].items()),
    )


def _of_cost(model: str, cost: Mapping[str, Any]) -> Source:
    provenance = cost["provenance"]
    facts = (
        ("git", _commit(provenance)),
        ("hardware", f"{provenance['cpu']}, device {cost.get('device') or 'cpu'}"),
        ("threads", str(cost["threads"])),
        ("software", _software(provenance)),
        (
            "batch and steps",
            f"{counted(cost['batch_size'], 'clip')}, {counted(cost['steps'], 'step')}",
        ),
        ("command", f"python -m bench cost {model}"),
    )
    return Source(anchor(f"cost/{model}"), f"cost/{model}", facts, ())


def _of_rescore(scored: Mapping[str, Any]) -> Source:
    facts = (
        ("files from", scored["from"]),
        *((f"sha256 of {name}", digest) for name, digest in scored["files"].items()),
        ("git", _commit(scored["provenance"])),
        ("software", _software(scored["provenance"])),
        ("command", scored["command"]),
    )
    return Source(anchor(rescored.FILE), rescored.FILE, facts, ())


def _commit(provenance: Mapping[str, Any]) -> str:
    if not provenance["git_sha"]:
        return "not a git checkout"
    if not provenance["dirty"]:
        return provenance["git_sha"]
    return f"{provenance['git_sha']} with changes (sha256 of the diff {provenance['diff_sha256']})"


def _hardware(provenance: Mapping[str, Any]) -> str:
    return (
        f"{provenance['cpu']}, device {provenance['device']}, {provenance['threads']} of "
        f"{provenance['cores']} cores, {provenance['platform']}"
    )


def _software(provenance: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{k} {v}" for k, v in provenance["packages"].items() if v)
    return f"Python {provenance['python']}, {packages}"


def _shared(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))
