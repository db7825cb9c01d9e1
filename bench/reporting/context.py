"""Sentences that captions and page share: which data, how much of them, how many seeds."""

from __future__ import annotations

from bench.experiment.config import Config, DataKind
from bench.metrics.statistics import ENOUGH_SEEDS
from bench.reporting.names import DATA, dataset_name, model_name, short_dataset_name
from bench.reporting.results import Group, Results, is_baseline

SPREAD = (
    "± is the standard deviation between runs; intervals are 95 % t-intervals of the mean (new "
    "seeds on this test set; with folds, corrected for the training data that folds share)."
)
CLEAN = "Epochs, thresholds and filters are chosen on validation data; the test set is scored once."
PUBLISHED_FOLDS = "Published fold protocol: the epoch is selected on the test fold."


BANNERS = {
    "synthetic": (
        "All audio behind these numbers is synthetic: small corpora made on this machine in the "
        "layouts of the real data sets. The numbers compare the models with one another here; they "
        "say nothing about the published results."
    ),
    "recordings": (
        "The audio behind these numbers comes from a small collection of real recordings, mixed on "
        "this machine in the layouts of the real data sets; command words and the DESED classes "
        "with too few recordings are synthesized. Published results stand on other data."
    ),
    "real": "",
}


def data_words(results: Results) -> str:
    """The kinds of data, for titles of what shows several data sets."""
    return " and ".join(DATA[kind] for kind in data_kinds(results.config))


def data_kinds(config: Config) -> dict[DataKind, list[str]]:
    """The data sets of each kind, in the config's order."""
    kinds: dict[DataKind, list[str]] = {}
    for name in config.datasets:
        kinds.setdefault(config.data_kind(name), []).append(short_dataset_name(config, name))
    return kinds


def banner(config: Config) -> str:
    """What a reader must know of the data before any number; empty where all are real."""
    kinds = data_kinds(config)
    if len(kinds) > 1:
        listed = (f"{', '.join(names)}: {DATA[kind]}" for kind, names in kinds.items())
        return f"The numbers stand on data of several kinds. {'. '.join(listed)}."
    return BANNERS[next(iter(kinds))]


def data_sentence(results: Results, dataset: str) -> str:
    """What the numbers were measured on, with coverage and split sizes."""
    name = dataset_name(results.config, dataset)
    group = results.any_group(dataset)
    if group is None:
        return f"{name}: no usable records."
    coverage, splits = group.first["coverage"], group.first["splits"]
    sizes = ", ".join(f"{count} {split}" for split, count in splits.items())
    share = f"{coverage['found']} of {coverage['listed']} listed clips ({sizes}"
    return f"{name}, {len(group.classes)} classes, {share}{_remarkable(coverage)})."


def _remarkable(coverage: dict[str, int]) -> str:
    said = f"; {coverage['excluded']} unusable" if coverage.get("excluded") else ""
    if coverage.get("windowed"):
        said += f"; {coverage['windowed']} longer than a model takes, heard in windows"
    return said


def models_sentence(results: Results) -> str:
    """Which models stand beside one another, and at what."""
    config = results.config
    models = [model for model in config.models if not is_baseline(results, model)]
    names = [model_name(config, model) for model in models or config.models]
    tasks = "classification"
    if any(settings.localize for settings in config.datasets.values()):
        tasks += " and sound event localization"
    listed = " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
    return f"{listed}: {tasks}."


def seeds_sentence(results: Results) -> str:
    """How many seeds, and the warning below ten."""
    seeds = results.config.seeds
    listed = ", ".join(map(str, seeds))
    if len(seeds) > 3 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        listed = f"{seeds[0]} to {seeds[-1]}"
    text = f"Seeds {listed} (n = {len(seeds)})"
    if len(seeds) < ENOUGH_SEEDS:
        return (
            f"{text}: fewer than {ENOUGH_SEEDS}, so intervals are wide and differences uncertain."
        )
    return f"{text}."


def protocol_sentence(results: Results, dataset: str) -> str:
    """How selection was done, and how seeds and folds go together."""
    settings = results.config.datasets[dataset]
    if not settings.folds:
        return CLEAN
    folds = f"Seed k tests fold k mod {settings.folds}, so the spread mixes folds and seeds."
    chosen = PUBLISHED_FOLDS if settings.fold_protocol == "published" else CLEAN
    return f"{folds} {chosen}"


def caption(results: Results, dataset: str, what: str) -> str:
    """A caption that stands alone: what, data, coverage, seeds, protocol, ±."""
    return " ".join(
        [
            f"{what} on {data_sentence(results, dataset)}",
            seeds_sentence(results),
            protocol_sentence(results, dataset),
            SPREAD,
        ]
    )


def notes(results: Results, dataset: str) -> list[str]:
    """What a reader of this data set's table must know: absences, refusals, mixtures."""
    said = []
    for group in results.groups.values():
        if group.dataset == dataset and len(group.runs) < group.expected:
            said.append(f"{group.name}: {len(group.runs)} of {group.expected} runs.")
    for key, reason in results.refused.items():
        if key[0] == dataset:
            said.append(f"Not averaged: {'/'.join(key)}, because {reason}.")
    if dataset in results.mixed:
        said.append(f"Rows cannot be compared, because {results.mixed[dataset]}.")
    return said


def incomplete(results: Results, dataset: str, metric: str) -> list[str]:
    """The models whose runs a comparison on this data set lacks, each with what is wrong.

    A model that cannot have the figure at all (no times) lacks nothing.
    """
    said = []
    for model in results.config.models:
        group, name = results.group(dataset, model), model_name(results.config, model)
        if group is None:
            said.append(f"{name}: {absent(results, dataset, model)}")
        elif 0 < len(group.figures(metric)) < group.expected:
            said.append(f"{name}: {len(group.figures(metric))} of {group.expected} runs")
    return said


def absent(results: Results, dataset: str, model: str, variant: str = "base") -> str:
    """The words in place of a number for a group that is not there."""
    if (dataset, model, variant) in results.refused:
        return "not averaged"
    return "no records"


def runs_of(group: Group | None) -> tuple[str, ...]:
    """The record keys of a group that may be absent."""
    return group.record_keys if group else ()
