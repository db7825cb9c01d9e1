# What the rules share: the checked experiment, its folders and runs, and what triggers a job again.

import os
import re
import sys
import time
from pathlib import Path

from bench.experiment import cells
from bench.process import slots
from bench.ops import preflight, supervise
from bench.experiment.cells import Layout, feature_sets, target_cells
from bench.code_digest import ROOT
from bench.experiment.config import load
from bench.experiment.estimate import Estimate
from bench.files import UserError
from bench.process.locks import SUPERVISOR
from bench.experiment.wanted import fetched_here, start_name
from bench.experiment.triggers import Triggers
from bench.ops.receipts import KEEP, Receipts
from bench.experiment.trials import first_cell, pairs, path_of
from bench.reporting.listed import SUFFIXES, table_names
from snakemake.exceptions import WorkflowError

try:
    settings = load(*workflow.configfiles, workflow.config_settings.config)
    if workflow.is_main_process:
        preflight.check(settings)
    TABLES = table_names(settings)
    GPUS = min(1, len(slots.devices()))
except UserError as error:
    raise WorkflowError(str(error)) from error

layout = Layout.of(settings)
triggers = Triggers(settings)
# Lazily: the command line's wishes are known when the first job is looked at.
receipts = Receipts(settings, lambda: workflow.dag_settings.forcerun)
estimate = Estimate.of(settings)

RESOLVED = layout.resolved_config  # what the commands read: overrides included
RUN = layout.results / "runs" / "{cell}"
LOGS = layout.work / "logs"
FETCHED = fetched_here(settings)
TUNED = {"/".join(pair): first_cell(settings, *pair) for pair in pairs(settings)}

# The commands run with this Python and this code, whatever is on the shell's path; and they may
# keep compiled modules, without which each of them would take seconds longer to start.
os.environ.update(
    {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
        "PYTHONDONTWRITEBYTECODE": "",
        SUPERVISOR: str(os.getpid()),
    }
)


# Only receipts decide what runs again. A job that is out of date reads one more file, newer than
# its outputs; files of jobs that are up to date are `ancient`, so that dates do not count. The
# file's content differs each time, because Snakemake compares that as well.
DUE = Path(".snakemake") / "due"
if workflow.is_main_process:
    DUE.parent.mkdir(exist_ok=True)
    DUE.write_text(str(time.time_ns()))


def due(stage, *names):
    """An input function: the file that makes a job run, where it has to."""

    def due_of(wildcards):
        name = " ".join(name.format(**wildcards) for name in names)
        if not workflow.is_main_process or not receipts.due(stage, name):
            return []
        now = DUE.stat().st_mtime
        for path in receipts.jobs[stage, name].writes:
            if path.exists() and path.stat().st_mtime > now:  # a clock had jumped
                os.utime(path, (now - 1, now - 1))
        return DUE

    return due_of


def made(files):
    """An input function: files of other jobs, or those that a function of wildcards names."""

    def made_of(wildcards):
        found = files(wildcards) if callable(files) else files
        several = found if isinstance(found, list) else [found]
        paths = [Path(str(path).format(**wildcards)) for path in several]
        again = workflow.is_main_process
        return [
            path if again and receipts.maker_due(path) else ancient(path)
            for path in paths
        ]

    return made_of


wildcard_constraints:
    source="|".join(map(re.escape, FETCHED)) or "none",
    dataset="|".join(settings.datasets),
    front_end="|".join(name for _, name in feature_sets(settings)),
    cell="|".join(map(re.escape, triggers.plans)),
    model="|".join(settings.cost.models) or "none",
    pair="|".join(TUNED) or "none",


def corpus_read_by(plan):
    """The corpus that a plan's run reads."""
    return layout.corpus_file(plan.cell.dataset)


def features_read_by(plan):
    """The features that a plan's run reads."""
    return layout.features(plan.cell.dataset, plan.model.front_end) / "digest.json"


def corpus_of(wildcards):
    """The corpus that a run reads."""
    return corpus_read_by(triggers.plans[wildcards.cell])


def features_of(wildcards):
    """The features that a run reads."""
    return features_read_by(triggers.plans[wildcards.cell])


def parent_of(wildcards):
    """The run whose weights a run starts from, where it has one."""
    parent = triggers.plans[wildcards.cell].parent
    return layout.run(parent) / "training.json" if parent else []


def start_read_by(plan):
    """The files that represent the checkpoint that a plan's run starts from, and its teacher's
    scores, if it has them."""
    recipe = plan.recipe
    started = [layout.fetched(start_name(recipe.start))] if recipe.start else []
    return started + ([recipe.distill.scores] if recipe.distill else [])


def start_of(wildcards):
    """The checkpoint that a run starts from, where it has one."""
    return start_read_by(triggers.plans[wildcards.cell])


def manifest_of(wildcards):
    """The file that represents the audio, if it is built or fetched here."""
    if settings.built_here(wildcards.dataset):
        return rules.embed.output.manifest
    return layout.fetched(wildcards.dataset) if wildcards.dataset in FETCHED else []


def released_corpus_of(wildcards):
    """The corpus that an evaluation reads."""
    return corpus_read_by(triggers.released_plans[wildcards.checkpoint])


def released_features_of(wildcards):
    """The features that an evaluation reads."""
    return features_read_by(triggers.released_plans[wildcards.checkpoint])


def plan_of_pair(wildcards):
    """The run that the trials of a pair repeat with other recipe values."""
    return triggers.plans[str(TUNED[wildcards.pair])]


def corpus_of_pair(wildcards):
    """The corpus that trials read."""
    return corpus_read_by(plan_of_pair(wildcards))


def features_of_pair(wildcards):
    """The features that trials read."""
    return features_read_by(plan_of_pair(wildcards))


def start_of_pair(wildcards):
    """The checkpoint that trials start from, where they have one."""
    return start_read_by(plan_of_pair(wildcards))


def tuned_parent_of(wildcards):
    """The trials on the data set whose weights these start from, where there is one."""
    parent = plan_of_pair(wildcards).parent
    if parent not in TUNED.values():
        return []
    return path_of(settings, parent.dataset, parent.model)
