"""The experiment file: typed, frozen, and strict about every key.

`load` checks what `bench.experiment.extends` reads against the models below and names the nearest
valid key for an unknown one. `python -m bench schema` writes the JSON schema for Snakemake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from bench import registry
from bench.audio.frontend import Transform
from bench.experiment.ablations import BASE, AblationStudy, Variant
from bench.experiment.extends import read
from bench.files import UserError, digest_of
from bench.strict import Strict, Values, known, merge, parse
from modelkit.settings import Mixup, SpecAugment

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")
UNQUOTABLE = re.compile(r"""[\x00-\x1f\x7f{}*?\[\]\\$`"]""")
"""What Snakemake takes for a wildcard, or a shell inside a shell for a command, in a path."""

DataKind = Literal["synthetic", "recordings", "real"]


class FrontEnd(Transform):
    """What turns a waveform into features (frames, mels), and how a model reads them."""

    frames: int = Field(gt=0, description="frames that a model sees per clip")
    fill: Literal["repeat", "zero", "silence"] = Field(
        "repeat", description="how shorter clips reach `frames`"
    )
    normalise: bool | tuple[float, float] = Field(
        False,
        description="(x - mean) / (2 std): true = of the training split (AST), or [mean, std]",
    )

    @model_validator(mode="after")
    def _scale_is_possible(self) -> FrontEnd:
        if self.fixed_scale is not None and self.fixed_scale[1] <= 0:
            raise ValueError(f"normalise: the standard deviation is {self.fixed_scale[1]}")
        return self

    @property
    def fixed_scale(self) -> tuple[float, float] | None:
        """(mean, standard deviation) that `normalise` states, if it does."""
        return None if isinstance(self.normalise, bool) else self.normalise

    @property
    def seconds(self) -> float:
        """Time spanned by `frames`, in seconds."""
        return self.frames * self.hop / self.sample_rate

    def check(self, where: str) -> None:
        """Refuse repetitions that no model would see; of a recording, all that is longer is seen.

        Raises:
            UserError: naming the place, and what fits.
        """
        if self.repeat_to_s is None:
            return
        samples = round(self.repeat_to_s * self.sample_rate)
        made = 1 + (samples - (self.window if self.kind == "fbank" else 0)) // self.hop
        if made > self.frames + 1:
            raise UserError(
                f"{where}.repeat_to_s: {self.repeat_to_s:g} s are {made} frames, and a model sees "
                f"{self.frames}; set frames to {made}, or repeat_to_s to {self.seconds:g}"
            )


class Dataset(Strict):
    """One task: where its files lie, how it is split, what is measured."""

    title: str | None = Field(None, description="name in tables and figures")
    loader: str = Field(description="audioset, esc50, speechcommands, desed, or module:function")
    root: str = Field(description="folder in the data set's own on-disk layout")
    data_kind: DataKind | None = Field(
        None, description="null: real, or what the embedded builder makes of it"
    )
    source: str | None = Field(
        None,
        description="entry of config/registry/data.yaml that fills `root`; null: it is filled",
    )
    fetch: tuple[Literal["parquet", "youtube"], ...] = Field(
        (), description="how clips without a file are fetched, in this order"
    )
    seeds: tuple[int, ...] | None = Field(
        None, min_length=1, description="seeds on this data set, where not the experiment's"
    )
    options: Values = Field(default_factory=dict, description="loader options")
    folds: int = Field(
        default=0, ge=0, description="cross-validation folds; seed k tests fold k mod folds"
    )
    fold_protocol: Literal["clean", "published"] = Field(
        "clean", description="published = no validation fold, selection on the test fold"
    )
    loss: Literal["bce", "ce"]
    metric: Literal["mAP", "accuracy", "intersection_f1"] = Field(
        description="the figure that the report leads with"
    )
    selection: Literal["mAP", "accuracy"] = Field(
        description="validation figure that picks the epoch"
    )
    localize: bool = Field(False, description="score located events as well")
    front_ends: dict[str, FrontEnd]


class Model(Strict):
    """One architecture with its arguments."""

    title: str | None = Field(None, description="name in tables and figures")
    architecture: str = Field(description="htsat, ast, pann, linear, or module:Class")
    front_end: str
    arguments: Values = Field(default_factory=dict, description="constructor arguments")
    arguments_on: dict[str, Values] = Field(
        default_factory=dict, description="arguments that differ on a data set, by its name"
    )


Supervision = Literal["weak", "strong", "both"]


class Recipe(Strict):
    """How a run is trained. Every value can differ by model and data set."""

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=0.05, ge=0)
    amsgrad: bool = False
    schedule: Literal["constant", "cosine", "steps"] = "cosine"
    warmup_epochs: float = Field(default=1.0, ge=0)
    step_epochs: tuple[int, ...] = Field(
        default=(), description="epochs after which the rate is scaled"
    )
    step_factor: float = Field(default=0.5, gt=0)
    gradient_clip: float = Field(default=1.0, ge=0, description="largest gradient norm; 0 = off")
    supervision: Supervision = Field(
        "weak",
        description="weak = clip labels, strong = time ranges of the clips that have them, both",
    )
    sampler: Literal["shuffle", "balanced"] = "shuffle"
    mixup: Mixup | None = None
    specaugment: SpecAugment | None = None
    select: Literal["best", "last"] = Field("best", description="epoch that is evaluated")
    test_shifts: tuple[int, ...] = Field(
        default=(),
        description="test-time augmentation: circular shifts of the test clips in samples whose "
        "scores are averaged; HTS-AT's: [0, 100, 300, 600, 1000, 1500, 2100, 2800, 3600, 4500]",
    )
    average_epochs: int = Field(
        default=0, ge=0, description="average the weights of the last n epochs"
    )
    init: str = Field(
        "random",
        pattern=r"^(random|run:[^/]+(/[^/]+)?|(official|imagenet):.+)$",
        description="random; the weights of the same model and seed, run:DATASET[/VARIANT]; or an "
        "entry of config/registry/checkpoints.yaml: official:NAME of the model's authors, "
        "imagenet:NAME of its image backbone",
    )
    precision: Literal["fp32", "bf16"] = "fp32"

    def steps(self, clips: int) -> int:
        """Optimisation steps of an epoch over a training split of `clips`: full batches, as many
        as it takes to hold them all."""
        return -(-clips // self.batch_size)

    @property
    def start(self) -> str | None:
        """The entry of the registry of checkpoints that `init` names, if it names one."""
        kind, _, name = self.init.partition(":")
        return name if kind in ("official", "imagenet") else None


class Localization(Strict):
    """How frame scores become events; chosen per class on validation data."""

    criterion: Literal["intersection", "event_based"] = "intersection"
    median_filters: tuple[int, ...] = Field(
        default=(1, 3, 5), description="candidate lengths in frames"
    )
    thresholds: int = Field(
        default=39, ge=1, description="candidate thresholds, evenly over (0, 1)"
    )
    hand_set: dict[str, Literal["htsat", "pann"]] = Field(
        default_factory=dict,
        description="model -> published hand-set thresholds that it is scored at as well",
    )


class Tuning(Strict):
    """The trials that every model's recipe gets on every data set (`bench.training.tune`)."""

    trials: int = Field(default=0, ge=0, description="0: recipes are set by hand, and said to be")
    space: dict[str, dict[str, list[Any]]] = Field(
        default_factory=dict,
        description="'base' or MODEL -> recipe value -> candidates; a model's own come on top",
    )


class Tracking(Strict):
    """The MLflow server that MLFLOW_TRACKING_URI names, where it names one."""

    unreachable: Literal["continue", "stop"] = Field(
        default="continue",
        description="what to do while it does not answer: continue = say so and go on without it, "
        "stop = begin nothing, and end what has begun",
    )


class Rescore(Strict):
    """Prediction files that the HTS-AT authors published, scored again (`bench rescore`)."""

    folder: str = Field(default="data/htsat-desed", description="holds the files, or receives them")
    url: str | None = Field(
        default="https://raw.githubusercontent.com/RetroCirce/HTS-Audio-Transformer/"
        "798cf54da9dae9eb6cd00fcb08a116ba08936c1b/heatmap_output",
        description="address that missing files are fetched from; null: from nowhere",
    )
    reference: str = "answer.tsv"
    durations: str = "answer_meta.tsv"
    predictions: dict[str, str] = Field(
        default={
            "single": "htsat-test_outputmap.tsv",
            "ensemble": "htsat-test-ensemble_outputmap.tsv",
        },
        description="system -> its events; published.yaml names the row of each (rescored)",
    )


class Embedded(Strict):
    """The builder of the small corpora."""

    root: str
    sizes: Values = Field(default_factory=dict, description="EmbeddedSizes values")
    pin: str | None = Field(default=None, description="DVC file that the corpora must match")


class Cost(Strict):
    """Measurement of full-size models: a few training steps each."""

    models: dict[str, Values] = Field(default_factory=dict)
    batch_size: int = Field(default=2, gt=0)
    steps: int = Field(default=3, gt=0)
    classes: int = Field(default=527, gt=0)


class Target(Strict):
    """A part of an experiment that can be asked for by name: `snakemake NAME`."""

    about: str
    datasets: tuple[str, ...] = Field(min_length=1, description="whose runs belong to it")
    variants: tuple[str, ...] | None = Field(None, description="of these variants; null: all")


class Ensemble(Strict):
    """Runs whose probabilities are averaged: all seeds of a variant, or released checkpoints."""

    dataset: str
    model: str
    variant: str = "base"
    released: tuple[str, ...] = Field(
        default=(), description="entries under `released` of the data set, instead of a variant"
    )


class Paths(Strict):
    """Folders, relative to the folder that the command runs in; never taken over by `extends`."""

    work: str | None = Field(default=None, description="null: work/EXPERIMENT")
    results: str | None = Field(default=None, description="null: results/EXPERIMENT")
    report: str | None = Field(default=None, description="null: reports/EXPERIMENT")
    checkpoints: str = Field(
        default="data/checkpoints", description="released files, fetched or put there"
    )
    tuning: str = Field(default="config/tuning", description="recorded trials, to be committed")


class Config(Strict):
    """One experiment: everything that its runs depend on."""

    experiment: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str
    seeds: tuple[int, ...] = Field(min_length=1)
    paths: Paths = Paths()
    embedded: Embedded | None = None
    datasets: dict[str, Dataset]
    models: dict[str, Model]
    recipes: dict[str, Values] = Field(
        description="'base', 'MODEL' and 'MODEL/DATASET', merged in that order"
    )
    ablations: dict[str, AblationStudy] = Field(default_factory=dict)
    targets: dict[str, Target] = Field(default_factory=dict)
    released: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="data set -> entries of config/registry/checkpoints.yaml to evaluate on it",
    )
    ensembles: dict[str, Ensemble] = Field(default_factory=dict)
    localization: Localization = Localization()
    cost: Cost = Cost()
    tuning: Tuning = Tuning()
    tracking: Tracking = Tracking()
    rescore: Rescore | None = Field(
        None, description="give it (empty will do) to score the authors' predictions in the DAG"
    )

    def _check_names(self) -> None:
        """Names become parts of paths and of commands."""
        front_ends = {name for dataset in self.datasets.values() for name in dataset.front_ends}
        variants = {
            variant.name for study in self.ablations.values() for variant in study.variants()
        }
        rules = {*self.targets, *self.ensembles}
        for name in {
            *self.datasets,
            *self.models,
            *front_ends,
            *variants,
            *self.cost.models,
            *rules,
        }:
            if not NAME.fullmatch(name):
                raise UserError(
                    f"the name '{name}' cannot be part of a path and a command; "
                    "begin with a letter or digit, and use these, _ . + = and - alone"
                )

    def _check_paths(self) -> None:
        """Paths become parts of commands and of Snakemake's patterns."""
        paths = {f"paths.{key}": value for key, value in self.paths.model_dump().items()}
        paths |= {f"datasets.{key}.root": data.root for key, data in self.datasets.items()}
        if self.embedded is not None:
            paths["embedded.root"] = self.embedded.root
        if self.rescore is not None:
            paths["rescore.folder"] = self.rescore.folder
        for key, path in paths.items():
            if path is not None and (found := UNQUOTABLE.search(path)):
                raise UserError(
                    f"{key}: {path!r} has {found.group()!r}, which cannot be part of a path and a "
                    "command; rename the folder"
                )

    @model_validator(mode="after")
    def _references_exist(self) -> Config:
        for key, dataset in self.datasets.items():
            registry.check(dataset.loader, registry.LOADERS, f"datasets.{key}.loader")
            for name, front_end in dataset.front_ends.items():
                front_end.check(f"datasets.{key}.front_ends.{name}")
        for name, model in self.models.items():
            where = f"models.{name}.architecture"
            registry.check(model.architecture, registry.ARCHITECTURES, where)
            for key, dataset in self.datasets.items():
                known(model.front_end, dataset.front_ends, f"models.{name}.front_end (in {key})")
            for key in model.arguments_on:
                known(key, self.datasets, f"models.{name}.arguments_on")
        for name, target in self.targets.items():
            for key in target.datasets:
                known(key, self.datasets, f"targets.{name}.datasets")
        for key in self.recipes:
            model_name, _, dataset_name = key.partition("/")
            if key != "base":
                known(model_name, self.models, f"recipes.{key}")
            if dataset_name:
                known(dataset_name, self.datasets, f"recipes.{key}")
        for model_name in self.models:
            for dataset_name in self.datasets:
                self.recipe(model_name, dataset_name)
        for key in self.released:
            known(key, self.datasets, "released")
        for name, ensemble in self.ensembles.items():
            known(ensemble.dataset, self.datasets, f"ensembles.{name}.dataset")
            known(ensemble.model, self.models, f"ensembles.{name}.model")
        for name, space in self.tuning.space.items():
            if name != "base":
                known(name, self.models, "tuning.space")
            for key in space:
                known(key, Recipe.model_fields, f"tuning.space.{name}")
        for name in self.localization.hand_set:
            known(name, self.models, "localization.hand_set")
        for name, study in self.ablations.items():
            self._check_study(study, f"ablations.{name}")
        self._check_names()
        self._check_paths()
        return self

    def _check_study(self, study: AblationStudy, where: str) -> None:
        """Refuse a study that names what the config lacks, or a variant that two studies mean."""
        study.check(where)
        for model in study.models:
            known(model, self.models, f"{where}.models")
        for dataset in study.datasets:
            known(dataset, self.datasets, f"{where}.datasets")
        for dataset in study.datasets:
            for seed in study.seeds or ():
                known(str(seed), list(map(str, self.seeds_on(dataset))), f"{where}.seeds")
        for model in study.models:
            for dataset in study.datasets:
                others = self.variants(model, dataset)
                for variant in study.variants():
                    self.recipe(model, dataset, variant.recipe, f"{where} (variant {variant.name})")
                    other = others[variant.name]
                    if (other.model, other.recipe) != (variant.model, variant.recipe):
                        raise UserError(
                            f"{where}: variant '{variant.name}' of {model} on {dataset} has other "
                            "values in another study; rename a level"
                        )

    def variants(self, model: str, dataset: str) -> dict[str, Variant]:
        """All variants of a model on a data set by name, `base` first."""
        found = {BASE: Variant(BASE, BASE, (), "", {}, {})}
        for study in self.ablations.values():
            if model in study.models and dataset in study.datasets:
                found |= {v.name: v for v in study.variants() if v.name not in found}
        return found

    def seeds_on(self, dataset: str) -> tuple[int, ...]:
        """The seeds of a data set's runs."""
        return self.datasets[dataset].seeds or self.seeds

    def built_here(self, dataset: str) -> bool:
        """Whether the embedded builder makes this data set."""
        if self.embedded is None:
            return False
        return Path(self.datasets[dataset].root).is_relative_to(self.embedded.root)

    def data_kind(self, dataset: str) -> DataKind:
        """What a data set's audio is: as it says, else by who made it."""
        chosen = self.datasets[dataset].data_kind
        if chosen is not None:
            return chosen
        return "synthetic" if self.built_here(dataset) else "real"

    def recipe(
        self,
        model: str,
        dataset: str,
        overrides: Mapping[str, Any] | None = None,
        where: str | None = None,
    ) -> Recipe:
        """The recipe of one cell: base, then model, then model/dataset, then `overrides`.

        Args:
            where: the place that messages name.

        Raises:
            UserError: an unknown key, or a value that is out of range or does not fit another.
        """
        where = where or f"recipes ({model}/{dataset})"
        merged: dict[str, Any] = {}
        for layer in (
            self.recipes.get("base", {}),
            self.recipes.get(model, {}),
            self.recipes.get(f"{model}/{dataset}", {}),
            overrides or {},
        ):
            merged.update(layer)
        recipe: Recipe = parse(Recipe, merged, where)
        if recipe.batch_size % 2 and recipe.mixup and recipe.mixup.pairing == "pairs":
            raise UserError(
                f"{where}: batch_size {recipe.batch_size} cannot be mixed in pairs; make it even"
            )
        if recipe.average_epochs > recipe.epochs:
            raise UserError(
                f"{where}: average_epochs {recipe.average_epochs} of {recipe.epochs} epochs; "
                "lower it, or raise epochs"
            )
        return recipe


def load(*sources: str | Path | Mapping[str, Any]) -> Config:
    """The checked config of an experiment, from files and values, of which later ones win.

    Raises:
        UserError: naming the file, every wrong key or value, and the nearest valid key.
    """
    files = [str(source) for source in sources if not isinstance(source, Mapping)]
    values: dict[str, Any] = reduce(merge, map(read, sources), {})
    return parse(Config, values, ", ".join(files) or "config")


def config_digest(value: BaseModel) -> str:
    """sha256 of a section's resolved values."""
    return digest_of(value.model_dump(mode="json"))
