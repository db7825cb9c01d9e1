"""Every number in the tables of a report beside one that pandas, SciPy, scikit-learn, sed_eval,
psds_eval and sed_scores_eval make from scores.npz (costs: from record.json)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import independent
import numpy as np
import pandas as pd
from independent import Truth
from numpy.typing import ArrayLike
from scipy import optimize, stats

METRICS = {
    "mAP": "mAP",
    "mAUC": "mAUC",
    "d'": "d_prime",
    "accuracy": "accuracy",
    "intersection F1": "intersection_f1",
    "event-based F1": "event_based_f1",
    "segment-based F1": "segment_based_f1",
    "PSDS1": "psds1",
    "PSDS2": "psds2",
}
FAMILIES = {
    "Intersection-based": "intersection_f1",
    "Event-based": "event_based_f1",
    "Segment-based": "segment_based_f1",
    "PSDS1": "psds1",
    "PSDS2": "psds2",
    "Clip tagging": "mAP",
}
FRACTIONS = ("mAUC", "d_prime")
BASELINES = {
    "its clip labels over the whole clip": "clip_label",
    "every class always active": "always_active",
}
PER_TRAINED = {
    "activations_MB_per_clip": ("activation_bytes_per_clip", 1e-6),
    "peak_memory_MB": ("peak_memory_mb", 1.0),
    "peak_memory_GB": ("peak_memory_mb", 1e-3),
    "train_clips_per_s": ("clips_per_second", 1.0),
    "training_hours": ("train_hours", 1.0),
    "training_minutes": ("train_hours", 60.0),
    "training_seconds": ("train_hours", 3600.0),
}
PER_MEASURED = {
    "parameters_M": ("parameters", 1e-6),
    "published_parameters_M": ("published_parameters", 1e-6),
    "multiply_adds_G": ("macs_per_clip", 1e-9),
    "activations_MB_per_clip": ("activation_bytes_per_clip", 1e-6),
    "peak_memory_MB": ("peak_memory_mb", 1.0),
    "peak_memory_GB": ("peak_memory_mb", 1e-3),
    "train_clips_per_s": ("train_clips_per_second", 1.0),
    "inference_clips_per_s": ("inference_clips_per_second", 1.0),
    "energy_J_per_clip": ("train_joules_per_clip", 1.0),
}
NOT_RECOMPUTED = "^(bootstrap_|trials$|best_percent$)"
"""Resampling (test_reports_intervals.py: accuracy, mAP, F1), recorded tuning trials."""
OTHER = ("claims", "protocol", "speed")
"""In words alone, or (tests/test_speed.py) from docs/speed.json."""


@dataclass(eq=False)
class Runs:
    """The runs of an experiment, by the paths of its results and corpora and its config as JSON."""

    results: Path
    corpora: Path
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name in ("record", "clip", "truth", "always", "located", "psds"):
            setattr(self, name, cache(getattr(self, name)))  # many cells ask for the same

    def folder(self, key: str) -> Path:
        return self.results / "runs" / key

    def record(self, key: str) -> dict[str, Any]:
        return json.loads((self.folder(key) / "record.json").read_text())

    def clip(self, key: str) -> dict[str, float]:
        return independent.clip_figures(self.folder(key))

    def truth(self, dataset: str, split: str = "test") -> Truth:
        return Truth.read(self.corpora / dataset, split)

    def always(self, dataset: str) -> dict[str, dict[str, float]]:
        truth = self.truth(dataset)
        return independent.event_figures(truth.always(), truth)

    def located(self, key: str, kind: str = "localization") -> dict[str, dict[str, float]]:
        """F1 by family and class, of events decided from scores.npz."""
        dataset = key.split("/")[0]
        truth, folder, record = self.truth(dataset), self.folder(key), self.record(key)
        if kind == "always_active":
            return self.always(dataset)
        if kind == "clip_label":
            validation = self.truth(dataset, "validation")
            grid = self.config["localization"]["thresholds"]
            made = independent.clip_label_events(folder, validation, truth, grid)
            return independent.event_figures(made, truth)
        if not record["localization"]["can_localize"]:
            return {}
        made = independent.decided(folder, record[kind]["operating_point"], truth)
        return independent.event_figures(made, truth)

    def psds(self, key: str) -> dict[str, dict[str, float]]:
        """By class, and of all as "": from scores where the oracle is installed (`make test-long`
        builds it), else recorded."""
        if find_spec("sed_scores_eval"):
            return independent.psds_figures(self.folder(key), self.truth(key.split("/")[0]))
        recorded = self.record(key)["metrics"]["test"]
        return {k: {"": m["value"], **m["per_class"]} for k, m in recorded.items() if "psds" in k}

    def figure(self, key: str, metric: str, label: str = "", kind: str = "localization") -> float:
        """A test figure of one run, of one class if named; NaN where the run has none."""
        if metric.startswith("psds"):
            can = self.record(key)["localization"]["can_localize"]
            return self.psds(key)[metric].get(label, np.nan) if can else np.nan
        if metric in self.clip(key):
            of_class = f"accuracy {label}" if metric == "accuracy" else label
            return self.clip(key).get(of_class, np.nan) if label else self.clip(key)[metric]
        by_class = self.located(key, kind).get(metric)
        if not by_class:
            return np.nan
        return by_class.get(label, np.nan) if label else float(np.mean(list(by_class.values())))

    def spread(
        self, column: str, keys: Sequence[str], values: ArrayLike, scale: float = 1.0,
        folds: bool = True, level: float = 0.95,
    ) -> dict[str, float]:  # fmt: skip
        """Mean, sd and the t-interval at a level, 95 % where there is no correction."""
        every = scale * pd.Series(np.asarray(values, dtype=float))
        known = every[np.isfinite(every)]
        units, shared = self.units([keys[place] for place in known.index], known, folds)
        n = len(units)
        error = units.std() * np.sqrt(1 / n + shared) if n > 1 else np.nan
        half = stats.t.ppf((1 + level) / 2, n - 1) * error
        return {
            column: known.mean(),
            f"{column}_sd": known.std(),
            f"{column}_ci95_low": units.mean() - half,
            f"{column}_ci95_high": units.mean() + half,
            f"{column}_n": len(known) or np.nan,
        }

    def units(
        self, keys: Sequence[str], values: pd.Series, folds: bool = True
    ) -> tuple[pd.Series, float]:
        """What a repetition draws anew, and test over training clips where that is folds: repeats
        where each seed tests every fold, else folds, else runs; without the noise of their last
        digits, which is no spread."""
        known = [self.record(key)["cell"] for key in keys]
        cells = pd.DataFrame(known, values.index, ["fold", "seed"])
        if not folds or (cells["fold"] < 0).all():
            return values.round(12), 0.0
        per_seed = cells.groupby("seed")["fold"].nunique()
        if len(per_seed) > 1 and per_seed.min() == cells["fold"].nunique() > 1:
            return values.groupby(cells["seed"]).mean().round(12), 0.0
        splits = self.record(keys[0])["splits"]
        by_fold = values.groupby(cells["fold"]).mean().round(12)
        return by_fold, splits["test"] / splits["train"]

    def tested(self, keys: Sequence[str], gaps: Sequence[float]) -> dict[str, float]:
        """The paired t-test of differences, the exact one, and what a family is judged by."""
        units, shared = self.units(keys, pd.Series(gaps))
        n = len(units)
        exact = sign_flip(units.to_numpy())
        p = exact if units.any() else 1.0
        if n > 1 and np.ptp(units):
            t = units.mean() / (units.std() * np.sqrt(1 / n + shared))
            p = float(2 * stats.t.sf(abs(t), n - 1))
        return {"p": p, "p_sign_flip": exact, "pairs": n}

    def figures(
        self, column: str, keys: Sequence[str], metric: str, label: str = "",
        kind: str = "localization", scale: float = 1.0,
    ) -> dict[str, float]:  # fmt: skip
        """The spread of a figure over runs."""
        values = [self.figure(key, metric, label, kind) for key in keys]
        return self.spread(column, keys, values, scale)

    def differences(self, keys: Sequence[str], metric: str) -> tuple[list[str], list[float]]:
        """The runs of a row's first group that have a partner in its second, and what they gain."""
        first, second = halves(keys)
        other = {key.rsplit("/", 1)[1]: key for key in second}
        paired = [key for key in first if key.rsplit("/", 1)[1] in other]
        partners = [other[key.rsplit("/", 1)[1]] for key in paired]
        pairs = zip(paired, partners, strict=True)
        return paired, [self.figure(a, metric) - self.figure(b, metric) for a, b in pairs]


def halves(keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """The runs of the two groups that a row compares."""
    group = keys[0].rsplit("/", 1)[0]
    first = [key for key in keys if key.rsplit("/", 1)[0] == group]
    return first, [key for key in keys if key not in first]


def holm(p: pd.Series) -> pd.Series:
    """Adjusted over one family, aligned to its index; not cut off at 1."""
    ordered = p.sort_values(kind="stable")
    return (ordered * np.arange(len(ordered), 0, -1)).cummax()


def sign_flip(differences: Sequence[float]) -> float:
    if len(differences) < 2:
        return 1.0
    exact = stats.permutation_test(
        (np.array(differences),), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    return float(exact.pvalue)


def detectable(units: Sequence[tuple[pd.Series, float]]) -> float:
    """The mean difference that a paired t-test finds with 80 % power, at the pooled spread of a
    family and the level of Holm's first step."""
    spread = [(own, shared) for own, shared in units if len(own) > 1 and np.ptp(own)]
    if not spread:
        return np.nan
    fewest, shared = min(spread, key=lambda one: len(one[0]))
    n, error = len(fewest), np.sqrt(1 / len(fewest) + shared)
    critical = stats.t.ppf(1 - 0.025 / len(units), n - 1)
    power = lambda d: stats.nct.sf(critical, n - 1, d / error) - 0.8  # noqa: E731
    pooled = np.sqrt(np.mean([own.var() for own, _ in spread]))
    return float(optimize.brentq(power, 0, 100) * pooled)


def tagging(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    """A row of AudioSet, ESC-50 or Speech Commands."""
    dataset = keys[0].split("/")[0]
    several = runs.config["datasets"][dataset]["loss"] == "bce"
    metrics = ["mAP", "mAUC", "d_prime"] if several else ["accuracy", "mAP"]
    if row["model"] == "Chance":
        prevalence = float(np.mean([runs.clip(key)["chance"] for key in keys]))
        by_chance = 100 / len(runs.record(keys[0])["classes"])
        chance = {"mAUC": 0.5, "d_prime": 0.0, "accuracy_percent": by_chance}
        chance["mAP_percent"] = 100 * prevalence
        return {column: value for column, value in chance.items() if column in row.index}
    found = {"parameters_M": (runs.record(keys[0])["parameters"] or np.nan) / 1e6}
    for metric in metrics:
        found |= runs.figures(column_of(metric), keys, metric, scale=scale_of(metric))
    for fold in {runs.record(key)["cell"]["fold"] for key in keys} - {-1}:
        own = [key for key in keys if runs.record(key)["cell"]["fold"] == fold]
        values = [runs.figure(key, metrics[0]) for key in own]
        found |= runs.spread(f"fold_{fold}_percent", own, values, 100, folds=False)
    return found


def column_of(metric: str) -> str:
    return metric if metric in FRACTIONS else f"{metric}_percent"


def scale_of(metric: str) -> float:
    return 1.0 if metric in FRACTIONS else 100.0


def located_by_model(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    """A row of DESED's table by model."""
    label = row["model"]
    if label == "Chance":
        return {"mAP_percent": 100 * float(np.mean([runs.clip(key)["chance"] for key in keys]))}
    by_label = "clip_label" if "clip labels only" in label else ""
    kind = "always_active" if label == "Always active" else by_label
    kind = kind or ("hand_set" if "hand-set" in label else "localization")
    families = [metric for metric in FAMILIES.values() if metric.endswith("f1")]
    whole = [] if kind != "localization" else [m for m in FAMILIES.values() if m not in families]
    found = {}
    for metric in families + whole:
        column = column_of(metric)
        own = runs.figures(column, keys, metric, kind=kind, scale=100)
        trivial = kind in BASELINES.values()
        constant = trivial and (len(keys) == 1 or own[f"{column}_sd"] < 1e-12)
        found |= {column: own[column]} if constant else own
    return found


def overview(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    """A line of the overview: every task's main figure, and the sums over tasks."""
    by_task: dict[str, list[str]] = {}
    for key in keys:
        by_task.setdefault(key.split("/")[0], []).append(key)
    found: dict[str, float] = {}
    for dataset, own in by_task.items():
        metric = runs.config["datasets"][dataset]["metric"]
        column = f"{dataset}_{column_of(metric)}"
        if row["model"] != "Chance":
            found |= runs.figures(column, own, metric, scale=100)
        elif metric.endswith("f1"):
            found[column] = 100 * runs.figure(own[0], metric, kind="always_active")
        elif metric == "accuracy":
            found[column] = 100 / len(runs.record(own[0])["classes"])
        else:
            found[column] = 100 * float(np.mean([runs.clip(key)["chance"] for key in own]))
    if row["model"] == "Chance":
        return found
    hours = [
        np.mean([runs.record(k)["cost"]["train_hours"] for k in own]) for own in by_task.values()
    ]
    model, declared = keys[0].split("/")[1], runs.config["datasets"].values()
    tasks = [one for one in declared if one["models"] is None or model in one["models"]]
    total = sum(hours) if len(hours) == len(tasks) else np.nan
    times = {"hours": 1.0, "minutes": 60.0, "seconds": 3600.0}
    shown = {f"training_{u}": per * total for u, per in times.items()}
    found |= {column: value for column, value in shown.items() if column in row.index}
    first = [runs.record(own[0])["parameters"] for own in by_task.values()]
    return found | {"parameters_M": (max(first) or np.nan) / 1e6}


def paper(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    """A line in a layout of the paper: a part of the overview, or F1 by class."""
    if "macro_percent" in row.index:
        found = runs.figures("macro_percent", keys, "intersection_f1", scale=100)
        for name in runs.record(keys[0])["classes"]:
            found |= runs.figures(f"{name}_percent", keys, "intersection_f1", name, scale=100)
    else:
        found = overview(runs, row, keys)
    return {column: value for column, value in found.items() if column in row.index}


def localization(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    """A row of DESED."""
    section = row["section"].removeprefix("Variants (see the ablations): ")
    metric = next(name for start, name in FAMILIES.items() if section.startswith(start))
    label, classes = row["model"], runs.record(keys[0])["classes"]
    if label == "Chance":
        return {"macro_percent": 100 * float(np.mean([runs.clip(key)["chance"] for key in keys]))}
    if label == "Always active" or "clip labels only" in label:
        kind = "always_active" if label == "Always active" else "clip_label"
        found = runs.figures("macro_percent", keys, metric, kind=kind, scale=100)
        constant = len(keys) == 1 or found["macro_percent_sd"] < 1e-12
        return {"macro_percent": found["macro_percent"]} if constant else found
    kind = "hand_set" if "hand-set" in label else "localization"
    found = runs.figures("macro_percent", keys, metric, kind=kind, scale=100)
    for name in classes:
        found |= runs.figures(f"{name}_percent", keys, metric, name, kind, 100)
    return found


def cost(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    """A row of the cost table, from record.json or from the measurement of a model."""
    if keys[0].startswith("cost/"):
        measured = json.loads((runs.results / f"{keys[0]}.json").read_text())
        found = {
            column: (measured.get(name) or np.nan) * scale
            for column, (name, scale) in PER_MEASURED.items()
            if column in row.index
        }
        for size in (12, 24, 32, 80):
            room = 0.9 * size * 2**30 - 16 * measured["parameters"]
            fits = room // measured["activation_bytes_per_clip"]
            found[f"largest_batch_{size}GiB"] = max(fits, 0)
        seen = runs.config["cost"]["models"][measured["model"]].get("published_training_clips")
        hours = (seen or np.nan) / measured["train_clips_per_second"] / 3600
        return {**found, "projected_hours": hours}
    found = {"parameters_M": (runs.record(keys[0])["parameters"] or np.nan) / 1e6}
    for column, (name, scale) in PER_TRAINED.items():
        if column not in row.index:
            continue
        values = [runs.record(key)["cost"].get(name) for key in keys]
        found |= runs.spread(column, keys, values, scale, folds=False)
    return found


def metric_of(row: pd.Series) -> str:
    return METRICS[row["section"].rsplit(", ", 1)[1].removesuffix(" (%)")]


def chance(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    metric = metric_of(row)
    found = runs.figures("figure_percent", keys, metric, scale=100)
    by_chance = [runs.clip(key)["chance"] for key in keys]
    if metric == "accuracy":
        by_chance = [1 / len(runs.record(key)["classes"]) for key in keys]
    return {
        **found,
        "lower_bound_percent": found["figure_percent_ci95_low"],
        "chance_percent": 100 * float(np.mean(by_chance)),
    }


def without_times(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    metric, kind = metric_of(row), BASELINES[row["against"]]
    model = np.array([runs.figure(key, metric) for key in keys])
    baseline = np.array([runs.figure(key, metric, kind=kind) for key in keys])
    parts = {"model_percent": model, "baseline_percent": baseline}
    found = {
        k: v for c, values in parts.items() for k, v in runs.spread(c, keys, values, 100).items()
    }
    return {**found, "p": runs.tested(keys, model - baseline)["p"]}


def gaps_of(runs: Runs, row: pd.Series, keys: list[str]) -> tuple[list[str], np.ndarray]:
    """The runs that a row's differences are over, and the differences."""
    metric = metric_of(row)
    if row.get("against") in BASELINES:
        kind = BASELINES[row["against"]]
        own = [runs.figure(key, metric) - runs.figure(key, metric, kind=kind) for key in keys]
        return keys, np.array(own)
    paired, gaps = runs.differences(keys, metric)
    return paired, np.array(gaps)


def interval(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    metric = metric_of(row)
    found = runs.figures("mean", keys, metric, scale=scale_of(metric))
    return {**found, "runs": found["mean_n"]}


def by_training_time(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    """A row of the table of training times, beside the first run of the unchanged model."""
    dataset, model, _, run = keys[0].split("/")
    base = runs.record(f"{dataset}/{model}/base/{run}")["resolved"]["recipe"]["epochs"]
    epochs = runs.record(keys[0])["resolved"]["recipe"]["epochs"]
    found = {**interval(runs, row, keys), "epochs": epochs, "times": epochs / base}
    for column in PER_TRAINED.keys() & set(row.index):
        name, scale = PER_TRAINED[column]
        hours = [runs.record(key)["cost"][name] for key in keys]
        found |= runs.spread(column, keys, hours, scale, folds=False)
    return found


def recipe(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    used = runs.record(keys[0])["resolved"]["recipe"]
    linear = "regularisation" in row["chosen"]
    return {} if linear else {name: used[name] for name in ("learning_rate", "epochs")}


def ablation(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    metric = metric_of(row)
    first, second = halves(keys)
    paired, gaps = runs.differences(keys, metric)
    return {
        **runs.figures("value_percent", first, metric, scale=100),
        **runs.figures("reference_percent", second, metric, scale=100),
        **runs.tested(paired, gaps),
    }


def comparison(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    paired, gaps = runs.differences(keys, metric_of(row))
    gap = runs.units(paired, pd.Series(gaps))[0]
    constant = np.nan if gap.any() else 0.0
    return {
        "effect_size_d": gap.mean() / gap.std() if np.ptp(gap) else constant,
        "p_equivalence": equivalence(runs, metric_of(row), paired, gaps),
        **runs.tested(paired, gaps),
    }


def equivalence(runs: Runs, metric: str, paired: list[str], gaps: list[float]) -> float:
    """The larger p of two one-sided t-tests that the mean difference is beyond either margin."""
    margin = runs.config["statistics"]["margins"][metric]
    units, shared = runs.units(paired, pd.Series(gaps))
    n, inside = len(units), abs(units.mean()) < margin
    if n > 1 and np.ptp(units):
        error = units.std() * np.sqrt(1 / n + shared)
        return max(stats.t.sf((margin + side * units.mean()) / error, n - 1) for side in (1, -1))
    return 0.0 if n > 1 and inside else 1.0


def widened(runs: Runs, frame: pd.DataFrame, expected: pd.DataFrame) -> Iterator[pd.Series]:
    """Each difference with the interval at the level to which Holm's correction takes its p; in the
    table of comparisons, with what the test can detect there."""
    for place, row in frame.iterrows():
        keys, p = row["records"].split(), expected["p"][place]
        paired, gaps = gaps_of(runs, row, keys)
        level = 1 - 0.05 * p / expected["holm"][place] if p else 1 - 0.05
        found = runs.spread("difference_points", paired, gaps, 100, level=level)
        units, shared = runs.units(paired, pd.Series(gaps))
        if np.ptp(units) == 0 and units.iloc[0]:
            found |= {f"difference_points_ci95_{end}": np.nan for end in ("low", "high")}
        if "detectable_points" in frame:
            size = expected["family"][place]
            found["detectable_points"] = 100 * detectable([(units, shared)] * int(size))
        yield pd.Series(found, name=place)


def detects(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    """A study, of the runs of each change and of its reference."""
    metric = METRICS[row["metric"]]
    by_variant: dict[str, list[str]] = {}
    for key in keys:
        by_variant.setdefault(key.rsplit("/", 1)[0], []).append(key)
    _, model, *_ = keys[0].split("/")
    against = {
        f"{dataset}/{model}/{variant}": f"{dataset}/{model}/{reference}"
        for dataset in [keys[0].split("/")[0]]
        for variant, reference in references(runs.config, dataset, model).items()
    }
    units = []
    for name, own in by_variant.items():
        if against.get(name) in by_variant:
            paired, gaps = runs.differences([*own, *by_variant[against[name]]], metric)
            units.append(runs.units(paired, pd.Series(gaps)))
    return {
        "changes": len(units),
        "pairs": min(len(own) for own, _ in units),
        "detectable_points": 100 * detectable(units),
    }


def references(config: Mapping[str, Any], dataset: str, model: str) -> dict[str, str]:
    """Variant -> what it is compared with, of studies that vary one factor at a time."""
    found = {}
    for study in config["ablations"].values():
        if dataset in study["datasets"] and model in study["models"]:
            reference = study["reference"]
            for levels in study["factors"].values():
                start = "base" if reference in levels else reference
                found |= {level: start for level, own in levels.items() if not own["control"]}
    return found


def by_class(runs: Runs, row: pd.Series, keys: list[str]) -> dict[str, float]:
    """A class of a data set without events, in a column for each model."""
    dataset = keys[0].split("/")[0]
    metric, label = (
        runs.config["datasets"][dataset]["metric"],
        runs.record(keys[0])["classes"][row.name],
    )
    found = {}
    for model in dict.fromkeys(key.split("/")[1] for key in keys):
        own = [key for key in keys if key.split("/")[1] == model]
        found |= runs.figures(
            f"{model}_{column_of(metric)}", own, metric, label, scale=scale_of(metric)
        )
    return found


ROWS = {
    "overview": overview,
    "paper_tagging": paper,
    "paper_classification": paper,
    "paper_localization": paper,
    "cost": cost,
    "chance": chance,
    "without_times": without_times,
    "intervals": interval,
    "recipes": recipe,
    "ablations": ablation,
    "comparisons": comparison,
    "detectable": detects,
    "training_time": by_training_time,
}


def cells(tables: Path, runs: Runs) -> pd.DataFrame:
    """A row per number of every table: table, row, column, shown, expected (NaN: no number)."""
    return pd.DataFrame(
        [cell for path in sorted(tables.glob("*.csv")) for cell in _cells(path, runs)],
        columns=["table", "row", "column", "shown", "expected"],
    )


def _cells(path: Path, runs: Runs) -> Iterator[tuple[str, str, str, float, float]]:
    if path.stem in OTHER:
        return
    settings = runs.config["datasets"].get(path.stem)
    if path.stem.endswith("_summary"):
        made = located_by_model
    elif path.stem.endswith("_classes"):
        made = by_class
    else:
        made = (localization if settings["localize"] else tagging) if settings else ROWS[path.stem]
    frame = pd.read_csv(path)
    frame = frame[frame["records"].notna()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pd.DataFrame(
            [made(runs, row, row["records"].split()) for _, row in frame.iterrows()], frame.index
        )
    if "p" in expected:
        family = frame["section"]
        if path.stem == "ablations":
            family = family + frame["change"].str.contains("control: ").astype(str)
        expected["holm"] = expected.groupby(family)["p"].transform(holm)
        if "p_equivalence" in expected:
            corrected = expected.groupby(family)["p_equivalence"].transform(holm)
            expected["p_equivalence"] = corrected.clip(upper=1)
        expected["family"] = expected.groupby(family)["p"].transform("size")
        wide = pd.DataFrame(widened(runs, frame, expected)).reindex(frame.index)
        expected["p_holm"] = expected.pop("holm").clip(upper=1)
        unshown = [name for name in ("p", "p_holm") if name not in frame]
        expected = expected.drop(columns=["family", *unshown, *wide.columns], errors="ignore")
        expected = expected.join(wide)
        if "pairs" in expected:  # one pair has no test
            p_values = expected.filter(regex="^p(_|$)").columns
            expected.loc[expected["pairs"] < 2, p_values] = np.nan
    numbers = frame.select_dtypes("number").drop(columns="remark", errors="ignore")
    numbers = numbers.drop(columns=numbers.filter(regex=NOT_RECOMPUTED))
    for column in numbers.columns.union(expected.columns):
        for place in frame.index:
            both = (table.get(column, {}).get(place, np.nan) for table in (numbers, expected))
            shown, known = map(float, both)
            if not np.isnan([shown, known]).all():
                name = f"{frame.loc[place, 'section']}: {frame.iloc[:, 1][place]}"
                yield path.stem, name, column, shown, known


def check(tables: Path, runs: Runs) -> pd.Series:
    """Hold every number to its recomputation; how many there were in each table."""
    found = cells(tables, runs)
    # Units are rounded to 12 decimals (of hours, too), which an interval of two widens; SciPy
    # inverts the noncentral t to single precision.
    tolerance = np.where(found["column"] == "detectable_points", 1e-5, 1e-7)
    near = (found["shown"] - found["expected"]).abs() <= tolerance * (1 + found["expected"].abs())
    assert near.all(), found[~near].to_string()
    for dataset in runs.config["datasets"]:
        keys = pd.read_csv(tables / f"{dataset}.csv")["records"].dropna().str.split()
        first = runs.record(keys.iloc[0][0])
        coverage, splits = first["coverage"], first["splits"]
        sizes = ", ".join(f"{count:,} {name}" for name, count in splits.items())
        listed = f"{coverage['found']:,} of {coverage['listed']:,} listed clips ({sizes})"
        text = f"{len(first['classes'])} classes, {listed}"
        assert text in (tables / f"{dataset}.md").read_text(), text
    return found.groupby("table").size()
