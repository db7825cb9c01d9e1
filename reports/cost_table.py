"""What the models cost: as trained in this profile, and at full size, measured on a few steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports import context
from reports.names import model_name, short_dataset_name
from reports.results import Results
from reports.tables import Column, Entry, Row, Table

MEGA = 1e-6
COLUMNS = tuple(
    Column(key, title, 3, scale, significant=True, spread=spread, short=short)
    for key, title, scale, spread, short in (
        ("parameters_M", "params (M)", MEGA, False, "par. (M)"),
        ("published_parameters_M", "published (M)", MEGA, False, "publ. (M)"),
        ("multiply_adds_G", "GMAC per clip", 1e-9, False, "GMAC"),
        ("activations_MB_per_clip", "activations (MB per clip)", MEGA, False, "act. (MB)"),
        ("peak_memory_MB", "peak memory (MB)", 1.0, True, "peak (MB)"),
        ("train_clips_per_s", "training (clips/s)", 1.0, True, "train (clips/s)"),
        ("inference_clips_per_s", "inference (clips/s)", 1.0, False, "infer (clips/s)"),
        ("step_s", "training step (s)", 1.0, False, "step (s)"),
        ("training_hours", "training hours", 1.0, True, "hours"),
    )
)


def cost_table(results: Results) -> Table:
    """Models measured on a few steps first, then the models of this profile by data set."""
    data, seeds = context.data_words(results), len(results.config.seeds)
    return Table(
        name="cost",
        title=f"Cost: models measured on a few steps, and the runs of this profile ({data})",
        caption=(
            "Cost. Measured on a few steps: one training step of a batch of random features. "
            f"Runs of this profile: mean ± standard deviation over {seeds} seeds, on {data}. "
            "Parameters: those that take part in the output. "
            "Activations: bytes that the backward pass keeps for one clip. "
            "Peak memory: of the process on a CPU (libraries included), of the device otherwise. "
            "Training hours: of one run, its parent's not included."
        ),
        columns=COLUMNS,
        rows=[*_measured_rows(results), *_trained_rows(results)],
        notes=[*_measured_notes(results), f"Runs trained on: {_run_hardware(results)}."],
    )


def is_full_size(results: Results, model: str) -> bool:
    """Whether a model of `cost.models` is the published architecture, not a small preset."""
    return "preset" not in results.config.cost.models[model]


def _measured_rows(results: Results) -> list[Row]:
    rows = []
    for model in results.config.cost.models:
        cost = results.costs.get(model)
        label = cost_name(results, model)
        size = "Full size" if is_full_size(results, model) else "Small preset"
        section = f"{size}, measured on a few steps ({results.config.cost.classes} classes)"
        if cost is None:
            rows.append(Row(label, {"parameters_M": Entry(words="not measured")}, section=section))
            continue
        entries = {
            "parameters_M": Entry(cost["parameters"]),
            "published_parameters_M": Entry(cost["published_parameters"]),
            "multiply_adds_G": Entry(cost["macs_per_clip"]),
            "activations_MB_per_clip": Entry(cost["activation_bytes_per_clip"]),
            "peak_memory_MB": Entry(cost["peak_memory_mb"]),
            "train_clips_per_s": Entry(cost["train_clips_per_second"]),
            "inference_clips_per_s": Entry(cost["inference_clips_per_second"]),
            "step_s": Entry(cost["batch_size"] / cost["train_clips_per_second"]),
        }
        rows.append(Row(label, entries, (f"cost/{model}",), f"cost/{model}", section))
    return rows


def cost_name(results: Results, model: str) -> str:
    """The name of a key of `cost.models`, which need not be a model of the profile."""
    return model_name(results.config, model) if model in results.config.models else model


def _trained_rows(results: Results) -> list[Row]:
    rows = []
    for dataset in results.config.datasets:
        section = f"Runs of this profile: {short_dataset_name(results.config, dataset)}"
        for group in results.base_groups(dataset):
            entries = {
                "parameters_M": Entry(float(group.first["parameters"])),
                "activations_MB_per_clip": Entry.of(group.cost("activation_bytes_per_clip")),
                "peak_memory_MB": Entry.of(group.cost("peak_memory_mb")),
                "train_clips_per_s": Entry.of(group.cost("clips_per_second")),
                "training_hours": Entry.of(group.cost("train_hours")),
            }
            label = model_name(results.config, group.model)
            rows.append(Row(label, entries, group.record_keys, group.name, section))
    return rows


def _measured_notes(results: Results) -> list[str]:
    facts: dict[str, list[str]] = {}
    for model, cost in results.costs.items():
        hardware = _hardware(cost.get("device"), cost["provenance"], cost["threads"])
        how = f"batch of {cost['batch_size']}, {cost['steps']} steps after a warm-up, "
        how += f"{cost['precision']}, {hardware}"
        facts.setdefault(how, []).append(cost_name(results, model))
    return [f"{', '.join(models)}: {how}." for how, models in facts.items()]


def _run_hardware(results: Results) -> str:
    found = (run.values["provenance"] for group in results.groups.values() for run in group.runs)
    return "; ".join(dict.fromkeys(_hardware(p["device"], p, p["threads"]) for p in found))


def _hardware(device: str | None, provenance: Mapping[str, Any], threads: int) -> str:
    if device and device != "cpu":
        return device
    plural = "" if threads == 1 else "s"
    return f"{provenance['cpu']}, {threads} thread{plural}"
