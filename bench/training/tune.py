"""`python -m bench tune DATASET MODEL`: the declared trials of a recipe, judged on validation data.

Every model gets the same number of trials (`tuning.trials`), at points of a declared space. A trial
trains one seed; only its validation clips are looked at. What was tried and what it gave is kept
in results/…/tuning/DATASET/MODEL.json, so that the report can say how a recipe was chosen.
"""

from __future__ import annotations

import argparse
import random
import sys
from itertools import product
from pathlib import Path
from typing import Any

from bench.experiment import config
from bench.experiment.ablations import AblationStudy
from bench.experiment.cells import Cell, Layout, list_cells, plan
from bench.files import UserError, read_json, write_json
from bench.strict import known

FACTOR = "tuning"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("dataset", help="a key of the config's datasets")
    parser.add_argument("model", help="a key of the config's models")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (results depend on it)")


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    settings = config.load(args.config)
    found = tune(settings, args.dataset, args.model, args.threads)
    for number, trial in enumerate(found["trials"]):
        mark = "*" if number == found["chosen"] else " "
        print(f"{mark} {trial['value']:.4f}  {trial['point']}", flush=True)
    best = found["trials"][found["chosen"]]
    print(
        f"best of {len(found['trials'])} by validation {found['selection']}: put "
        f"{best['point']} under recipes.{args.model}/{args.dataset}",
        flush=True,
    )
    return 0


def path_of(settings: config.Config, dataset: str, model: str) -> Path:
    """Where the trials of a model on a data set are recorded."""
    return Layout.of(settings).results / "tuning" / dataset / f"{model}.json"


def points(settings: config.Config, dataset: str, model: str) -> list[dict[str, Any]]:
    """The points of the space that this model's trials try, the same ones at every call.

    All combinations where they are no more than the budget, else a sample drawn from the names.

    Raises:
        UserError: the profile declares no trials, or a space of fewer points than trials.
    """
    tuning = settings.tuning
    space = {**tuning.space.get("base", {}), **tuning.space.get(model, {})}
    every = [dict(zip(space, values, strict=True)) for values in product(*space.values())]
    if not tuning.trials:
        raise UserError("tuning.trials is 0: declare a budget, the same for every model")
    if len(every) < tuning.trials:
        raise UserError(
            f"tuning.space has {len(every)} points for {model}, fewer than the {tuning.trials} "
            "trials that every model gets; add candidates"
        )
    if len(every) == tuning.trials:
        return every
    return random.Random(f"{dataset}/{model}").sample(every, tuning.trials)


def tune(settings: config.Config, dataset: str, model: str, threads: int = 1) -> dict[str, Any]:
    """Train every trial that is not recorded yet, and record all of them with the best.

    Raises:
        UserError: an unknown data set or model, no declared budget, or a stage before is missing.
    """
    from bench.training.train import Means, input_digests, train_cell

    known(dataset, settings.datasets, "datasets")
    known(model, settings.models, "models")
    if settings.models[model].architecture == "linear":
        raise UserError(f"{model}: the linear baseline chooses its regularisation by itself")
    tried = points(settings, dataset, model)
    levels = {f"trial{number}": {"recipe": point} for number, point in enumerate(tried)}
    study = AblationStudy.model_validate(
        {
            "models": [model],
            "datasets": [dataset],
            "seeds": settings.seeds_on(dataset)[:1],
            "factors": {FACTOR: levels},
        }
    )
    trials = settings.model_copy(update={"ablations": {FACTOR: study}})
    layout, selection = Layout.of(settings), settings.datasets[dataset].selection
    path, recorded = path_of(settings, dataset, model), []
    before = read_json(path)["trials"] if path.is_file() else []
    for number, point in enumerate(tried):
        cell = next(c for c in list_cells(trials) if c.variant == f"trial{number}")
        chosen = plan(trials, cell)
        trial = {
            "point": point,
            "recipe": chosen.recipe.model_dump(mode="json"),
            "digests": input_digests(chosen, layout),
            "command": f"python -m bench tune {dataset} {model}",
        }
        done = next((old for old in before if old | trial == old), None)
        if done is None:
            print(f"trial {number + 1} of {len(tried)}: {point}", file=sys.stderr, flush=True)
            train_cell(trials, cell, Means(threads=threads))
            done = {**trial, **_outcome(layout, cell, selection)}
        recorded.append(done)
        write_json(path, _summary(settings, selection, recorded))
    return read_json(path)


def _outcome(layout: Layout, cell: Cell, selection: str) -> dict[str, Any]:
    """The validation figure of a trial, what it cost and where it came from; no test figure."""
    from bench.metrics.tagging import tagging_metrics
    from bench.models.scores import read_scores

    folder = layout.run(cell)
    stored = read_scores(folder / "scores.npz", "validation")
    metrics = tagging_metrics(
        stored.scores.clip_scores,
        stored.targets,
        stored.classes,
        multilabel=selection != "accuracy",
    )
    training = read_json(folder / "training.json")
    return {
        "value": metrics[selection].value,
        "clips": len(stored.clip_ids),
        "seed": cell.seed,
        "train_seconds": training["cost"]["train_seconds"],
        "identity": training["identity"],
        "provenance": training["provenance"],
    }


def _summary(
    settings: config.Config, selection: str, trials: list[dict[str, Any]]
) -> dict[str, Any]:
    values = [trial["value"] for trial in trials]
    return {
        "budget": settings.tuning.trials,
        "space": settings.tuning.model_dump(mode="json")["space"],
        "selection": selection,
        "split": "validation",
        "trials": trials,
        "chosen": values.index(max(values)),
    }
