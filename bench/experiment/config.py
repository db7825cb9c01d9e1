"""The experiment file: typed, frozen, and strict about every key.

`load` checks what `bench.experiment.extends` reads against the models below and names the nearest
valid key for an unknown one. `python -m bench config-page` writes docs/config.md from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from itertools import pairwise, product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from bench import registry
from bench.audio.frontend import Transform
from bench.experiment.ablations import BASE, AblationStudy, Variant
from bench.experiment.extends import read
from bench.files import UserError, digest_of
from bench.strict import (
    Arguments,
    Candidates,
    DistinctNames,
    DistinctSeeds,
    Mistakes,
    Strict,
    Values,
    check_given,
    known,
    merge,
    parse,
    valid_part,
)
from modelkit.settings import Mixup, SpecAugment

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")
UNQUOTABLE = re.compile(r"""[\x00-\x1f\x7f{}*?\[\]\\$`"]""")
"""What Snakemake reads as a wildcard in a path, or a nested shell as a command."""

LONGEST_PATH = 1000  # bytes; file names are added to it, and systems allow 4,096
LONGEST_PART = 255  # bytes of one name in a path, which systems allow
LONGEST = 120
"""Characters of a name, which is part of file names that may have 255 bytes."""


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"a median filter of {value} frames has no middle; give an odd number")
    return value


FoldProtocol = Literal["clean", "published", "piczak_cnn", "piczak_baselines"]
DataKind = Literal["synthetic", "recordings", "real"]
Metric = Literal["mAP", "accuracy", "intersection_f1", "psds1_macro"]
MARGINS: dict[str, float] = {
    "mAP": 0.005,
    "accuracy": 0.005,
    "intersection_f1": 0.02,
    "psds1_macro": 0.01,
}
"""Differences too small to matter, where an experiment declares no others."""


class FrontEnd(Transform):
    """A front end: what turns a waveform into features (frames, mels)."""

    clip_seconds: float | None = Field(
        None,
        gt=0,
        exclude=True,
        description="instead of `frames`: as many as a clip of this length has",
        examples=[5],
    )
    frames: int = Field(0, ge=0, description="frames that a model takes per clip", examples=[1001])
    fill: Literal["repeat", "zero", "silence"] = Field(
        "repeat",
        description="how shorter clips are extended to `frames`: features repeated, zeros (before "
        "`normalise`), or the feature value of silence",
    )
    normalise: bool | tuple[float, float] = Field(
        False,
        description="(x - mean) / (2 std), as AST does; true: mean and std of the training split, "
        "or [mean, std]",
        examples=[[-4.2677393, 4.5689974]],
    )

    @model_validator(mode="after")
    def _scale_is_possible(self) -> FrontEnd:
        if self.fixed_scale is not None and self.fixed_scale[1] <= 0:
            raise ValueError(f"normalise: the standard deviation is {self.fixed_scale[1]}")
        if (self.clip_seconds is None) == (not self.frames):
            raise ValueError("give clip_seconds, the length of a clip, or frames: one of them")
        if self.clip_seconds is not None:
            samples = round(self.clip_seconds * self.sample_rate)
            object.__setattr__(self, "frames", self.frames_of(samples))
        return self

    @property
    def fixed_scale(self) -> tuple[float, float] | None:
        """(mean, standard deviation) that `normalise` states, if it does."""
        return None if isinstance(self.normalise, bool) else self.normalise

    @property
    def seconds(self) -> float:
        """Time spanned by `frames`, in seconds."""
        return self.seconds_of(self.frames)

    def check(self, where: str) -> None:
        """Refuse repetitions that no model would see; longer recordings are seen in full.

        Raises:
            UserError: naming the place, and what fits.
        """
        if self.repeat_to_s is None:
            return
        samples = round(self.repeat_to_s * self.sample_rate)
        made = 1 + (samples - (self.window if self.kind == "fbank" else 0)) // self.hop
        if made > self.frames + 1:
            raise UserError(
                f"{where}.repeat_to_s: {self.repeat_to_s:g} s are {made} frames, and a model takes "
                f"{self.frames}; set frames to {made}, or repeat_to_s to {self.seconds:g}"
            )


class Dataset(Strict):
    """One data set: where its files are, how it is split, what is measured."""

    title: str | None = Field(
        None, description="name in tables and figures", examples=["Speech Commands V2"]
    )
    loader: str = Field(
        description="loader that reads its layout: folder or table (your own data, docs/data.md); "
        f"{', '.join(sorted(registry.LOADERS.keys() - registry.OWN_DATA))}; or module:function",
        examples=["esc50"],
    )
    root: str = Field(
        description="folder with the data in the layout that the loader reads",
        examples=["/data/ESC-50-master"],
    )
    data_kind: DataKind | None = Field(
        None,
        description="kind of audio: synthetic; recordings: recorded, but not the data set whose "
        "layout it has; real; null: synthetic if the embedded builder makes it, else real",
    )
    source: str | None = Field(
        None,
        description="entry of config/registry/data.yaml that is fetched into `root`; null: nothing "
        "is fetched",
        examples=["esc50"],
    )
    fetch: tuple[Literal["parquet", "youtube"], ...] = Field(
        (),
        description="sources of clips that have no file yet, in this order",
        examples=[["parquet", "youtube"]],
    )
    seeds: DistinctSeeds | None = Field(
        None,
        description="seeds on this data set; null: those of the experiment",
        examples=[[0, 1, 2, 3, 4, 5]],
    )
    options: Values = Field(
        default_factory=dict,
        description="options of the loader (docs/data.md#options-of-the-loaders)",
        examples=[{"train": "balanced", "validation_share": 0.1}],
    )
    models: DistinctNames | None = Field(
        None,
        description="models that are trained on it; null: all",
        examples=[["htsat", "pann"]],
    )
    folds: int = Field(
        default=0,
        ge=0,
        description="cross-validation folds (0: none); seed k tests fold k mod folds",
        examples=[5],
    )
    crossed: bool = Field(
        False, description="each seed tests every fold: a seed is a repeat, not a fold"
    )
    fold_protocol: FoldProtocol = Field(
        "clean",
        description="clean: fold k+1 validates; published: no validation fold, so that "
        "`select: best` selects on the tested fold; piczak_cnn: fold k-1 validates, fixed epochs; "
        "piczak_baselines: no validation fold and no selection",
    )
    loss: Literal["bce", "ce"] = Field(
        description="bce: several labels per clip (binary cross-entropy); ce: exactly one "
        "(cross-entropy)"
    )
    metric: Metric = Field(description="main metric in the report")
    selection: Literal["mAP", "accuracy"] = Field(
        description="validation metric that selects the epoch"
    )
    localize: bool = Field(False, description="whether located events are scored as well")
    front_ends: dict[str, FrontEnd] = Field(description="features that models can name")

    def check_labels(self, multilabel: bool, where: str) -> None:
        """Refuse what needs exactly one label per clip where clips have several or none.

        Args:
            where: the data set's place in the config.

        Raises:
            UserError: naming each such key, and the value that fits.
        """
        wrong = [
            f"{where}.{key}: '{value}' needs exactly one label per clip, and clips of this data "
            f"set can have several or none; set it to {fits}"
            for key, value, fits in (
                ("loss", "ce", "bce"),
                ("selection", "accuracy", "mAP"),
                ("metric", "accuracy", "mAP"),
            )
            if multilabel and getattr(self, key, None) == value
        ]
        if wrong:
            raise UserError("\n".join(wrong))


class Model(Strict):
    """One model: an architecture with its arguments and its front end."""

    title: str | None = Field(
        None, description="name in tables and figures", examples=["HTS-AT tiny"]
    )
    architecture: str = Field(
        description=f"{', '.join(registry.ARCHITECTURES)}, or module:Class (docs/models.md)",
        examples=["htsat"],
    )
    front_end: str = Field(
        description="one of the front ends of every data set", examples=["logmel"]
    )
    arguments: Arguments = Field(
        default_factory=dict,
        description="arguments of the class",
        examples=[{"preset": "tiny", "window_size": 8}],
    )
    arguments_on: dict[str, Arguments] = Field(
        default_factory=dict,
        description="data set -> arguments that differ there",
        examples=[{"desed": {"variant": "decision_max"}}],
    )
    seeds_on: dict[str, DistinctSeeds] = Field(
        default_factory=dict,
        description="data set -> some of its seeds, for a model that needs fewer runs there",
        examples=[{"esc50": [0]}],
    )


Supervision = Literal["weak", "strong", "both"]


Share = Annotated[float, Field(ge=0, lt=1)]
OddLength = Annotated[int, Field(ge=1, le=9999), AfterValidator(_odd)]


class Distill(Strict):
    """Learning from another network's scores of the training clips, besides their labels."""

    scores: str = Field(
        description="file in the form of scores.npz with a split `train` (docs/models.md)",
        examples=["data/teacher.npz"],
    )
    weight: float = Field(
        0.9, gt=0, le=1, description="of the scores; the rest is that of the labels"
    )


class Recipe(Strict):
    """How a run is trained. Each value can differ by model and data set."""

    epochs: int = Field(gt=0, description="epochs of training", examples=[30])
    epochs_times: float = Field(
        1.0,
        gt=0,
        exclude=True,
        description="multiplies `epochs`, for levels of a study whose models have different ones",
        examples=[3],
    )
    batch_size: int = Field(gt=0, description="clips per step, over all processes", examples=[64])
    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        "adamw", description="optimizer; sgd has Nesterov's momentum of 0.9"
    )
    learning_rate: float = Field(
        gt=0, description="learning rate after the warm-up", examples=[1e-4]
    )
    betas: tuple[Share, Share] = Field(
        (0.9, 0.999), description="decay rates of the optimizer's averages"
    )
    weight_decay: float = Field(default=0.05, ge=0, description="weight decay of all parameters")
    amsgrad: bool = Field(False, description="AMSGrad variant of the optimizer")
    schedule: Literal["constant", "cosine", "steps"] = Field(
        "cosine",
        description="learning rate after the warm-up: constant; cosine: falls to 0; steps: scaled "
        "after each of `step_epochs`",
    )
    warmup_epochs: float = Field(
        default=1.0, ge=0, description="epochs of linear warm-up, by step; may be a fraction"
    )
    step_epochs: tuple[int, ...] = Field(
        default=(),
        description="schedule steps only: epochs after which the rate is scaled",
        examples=[[11, 21]],
    )
    step_factor: float = Field(default=0.5, gt=0, description="schedule steps only: the factor")
    step_factors: tuple[float, ...] = Field(
        default=(),
        description="instead of step_factor: the share of learning_rate from each of "
        "`step_epochs` on",
        examples=[[0.5, 0.2]],
    )
    gradient_clip: float = Field(
        default=1.0, ge=0, description="largest norm of the gradient; 0: no clipping"
    )
    supervision: Supervision = Field(
        "weak",
        description="labels: weak: clip labels; strong: time ranges, of the clips that have them; "
        "both: the sum of both losses",
    )
    sampler: Literal["shuffle", "weighted", "balanced", "cycled"] = Field(
        "shuffle",
        description="order of the clips; weighted: rare labels more often (AST); balanced: classes "
        "in turn, a random clip of each (HTS-AT); cycled: the same, each class's clips in turn "
        "(PANN)",
    )
    mixup: Mixup | None = Field(None, description="null: no mixup")
    specaugment: SpecAugment | None = Field(None, description="null: no SpecAugment")
    select: Literal["best", "last"] = Field(
        "best", description="epoch that is evaluated: best by the data set's `selection`, or last"
    )
    distill: Distill | None = Field(None, description="null: no distillation")
    test_shifts: tuple[int, ...] = Field(
        default=(),
        description="test-time augmentation: circular shifts of the waveform in samples, over "
        "which clip scores are averaged",
        examples=[[0, 100, 300, 600, 1000, 1500, 2100, 2800, 3600, 4500]],
    )
    average_epochs: int = Field(
        default=0,
        ge=0,
        description="weights of the last n epochs are averaged; 0: no averaging",
        examples=[10],
    )
    init: str = Field(
        "random",
        pattern=r"^(random|run:[^/]+(/[^/]+)?|(official|imagenet|pretrained):.+)$",
        description="first weights: random; run:DATASET[/VARIANT], of the same model and seed; "
        "official:NAME of the model's authors, imagenet:NAME of its image backbone or "
        "pretrained:NAME of its encoder without classes, entries of "
        "config/registry/checkpoints.yaml",
        examples=["run:audioset"],
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16: automatic mixed precision"
    )
    compile: bool | Literal["auto"] = Field(
        "auto",
        description="compute each step as one compiled graph, after a minute or so of compiling; "
        "auto: on a single GPU",
    )
    streams: int = Field(
        default=0,
        ge=0,
        description="set of random streams: another one gives each seed other initial weights, "
        "order, augmentation and dropout",
    )

    @model_validator(mode="after")
    def _multiplies_epochs(self) -> Recipe:
        if self.epochs_times != 1:
            if self.step_epochs:
                raise ValueError("epochs_times: step_epochs are counted in epochs; set both")
            object.__setattr__(self, "epochs", max(1, round(self.epochs * self.epochs_times)))
            object.__setattr__(self, "epochs_times", 1.0)
        return self

    @model_validator(mode="after")
    def _has_a_factor_per_step(self) -> Recipe:
        if self.step_factors and len(self.step_factors) != len(self.step_epochs):
            raise ValueError(
                f"step_factors: {len(self.step_factors)} for {len(self.step_epochs)} step_epochs; "
                "give one for each"
            )
        if any(later <= epoch for epoch, later in pairwise(self.step_epochs)):
            raise ValueError(f"step_epochs: {list(self.step_epochs)} do not increase; sort them")
        return self

    @property
    def start(self) -> str | None:
        """The entry of the registry of checkpoints that `init` names, if it names one."""
        kind, _, name = self.init.partition(":")
        return name if kind in ("official", "imagenet", "pretrained") else None


class Localization(Strict):
    """How frame scores become events: the operating point, chosen per class on validation data."""

    median_filters: tuple[OddLength, ...] = Field(
        default=(1, 3, 5, 9, 15, 25),
        min_length=1,
        description="candidate lengths of the median filter in frames, odd numbers",
    )
    thresholds: int = Field(
        default=39,
        ge=1,
        le=999,
        description="number of candidate thresholds, evenly spaced as logits (0.0025 to 0.9975)",
    )
    hand_set: dict[str, Literal["htsat", "pann"]] = Field(
        default_factory=dict,
        description="model -> set of published hand-set thresholds at which it is also scored",
        examples=[{"htsat": "htsat"}],
    )


class Tuning(Strict):
    """Tuning: trials of each model's recipe on each data set, judged on validation data."""

    trials: int = Field(
        default=0,
        ge=0,
        description="trials per model and data set; 0: recipes are set by hand",
        examples=[4],
    )
    space: dict[str, Candidates] = Field(
        default_factory=dict,
        description="base or MODEL -> recipe key -> candidate values; a model's keys replace those "
        "of base",
        examples=[{"base": {"learning_rate": [5e-4, 1e-3, 2e-3, 4e-3]}}],
    )
    seeds: int = Field(
        default=2,
        ge=1,
        description="a trial is judged by the mean of this many runs: of the first seeds, each "
        "on another fold",
    )


class Statistics(Strict):
    """What is fixed before the runs: which models are compared, and which differences count."""

    contrasts: tuple[tuple[str, str], ...] | None = Field(
        default=None,
        description="pairs of models that are compared on each data set, one family for Holm's "
        "correction; []: models are not ranked; null: every pair that was trained alike",
        examples=[[["htsat", "ast"], ["htsat", "pann"]]],
    )
    margins: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=MARGINS,
        description="metric -> the difference, as a fraction of 1, within which variants and "
        "models count as equivalent; metrics left out keep their defaults",
        examples=[{"intersection_f1": 0.05}],
    )

    @model_validator(mode="after")
    def _keeps_other_margins(self) -> Statistics:
        object.__setattr__(self, "margins", {**MARGINS, **self.margins})
        return self


class Tracking(Strict):
    """Live tracking on the MLflow server that the variable MLFLOW_TRACKING_URI names."""

    unreachable: Literal["continue", "stop"] = Field(
        default="continue",
        description="while it does not answer: continue: warn and run without it; stop: start "
        "nothing, and stop what runs",
    )


class Rescore(Strict):
    """Prediction files that the HTS-AT authors published, scored by `python -m bench rescore`."""

    folder: str = Field(
        default="data/htsat-desed",
        description="folder of the files; missing ones are fetched into it",
    )


class Embedded(Strict):
    """The builder of small synthetic corpora (docs/embedded.md)."""

    root: str = Field(description="folder that the corpora are built in", examples=["data/mine"])
    sizes: Values = Field(
        default_factory=dict,
        description="values of EmbeddedSizes (synth/sizes.py) that differ from its defaults",
        examples=[{"speakers": 40, "words": 4}],
    )
    pin: str | None = Field(
        default=None,
        description="DVC file whose digests the corpora must match; null: none",
        examples=["data.dvc"],
    )


class Cost(Strict):
    """Cost of full-size models, measured over a few training steps each."""

    models: dict[str, Arguments] = Field(
        default_factory=dict,
        description="name -> architecture, frames and mels, further arguments of the class, and "
        "published_parameters where a paper states them",
        examples=[{"htsat": {"architecture": "htsat", "frames": 1001, "mels": 64}}],
    )
    batch_size: int = Field(default=2, gt=0, description="clips per step")
    steps: int = Field(default=3, gt=0, description="timed steps")
    classes: int = Field(default=527, gt=0, description="classes of the models")


class Target(Strict):
    """A named part of the experiment: `snakemake NAME` makes it alone."""

    about: str = Field(description="what it is, in words", examples=["ESC-50 alone"])
    datasets: DistinctNames = Field(
        description="data sets whose runs belong to it", examples=[["esc50"]]
    )
    variants: DistinctNames | None = Field(
        None, description="variants that belong to it; null: all", examples=[["base"]]
    )


class Ensemble(Strict):
    """An ensemble: the mean probabilities of all seeds of a variant, or of released checkpoints."""

    dataset: str = Field(description="data set", examples=["desed"])
    model: str = Field(description="model", examples=["htsat"])
    variant: str = Field("base", description="variant whose runs are averaged")
    released: DistinctNames | None = Field(
        None,
        description="released checkpoints that are averaged instead; null: the variant's runs",
        examples=[["htsat-audioset-1", "htsat-audioset-2"]],
    )


class Paths(Strict):
    """Folders, relative to the working folder; `extends` does not take them over."""

    work: str | None = Field(
        default=None,
        description="features, states, corpus tables; null: work/EXPERIMENT",
        examples=["/scratch/mine"],
    )
    results: str | None = Field(
        default=None,
        description="records, weights, scores, MLflow store; null: results/EXPERIMENT",
        examples=["/scratch/mine-results"],
    )
    report: str | None = Field(
        default=None,
        description="report and tables; null: reports/EXPERIMENT",
        examples=["/scratch/mine-report"],
    )
    checkpoints: str = Field(
        default="data/checkpoints", description="released checkpoints, fetched or put there by hand"
    )
    tuning: str = Field(default="config/tuning", description="recorded tuning trials; commit them")


class Config(Strict):
    """One experiment: everything that its runs depend on."""

    experiment: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        max_length=LONGEST,
        description="name, of lower-case letters, digits, _ and -; also that of its folders under "
        "work/, results/ and reports/",
        examples=["mine"],
    )
    title: str = Field(description="title of the report", examples=["My recordings"])
    seeds: DistinctSeeds = Field(description="one run per seed", examples=[[0, 1, 2]])
    paths: Paths = Field(Paths(), description="folders")
    embedded: Embedded | None = Field(None, description="null: no synthetic corpora are built")
    datasets: dict[str, Dataset] = Field(description="data sets by name")
    models: dict[str, Model] = Field(description="models by name")
    recipes: dict[str, Values] = Field(
        description="base, MODEL and MODEL/DATASET -> values of a recipe, merged in that order"
    )
    ablations: dict[str, AblationStudy] = Field(
        default_factory=dict, description="ablation studies by name"
    )
    targets: dict[str, Target] = Field(
        default_factory=dict, description="parts that `snakemake NAME` makes alone"
    )
    released: dict[str, DistinctNames] = Field(
        default_factory=dict,
        description="data set -> entries of config/registry/checkpoints.yaml that `snakemake "
        "released` evaluates on it",
        examples=[{"audioset": ["pann-cnn14", "ast-audioset-10"]}],
    )
    ensembles: dict[str, Ensemble] = Field(
        default_factory=dict, description="ensembles by name, made by `snakemake ensembles`"
    )
    localization: Localization = Field(
        Localization(), description="from frame scores to events: the operating point"
    )
    cost: Cost = Field(Cost(), description="measurement of full-size models")
    statistics: Statistics = Field(
        Statistics(), description="contrasts and margins, fixed before the runs"
    )
    tuning: Tuning = Field(Tuning(), description="trials of recipes")
    tracking: Tracking = Field(Tracking(), description="live tracking on a server")
    rescore: Rescore | None = Field(
        None, description="null: the authors' predictions are not part of the DAG; {}: all defaults"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = Mistakes()
        self.check(found)
        found.stop()
        return self

    def check(self, found: Mistakes) -> None:
        """Find names that the config lacks, values that do not fit others, and wrong recipes."""
        for key, dataset in self.datasets.items():
            with found():
                self._check_dataset(dataset, f"datasets.{key}", found)
        for name, model in self.models.items():
            with found():
                self._check_model(name, model, found)
        for name, target in self.targets.items():
            with found():
                found.unknown(target.datasets, self.datasets, f"targets.{name}.datasets")
        for name, ensemble in self.ensembles.items():
            with found():
                found.unknown([ensemble.dataset], self.datasets, f"ensembles.{name}.dataset")
                found.unknown([ensemble.model], self.models, f"ensembles.{name}.model")
        for name, study in self.ablations.items():
            with found():
                self._check_study(study, f"ablations.{name}", found)
        found.unknown(self.released, self.datasets, "released")
        for pair in self.statistics.contrasts or ():
            found.unknown(pair, self.models, "statistics.contrasts")
        found.unknown(self.statistics.margins, MARGINS, "statistics.margins")
        found.unknown({*self.tuning.space} - {"base"}, self.models, "tuning.space")
        for name, space in self.tuning.space.items():
            found.unknown(space, Recipe.model_fields, f"tuning.space.{name}")
        found.unknown(self.localization.hand_set, self.models, "localization.hand_set")
        with found():
            self._check_recipes(found)
        self._check_names(found)
        self._check_paths(found)

    def _check_dataset(self, dataset: Dataset, where: str, found: Mistakes) -> None:
        found.unknown(dataset.models or (), self.models, f"{where}.models")
        if dataset.crossed and not dataset.folds:
            found.add(f"{where}.crossed: needs folds, their number")
        with found():
            registry.check(dataset.loader, registry.LOADERS, f"{where}.loader")
            dataset.check_labels(dataset.loader in registry.SEVERAL_LABELS, where)
        with found():
            if dataset.metric in ("intersection_f1", "psds1_macro") and not dataset.localize:
                found.add(
                    f"{where}.metric: '{dataset.metric}' needs located events; set "
                    f"{where}.localize to true"
                )
        for name, front_end in dataset.front_ends.items():
            with found():
                front_end.check(f"{where}.front_ends.{name}")

    def _check_model(self, name: str, model: Model, found: Mistakes) -> None:
        where = f"models.{name}"
        found.unknown(model.arguments_on, self.datasets, f"{where}.arguments_on")
        found.unknown(model.seeds_on, self.datasets, f"{where}.seeds_on")
        for key in self.datasets.keys() & model.seeds_on.keys():
            with found():
                seeds = [*map(str, Config.seeds_on(self, key))]
                found.unknown(map(str, model.seeds_on[key]), seeds, f"{where}.seeds_on.{key}")
        with found():
            registry.check(model.architecture, registry.ARCHITECTURES, f"{where}.architecture")
        for key, dataset in self.datasets.items():
            with found():
                if name in self.models_on(key):
                    known(model.front_end, dataset.front_ends, f"{where}.front_end (in {key})")

    def _check_study(self, study: AblationStudy, where: str, found: Mistakes) -> None:
        with found():
            study.check(where)
        found.unknown(study.models, self.models, f"{where}.models")
        found.unknown(study.datasets, self.datasets, f"{where}.datasets")
        for model, dataset in product(study.models, study.datasets):
            with found():
                if model in self.models and dataset in self.datasets:
                    own = self.models[model].seeds_on.get(dataset)
                    seeds = map(str, own or Config.seeds_on(self, dataset))
                    found.unknown(map(str, study.seeds or ()), [*seeds], f"{where}.seeds")

    def _check_recipes(self, found: Mistakes) -> None:
        """Check each layer of the recipes; if all are sound, also the recipes that they make."""
        layers = {f"recipes.{key}": values for key, values in self.recipes.items()}
        for key in self.recipes:
            model, _, dataset = key.partition("/")
            found.unknown({model} if key != "base" else (), self.models, f"recipes.{key}")
            found.unknown({dataset} - {""}, self.datasets, f"recipes.{key}")
        sound = self.sound()
        for name, study in sound.ablations.items():
            for factor, levels in study.factors.items():
                where = f"ablations.{name}.factors.{factor}"
                layers |= {f"{where}.{key}.recipe": level.recipe for key, level in levels.items()}
        wrong = Mistakes()
        for where, values in layers.items():
            with wrong():
                check_given(Recipe, values, where)
        found.add(*wrong.lines)
        if wrong.lines:
            return
        for dataset in self.datasets:
            for model in self.models_on(dataset):
                with found(f"/{dataset})"):
                    Config.recipe(self, model, dataset)
        for name, study in sound.ablations.items():
            for model, dataset in product(study.models, study.datasets):
                others = sound.variants(model, dataset)
                for variant in study.variants():
                    place = f"ablations.{name} (variant {variant.name})"
                    with found():
                        Config.recipe(self, model, dataset, variant.recipe, place)
                    other = others[variant.name]
                    if (other.model, other.recipe) != (variant.model, variant.recipe):
                        found.add(
                            f"ablations.{name}: variant '{variant.name}' of {model} on {dataset} "
                            "has other values in another study; rename a level"
                        )

    def sound(self) -> Self:
        """The same without the ablation studies that cannot be resolved to variants."""
        sound = {}
        for name, study in self.ablations.items():
            with Mistakes(partial=True)():
                study.check(name)
                if {*study.models} <= {*self.models} and {*study.datasets} <= {*self.datasets}:
                    sound[name] = study
        return self.model_copy(update={"ablations": sound})

    def _check_names(self, found: Mistakes) -> None:
        """Names become parts of paths and of commands."""
        named = [*self.datasets, *self.models, *self.cost.models, *self.targets, *self.ensembles]
        for dataset in self.datasets.values():
            with found():
                named += dataset.front_ends
        for study in self.sound().ablations.values():
            named += [variant.name for variant in study.variants()]
        for name in filter(lambda name: isinstance(name, str), named):
            if len(name) > LONGEST:
                found.add(
                    f"the name '{name[:20]}…' has {len(name)} characters; {LONGEST} are the most"
                )
            elif not NAME.fullmatch(name):
                found.add(
                    f"the name '{name}' cannot be part of a path and a command; "
                    "begin with a letter or digit, and use these, _ . + = and - alone"
                )

    def _check_paths(self, found: Mistakes) -> None:
        """Paths become parts of commands and of Snakemake's patterns."""
        paths = {f"paths.{key}": value for key, value in self.paths.model_dump().items()}
        paths |= {
            f"datasets.{key}.root": getattr(data, "root", None)
            for key, data in self.datasets.items()
        }
        if self.embedded is not None:
            paths["embedded.root"] = getattr(self.embedded, "root", None)
        if self.rescore is not None:
            paths["rescore.folder"] = self.rescore.folder
        for key, path in paths.items():
            if path is None:
                continue
            if len(path.encode()) > LONGEST_PATH:
                found.add(f"{key}: {path[:20]}… has more than {LONGEST_PATH} bytes; shorten it")
                continue
            for part in Path(path).parts:
                if len(part.encode()) > LONGEST_PART:
                    found.add(f"{key}: {part[:20]}… has more than {LONGEST_PART} bytes; shorten it")
            if odd := UNQUOTABLE.search(path):
                found.add(
                    f"{key}: {path!r} has {odd.group()!r}, which cannot be part of a path and a "
                    "command; rename the folder"
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

    def seeds_of(self, model: str, dataset: str) -> tuple[int, ...]:
        """The seeds of a model's runs on a data set."""
        return self.models[model].seeds_on.get(dataset) or self.seeds_on(dataset)

    def models_on(self, dataset: str) -> tuple[str, ...]:
        """The models that are trained on a data set."""
        return self.datasets[dataset].models or tuple(self.models)

    def built_here(self, dataset: str) -> bool:
        """Whether the embedded builder makes this data set."""
        if self.embedded is None:
            return False
        return Path(self.datasets[dataset].root).is_relative_to(self.embedded.root)

    def data_kind(self, dataset: str) -> DataKind:
        """What a data set's audio is: as stated, else by its origin."""
        chosen = self.datasets[dataset].data_kind
        if chosen is not None:
            return chosen
        return "synthetic" if self.built_here(dataset) else "real"

    def _recipe_values(
        self, model: str, dataset: str, overrides: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        layers = (self.recipes.get(key, {}) for key in ("base", model, f"{model}/{dataset}"))
        return {key: value for layer in (*layers, overrides or {}) for key, value in layer.items()}

    def recipe(
        self,
        model: str,
        dataset: str,
        overrides: Mapping[str, Any] | None = None,
        where: str | None = None,
    ) -> Recipe:
        """The recipe of one cell: base, then model, then model/dataset, then `overrides`.

        Args:
            where: the place that messages give.

        Raises:
            UserError: an unknown key, or a value that is out of range or does not fit another.
        """
        where = where or f"recipes ({model}/{dataset})"
        recipe: Recipe = parse(Recipe, self._recipe_values(model, dataset, overrides), where)
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


class Draft(Config):
    """The valid part of a config with mistakes, of which networks can still be built."""

    datasets: dict[str, Dataset] = Field(default_factory=dict)
    models: dict[str, Model] = Field(default_factory=dict)
    recipes: dict[str, Values] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        return self

    def built_here(self, dataset: str) -> bool:
        return hasattr(self.embedded, "root") and super().built_here(dataset)

    def seeds_on(self, dataset: str) -> tuple[int, ...]:
        own: tuple[int, ...] | None = getattr(self.datasets[dataset], "seeds", None)
        shared: tuple[int, ...] = getattr(self, "seeds", (0,))
        return own or shared

    def seeds_of(self, model: str, dataset: str) -> tuple[int, ...]:
        own: dict[str, tuple[int, ...]] = getattr(self.models[model], "seeds_on", {})
        return own.get(dataset) or self.seeds_on(dataset)

    def recipe(
        self,
        model: str,
        dataset: str,
        overrides: Mapping[str, Any] | None = None,
        where: str | None = None,
    ) -> Recipe:
        found: Recipe = valid_part(Recipe, self._recipe_values(model, dataset, overrides))
        return found


def load(*sources: str | Path | Mapping[str, Any]) -> Config:
    """The checked config of an experiment, from files and values; later ones win.

    Raises:
        UserError: naming the file, every wrong key or value, and the nearest valid key.
    """
    files = [str(source) for source in sources if not isinstance(source, Mapping)]
    values: dict[str, Any] = reduce(merge, map(read, sources), {})
    try:
        return parse(Config, values, ", ".join(files) or "config")
    except UserError as error:
        if isinstance(error.__cause__, ValidationError):  # what is valid was not checked together
            found = Mistakes(partial=True)
            found.add(*str(error).splitlines())
            valid_part(Draft, values).check(found)
            found.stop()
        raise


def draft(path: str | Path) -> Draft:
    """What is valid in an experiment's file; raises UserError if that cannot be read."""
    found: Draft = valid_part(Draft, read(path))
    return found.sound()


def config_digest(value: BaseModel) -> str:
    """sha256 of a section's resolved values."""
    return digest_of(value.model_dump(mode="json"))
