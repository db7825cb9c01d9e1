"""From a plan to a model: the one place where training meets architectures, by name and late."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench import registry
from bench.cells import Plan
from bench.files import UserError

if TYPE_CHECKING:
    import torch


def build(plan: Plan, classes: int) -> torch.nn.Module:
    """The model of a plan, with random weights from torch's global generator.

    It maps features (B, T, F) to a `modelkit.output.ModelOutput` with `classes` logits.

    Raises:
        UserError: an argument is unknown to the model or does not fit the front end.
    """
    constructor = registry.find(plan.model.architecture, registry.ARCHITECTURES)
    front_end = plan.front_end
    try:
        return constructor(
            classes,
            frames=front_end.frames,
            mels=front_end.mels,
            seconds=front_end.seconds,
            **plan.model.arguments,
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"{plan.cell}: models.{plan.cell.model}.arguments: {error}") from error


def live_parameters(model: torch.nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def start_from_run(model: torch.nn.Module, weights: Path) -> list[str]:
    """Copy the weights of another run of the same architecture, all but the classifier.

    Returns the names left at their random start: tensors whose shape depends on the number of
    classes. A model with `adapt_state` first fits what its arguments reshape (HTS-AT's relative
    position tables).

    Raises:
        UserError: the file is missing or holds another architecture's tensors.
    """
    from modelkit.checkpoint import CheckpointError, read_state_dict

    try:
        state = read_state_dict(weights, prefixes=())
    except FileNotFoundError as error:
        raise UserError(f"{weights}: no such file; train the run it belongs to first") from error
    except CheckpointError as error:
        raise UserError(f"{error}, or train the run it belongs to again") from error
    adapt = getattr(model, "adapt_state", None)
    if adapt is not None:
        state = adapt(state)
    own = model.state_dict()
    foreign = sorted(set(state) ^ set(own))
    if foreign:
        raise UserError(f"{weights}: tensors of another model: {', '.join(foreign[:5])}")
    fresh = [name for name in own if own[name].shape != state[name].shape]
    model.load_state_dict({**own, **{n: state[n] for n in own if n not in fresh}})
    return fresh
