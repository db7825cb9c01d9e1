"""A made-up but coherent results folder: corpora, features, scores and, by the real evaluation,
records. Nothing is trained, so that the report can be tested without models."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from bench.code_digest import model_stage_digest
from bench.corpora import desed, save
from bench.corpora.base import assemble
from bench.data.task import Task, open_task
from bench.evaluation.evaluate import evaluate_cell
from bench.experiment import config as experiments
from bench.experiment import folders
from bench.experiment.cells import Cell, Layout, feature_sets, list_cells, plan
from bench.experiment.config import Config
from bench.experiment.extends import read
from bench.experiment.released import class_list
from bench.files import (
    digest_file,
    digest_of,
    read_json,
    read_sealed,
    write_json,
    write_json_lines,
    write_sealed,
)
from bench.metrics.events import events_table
from bench.models.scores import Scores, write_scores
from bench.provenance import environment
from bench.results.identity import fingerprints
from bench.results.measured import Measurement
from bench.results.published import Published
from bench.results.training import Training
from bench.training.streams import PURPOSES, stream_seed

ROOT = Path(__file__).resolve().parent.parent
# A folder of the public archives of ESC-10 and FSDD, for the tests that need real recordings.
ARCHIVES = Path(os.environ.get("ARCHIVES", ROOT / "data" / "archives"))
CLASSES = {
    "audioset": ("Dog", "Rain", "Bell", "Engine", "Speech", "Siren"),
    "esc50": ("dog", "rain", "clock", "saw", "siren"),
    "speechcommands": ("yes", "no", "up", "down", "left", "right"),
    "desed": desed.CLASSES,
}
NETWORKS = {  # as the models resolve preset `paper`
    "htsat": {
        "image_size": 256,
        "patch_size": 4,
        "embed_dim": 96,
        "depths": [2, 2, 6, 2],
        "heads": [4, 8, 16, 32],
        "window_size": 8,
        "mlp_ratio": 4.0,
        "drop_path": 0.1,
        "token_order": "time_frequency_window",
        "order_seed": 0,
        "fold_frames": None,
        "token_semantic": True,
        "padding": "stretch",
    },
    "ast": {"dim": 768, "depth": 12, "heads": 12, "patch": 16, "stride": 10},
    "mobilenet": {"width": 1.0, "momentum": 0.01, "variant": "mn"},
    "passt": {
        "dim": 768,
        "depth": 12,
        "heads": 12,
        "patch": 16,
        "stride": 10,
        "patchout_time": 40,
        "patchout_frequency": 4,
        "patchout": 0,
    },
    "atst_frame": {"dim": 768, "depth": 12, "heads": 12, "heads_for": "clips"},
    "dasheng": {"dim": 768, "depth": 12, "heads": 12, "heads_for": "clips"},
    "pann": {
        "channels": [64, 128, 256, 512, 1024, 2048],
        "conv_dropout": 0.2,
        "dropout": 0.5,
        "variant": "cnn14",
    },
}
SKILL = {"htsat": 1.5, "ast": 0.9, "pann": 1.3, "linear": 0.5}
SECONDS, FRAMES = 5.0, 25
CLIPS = 48


def make_config(root: Path, seeds: tuple[int, ...] = (0, 1, 2), **changes: Any) -> Config:
    """The default experiment with its folders below `root`."""
    values = read(ROOT / "tests" / "experiment.yaml")
    values["paths"] = {name: str(root / name) for name in ("work", "results", "report", "tuning")}
    models = changes.get("models", values["models"])
    space = {k: v for k, v in values["tuning"]["space"].items() if k == "base" or k in models}
    tuning = {**values["tuning"], "space": space}
    return experiments.load({**values, "seeds": seeds, "tuning": tuning, **changes})


def make_small_config(root: Path, seeds: tuple[int, ...] = (0,)) -> Config:
    """Three models on one data set that has folds and no events: quickly made."""
    full = make_config(root).model_dump(mode="json")
    return make_config(
        root,
        seeds=seeds,
        datasets={"esc50": full["datasets"]["esc50"]},
        models={name: full["models"][name] for name in ("htsat", "ast", "pann")},
        recipes={"base": full["recipes"]["base"]},
        ablations={},
        cost={},
    )


def make_results(config: Config) -> None:
    """Everything that the experiment's pipeline leaves behind, except for models and MLflow."""
    make_inputs(config)
    for cell in list_cells(config):
        make_run(config, cell)
    for model in config.cost.models:
        make_cost(config, model)


def make_inputs(config: Config) -> None:
    """Corpus tables and feature stores of every data set."""
    layout = Layout.of(config)
    folders.take(config)
    for dataset in config.datasets:
        _corpus(config, dataset)
    for dataset, front_end in feature_sets(config):
        folder = layout.features(dataset, front_end)
        folder.mkdir(parents=True)
        clips = pd.read_parquet(layout.corpus(dataset) / "clips.parquet")["clip"].tolist()
        settings = config.datasets[dataset].front_ends[front_end]
        rng = np.random.default_rng(7)
        frames = rng.normal(-40, 8, (len(clips) * 50, settings.mels)).astype(np.float16)
        np.save(folder / "features.npy", frames)
        index = {"clip": clips, "first": np.arange(len(clips)) * 50, "frames": [50] * len(clips)}
        pd.DataFrame(index).to_parquet(folder / "index.parquet", index=False)
        write_json(
            folder / "digest.json",
            {"silence": -100.0, "digest": digest_of([dataset, front_end]), "clips": 0},
        )


def write_clips(folder: Path, clips: pd.DataFrame) -> None:
    """Another table of clips for a saved corpus, as `save` would have written it."""
    path = folder / "clips.parquet"
    clips.to_parquet(path, index=False)
    facts = read_json(folder / "corpus.json")
    facts["tables"][path.name] = digest_file(path)
    write_json(folder / "corpus.json", facts)


def _corpus(config: Config, dataset: str) -> None:
    settings, layout = config.datasets[dataset], Layout.of(config)
    rng = np.random.default_rng(len(dataset))
    root = layout.work / "audio" / dataset
    root.mkdir(parents=True)
    wave = np.random.default_rng(len(dataset)).normal(0, 0.05, int(SECONDS * 16000))
    soundfile.write(root / "clip.wav", wave, 16000)
    classes = CLASSES.get(dataset, CLASSES["audioset"])
    rows, events = [], []
    for number in range(CLIPS):
        name = f"{dataset}_{number:03d}.wav"
        several = settings.loss == "bce"
        chosen = (
            rng.permutation(len(classes))[: rng.integers(1, 4)]
            if several
            else [number // 5 % len(classes)]
        )
        labels = [classes[c] for c in sorted(chosen)]
        for label in labels if settings.localize else ():
            onset = round(float(rng.uniform(0, SECONDS - 1)), 3)
            events.append((name, onset, onset + round(float(rng.uniform(0.4, 1.0)), 3), label))
        rows.append(
            {
                "clip": name,
                "path": "clip.wav",
                "start_s": 0.0,
                "duration_s": SECONDS,
                "split": ("train", "validation", "test")[number // (CLIPS // 3)],
                "fold": number % settings.folds if settings.folds else -1,
                "group": name,
                "strong": settings.localize,
                "labels": labels,
            }
        )
    corpus = assemble(
        dataset,
        root,
        classes,
        pd.DataFrame(rows),
        multilabel=settings.loss == "bce",
        synthetic=True,
        events=events_table(events) if settings.localize else None,
    )
    save(corpus, layout.corpus(dataset))


def make_run(config: Config, cell: Cell, salt: str = "", **digests: str) -> None:
    """Scores, curve and training.json of one run, then its record. `digests` replace the usual;
    `salt` gives the cell's run other figures."""
    settings, layout = plan(config, cell), Layout.of(config)
    task = open_task(
        settings,
        layout.corpus(cell.dataset),
        layout.features(cell.dataset, settings.model.front_end),
    )
    folder = layout.run(cell)
    rng = np.random.default_rng(int(digest_of(f"{cell}{salt}")[:8], 16))
    skill = SKILL.get(cell.model, 1.8) - (0.5 if cell.variant != "base" else 0.0)
    skill += rng.normal(0, 0.15)
    write_scores(
        folder / "scores.npz",
        task,
        {name: _scores(task, name, cell, skill, rng) for name in ("validation", "test")},
    )
    write_json_lines(folder / "metrics.jsonl", _curve(config, cell, skill, rng))
    identity = digest_of(f"{cell}{salt}")
    parent = settings.parent
    epochs = settings.recipe.epochs
    training = Training.model_validate(
        {
            "key": str(cell),
            "identity": identity,
            "parent": parent and {"key": str(parent), "identity": digest_of(str(parent))},
            "resolved": settings.resolved,
            "config_digest": settings.digest,
            "digests": {
                "code_train": model_stage_digest("train", settings.model.architecture),
                "data": read_json(layout.corpus_file(cell.dataset))["digest"],
                "features": digest_of([cell.dataset, settings.model.front_end]),
                "pins": environment()["pins_sha256"],
                **digests,
            },
            "splits": {name: len(rows) for name, rows in task.rows.items()},
            "excluded": 0,
            "windowed": 0,
            "seeds": {name: stream_seed(cell.seed, name) for name in PURPOSES},
            "provenance": {
                **_environment(),
                "threads": 1,
                "device": "cpu",
                "deterministic": True,
                "command": f"python -m bench train {cell}",
                "started": "2026-11-22T10:00:00+00:00",
                "finished": "2026-11-22T10:01:00+00:00",
            },
            "network": _network(settings.model.architecture, settings.model.arguments),
            "parameters": {"htsat": 610_000, "ast": 870_000, "pann": 790_000}.get(cell.model, 3000),
            "cost": {
                "train_seconds": 40.0 + skill,
                "train_hours": (40.0 + skill) / 3600,
                "score_seconds": 1.0,
                "clips_seen": CLIPS // 3 * epochs,
                "clips_per_second": 180.0 + skill,
                "peak_memory_mb": 600.0 + 50 * skill,
                "epochs": epochs,
                "selected_epoch": epochs,
                "activation_bytes_per_clip": None
                if cell.model == "linear"
                else {"htsat": 9.1e6, "ast": 21.5e6}.get(cell.model, 14e6),
            },
        }
    )
    training.write(folder / "training.json")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluate_cell(config, cell)


def _network(architecture: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a model of preset `paper` resolves to; of other presets nothing is said."""
    if architecture not in NETWORKS or arguments.get("preset", "paper") != "paper":
        return None
    own = NETWORKS[architecture]
    return own | {name: value for name, value in arguments.items() if name in own}


def _scores(task: Task, split: str, cell: Cell, skill: float, rng: np.random.Generator) -> Scores:
    rows = task.rows[split]
    targets = task.targets[rows].astype(np.float64)
    logits = rng.normal(0, 1, targets.shape) + skill * (2 * targets - 1)
    clips = 1 / (1 + np.exp(-logits))
    if not task.corpus.multilabel:
        clips = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if task.corpus.events is None or cell.model in ("ast", "linear"):
        return Scores.of(clips, (), 0.0)
    step = SECONDS / FRAMES
    active = np.zeros((len(rows), FRAMES, len(task.corpus.classes)))
    names = task.corpus.clips["clip"].to_numpy()[rows].tolist()
    events = task.corpus.events[task.corpus.events["filename"].isin(names)]
    for name, onset, offset, label in events.itertuples(index=False):
        span = slice(round(onset / step), max(round(offset / step), round(onset / step) + 1))
        active[names.index(name), span, task.corpus.classes.index(label)] = 1
    frames = rng.normal(0, 0.8, active.shape) + skill * (2 * active - 1)
    return Scores.of(clips, 1 / (1 + np.exp(-frames)), step)


def _curve(
    config: Config, cell: Cell, skill: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    selection = config.datasets[cell.dataset].selection
    epochs = plan(config, cell).recipe.epochs
    return [
        {
            "epoch": epoch,
            "step": epoch * 2,
            "train_loss": 2.0 / epoch,
            "learning_rate": 1e-3,
            f"validation_{selection}": float(
                np.clip(0.4 * skill * (1 - 0.8**epoch) + rng.normal(0, 0.02), 0, 1)
            ),
            "seconds": 2.0 * epoch,
        }
        for epoch in range(1, epochs + 1)
    ]


def make_cost(config: Config, model: str) -> None:
    """The cost measurement of one full-size model."""
    parameters = {"htsat": 29_963_431, "ast": 87_728_641, "pann": 80_753_615}.get(model, 5_000_000)
    asked = config.cost.models[model]
    published = asked.get("published_parameters")
    measured = Measurement.model_validate(
        {
            "model": model,
            "network": _network(asked.get("architecture", model), asked),
            "parameters": parameters,
            "published_parameters": published,
            "activation_bytes_per_clip": parameters * 11.0,
            "macs_per_clip": parameters * 400.0,
            "train_clips_per_second": 1.37,
            "train_joules_per_clip": 12.5,
            "inference_clips_per_second": 4.4,
            "peak_memory_mb": 3100.5,
            "batch_size": config.cost.batch_size,
            "steps": config.cost.steps,
            "precision": "fp32",
            "threads": 2,
            "device": "cpu",
            "provenance": _environment(),
        }
    )
    measured.write(Layout.of(config).results / "cost" / f"{model}.json")


def _environment() -> dict[str, Any]:
    return {
        "git_sha": "0123456789abcdef0123456789abcdef01234567",
        "dirty": True,
        "diff_sha256": digest_of("diff"),
        "python": "3.11.9",
        "packages": {"torch": "2.13.0", "numpy": "2.4.0", "mlflow": None},
        "pins_sha256": digest_of("pins"),
        "platform": "Linux",
        "cpu": "Made-up CPU avx2",
        "cores": 2,
    }


def record_values(value: float = 0.5, seed: int = 0, fold: int = -1) -> dict[str, Any]:
    """The values of a whole record of no experiment: classes a and b, one test figure."""
    cell = {"dataset": "d", "model": "m", "variant": "base", "fold": fold, "seed": seed}
    metric = {"implementation": "none", "version": "1", "parameters": {}, "n": 100}
    names = ("code_train", "code_evaluate", "data", "features", "pins")
    process = {"threads": 1, "device": "cpu", "deterministic": True, "command": "none"}
    return {
        "key": f"d/m/base/{f'fold{fold}-' if fold >= 0 else ''}seed{seed}",
        "identity": "",
        "parent": None,
        "resolved": {
            "cell": cell,
            "dataset": {"fold_protocol": "clean"},
            "front_end": {"frames": 100, "mels": 64},
            "model": {"architecture": "any", "front_end": "logmel"},
            "recipe": {},
            "parent": None,
        },
        "config_digest": "",
        "digests": {name: digest_of(name) for name in names},
        "splits": {"train": 300, "validation": 100, "test": 100},
        "seeds": {},
        "provenance": {**_environment(), **process, "started": "", "finished": ""},
        "network": None,
        "parameters": 1,
        "cost": {"train_seconds": 1.0, "score_seconds": 1.0},
        "cell": cell,
        "experiment": "none",
        "data_kind": "real",
        "coverage": {"found": 500, "listed": 500, "excluded": 0, "windowed": 0},
        "lists": {"digest": "", "clips": {}},
        "shared_recordings": {},
        "classes": ["a", "b"],
        "metrics": {
            "test": {"mAP": {**metric, "value": value, "per_class": {"a": value, "b": None}}},
            "validation": {},
        },
        "chance": {"mAP": 0.1},
        "files": {},
    }


def make_many(config: Config, points: int) -> int:
    """Results of every run: the first seed's, and for the other seeds copies whose figures move a
    little, each with a curve of `points`. Returns the number of records."""
    make_inputs(config)
    rng, layout, listed = np.random.default_rng(0), Layout.of(config), list_cells(config)
    originals: dict[tuple[str, str, str], Path] = {}
    for cell in listed:
        key = (cell.dataset, cell.model, cell.variant)
        if key not in originals:
            make_run(config, cell)
            originals[key] = layout.run(cell)
        curve = _curve_of(config, cell, points)
        if layout.run(cell) == originals[key]:
            change_record(config, cell, files={curve.name: digest_file(curve)})
        if layout.run(cell) != originals[key]:
            _copy_run(config, cell, originals[key], rng)
    for model in config.cost.models:
        make_cost(config, model)
    return len(listed)


def _copy_run(config: Config, cell: Cell, source: Path, rng: np.random.Generator) -> None:
    folder, resolved = Layout.of(config).run(cell), plan(config, cell)
    for name in ("scores.npz", "events.tsv"):
        if (source / name).exists():
            os.link(source / name, folder / name)
    record = read_sealed(source / "record.json")
    parent = resolved.parent
    record |= {
        "key": str(cell),
        "cell": vars(cell),
        "resolved": resolved.resolved,
        "config_digest": resolved.digest,
        "identity": digest_of(str(cell)),
        "parent": parent and {"key": str(parent), "identity": digest_of(str(parent))},
    }
    for metric in record["metrics"]["test"].values():
        if metric["value"] is not None:
            metric["value"] = float(np.clip(metric["value"] + rng.normal(0, 0.01), 0, 1))
    write_sealed(folder / "record.json", record)


def _curve_of(config: Config, cell: Cell, points: int) -> Path:
    selection = config.datasets[cell.dataset].selection
    curve = [
        {
            "epoch": epoch,
            "step": 10 * epoch,
            "train_loss": 2 / epoch,
            "learning_rate": 1e-3,
            f"validation_{selection}": 1 - 1 / (epoch + 1),
            "seconds": 2.0 * epoch,
        }
        for epoch in range(1, points + 1)
    ]
    path = Layout.of(config).run(cell) / "metrics.jsonl"
    write_json_lines(path, curve)
    return path


def as_published(entry: Published) -> dict[str, Any]:
    """What a record must say so that `entry` stands beside it: its data, network, start, features,
    recipe.

    The lists count what the published ones do; nothing else of the record is changed.
    """
    known = fingerprints()
    data, network = known.data[entry.dataset], known.networks[entry.beside]
    clips = {"train": 100, "validation": 100, "test": 100}
    for splits, count in data.clips.items():
        first, *others = splits.split("+")
        clips[first] = count - sum(clips[split] for split in others)
    starts = {"": "random", "random": "random", "imagenet": "imagenet:swin-tiny-c24"}
    starts["audioset"] = "official:ast-audioset-10"
    starts["pretrained"] = "pretrained:dasheng-encoder"
    recipe: dict[str, Any] = {}
    dataset: dict[str, Any] = {}
    if entry.recipe:
        experiment, of, model = entry.recipe.split("/")
        settings = experiments.load(ROOT / "config" / f"{experiment}.yaml")
        recipe = settings.recipe(model, of).model_dump(mode="json")
        dataset = {"loss": settings.datasets[of].loss}
    return {
        "data_kind": "real",
        "classes": list(class_list(data.classes)),
        "lists": {"clips": clips, "digest": data.lists or ""},
        "splits": clips,
        "network": {**network.values, **network.training},
        "resolved": {
            "model": {"architecture": network.architecture},
            "front_end": dict(entry.front_end),
            "dataset": dataset,
            "recipe": {**recipe, "init": starts[entry.start]},
        },
        **({"parameters": entry.parameters} if entry.parameters else {}),
    }


def change_record(config: Config, cell: Cell, **values: Any) -> None:
    """Overwrite parts of a record: nested mappings are merged, anything else replaced."""
    path = Layout.of(config).record(cell)
    write_sealed(path, merged(read_sealed(path), values))


def merged(base: Any, change: Any) -> Any:
    """`change` over `base`: nested mappings are merged, anything else replaced."""
    if isinstance(base, dict) and isinstance(change, Mapping):
        return base | {key: merged(base.get(key), value) for key, value in change.items()}
    return change
