"""How each recipe was chosen: the trials that were recorded, and whether the budget was equal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from bench.experiment.ablations import BASE
from bench.experiment.trials import path_of
from bench.registry import CLASSIC
from bench.results.groups import Group
from bench.results.load import Results
from bench.results.names import DIGESTS, METRICS, model_name
from bench.results.sealed import Open
from bench.results.words import counted_names

TRIED_WITH = {
    **{name: DIGESTS[name] for name in ("code_train", "data", "features", "pins")},
    "parent": "starting weights",
    "start": "starting weights",
}
NEEDS_NONE = "its solver chooses its regularisation on validation data"
PUBLISHED = "as published; nothing is chosen"


class TrialRun(Open):
    """One run of a trial, and its origin."""

    run: str
    digests: dict[str, str]
    config_digest: str


class TrialValues(Open):
    """One trial: its point of the space, its mean validation figure, and its runs."""

    point: dict[str, Any]
    value: float
    runs: tuple[TrialRun, ...]


class Trials(Open):
    """What `python -m bench tune` has recorded for a model on a data set."""

    experiment: str
    seeds: tuple[int, ...]
    selection: str
    recipe: dict[str, Any]
    trials: tuple[TrialValues, ...]
    chosen: int

    @model_validator(mode="after")
    def _chose_one(self) -> Self:
        if not 0 <= self.chosen < len(self.trials):
            raise ValueError(f"chosen: there is no trial {self.chosen}")
        return self

    @classmethod
    def recorded(cls, path: Path) -> Self | None:
        """The trials of a file; None where there is none.

        Raises:
            UserError: it is damaged.
        """
        if not path.is_file():
            return None
        return cls.read(path, "restore it from git, or delete it and tune again")

    @property
    def best(self) -> TrialValues:
        """The trial whose values were chosen."""
        return self.trials[self.chosen]


@dataclass(frozen=True)
class Tuning:
    """How the recipe of a group was chosen, in words, and its own experiment's trials, if any."""

    words: str
    trials: Trials | None
    path: Path

    @property
    def count(self) -> int:
        """The number of trials that this experiment recorded."""
        return len(self.trials.trials) if self.trials else 0


def tunings(results: Results) -> dict[str, Tuning]:
    """How each model's recipe was chosen, by the name of its group; variants are left out.

    Raises:
        UserError: a file of trials is damaged.
    """
    found = {}
    for group in results.groups.values():
        if group.variant == BASE:
            path = path_of(results.config, group.dataset, group.model)
            trials = Trials.recorded(path)
            found[group.name] = Tuning(_how_chosen(results, group, trials), trials, path)
    return found


def _how_chosen(results: Results, group: Group, trials: Trials | None) -> str:
    """How a recipe was chosen: tuned, inherited from another experiment, or set by hand."""
    if results.is_baseline(group.model):
        architecture = results.config.models[group.model].architecture
        return PUBLISHED if architecture in CLASSIC else NEEDS_NONE
    if trials is not None:
        return _tuned(results, group, trials)
    declared = results.config.tuning.trials
    made = f"0 of {declared} declared" if declared else "no"
    by_hand = f"set by hand: {made} trials of this experiment recorded"
    return next(_inherited(results, group), by_hand)


def _tuned(results: Results, group: Group, found: Trials) -> str:
    """How the trials of this experiment relate to the recipe."""
    declared, count, best = results.config.tuning.trials, len(found.trials), found.best
    counted = f"{count} trials" if count == declared else f"{count} trials ({declared} declared)"
    text = f"best of {counted} of this experiment {_by(results, group, found)}"
    differing = _held_against(group, found)
    if not differing <= best.point.keys():
        return f"set by hand: the recorded trials had other {', '.join(sorted(differing))}"
    if differing:
        text = f"set by hand: the {text} has {_values(best, differing)}"
    else:
        text = f"tuned: {text}{_edge(found)}"
    stale = _unlike(group, best, same_recipe=not differing)
    return f"{text}, tried with other {stale}" if stale else text


def _inherited(results: Results, group: Group) -> Iterator[str]:
    """The words for each other experiment whose trials chose values that this recipe has."""
    path = path_of(results.config, group.dataset, group.model)
    for other in sorted(path.parents[2].glob(f"*/{group.dataset}/{group.model}.json")):
        found = Trials.recorded(other)
        assert found is not None
        best, differing = found.best, _held_against(group, found)
        if differing.isdisjoint(best.point):
            text = (
                f"inherited from experiment {found.experiment}: "
                f"{_values(best, best.point)}, best "
                f"of {len(found.trials)} trials there {_by(results, group, found)}"
            )
            by_hand = f"; {', '.join(sorted(differing))} set by hand" if differing else ""
            stale = _unlike(group, best, same_recipe=False)
            yield text + (f", tried with other {stale}" if stale else "") + by_hand


def _by(results: Results, group: Group, found: Trials) -> str:
    """What judged the trials; with folds, another run may test the same clips."""
    seeds = counted_names("seed", found.seeds)
    text = f"by validation {METRICS[found.selection]} on {seeds}"
    if folds := results.config.datasets[group.dataset].folds:
        judged = {(_fold(run.run) + 1) % folds for run in found.best.runs}
        testing = sorted({run.seed for run in group.runs if run.fold in judged})
        text += f", on test clips of {counted_names('seed', testing)}" if testing else ""
    return text


def _fold(run: str) -> int:
    """The tested fold of a run DATASET/MODEL/VARIANT/foldF-seedS."""
    return int(run.rsplit("/fold", 1)[1].partition("-")[0])


def _values(trial: TrialValues, names: Iterable[str]) -> str:
    return ", ".join(f"{name} {trial.point[name]}" for name in sorted(names))


def _held_against(group: Group, found: Trials) -> set[str]:
    """Which of a group's recipe values differ from those of the best trial."""
    used, tried = group.first.resolved.recipe.values, {**found.recipe, **found.best.point}
    return {name for name, value in tried.items() if used.get(name) != value}


def _edge(found: Trials) -> str:
    edges = edges_of(found)
    return f" ({', '.join(edges)})" if edges else ""


def edges_of(found: Trials) -> list[str]:
    """Which values of the best trial are at the end of the range that was tried, in words."""
    said = []
    for name, value in found.best.point.items():
        tried = [trial.point[name] for trial in found.trials]
        if isinstance(value, int | float) and min(tried) < max(tried):
            ends = {min(tried): "lowest", max(tried): "highest"}
            said += [f"the {ends[value]} {name} tried"] if value in ends else []
    return said


def _unlike(group: Group, trial: TrialValues, *, same_recipe: bool) -> str:
    """What differed between a trial's runs and those of a group, besides the recipe, in words."""
    by_key, other = {run.key: run for run in group.runs}, []
    for tried in trial.runs:
        run = by_key.get(tried.run, group.runs[0])
        made = run.record.digests
        unlike = [
            words
            for name, words in TRIED_WITH.items()
            if tried.digests.get(name) != getattr(made, name)
        ]
        if not unlike and same_recipe and tried.config_digest != run.record.config_digest:
            unlike = ["settings"]
        other += unlike
    return ", ".join(dict.fromkeys(other))


def unequal(results: Results, tuned: Mapping[str, Tuning]) -> Iterator[tuple[str, str]]:
    """(data set, words) where models that are compared got different budgets."""
    for dataset in results.config.datasets:
        counts = {
            model_name(results.config, group.model): tuned[group.name].count
            for group in results.base_groups(dataset)
            if not results.is_baseline(group.model)
        }
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            yield dataset, f"models got different numbers of recorded trials: {listed}"
