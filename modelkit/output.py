"""What every model returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ModelOutput:
    """Logits of a batch: before sigmoid or softmax.

    Attributes:
        clip_logits: (B, C).
        frame_logits: (B, T', C) in time order, or None where the model cannot localize.
        seconds_per_frame: frame i spans [i, i + 1) times this many seconds from the start of the
            features; 0.0 without frame logits. Frames may reach past the end of the clip
            where a model pads.
    """

    clip_logits: Tensor
    frame_logits: Tensor | None
    seconds_per_frame: float
