"""Sentences that captions and page share: which data, how much of them, how many seeds."""

from __future__ import annotations

from bench.experiment.config import Config, DataKind
from bench.metrics.statistics import ENOUGH_SEEDS
from bench.reporting.choices import Choice, choices
from bench.reporting.names import DATA, dataset_name, model_name, short_dataset_name
from bench.reporting.results import Group, Results, is_baseline

SPREAD = (
    "± is the standard deviation between runs; intervals are 95 % t-intervals of the mean (new "
    "seeds on this test set; with folds, corrected for the training data that folds share)."
)

CLEAN = "Epochs, thresholds and filters were chosen on validation clips; test clips scored once."


BANNERS: dict[DataKind, str] = {
    "synthetic": (
        "All audio behind these numbers is synthetic: small corpora made on this machine in the "
        "layouts of the real data sets. The numbers compare the models with one another here; they "
        "say nothing about the published results."
    ),
    "recordings": (
        "The audio behind these numbers is recorded, and is not that of the data sets in whose "
        "layouts it lies. Published results stand on other data."
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


def seeds_by_dataset(results: Results, *datasets: str) -> dict[str, tuple[int, ...]]:
    """The seeds of the runs that are here, on these data sets or on all; without runs: none."""
    found = {}
    for dataset in datasets or results.config.datasets:
        runs = (run for group in results.base_groups(dataset) for run in group.runs)
        if seeds := tuple(sorted({run.seed for run in runs})):
            found[dataset] = seeds
    return found


def fewest_seeds(results: Results, *datasets: str) -> int:
    """The number of seeds on the data set that has the fewest of these; 0 without any run."""
    return min(map(len, seeds_by_dataset(results, *datasets).values()), default=0)


def seeds_sentence(results: Results, *datasets: str) -> str:
    """How many seeds the runs on these data sets have, and the warning below ten."""
    found = seeds_by_dataset(results, *datasets)
    said = {dataset: _counted(seeds) for dataset, seeds in found.items()}
    text = "; ".join(dict.fromkeys(said.values()))
    if len(set(found.values())) > 1:
        named = (f"{short_dataset_name(results.config, d)} {words}" for d, words in said.items())
        text = "; ".join(named)
    if 0 < fewest_seeds(results, *datasets) < ENOUGH_SEEDS:
        text += f": fewer than {ENOUGH_SEEDS}, so intervals are wide and differences uncertain"
    return f"Seeds {text or 'of no run'}."


def _counted(seeds: tuple[int, ...]) -> str:
    """0 to 9 (n = 10)."""
    listed = ", ".join(map(str, seeds))
    if len(seeds) > 3 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        listed = f"{seeds[0]} to {seeds[-1]}"
    return f"{listed} (n = {len(seeds)})"


def protocol_sentence(results: Results, dataset: str) -> str:
    """How selection was done, by the clips that were scored; how seeds and folds go together."""
    models: dict[str, dict[str, None]] = {}
    for group in results.base_groups(dataset):
        for run in group.runs:
            words = _chosen(choices(results)[run.key])
            models.setdefault(words, {})[model_name(results.config, group.model)] = None
    said = list(models)
    if len(said) > 1:
        said = [f"{', '.join(names)}: {words}" for words, names in models.items()]
    folds = results.config.datasets[dataset].folds
    if folds:
        said.insert(0, f"Seed k tests fold k mod {folds}, so the spread mixes folds and seeds.")
    return " ".join(said)


def _chosen(choice: Choice | None) -> str:
    if choice is None:
        return "What the epoch was chosen on is not known: the scores cannot be read."
    if not choice.tested:
        return CLEAN
    if not choice.made:
        return "No validation clips: nothing was chosen by scores, and the last epoch counts."
    return f"Chosen on clips that are tested as well: {' and '.join(choice.made)}."


def caption(results: Results, dataset: str, what: str) -> str:
    """A caption that stands alone: what, data, coverage, seeds, protocol, ±."""
    return " ".join(
        [
            f"{what} on {data_sentence(results, dataset)}",
            seeds_sentence(results, dataset),
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
    said += _shared_recordings(results, dataset)
    if dataset in results.mixed:
        said.append(f"Rows cannot be compared, because {results.mixed[dataset]}.")
    return said


def _shared_recordings(results: Results, dataset: str) -> list[str]:
    """Recordings that some run was trained and tested on: the published lists have it so."""
    groups = (group for group in results.groups.values() if group.dataset == dataset)
    shared: dict[str, list[str]] = {}
    for group in groups:
        for run in group.runs:
            shared |= run.values["shared_recordings"]
    if not shared:
        return []
    named = ", ".join(f"{name} ({', '.join(splits)})" for name, splits in sorted(shared.items()))
    return [f"The published lists cut these recordings into clips of several splits: {named}."]


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
