"""How each recipe was chosen: the trials that were recorded, and whether the budget was equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.experiment.trials import path_of
from bench.files import read_json
from reports import context
from reports.names import DIGESTS, METRICS, model_name, short_dataset_name
from reports.results import Group, Results, Run, is_baseline
from reports.tables import Column, Entry, Row, Table

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
    """How the recipe of a group came to be, in words."""
    if is_baseline(results, group.model):
        return NEEDS_NONE
    declared, found = results.config.tuning.trials, trials(results, group.dataset, group.model)
    if found is None:
        budget = f"of {declared} declared trials recorded" if declared else "trials declared"
        return f"set by hand: 0 {budget}"
    count, best = len(found["trials"]), found["trials"][found["chosen"]]
    counted = f"{count} trials" if count == declared else f"{count} trials ({declared} declared)"
    text = f"best of {counted} by validation {METRICS[found['selection']]} on seed {found['seed']}"
    run = next((run for run in group.runs if run.seed == found["seed"]), group.runs[0])
    used, tried = run.values["resolved"]["recipe"], {**found["recipe"], **best["point"]}
    differing = {name for name, value in tried.items() if used.get(name) != value}
    if not differing <= best["point"].keys():
        return f"set by hand: the recorded trials had other {', '.join(sorted(differing))}"
    if differing:
        point = ", ".join(f"{name} {best['point'][name]}" for name in sorted(differing))
        text = f"set by hand: the {text} has {point}"
    else:
        text = f"the {text}{_edge(found)}"
    stale = _unlike(run, best, same_recipe=not differing)
    return f"{text}, tried with other {stale}" if stale else text


def _edge(found: Mapping[str, Any]) -> str:
    """Which values of the best trial end the range that was tried: a wider one may hold better."""
    best, said = found["trials"][found["chosen"]]["point"], []
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
                entries["best"] = Entry(found["trials"][found["chosen"]]["value"])
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
            f"{results.config.paths.tuning}/{results.config.profile} records each. What no trial "
            "decided was set by hand, and is said to be. On "
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
