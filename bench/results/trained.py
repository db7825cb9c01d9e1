"""The labels and initial weights of models: only models trained alike are ranked together."""

from __future__ import annotations

from bench.experiment import released
from bench.results.groups import Group
from bench.results.load import Results
from bench.results.names import model_name, short_dataset_name

SUPERVISION = {
    "weak": "clip labels",
    "strong": "time ranges",
    "both": "clip labels and time ranges",
}
STARTS = {
    "random": "random weights",
    "imagenet": "ImageNet weights",
    "pretrained": "encoder weights trained without these classes",
    "audioset": "weights released for audioset",
}


def training_of(results: Results, group: Group) -> str:
    """The labels and the start of a group's runs: "clip labels, from ImageNet weights"."""
    return f"{supervision_of(group)}, from {start_of(results, group)}"


def supervision_of(group: Group) -> str:
    """The labels that a group was trained on, in words."""
    return SUPERVISION[group.first.resolved.recipe.supervision]


def start_of(results: Results, group: Group) -> str:
    """The initial weights of a group's runs, in words; of another run, with its training."""
    kind, _, place = group.first.resolved.recipe.init.partition(":")
    if kind == "run":
        parent = parent_of(results, group)
        own = f" ({training_of(results, parent)})" if parent else ""
        source = place.partition("/")[0]
        return f"a run on {short_dataset_name(results.config, source)}{own}"
    if kind == "official":
        return f"weights released for {released.find(place).classes}"
    return STARTS[kind]


def parent_of(results: Results, group: Group) -> Group | None:
    """The runs that a group's runs started from, if their records exist."""
    parent = group.first.parent
    return results.groups.get(parent.group) if parent else None


def models_by_training(results: Results, dataset: str) -> dict[str, list[Group]]:
    """The models of a data set that may be ranked against one another, by the description of their
    training: baselines are left out."""
    found: dict[str, list[Group]] = {}
    for group in results.base_groups(dataset):
        if not results.is_baseline(group.model):
            found.setdefault(training_of(results, group), []).append(group)
    return found


def training_notes(results: Results, dataset: str) -> list[str]:
    """A sentence on which models are ranked separately; none if all were trained alike."""
    found = models_by_training(results, dataset)
    if len(found) < 2:
        return []
    listed = "; ".join(
        f"{', '.join(model_name(results.config, group.model) for group in groups)} ({words})"
        for words, groups in found.items()
    )
    name = short_dataset_name(results.config, dataset)
    return [f"{name}: not trained alike, so neither ranked nor tested together: {listed}."]
