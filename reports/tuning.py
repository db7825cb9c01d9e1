"""How each recipe was chosen: the trials that were recorded, and whether the budget was equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.files import read_json
from bench.training.tune import path_of
from reports import context
from reports.names import METRICS, model_name, short_dataset_name
from reports.results import Group, Results, is_baseline
from reports.tables import Column, Entry, Row, Table

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
    budget = f"of {declared} declared trials recorded" if declared else "recorded, none declared"
    if found is None:
        return f"set by hand: 0 {budget}"
    count, best = len(found["trials"]), found["trials"][found["chosen"]]
    by = f"by validation {METRICS[found['selection']]} of one seed"
    if best["digests"]["code_train"] != group.first["digests"]["code_train"]:
        return f"set by hand: {count} {budget}, with other training code"
    if best["recipe"] == group.first["resolved"]["recipe"]:
        return f"the best {by} of {count} recorded trials"
    point = ", ".join(f"{key} {value}" for key, value in best["point"].items())
    return f"set by hand: {count} {budget}, the best {by} has {point}"


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
            f"({results.config.tuning.trials} declared); `python -m bench tune DATASET MODEL` "
            "makes and records them. What no trial decided was set by hand, and is said to be. "
            f"On {context.data_words(results)}."
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
