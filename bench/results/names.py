"""Names in tables and text; users' own data sets and models keep theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.experiment.ablations import BASE
from bench.experiment.config import Config, DataKind

DATASETS = {
    "audioset": "AudioSet",
    "esc50": "ESC-50",
    "speechcommands": "Speech Commands V2",
    "desed": "DESED",
    "audioset_strong": "AudioSet-strong",
}
ARCHITECTURES = {
    "htsat": "HTS-AT",
    "ast": "AST",
    "pann": "PANN-CNN",
    "mobilenet": "MobileNet",
    "piczak": "Piczak's CNN",
    "passt": "PaSST",
    "atst_frame": "ATST-Frame",
    "dasheng": "Dasheng",
    "linear": "Linear baseline",
    "knn": "Nearest neighbours",
    "svm": "Support vector machine",
    "forest": "Random forest",
}
METRICS = {
    "mAP": "mAP",
    "mAUC": "mAUC",
    "d_prime": "d'",
    "accuracy": "accuracy",
    "intersection_f1": "intersection F1",
    "event_based_f1": "event-based F1",
    "segment_based_f1": "segment-based F1",
    "psds1": "PSDS1",
    "psds2": "PSDS2",
    "psds1_macro": "mean PSDS1 of the classes",
}
DIGESTS = {
    "code_train": "training code",
    "code_evaluate": "evaluation code",
    "data": "data",
    "features": "features",
    "pins": "pinned packages",
    "teacher": "the teacher's scores",
    "protocol": "localization settings",
    "config": "config",
}
"""What each digest of a record covers."""
CANNOT = "cannot localize"
PUBLISHED_SIZE = "paper"
"""The preset of a published network."""
DATA: dict[DataKind, str] = {
    "synthetic": "synthetic data",
    "recordings": "substitute recordings",
    "real": "real data",
}


def dataset_name(config: Config, dataset: str) -> str:
    """The data set's name, which says when the data are not the published ones."""
    name = short_dataset_name(config, dataset)
    kind = config.data_kind(dataset)
    return name if kind == "real" else f"{name} ({DATA[kind]})"


def short_dataset_name(config: Config, dataset: str) -> str:
    """For axes and table cells, which show the data kind elsewhere; a substitute is "-like"."""
    chosen = config.datasets[dataset]
    known = DATASETS.get(chosen.loader)
    name = chosen.title or (known if known and dataset == chosen.loader else dataset)
    return f"{name}-like" if known and config.data_kind(dataset) != "real" else name


def model_name(config: Config, model: str) -> str:
    """Its title, else HTS-AT, AST tiny, …; a model under another key is named by its key."""
    chosen = config.models[model]
    return chosen.title or network_name(model, chosen.architecture, chosen.arguments)


def network_name(key: str, architecture: str, arguments: Mapping[str, Any]) -> str:
    """HTS-AT, or HTS-AT tiny where its size is not the published one."""
    if key != architecture or key not in ARCHITECTURES:
        return key
    size = arguments.get("preset", PUBLISHED_SIZE)
    return ARCHITECTURES[key] + (f" {size}" if size != PUBLISHED_SIZE else "")


def variant_words(variant: str) -> str:
    """no_pretraining+window_8 -> no pretraining + window 8; base -> unchanged."""
    return "unchanged" if variant == BASE else variant.replace("_", " ").replace("+", " + ")


def variant_name(config: Config, model: str, variant: str) -> str:
    """HTS-AT, window 8: a variant of an ablation as a row."""
    return f"{model_name(config, model)}, {variant_words(variant)}"


def study_name(config: Config, study: str) -> str:
    """Its title, else the name of the model that its key is, else its key in words."""
    known = model_name(config, study) if study in config.models else study.replace("_", " ")
    return config.ablations[study].title or known


def study_place(config: Config, study: str, model: str, dataset: str) -> str:
    """A study, and where it was made; a study that is named by its model says so once."""
    name, own = study_name(config, study), model_name(config, model)
    place = f"{own} on {short_dataset_name(config, dataset)}"
    return place if name == own else f"{name}: {place}"


def class_name(name: str) -> str:
    """Alarm_bell_ringing -> Alarm bell ringing."""
    return name.replace("_", " ")
