"""How each recipe was chosen: the trials that were recorded, and whether the budget was equal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench.experiment.trials import path_of
from bench.files import read_json
from bench.reporting import context
from bench.reporting.names import DIGESTS, METRICS, model_name, short_dataset_name
from bench.reporting.results import Group, Results, Run, is_baseline
from bench.reporting.tables import Column, Entry, Row, Table

TRIED_WITH = {
    **{name: DIGESTS[name] for name in ("code_train", "data", "features", "pins")},
    "parent": "starting weights",
    "start": "starting weights",
}
NEEDS_NONE = "chooses its regularisation on validation data itself"


def trials(results: Results, dataset: str, model: str) -> Mapping[str, Any] | None:
    """What `python -m bench tune` has recorded; None where it has not run."""
    path = path_of(results.config, dataset, model)
    return read_json(path) if path.is_file() else None


def how_chosen(results: Results, group: Group) -> str:
    """How the recipe of a group came to be: tuned, inherited from another experiment, by hand."""
    if is_baseline(results, group.model):
        return NEEDS_NONE
    found = trials(results, group.dataset, group.model)
    if found is not None:
        return _tuned(results, group, found)
    declared = results.config.tuning.trials
    made = f"0 of {declared} declared" if declared else "no"
    by_hand = f"set by hand: {made} trials of this experiment recorded"
    return next(_inherited(results, group), by_hand)


def _tuned(results: Results, group: Group, found: Mapping[str, Any]) -> str:
    """What the trials of this experiment have to do with the recipe."""
    declared, count, best = results.config.tuning.trials, len(found["trials"]), _best(found)
    counted = f"{count} trials" if count == declared else f"{count} trials ({declared} declared)"
    text = f"best of {counted} of this experiment {_by(results, group, found)}"
    run, differing = _held_against(group, found)
    if not differing <= best["point"].keys():
        return f"set by hand: the recorded trials had other {', '.join(sorted(differing))}"
    if differing:
        text = f"set by hand: the {text} has {_values(best, differing)}"
    else:
        text = f"tuned: {text}{_edge(found)}"
    stale = _unlike(run, best, same_recipe=not differing)
    return f"{text}, tried with other {stale}" if stale else text


def _inherited(results: Results, group: Group) -> Iterator[str]:
    """The words for each other experiment whose trials chose values that this recipe has."""
    path = path_of(results.config, group.dataset, group.model)
    for other in sorted(path.parents[2].glob(f"*/{group.dataset}/{group.model}.json")):
        found = read_json(other)
        best, (run, differing) = _best(found), _held_against(group, found)
        if differing.isdisjoint(best["point"]):
            text = (
                f"inherited from experiment {found['experiment']}: "
                f"{_values(best, best['point'])}, best "
                f"of {len(found['trials'])} trials there {_by(results, group, found)}"
            )
            by_hand = f"; {', '.join(sorted(differing))} set by hand" if differing else ""
            stale = _unlike(run, best, same_recipe=False)
            yield text + (f", tried with other {stale}" if stale else "") + by_hand


def _best(found: Mapping[str, Any]) -> Mapping[str, Any]:
    best: Mapping[str, Any] = found["trials"][found["chosen"]]
    return best


def _by(results: Results, group: Group, found: Mapping[str, Any]) -> str:
    """What judged the trials; where folds take turns, another run may test the very clips."""
    text = f"by validation {METRICS[found['selection']]} on seed {found['seed']}"
    if folds := results.config.datasets[group.dataset].folds:
        judged = (found["seed"] % folds + 1) % folds
        testing = [f"seed {run.seed}" for run in group.runs if run.fold == judged]
        text += f", on clips that {', '.join(testing)} tests" if testing else ""
    return text


def _values(trial: Mapping[str, Any], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {trial['point'][name]}" for name in sorted(names))


def _held_against(group: Group, found: Mapping[str, Any]) -> tuple[Run, set[str]]:
    """The run that trials stand for, and which of its recipe values the best trial did not have."""
    run = next((run for run in group.runs if run.seed == found["seed"]), group.runs[0])
    used, tried = run.values["resolved"]["recipe"], {**found["recipe"], **_best(found)["point"]}
    return run, {name for name, value in tried.items() if used.get(name) != value}


def _edge(found: Mapping[str, Any]) -> str:
    """Which values of the best trial end the range that was tried: a wider one may hold better."""
    best, said = _best(found)["point"], []
    for name, value in best.items():
        tried = [trial["point"][name] for trial in found["trials"]]
        if isinstance(value, int | float) and min(tried) < max(tried):
            ends = {min(tried): "lowest", max(tried): "highest"}
            said += [f"the {ends[value]} {name} tried"] if value in ends else []
    return f" ({', '.join(said)})" if said else ""


def _unlike(run: Run, trial: Mapping[str, Any], *, same_recipe: bool) -> str:
    """What made a trial otherwise than a run, besides the recipe, in words."""
    made = run.values["digests"]
    other = [
        words for name, words in TRIED_WITH.items() if trial["digests"].get(name) != made.get(name)
    ]
    if not other and same_recipe and trial["config_digest"] != run.values["config_digest"]:
        other = ["settings"]
    return ", ".join(dict.fromkeys(other))


def unequal(results: Results) -> Iterator[tuple[str, str]]:
    """(data set, words) where the models that stand side by side got different budgets."""
    for dataset in results.config.datasets:
        counts = {}
        for group in results.base_groups(dataset):
            if not is_baseline(results, group.model):
                found = trials(results, dataset, group.model)
                counts[model_name(results.config, group.model)] = (
                    len(found["trials"]) if found else 0
                )
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            yield dataset, f"models got different numbers of recorded trials: {listed}"


def tuning_table(results: Results) -> Table:
    """A row per model, a section per data set."""
    rows = []
    for dataset in results.config.datasets:
        for group in results.base_groups(dataset):
            found = trials(results, dataset, group.model)
            recipe = group.first["resolved"]["recipe"]
            entries = {
                "chosen": Entry(words=how_chosen(results, group)),
                "trials": Entry(float(len(found["trials"])) if found else 0.0),
                "learning_rate": Entry(float(recipe["learning_rate"])),
                "epochs": Entry(float(recipe["epochs"])),
            }
            if found:
                entries["best"] = Entry(_best(found)["value"])
            if is_baseline(results, group.model):
                entries = {"chosen": entries["chosen"]}
            rows.append(
                Row(
                    model_name(results.config, group.model),
                    entries,
                    group.record_keys,
                    group.name,
                    short_dataset_name(results.config, dataset),
                )
            )
    return Table(
        name="recipes",
        title=f"How each recipe was chosen ({context.data_words(results)})",
        caption=(
            "Every model is owed the same number of trials on validation data "
            f"({results.config.tuning.trials} declared); `snakemake tune` makes them, and "
            f"{results.config.paths.tuning}/{results.config.experiment} records each. One "
            "without trials of its own may inherit values that the trials of another chose. "
            "What no trial decided was set by hand. On "
            f"{context.data_words(results)}."
        ),
        columns=[
            Column("chosen", "how chosen", words=True),
            Column("trials", "trials", 0),
            Column("best", "best on validation", 3),
            Column("learning_rate", "learning rate", 2, significant=True),
            Column("epochs", "epochs", 0),
        ],
        rows=rows,
    )
