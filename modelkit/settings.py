"""Settings of augmentation: plain values, which a config reads without loading torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Pairing = Literal["reversed", "pairs", "permutation", "anywhere"]

# pydantic reads this if a config has such a section; it is not imported here.
SECTION = {"extra": "forbid", "use_attribute_docstrings": True}


@dataclass(frozen=True)
class SpecAugment:
    """Masked stripes (Park et al. 2019), drawn as torchlibrosa's `SpecAugmentation` draws them.

    Per clip and stripe, the width is uniform in {0, ..., max_width - 1} and the start uniform in
    {0, ..., size - width - 1}, so the last frame and mel are never masked.
    The defaults are those of PANNs and of HTS-AT's code (the paper of HTS-AT names only the
    largest total, 128 frames and 16 mels).

    Raises:
        ValueError: a negative number of stripes, or a width below 1.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = SECTION

    time_stripes: int = 2
    """stripes of frames"""
    time_width: int = 64
    """widths are below this many frames"""
    mel_stripes: int = 2
    """stripes of mel bands"""
    mel_width: int = 8
    """widths are below this many mel bands"""

    def __post_init__(self) -> None:
        if min(self.time_stripes, self.mel_stripes) < 0 or min(self.time_width, self.mel_width) < 1:
            raise ValueError(f"specaugment needs stripes >= 0 and widths >= 1; got {self}")


@dataclass(frozen=True)
class Mixup:
    """How a batch is mixed: x' = l x[first] + (1 - l) x[second], l ~ Beta(alpha, alpha) per item.

    Raises:
        ValueError: alpha or rate is out of range.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = SECTION

    alpha: float = field(metadata={"examples": [0.5]})
    """of Beta(alpha, alpha): 0.5 in HTS-AT, 1 in PANNs, 10 in AST"""
    pairing: Pairing = "permutation"
    """partner: reversed: item i with item B - 1 - i (HTS-AT); pairs: its neighbour, which halves
    the batch (PANN); permutation: a random clip of the batch; anywhere: a random training clip
    (AST): the first half of the batch is mixed with the second, which holds these"""
    labels: bool = True
    """whether targets are mixed like the features; false as in HTS-AT's code, where they stay
    those of the first item, even where its share is small"""
    rate: float = 1.0
    """share of items that are mixed (AST: 0.5)"""

    def __post_init__(self) -> None:
        if self.alpha <= 0 or not 0 <= self.rate <= 1:
            raise ValueError(
                f"mixup needs alpha > 0 and 0 <= rate <= 1; got {self.alpha} and {self.rate}"
            )
