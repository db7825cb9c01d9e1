"""What the models cost: as trained in this profile, and at full size, measured on a few steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports import context
from reports.names import model_name, short_dataset_name
from reports.results import Results
from reports.tables import DASH, Column, Entry, Row, Table

MEGA = 1e-6
COLUMNS = (
    Column("parameters_M", "params (M)", 3, MEGA, significant=True, spread=False),
    Column("published_parameters_M", "published (M)", 3, MEGA, significant=True, spread=False),
    Column("multiply_adds_G", "GMAC per clip", 3, 1e-9, significant=True, spread=False),
    Column("activations_MB_per_clip", "activations (MB per clip)", 3, MEGA, significant=True),
    Column("peak_memory_MB", "peak memory (MB)", 3, significant=True),
    Column("train_clips_per_s", "training (clips/s)", 3, significant=True),
    Column("inference_clips_per_s", "inference (clips/s)", 3, significant=True, spread=False),
    Column("step_s", "training step (s)", 3, significant=True, spread=False),
    Column("training_hours", "training hours", 2, significant=True),
    Column("hardware", "hardware", words=True),
)


def cost_table(results: Results) -> Table:
    """Full-size models first, then the models of this profile by data set."""
    data, seeds = context.data_words(results), len(results.config.seeds)
    return Table(
        name="cost",
        title=f"Cost of the full-size models, and of the runs of this profile ({data})",
        caption=(
            "Cost. Full size: the published architectures on random features, a few training steps "
            f"each. Runs of this profile: mean ± standard deviation over {seeds} seeds, on {data}. "
            "Parameters: those that take part in the output. "
            "Activations: bytes that the backward pass keeps for one clip. "
            "Peak memory: of the process on a CPU (libraries included), of the device otherwise. "
            "Training hours: of one run, its parent's not included."
        ),
        columns=COLUMNS,
        rows=[*_full_size(results), *_trained(results)],
        notes=[_batch_note(model, cost) for model, cost in results.costs.items()],
    )


def _full_size(results: Results) -> list[Row]:
    rows = []
    for model in results.config.cost.models:
        cost = results.costs.get(model)
        label = model_name(results.config, model) if model in results.config.models else model
        entries = _measured(cost) if cost else {"hardware": Entry(words="not measured")}
        section = f"Measured with the config's cost.models ({results.config.cost.classes} classes)"
        rows.append(
            Row(label, entries, (f"cost/{model}",) if cost else (), f"cost/{model}", section)
        )
    return rows


def _measured(cost: Mapping[str, Any]) -> dict[str, Entry]:
    published = cost["published_parameters"]
    return {
        "parameters_M": Entry(cost["parameters"]),
        "published_parameters_M": Entry(published, words=DASH),
        "multiply_adds_G": Entry(cost["macs_per_clip"]),
        "activations_MB_per_clip": Entry(cost["activation_bytes_per_clip"]),
        "peak_memory_MB": Entry(cost["peak_memory_mb"]),
        "train_clips_per_s": Entry(cost["train_clips_per_second"]),
        "inference_clips_per_s": Entry(cost["inference_clips_per_second"]),
        "step_s": Entry(cost["batch_size"] / cost["train_clips_per_second"]),
        "hardware": Entry(words=_hardware(cost.get("device"), cost["provenance"], cost["threads"])),
    }


def _trained(results: Results) -> list[Row]:
    rows = []
    for dataset in results.config.datasets:
        section = f"Trained in this profile: {short_dataset_name(results.config, dataset)}"
        for group in results.base_groups(dataset):
            provenance = group.first["provenance"]
            entries = {
                "parameters_M": Entry(float(group.first["parameters"])),
                "activations_MB_per_clip": Entry.of(group.cost("activation_bytes_per_clip")),
                "peak_memory_MB": Entry.of(group.cost("peak_memory_mb")),
                "train_clips_per_s": Entry.of(group.cost("clips_per_second")),
                "training_hours": Entry.of(group.cost("train_hours")),
                "hardware": Entry(
                    words=_hardware(provenance["device"], provenance, provenance["threads"])
                ),
            }
            label = model_name(results.config, group.model)
            rows.append(Row(label, entries, group.record_keys, group.name, section))
    return rows


def _hardware(device: str | None, provenance: Mapping[str, Any], threads: int) -> str:
    if device and device != "cpu":
        return device
    plural = "" if threads == 1 else "s"
    return f"{provenance['cpu']}, {threads} thread{plural}"


def _batch_note(model: str, cost: Mapping[str, Any]) -> str:
    return (
        f"{model}: batch of {cost['batch_size']}, {cost['steps']} steps after a warm-up, "
        f"{cost['precision']}."
    )
