"""`python -m bench tune [DATASET MODEL]`: the declared trials of a recipe, on validation data.

Every model gets the same number of trials (`tuning.trials`) on every data set, at points of a
declared space. A trial is the training that the experiment would do on its first seeds
(`tuning.seeds`) with the point's values in its recipe; it is judged by the mean over them, on
validation clips only. If such a training starts from another data set's run, the trial starts from
the best trial there. Trials and their results are recorded in `paths.tuning`, a small file per data
set and model to be committed beside the config, so that every checkout can show how a recipe was
chosen. Everything else is in the work folder.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench import registry
from bench.experiment import config, folders
from bench.experiment.cells import Cell, Layout, Plan, plan
from bench.experiment.trials import pairs, path_of, points, trial_cells
from bench.files import UserError, write_json
from bench.process.locks import hold
from bench.results.training import Training
from bench.results.tuning import Trials, edges_of
from bench.results.words import value_words
from bench.strict import known

MADE_BY = ("git_sha", "dirty", "cpu", "device", "threads", "started")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pair",
        nargs="*",
        metavar="DATASET MODEL",
        help="keys of the config; without them, show what is recorded and how to apply it",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (results depend on it)")


def run(args: argparse.Namespace) -> int:
    if not args.pair:
        print("\n".join(_overview(config.load(args.config))))
        return 0
    if len(args.pair) != 2:
        raise UserError(f"name a data set and a model, not '{' '.join(args.pair)}'")
    settings = folders.load(args.config)
    dataset, model = args.pair
    found = tune(settings, dataset, model, args.threads)
    for number, trial in enumerate(found["trials"]):
        mark = "*" if number == found["chosen"] else " "
        value = value_words(trial["value"], settings.datasets[dataset].selection)
        print(f"{mark} {value}  {trial['point']}", flush=True)
    print("\n".join(_choice(settings, dataset, model, Trials.model_validate(found))), flush=True)
    return 0


@dataclass(frozen=True)
class TrialLayout(Layout):
    """Folders of one trial; `starts` are the folders of runs that it starts from."""

    starts: Mapping[Cell, Path] = field(default_factory=dict)

    def run(self, cell: Cell) -> Path:
        """Folder of a run's results."""
        return self.starts.get(cell) or super().run(cell)

    def state(self, identity: str) -> Path:
        """Folder of the training state, apart from that of the experiment's own runs."""
        return self.results / "state" / identity[:16]


@dataclass(frozen=True)
class Trial:
    """One point of the space as one run of the experiment with other recipe values."""

    point: Mapping[str, Any]
    settings: config.Config
    plan: Plan
    layout: TrialLayout

    def facts(self, threads: int) -> dict[str, Any]:
        """What its result depends on: trials with equal facts are the same trial."""
        from bench.training.train import input_digests

        return {
            "run": str(self.plan.cell),
            "config_digest": self.plan.digest,
            "digests": input_digests(self.plan, self.layout),
            "threads": threads,
        }

    def train(self, threads: int) -> Path:
        """Train it unless it is finished; the folder of its run."""
        from bench.training.train import Resources, drop_state, train_cell

        cell, facts = self.plan.cell, self.facts(threads)
        folder = self.layout.run(cell)
        with hold(self.layout.results / ".lock", f"trial of {cell}", patience=math.inf):
            if (folder / "training.json").is_file():
                made = Training.read(folder / "training.json")
                found = {
                    "config_digest": made.config_digest,
                    "digests": made.digests.known,
                    "threads": made.provenance.threads,
                }
                if facts == facts | found:
                    return folder
            print(f"trial of {cell}: {dict(self.point)}", file=sys.stderr, flush=True)
            train_cell(self.settings, cell, Resources(threads=threads), self.layout)
            drop_state(self.layout, cell)
        return folder


def trial_of(settings: config.Config, cell: Cell, number: int, threads: int = 1) -> Trial:
    """A run of `trial_cells` at a point, by its number among `points`.

    Raises:
        UserError: it starts from a run of a pair that has not been tuned before.
    """
    dataset, model = cell.dataset, cell.model
    point, key = points(settings, dataset, model)[number], f"{model}/{dataset}"
    recipes = {**settings.recipes, key: {**settings.recipes.get(key, {}), **point}}
    results = Layout.of(settings).work / "tuning" / dataset / model / f"trial{number}"
    paths = settings.paths.model_copy(update={"results": str(results)})
    changed = settings.model_copy(update={"recipes": recipes, "paths": paths})
    chosen = plan(changed, cell)
    starts = {chosen.parent: _start(settings, chosen.parent, threads)} if chosen.parent else {}
    return Trial(point, changed, chosen, TrialLayout(**vars(Layout.of(changed)), starts=starts))


def _start(settings: config.Config, parent: Cell, threads: int) -> Path:
    """Folder of the run that trials start from: the best trial, or a variant's own run."""
    if parent not in trial_cells(settings, parent.dataset, parent.model):
        return Layout.of(settings).run(parent)
    path = path_of(settings, parent.dataset, parent.model)
    found = Trials.recorded(path)
    if found is not None:
        best = trial_of(settings, parent, found.chosen, threads)
        if _same([run.values for run in found.best.runs], best.facts(threads)):
            return best.train(threads)
    raise UserError(
        f"{path}: trials start from the best trial on {parent.dataset}, and it is "
        f"{'out of date' if found else 'not recorded'}; first run "
        f"`python -m bench tune {parent.dataset} {parent.model}`, or all pairs: `snakemake tune`"
    )


def tune(settings: config.Config, dataset: str, model: str, threads: int = 1) -> dict[str, Any]:
    """Train every trial that is not recorded yet, and record all of them with the best.

    Raises:
        UserError: an unknown data set or model, no declared budget, or a stage before is missing.
    """
    known(dataset, settings.datasets, "datasets")
    known(model, settings.models, "models")
    if settings.models[model].architecture in registry.SOLVED:
        raise UserError(
            f"{model}: a solver fits it and chooses its settings; there is nothing to tune"
        )
    chosen = settings.datasets[dataset]
    if chosen.folds and chosen.fold_protocol in ("published", "piczak_baselines"):
        raise UserError(
            f"datasets.{dataset}.fold_protocol: {chosen.fold_protocol} leaves no validation clips, "
            "so trials would be judged on clips of another split; tune with clean folds and take "
            "the values over"
        )
    path, tried = path_of(settings, dataset, model), points(settings, dataset, model)
    earlier = Trials.recorded(path)
    before = [run.values for one in earlier.trials for run in one.runs] if earlier else []
    recorded, cells = [], trial_cells(settings, dataset, model)
    for number, point in enumerate(tried):
        runs = []
        for cell in cells:
            trial = trial_of(settings, cell, number, threads)
            facts = trial.facts(threads)
            runs.append(_same(before, facts) or {**facts, **_outcome(trial, trial.train(threads))})
        value = math.fsum(run["value"] for run in runs) / len(runs)
        recorded.append({"point": point, "value": value, "runs": runs})
    recipe = plan(settings, cells[0]).recipe.model_dump(mode="json")
    found = {
        "experiment": settings.experiment,
        "seeds": list(dict.fromkeys(cell.seed for cell in cells)),
        "selection": settings.datasets[dataset].selection,
        "split": "validation",
        "recipe": {key: value for key, value in recipe.items() if key not in tried[0]},
        "trials": recorded,
        "chosen": best_of(recorded),
    }
    write_json(path, found)
    return found


def best_of(trials: Sequence[Mapping[str, Any]]) -> int:
    """The trial with the highest value; among equals that with the lowest rate, then the first."""
    return max(
        range(len(trials)),
        key=lambda n: (trials[n]["value"], -trials[n]["point"].get("learning_rate", 0.0), -n),
    )


def _same(recorded: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any] | None:
    """The recorded run of these facts, if any; its config digest stands for its point."""
    return next((run for run in recorded if run | facts == run), None)


def _outcome(trial: Trial, folder: Path) -> dict[str, Any]:
    """The validation figure of a trial, what it cost and what made it; no test figure."""
    from bench.metrics.tagging import tagging_metrics
    from bench.models.scores import read_scores

    selection = trial.plan.dataset.selection
    stored = read_scores(folder / "scores.npz", "validation")
    metrics = tagging_metrics(
        stored.scores.clip_scores,
        stored.targets,
        stored.classes,
        multilabel=selection != "accuracy",
    )
    training = Training.read(folder / "training.json")
    return {
        "value": metrics[selection].value,
        "train_seconds": round(training.cost.train_seconds, 1),
        "made_by": {name: getattr(training.provenance, name) for name in MADE_BY},
    }


def _overview(settings: config.Config) -> Iterator[str]:
    """The records of every pair, and what to change if the experiment has other values."""
    for dataset, model in pairs(settings):
        yield f"{dataset} {model}"
        if found := Trials.recorded(path_of(settings, dataset, model)):
            yield from _choice(settings, dataset, model, found)
        else:
            yield f"  no trial recorded: `python -m bench tune {dataset} {model}`"


def _choice(settings: config.Config, dataset: str, model: str, found: Trials) -> Iterator[str]:
    """The best trial in words, and the line of the experiment that applies it."""
    point, key = found.best.point, f"{model}/{dataset}"
    values = ", ".join(f"{name} {value}" for name, value in point.items())
    judged = f"validation {found.selection}, mean of {len(found.best.runs)} runs"
    yield f"  best of {len(found.trials)} by {judged}: {values}"
    if edges := edges_of(found):
        yield f"  {', '.join(edges)}: candidates beyond may be better; widen tuning.space"
    used = settings.recipe(model, dataset).model_dump(mode="json")
    if used | point == used:
        yield "  the experiment uses it"
        return
    own = {**settings.recipes.get(key, {}), **point}
    line = yaml.safe_dump(own, default_flow_style=True, sort_keys=False, width=math.inf)
    yield f"  to apply it, put under recipes:  {key}: {line.strip()}"
