"""From a plan to a model: the only place where training imports architectures, late and by name."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.experiment import released
from bench.experiment.cells import Plan
from bench.experiment.config import FrontEnd
from bench.files import UserError, write_tensors
from bench.models.card import Card

if TYPE_CHECKING:
    import torch

    from modelkit.checkpoint import KeyReport


def build(plan: Plan, classes: int) -> torch.nn.Module:
    """The model of a plan, with random weights from torch's global generator.

    It maps features (B, T, F) to a `modelkit.output.ModelOutput` with `classes` logits.

    Raises:
        UserError: an argument is unknown to the model or does not fit the front end.
    """
    model = plan.model
    try:
        return construct(model.architecture, model.arguments, plan.front_end, classes)
    except (TypeError, ValueError) as error:
        raise UserError(f"{plan.cell}: models.{plan.cell.model}.arguments: {error}") from error


def construct(
    architecture: str, arguments: Mapping[str, Any], front_end: FrontEnd, classes: int
) -> torch.nn.Module:
    """A model for features of this front end; raises TypeError or ValueError for bad arguments."""
    constructor = registry.find(architecture, registry.ARCHITECTURES)
    sizes = {"frames": front_end.frames, "mels": front_end.mels, "seconds": front_end.seconds}
    return constructor(classes, **sizes, **arguments)


def save_run(model: torch.nn.Module, card: Card, path: Path) -> None:
    """Write a run's weights and what must be known to use them, atomically."""
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    write_tensors(path, {"state_dict": weights, "card": card.to_plain()})


def open_checkpoint(
    path: Path, entry_name: str | None = None, plugin: str | None = None
) -> tuple[torch.nn.Module, Card]:
    """The model and card of a run's model.pt or of a file that its authors released.

    Args:
        entry_name: which entry of the registry the file is; None: identified by its name.
        plugin: the class outside of this project, module:Class, that the file may name.

    Raises:
        UserError: no such file, not a checkpoint, an unknown file, or one whose entries do not fit
            its model.
    """
    from modelkit.checkpoint import CheckpointError

    entry = released.find(entry_name) if entry_name else released.recognise(path)
    try:
        if entry is not None:
            card = Card.of_released(entry_name or path.name, entry)
            return open_released(card, path), card
        return _open_run(path, plugin)
    except (CheckpointError, FileNotFoundError) as error:
        raise UserError(str(error)) from error


def open_released(card: Card, path: Path) -> torch.nn.Module:
    """A model with the weights of a released file; raises what `load_official` raises."""
    model = construct(card.architecture, card.arguments, card.front_end, len(card.classes))
    rate = {"sample_rate": card.front_end.sample_rate} if card.architecture == "htsat" else {}
    model.load_official(path, **rate)  # type: ignore[operator]
    return model


def _open_run(path: Path, plugin: str | None) -> tuple[torch.nn.Module, Card]:
    from modelkit.checkpoint import load_checked, read_checkpoint, state_dict_of

    content = read_checkpoint(path)
    if not isinstance(content, Mapping) or not {"card", "state_dict"} <= set(content):
        raise UserError(
            f"{path}: neither a run's model.pt nor named like a released checkpoint; give it a "
            f"released file's name, or say which one it is with --as "
            f"({', '.join(released.evaluable())})"
        )
    try:
        card = Card.from_plain(content["card"])
        if card.architecture not in {*registry.ARCHITECTURES, plugin}:
            raise UserError(
                f"{path}: its model is '{card.architecture}', code outside of this project; if you "
                f"trust it, name it: --plugin {card.architecture}"
            )
        model = construct(card.architecture, card.arguments, card.front_end, len(card.classes))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: written by another version of this software ({error}); train again"
        ) from error
    state = state_dict_of(content["state_dict"], path, prefixes=())
    if (fit_shapes := getattr(model, "fit_shapes", None)) is not None:
        fit_shapes(state)
    load_checked(model, state, source=path)
    return model, card


def live_parameters(model: torch.nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def resolved_values(model: torch.nn.Module) -> dict[str, Any] | None:
    """What fixes a network besides its classes and its features, preset and arguments resolved.

    Read from the model as it was built (`model.architecture`, a dataclass); None if its class does
    not state it.
    """
    found = getattr(model, "architecture", None)
    return asdict(found) if is_dataclass(found) and not isinstance(found, type) else None


def device_name(model: torch.nn.Module) -> str:
    """The name of the GPU that a model is on, or cpu."""
    import torch

    device = next(model.parameters()).device
    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else "cpu"


def peak_memory(model: torch.nn.Module) -> int:
    """The most bytes that were allocated on a model's GPU, or that this process has held."""
    import torch

    device = next(model.parameters()).device
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def start_from_run(model: torch.nn.Module, plan: Plan, weights: Path) -> KeyReport:
    """Start from the weights of another run of the same architecture, all but the classifier.

    A model with `adapt_state` first fits what its arguments and features reshape (HTS-AT's relative
    position tables, AST's position table).

    Raises:
        UserError: the file is missing or damaged, or an entry does not fit the plan's model; names
            the values in which the two networks differ.
    """
    from modelkit.checkpoint import CheckpointError, load_checked

    try:
        other, card = _open_run(weights, plan.model.architecture)
    except FileNotFoundError as error:
        raise UserError(f"{weights}: no such file; train the run it belongs to first") from error
    except CheckpointError as error:
        raise UserError(f"{error}, or train the run it belongs to again") from error
    if card.architecture != plan.model.architecture:
        raise UserError(f"{weights}: tensors of another model; train the run it belongs to again")
    new = _classifier_entries(model, other, card)
    adapt = getattr(model, "adapt_state", None)
    state = other.state_dict() if adapt is None else adapt(other)
    report = load_checked(model, state, ignore=new, fresh=new, strict=False, source=weights)
    if report.complete:
        return report
    theirs = _structure(other, card.arguments, card.front_end)
    own = _structure(model, plan.model.arguments, plan.front_end)
    differing = [key for key in {**theirs, **own} if theirs.get(key) != own.get(key)]
    names = (*report.missing, *report.unexpected, *(name for name, *_ in report.misshaped))
    raise UserError(
        f"{plan.cell}: recipe init '{plan.recipe.init}': {len(names)} entries of {card.name} do "
        f"not fit ({names[0]}): it has "
        + ", ".join(f"{key} {theirs.get(key)} (here {own.get(key)})" for key in differing)
        + f"; set the same under models.{plan.cell.model}, or start from a run of this variant "
        "(init: run:DATASET/VARIANT)"
    )


def _structure(
    model: torch.nn.Module, arguments: Mapping[str, Any], front_end: FrontEnd
) -> dict[str, Any]:
    """What the shapes of a model's entries follow from, besides its classes."""
    values = resolved_values(model) or arguments
    return {**values, "frames": front_end.frames, "mels": front_end.mels}


def _classifier_entries(
    model: torch.nn.Module, other: torch.nn.Module, card: Card
) -> tuple[str, ...]:
    """Patterns of the entries that are new with other classes: as the model states them, else those
    whose shape depends on the number of classes in the model of the card, `other`."""
    stated: tuple[str, ...] | None = getattr(model, "classifier_entries", None)
    if stated is not None:
        return stated
    more = construct(card.architecture, card.arguments, card.front_end, len(card.classes) + 1)
    shapes = {name: value.shape for name, value in more.state_dict().items()}
    return tuple(name for name, v in other.state_dict().items() if v.shape != shapes[name])


def start_from_file(model: torch.nn.Module, init: str, path: Path) -> KeyReport:
    """Start from the file of official:NAME (all but the classifier), imagenet:NAME or
    pretrained:NAME, see `Recipe.init`.

    Returns what became of each entry of the file: of timm's Swin-T, some do not fit.

    Raises:
        UserError: the file is missing or not this model's, or the model has no such start.
    """
    from modelkit.checkpoint import CheckpointError

    kind = init.partition(":")[0]
    load = getattr(model, f"load_{kind}", None)
    if load is None:
        raise UserError(f"init '{init}': {type(model).__name__} has no {kind} weights")
    try:
        return load(path, new_classes=True) if kind == "official" else load(path)
    except (CheckpointError, FileNotFoundError) as error:
        raise UserError(f"init '{init}': {error}") from error
