"""How cost grows: seconds over clips, clip length, classes, batch and runs, as log-log slopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.code_digest import ROOT
from speed.timing import interleaved, slope


def measure(*, quick: bool) -> list[dict[str, Any]]:
    """Rows of {what, value: slope, unit: how it was measured, sizes, seconds}.

    A slope of 1 is linear growth, 0 is none. Models are the small presets, on a training step.
    """
    rounds = 1 if quick else 5
    return [
        _curve("HTS-AT over batch", (4, 8, 16, 32), _htsat_batch, rounds),
        _curve("HTS-AT over clip length", (125, 250, 500, 1000), _htsat_length, rounds),
        _curve("PANN over clip length", (125, 250, 500, 1000), _pann_length, rounds),
        _curve("AST over clip length", (256, 512, 1024, 2048), _ast_length, rounds),
        _curve("HTS-AT over classes", (8, 64, 512, 4096), _htsat_classes, rounds),
        _curve("tagging metrics over clips", (1000, 2000, 4000, 8000), _metrics_clips, rounds),
        _curve("tagging metrics over classes", (50, 100, 200, 400), _metrics_classes, rounds),
        _curve("listing jobs over runs", (4, 8, 16, 32), _plan_seeds, 1),
    ]


def _curve(
    what: str, sizes: Sequence[int], make: Callable[[int], Callable[[], Any]], rounds: int
) -> dict[str, Any]:
    found = interleaved({str(size): make(size) for size in sizes}, rounds)
    seconds = [min(found[str(size)]) for size in sizes]
    return {
        "what": what,
        "value": slope(list(map(float, sizes)), seconds),
        "unit": f"slope from {sizes[0]} to {sizes[-1]}",
        "sizes": list(sizes),
        "seconds": seconds,
    }


def _training_step(name: str, batch: int, frames: int, mels: int, **arguments: Any) -> Any:
    import torch

    from bench import registry

    build = registry.find(name, registry.ARCHITECTURES)
    classes = arguments.pop("classes", 50)
    model = build(classes, preset="tiny", frames=frames, mels=mels, **arguments)
    x = torch.randn(batch, frames, mels)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        model(x).clip_logits.square().mean().backward()

    return step


def _htsat_batch(batch: int) -> Any:
    return _training_step("htsat", batch, 125, 32)


def _htsat_length(frames: int) -> Any:
    return _training_step("htsat", 8, frames, 32)


def _pann_length(frames: int) -> Any:
    return _training_step("pann", 4, frames, 32)


def _ast_length(frames: int) -> Any:
    return _training_step("ast", 4, frames, 64)


def _htsat_classes(classes: int) -> Any:
    return _training_step("htsat", 8, 125, 32, classes=classes)


def _metrics_clips(clips: int) -> Any:
    return _metrics(clips, 100)


def _metrics_classes(classes: int) -> Any:
    return _metrics(4000, classes)


def _metrics(clips: int, classes: int) -> Any:
    from bench.metrics.tagging import tagging_metrics
    from speed.pipeline import random_scores

    scores, targets = random_scores(clips, classes)
    names = [str(number) for number in range(classes)]
    return lambda: tagging_metrics(scores, targets, names, multilabel=True)


def _plan_seeds(seeds: int) -> Any:
    """Everything that `plan` and the DAG need about each run: its cell and its resolved values."""
    from bench.experiment import cells, config

    settings = config.load(str(ROOT / "config" / "default.yaml"))
    settings = settings.model_copy(update={"seeds": tuple(range(seeds))})
    return lambda: [cells.plan(settings, cell).digest for cell in cells.list_cells(settings)]
