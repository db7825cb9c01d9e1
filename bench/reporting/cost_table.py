"""The cost of the models: as trained here, and at full size, measured on a few steps."""

from __future__ import annotations

from bench.reporting import context
from bench.reporting.tables import Column, Entry, Row, Table
from bench.results.analysis import Analysis
from bench.results.columns import memory_column, time_column
from bench.results.full_size import (
    BYTES_PER_PARAMETER,
    USABLE,
    cost_name,
    is_full_size,
    largest_batch,
    projected_hours,
)
from bench.results.names import model_name, short_dataset_name
from bench.results.training import Origin
from bench.results.words import counted

MEGA = 1e-6
PARAMETERS, PUBLISHED, MULTIPLY_ADDS, ACTIVATIONS, TRAINING, INFERENCE, ENERGY, PROJECTED = (
    Column(key, title, 3, scale, significant=True, spread=spread, short=short, csv_only=csv_only)
    for key, title, scale, spread, short, csv_only in (
        ("parameters_M", "params (M)", MEGA, False, "par. (M)", False),
        ("published_parameters_M", "published (M)", MEGA, False, "", True),
        ("multiply_adds_G", "GMAC per clip", 1e-9, False, "GMAC", False),
        ("activations_MB_per_clip", "activations (MB per clip)", MEGA, False, "act. (MB)", False),
        ("train_clips_per_s", "training (clips/s)", 1.0, True, "train (/s)", False),
        ("inference_clips_per_s", "inference (clips/s)", 1.0, False, "infer (/s)", False),
        ("energy_J_per_clip", "energy (J per clip)", 1.0, False, "J/clip", False),
        ("projected_hours", "AudioSet on this device (h)", 1.0, False, "proj. (h)", False),
    )
)
CARDS_GIB = (12, 24, 32, 80)
BATCHES = tuple(
    Column(f"largest_batch_{size}GiB", f"batch in {size} GiB", 0, spread=False, short=f"{size} GiB")
    for size in CARDS_GIB
)


def cost_table(analysis: Analysis) -> Table:
    """Models measured on a few steps first, then the models of this experiment by data set."""
    memory, hours = _memory(analysis), _hours(analysis)
    return Table(
        name="cost",
        title="Cost: models measured on a few steps, and the runs of this experiment",
        caption="Cost of networks measured on a few steps, and of the runs here.",
        data=context.data_words(analysis.config),
        columns=[
            *(PARAMETERS, PUBLISHED, MULTIPLY_ADDS, ACTIVATIONS, memory, *BATCHES),
            *(TRAINING, INFERENCE, hours, ENERGY, PROJECTED),
        ],
        rows=[*_measured_rows(analysis, memory), *_trained_rows(analysis, memory, hours)],
        notes=[
            "Measured on a few steps: training steps of one batch of random features. Runs of this "
            "experiment: mean ± standard deviation over seeds. "
            "Parameters: those that take part in the output. "
            "Activations: bytes that the backward pass keeps for one clip. "
            "Peak memory: of the process on a CPU (libraries included), of the device otherwise. "
            "Training time: of one run, its parent's not included. "
            f"Batch in n GiB: the largest for which fp32 weights, gradients, two Adam moments "
            f"({BYTES_PER_PARAMETER} bytes a parameter) and the measured activations fill "
            f"{100 * USABLE:.0f} % of them. Energy: of the device or the CPU packages while "
            "training, where the hardware reports it.",
            "AudioSet on this device: a projection from the measured rate to as many clips as the "
            f"published training sees ({_training_clips(analysis)}), on the hardware named below.",
            *_measured_notes(analysis),
            f"Runs trained on: {_run_hardware(analysis)}.",
        ],
    )


def _memory(analysis: Analysis) -> Column:
    """Peak memory, in the unit that fits the largest."""
    measured = [cost.peak_memory_mb for cost in analysis.costs.values()]
    runs = (s.mean for g in analysis.groups.values() if (s := g.cost("peak_memory_mb")))
    return memory_column("peak_memory", "peak memory", [*measured, *runs], "peak")


def _hours(analysis: Analysis) -> Column:
    """Training time, in the unit that fits the longest."""
    groups = analysis.groups.values()
    hours = (s.mean for group in groups if (s := group.cost("train_hours")))
    return time_column("training", "training of a run", hours, "run")


def _measured_rows(analysis: Analysis, memory: Column) -> list[Row]:
    rows = []
    for model in analysis.config.cost.models:
        cost = analysis.costs.get(model)
        label = cost_name(analysis, model)
        full = is_full_size(analysis, model)
        size = "Full size" if full else "Another size"
        section = f"{size}, measured on a few steps ({analysis.config.cost.classes} classes)"
        if cost is None:
            rows.append(Row(label, {"parameters_M": Entry(words="not measured")}, section=section))
            continue
        entries = {
            "parameters_M": Entry(cost.parameters),
            "published_parameters_M": Entry(cost.published_parameters if full else None),
            "multiply_adds_G": Entry(cost.macs_per_clip),
            "activations_MB_per_clip": Entry(cost.activation_bytes_per_clip),
            memory.key: Entry(cost.peak_memory_mb),
            "train_clips_per_s": Entry(cost.train_clips_per_second),
            "inference_clips_per_s": Entry(cost.inference_clips_per_second),
            "energy_J_per_clip": Entry(cost.train_joules_per_clip),
        }
        entries |= {
            column.key: Entry(
                float(largest_batch(cost.parameters, cost.activation_bytes_per_clip, size))
            )
            for column, size in zip(BATCHES, CARDS_GIB, strict=True)
        }
        clips = analysis.config.cost.models[model].get("published_training_clips")
        if clips:
            rate = cost.train_clips_per_second
            entries[PROJECTED.key] = Entry(projected_hours(clips, rate))
        rows.append(Row(label, entries, (f"cost/{model}",), f"cost/{model}", section))
    return rows


def _training_clips(analysis: Analysis) -> str:
    known = (
        (cost_name(analysis, model), values.get("published_training_clips"))
        for model, values in analysis.config.cost.models.items()
    )
    listed = [f"{name} {clips / 1e6:.1f} million" for name, clips in known if clips]
    return ", ".join(listed) or "none stated"


def _trained_rows(analysis: Analysis, memory: Column, hours: Column) -> list[Row]:
    rows = []
    for dataset in analysis.config.datasets:
        section = f"Runs of this experiment: {short_dataset_name(analysis.config, dataset)}"
        for group in analysis.base_groups(dataset):
            entries = {
                "parameters_M": Entry(group.parameters),
                "activations_MB_per_clip": Entry.of(group.cost("activation_bytes_per_clip")),
                memory.key: Entry.of(group.cost("peak_memory_mb")),
                "train_clips_per_s": Entry.of(group.cost("clips_per_second")),
                hours.key: Entry.of(group.cost("train_hours")),
            }
            label = model_name(analysis.config, group.model)
            rows.append(Row(label, entries, group.record_keys, group.name, section))
    return rows


def _measured_notes(analysis: Analysis) -> list[str]:
    facts: dict[str, list[str]] = {}
    for model, cost in analysis.costs.items():
        hardware = _hardware(cost.device, cost.provenance, cost.threads)
        steps = counted(cost.steps, "step")
        how = f"batch of {cost.batch_size}, {steps} after a warm-up, "
        how += f"{cost.precision}, {hardware}"
        facts.setdefault(how, []).append(cost_name(analysis, model))
    return [f"{', '.join(models)}: {how}." for how, models in facts.items()]


def _run_hardware(analysis: Analysis) -> str:
    found = (run.record.provenance for group in analysis.groups.values() for run in group.runs)
    return "; ".join(dict.fromkeys(_hardware(p.device, p, p.threads) for p in found))


def _hardware(device: str, provenance: Origin, threads: int) -> str:
    if device != "cpu":
        return device
    return f"{provenance.cpu}, {counted(threads, 'thread')}"
