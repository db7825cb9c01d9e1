"""What a reader must know before the figures: what is left out, and what is shown despite a
fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.experiment.config import Config
from bench.results.analysis import Analysis
from bench.results.words import sentence

FEW = 3


@dataclass(frozen=True)
class Problem:
    """One kind of fault, the runs, groups or data sets that have it, and what repairs it."""

    text: str
    where: tuple[str, ...]
    remedy: str
    left_out: bool

    @property
    def folded(self) -> bool:
        """Whether there are too many places to list in one line."""
        return len(self.where) > FEW

    @property
    def title(self) -> str:
        """The text with the places, or with their number."""
        many = f"{len(self.where)} {'runs' if self.left_out else 'results'}"
        return f"{sentence(self.text)}: {many if self.folded else ', '.join(self.where)}"

    def __str__(self) -> str:
        kind = "left out" if self.left_out else "shown nevertheless"
        return f"{kind}: {self.title}; {self.remedy}"


def problems(analysis: Analysis) -> list[Problem]:
    """Everything that the report leaves out, then everything that it shows with a fault."""
    places: dict[tuple[str, str, bool], list[str]] = {}
    for where, text, remedy in _left_out(analysis):
        places.setdefault((text, remedy, True), []).append(where)
    for where, text, remedy in _shown(analysis):
        places.setdefault((text, remedy, False), []).append(where)
    return [
        Problem(text, tuple(dict.fromkeys(where)), remedy, left_out)
        for (text, remedy, left_out), where in places.items()
    ]


def _command(config: Config, target: str = "") -> str:
    """The Snakemake call that makes whatever is absent or out of date."""
    chosen = "" if config.experiment == "default" else f" --configfile {_file(config)}"
    return f"`snakemake{target} --cores all{chosen}`"


def _file(config: Config) -> str:
    """The likely file of the experiment; only its name if there is none."""
    path = Path("config", f"{config.experiment}.yaml")
    return str(path) if path.is_file() else f"{config.experiment.upper()}.yaml"


def _left_out(analysis: Analysis) -> Iterator[tuple[str, str, str]]:
    remedy = f"run {_command(analysis.config)}"
    for where, reason in analysis.missing.items():
        yield where, reason, remedy
    for key, reason in analysis.refused.items():
        yield "/".join(key), f"not averaged, because {reason}", remedy


def _shown(analysis: Analysis) -> Iterator[tuple[str, str, str]]:
    call = _command(analysis.config)
    remedies = {
        "selection": f"delete the folders of these runs, then run {call}",
        "groups": f"correct the lists of the data set, then run {call}",
        "fresh": f"run {call}",
        "coverage": f"get the absent clips (docs/data.md), then run {call}",
        "budget": f"run {_command(analysis.config, ' tune')}",
    }
    for breach in analysis.violations:
        remedy = remedies[breach.rule]
        if breach.rule == "selection" and not breach.bars:
            remedy = f"set fold_protocol of {breach.dataset} to clean for folds that only select"
        if breach.bars or breach.rule != "groups":  # what published folds share cannot be repaired
            yield breach.where, breach.text, remedy
    for dataset, reason in analysis.mixed.items():
        text = f"its models cannot be compared, because {reason}"
        yield dataset, text, remedies["fresh"]
