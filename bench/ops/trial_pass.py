"""One forward pass of a network on features of its front end's shape, before any work starts."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench.experiment.cells import Plan
from bench.files import UserError
from modelkit.output import ModelOutput

CLIPS, CLASSES = 1, 10


def try_network(network: torch.nn.Module, plan: Plan) -> None:
    """Hold what the network of a plan, built for CLASSES classes, returns against `ModelOutput`.

    Raises:
        UserError: it stops, or returns other shapes; the message names the model, the shape that it
            was given, and what it returned instead of what.
    """
    features = torch.zeros(CLIPS, plan.front_end.frames, plan.front_end.mels)
    where = (
        f"models.{plan.cell.model} ({plan.model.architecture}, as in {plan.cell}) on features "
        f"{tuple(features.shape)} (clips, frames, mels) and {CLASSES} classes"
    )
    try:
        with torch.inference_mode():
            output = network.eval()(features)
    except Exception as error:  # whatever a plug-in's code raises
        said = " ".join(str(error).split())
        raise UserError(f"{where}: forward stopped: {type(error).__name__}: {said}") from error
    wrong = list(_wrong(output))
    if wrong:
        raise UserError(f"{where}: forward returned {'; '.join(wrong)}")


def _wrong(output: object) -> Iterator[str]:
    """What a returned value has otherwise than `ModelOutput` says."""
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
