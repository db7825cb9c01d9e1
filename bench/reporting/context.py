"""Sentences that captions and page share: which data, how much of them, how many seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bench.experiment.config import Config, DataKind
from bench.metrics.statistics import ENOUGH_SEEDS
from bench.results.analysis import Analysis
from bench.results.choices import Choice
from bench.results.load import Results
from bench.results.names import DATA, dataset_name, model_name, short_dataset_name
from bench.results.record import Coverage
from bench.results.words import counted, counted_names, listed

SPREAD = (
    "± is the standard deviation between runs; intervals are 95 % t-intervals of the mean over new "
    "seeds on this test set (with folds, corrected for the training data that folds share)."
)
UNITS = "mAP, accuracy, F1 and PSDS are in percent; their differences are in points."

BANNERS: dict[DataKind, str] = {
    "synthetic": (
        "All audio is synthetic, made on this machine in the layouts of the real data sets: the "
        "figures say nothing about published results."
    ),
    "recordings": (
        "The audio is recorded, but not that of the data sets whose layouts it uses: the "
        "figures cannot be compared with published results."
    ),
    "real": "",
}


def data_words(
    config: Config, datasets: Iterable[str] | None = None, words: Mapping[DataKind, str] = DATA
) -> str:
    """The kinds of data of these data sets, or of all, but for the real ones: partly synthetic
    data; empty if all are real."""
    kinds = data_kinds(config, datasets)
    others = listed([words[kind] for kind in kinds if kind != "real"])
    return f"partly {others}" if others and "real" in kinds else others


def data_kinds(config: Config, datasets: Iterable[str] | None = None) -> dict[DataKind, list[str]]:
    """These data sets of each kind, or all, in the config's order."""
    kinds: dict[DataKind, list[str]] = {}
    for name in config.datasets if datasets is None else datasets:
        kinds.setdefault(config.data_kind(name), []).append(short_dataset_name(config, name))
    return kinds


def is_mixed(config: Config) -> bool:
    """Whether the data sets are of several kinds."""
    return len(data_kinds(config)) > 1


def task_name(config: Config, dataset: str) -> str:
    """A data set's name, with its kind of data where one sentence cannot tell it for all."""
    return (dataset_name if is_mixed(config) else short_dataset_name)(config, dataset)


def banner(config: Config) -> str:
    """What a reader must know about the data before any number; empty if all are real."""
    kinds = data_kinds(config)
    if len(kinds) > 1:
        said = (f"{', '.join(names)}: {DATA[kind]}" for kind, names in kinds.items())
        return f"The data sets differ in kind. {'. '.join(said)}."
    return BANNERS[next(iter(kinds))]


def data_sentence(analysis: Analysis, dataset: str) -> str:
    """What the numbers were measured on, with coverage and split sizes."""
    name = task_name(analysis.config, dataset)
    group = analysis.any_group(dataset)
    if group is None:
        return f"{name}: no usable records."
    coverage, splits = group.first.coverage, group.first.splits
    sizes = ", ".join(f"{count:,} {split}" for split, count in splits.items())
    share = f"{coverage.found:,} of {coverage.listed:,} listed clips ({sizes}"
    return f"{name}, {len(group.classes)} classes, {share}{_remarkable(coverage)})."


def _remarkable(coverage: Coverage) -> str:
    said = f"; {coverage.excluded:,} unusable" if coverage.excluded else ""
    if coverage.windowed:
        said += f"; {coverage.windowed:,} longer than a model's input, scored in windows"
    return said


def seeds_by_dataset(analysis: Analysis, *datasets: str) -> dict[str, tuple[int, ...]]:
    """The seeds of the existing runs, on these data sets or on all; empty without runs."""
    found = {}
    for dataset in datasets or analysis.config.datasets:
        runs = (run for group in analysis.base_groups(dataset) for run in group.runs)
        if seeds := tuple(sorted({run.seed for run in runs})):
            found[dataset] = seeds
    return found


def fewest_seeds(analysis: Analysis, *datasets: str) -> int:
    """The number of seeds on the data set that has the fewest of these; 0 without any run."""
    return min(map(len, seeds_by_dataset(analysis, *datasets).values()), default=0)


def seeds_sentence(analysis: Analysis, *datasets: str) -> str:
    """How many seeds the runs on these data sets have, with a warning where they are few."""
    found = seeds_by_dataset(analysis, *datasets)
    said = {dataset: _counted(seeds) for dataset, seeds in found.items()}
    text = "; ".join(dict.fromkeys(said.values()))
    if len(set(found.values())) > 1:
        named = (f"{short_dataset_name(analysis.config, d)} {words}" for d, words in said.items())
        text = "; ".join(named)
    if 0 < fewest_seeds(analysis, *datasets) < ENOUGH_SEEDS:
        text += f". Fewer than {ENOUGH_SEEDS} seeds: intervals are wide, differences uncertain"
    return f"Seeds {text}." if text else "No runs."


def _counted(seeds: tuple[int, ...]) -> str:
    """0 to 9 (n = 10)."""
    said = ", ".join(map(str, seeds))
    if len(seeds) > 3 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        said = f"{seeds[0]} to {seeds[-1]}"
    return f"{said} (n = {len(seeds)})"


def protocol_sentence(analysis: Analysis, dataset: str) -> str:
    """How selection was done, by the clips that were scored; how seeds and folds go together."""
    models: dict[str, dict[str, None]] = {}
    made: dict[str, dict[str, None]] = {}
    for group in analysis.base_groups(dataset):
        for run in group.runs:
            choice = analysis.choices[run.key]
            words = _chosen(choice)
            models.setdefault(words, {})[model_name(analysis.config, group.model)] = None
            made.setdefault(words, {}).update(dict.fromkeys(choice.made if choice else ()))
    said = []
    for words, names in models.items():
        who = f"{', '.join(names)}: " if len(models) > 1 else ""
        what = f": {listed(list(made[words]))}" if made[words] else ""
        said.append(f"{who}{words}{what}.")
    chosen = analysis.config.datasets[dataset]
    folds = chosen.folds
    if chosen.crossed:
        said.insert(0, f"Each seed tests all {folds} folds, so a seed is a repeat.")
    elif folds:
        said.insert(0, f"Seed k tests fold k mod {folds}, so the spread mixes folds and seeds.")
    return " ".join(said)


def _chosen(choice: Choice | None) -> str:
    if choice is None:
        return "It is not known what the epoch was chosen on: the scores cannot be read"
    if not choice.made:
        return "Nothing was chosen by scores"
    if choice.tested:
        return "Chosen on clips that are tested as well"
    return "Chosen on validation clips, which are not tested"


def caption(analysis: Analysis, dataset: str, what: str) -> str:
    """One line: what, of which data, over how many seeds."""
    count = len(seeds_by_dataset(analysis, dataset).get(dataset, ()))
    name = short_dataset_name(analysis.config, dataset)
    return f"{what} on {name}, n = {counted(count, 'seed')}."


def reading(*further: str) -> list[str]:
    """How to read every table of figures, with notes that only some need."""
    return [UNITS, SPREAD, *further]


def notes(analysis: Analysis, dataset: str) -> list[str]:
    """What was measured on, how it was chosen, and what is missing."""
    return [
        data_sentence(analysis, dataset),
        f"{seeds_sentence(analysis, dataset)} {protocol_sentence(analysis, dataset)}",
        *fewer_seeds(analysis.config, dataset),
        *gaps(analysis, dataset),
    ]


def fewer_seeds(config: Config, dataset: str) -> Iterator[str]:
    """The models that have some of the data set's seeds alone."""
    models: dict[tuple[int, ...], list[str]] = {}
    for model in config.models_on(dataset):
        if seeds := config.models[model].seeds_on.get(dataset):
            models.setdefault(seeds, []).append(model_name(config, model))
    for seeds, names in models.items():
        yield f"{listed(names)}: {counted_names('seed', seeds)} alone."


def gaps(analysis: Results, dataset: str) -> list[str]:
    """Notes on this data set's table: absent, refused and mixed records."""
    said = []
    for group in analysis.groups.values():
        if group.dataset == dataset and len(group.runs) < group.expected:
            said.append(f"{group.name}: {len(group.runs)} of {group.expected} runs.")
    for key, reason in analysis.refused.items():
        if key[0] == dataset:
            said.append(f"Not averaged: {'/'.join(key)}, because {reason}.")
    said += _shared_recordings(analysis, dataset)
    if dataset in analysis.mixed:
        said.append(f"Rows cannot be compared, because {analysis.mixed[dataset]}.")
    return said


def _shared_recordings(analysis: Results, dataset: str) -> list[str]:
    """Recordings that some run was both trained and tested on, due to the published lists."""
    groups = (group for group in analysis.groups.values() if group.dataset == dataset)
    shared: dict[str, tuple[str, ...]] = {}
    for group in groups:
        for run in group.runs:
            shared |= run.record.shared_recordings
    if not shared:
        return []
    named = ", ".join(f"{name} ({', '.join(splits)})" for name, splits in sorted(shared.items()))
    return [f"The published lists cut these recordings into clips of several splits: {named}."]


def incomplete(analysis: Analysis, dataset: str, metric: str) -> list[str]:
    """The models whose runs a comparison on this data set lacks, each with what is wrong.

    A model that cannot have the figure at all (no localization) is not listed.
    """
    said = []
    for model in analysis.config.models_on(dataset):
        group, name = analysis.group(dataset, model), model_name(analysis.config, model)
        if group is None:
            said.append(f"{name}: {analysis.absent(dataset, model)}")
        elif 0 < len(group.figures(metric)) < group.expected:
            said.append(f"{name}: {len(group.figures(metric))} of {group.expected} runs")
    return said
