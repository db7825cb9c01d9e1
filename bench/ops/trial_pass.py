"""One forward pass of a network on features of its front end's shape, before any work starts:
checks what it returns, and which outputs a run's labels train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch.autograd.graph import saved_tensors_hooks

from bench.experiment.cells import Plan
from bench.files import UserError
from bench.models.networks import build
from modelkit.output import ModelOutput

CLIPS, CLASSES = 1, 10


def trial(plan: Plan) -> tuple[torch.nn.Module, ModelOutput]:
    """The network of a plan for CLASSES classes, and what it returns, see `try_network`.

    It is built without values (torch's device meta), which takes a fraction of a second at any
    size; a network that this stops, such as one that computes with its weights when it is built,
    is built with values.

    Raises:
        UserError: an argument does not fit, or as `try_network`.
    """
    try:
        with torch.device("meta"):
            network = build(plan, CLASSES)
            return network, try_network(network, plan)
    except Exception:
        network = _built(plan)
        return network, try_network(network, plan)


def _built(plan: Plan) -> torch.nn.Module:
    try:
        return build(plan, CLASSES)
    except UserError:
        raise
    except Exception as error:  # whatever a plug-in's code raises
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        where = f"models.{plan.cell.model} ({plan.model.architecture}, as in {plan.cell})"
        raise UserError(f"{where}: building it stopped: {said}") from error


def try_network(network: torch.nn.Module, plan: Plan) -> ModelOutput:
    """Check what the network of a plan, built for CLASSES classes, returns against `ModelOutput`.

    Returns:
        Its output, with the graph of its computation but without what a backward pass needs.

    Raises:
        UserError: it stops, or returns other shapes; the message names the model, the shape of its
            input, and the returned and expected shapes.
    """
    features = torch.zeros(CLIPS, plan.front_end.frames, plan.front_end.mels)
    where = (
        f"models.{plan.cell.model} ({plan.model.architecture}, as in {plan.cell}) on features "
        f"{tuple(features.shape)} (clips, frames, mels) and {CLASSES} classes"
    )
    try:
        with saved_tensors_hooks(lambda _: None, lambda kept: kept):
            output = network.eval()(features)
    except Exception as error:  # whatever a plug-in's code raises
        said = " ".join(str(error).split())
        raise UserError(f"{where}: forward stopped: {type(error).__name__}: {said}") from error
    wrong = list(_wrong(output))
    if wrong:
        raise UserError(f"{where}: forward returned {'; '.join(wrong)}")
    returned: ModelOutput = output
    return returned


def check_trained(network: torch.nn.Module, output: ModelOutput, plan: Plan) -> str:
    """Check that the labels of a plan train the outputs of its network, by what a gradient reaches.

    Returns:
        A note on clip scores that no label trains and that nothing uses; empty without one.

    Raises:
        UserError: events would be decided by frame logits that clip labels do not train, or an
            epoch be chosen by clip logits that time ranges do not train.
    """
    if output.frame_logits is None:
        return ""
    clip, frame = (_reached(logits) for logits in (output.clip_logits, output.frame_logits))
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    supervision, cell = plan.recipe.supervision, plan.cell
    where = f"{cell.dataset}/{cell.model}/{cell.variant}: supervision '{supervision}'"
    if supervision == "weak" and plan.dataset.localize and frame - clip:
        layers = _layers(names, frame - clip)
        raise UserError(
            f"{where} leaves {layers}, which makes the frame logits, untrained, and events are "
            f"decided by them; set it to both or strong, or datasets.{cell.dataset}.localize to "
            "false"
        )
    if supervision == "strong" and clip - frame:
        layers = _layers(names, clip - frame)
        said = f"{where} leaves {layers}, which makes the clip logits, untrained"
        if plan.recipe.select == "best" and not plan.recipe.average_epochs:
            raise UserError(
                f"{said}, and they choose the epoch; set it to both, or the recipe's select to last"
            )
        return f"{said}: its clip scores say nothing"
    return ""


def _reached(logits: torch.Tensor) -> set[int]:
    """The ids of the parameters that a gradient of these logits reaches."""
    found, seen, waiting = set(), set(), [logits.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        waiting += [following for following, _ in node.next_functions]
    return found


def _layers(names: Mapping[int, str], parameters: set[int]) -> str:
    """The layers of some parameters, by name."""
    found = (names[one].rpartition(".")[0] or names[one] for one in parameters if one in names)
    return ", ".join(sorted(set(found)))


def _wrong(output: object) -> Iterator[str]:
    """How a returned value differs from `ModelOutput`."""
    if not isinstance(output, ModelOutput):
        yield f"{type(output).__name__}, not modelkit.output.ModelOutput"
        return
    clip, frame = output.clip_logits, output.frame_logits
    if tuple(clip.shape) != (CLIPS, CLASSES):
        yield f"clip_logits {tuple(clip.shape)}, not (clips, classes) = {(CLIPS, CLASSES)}"
    if frame is None:
        return
    if frame.ndim != 3 or (frame.shape[0], frame.shape[2]) != (CLIPS, CLASSES):
        yield f"frame_logits {tuple(frame.shape)}, not ({CLIPS}, times, {CLASSES})"
    if not output.seconds_per_frame > 0:
        yield f"frame_logits with seconds_per_frame {output.seconds_per_frame}"
