"""SpecAugment and mixup with random numbers drawn beforehand.

Every random number of a batch is drawn when its `Augment` is made, from the generator that the
caller passes. Made with `numpy.random.default_rng((seed, epoch, step))`, a batch is augmented in
the same way whatever ran before it, on any device, and after a resumed run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelkit.settings import Mixup, Pairing, SpecAugment

UNMIXED = Mixup(alpha=0.5, pairing="reversed")
"""Mixup's numbers are drawn without mixup too, and not used."""


@dataclass(frozen=True)
class Augment:
    """The augmentation of one batch; models call `mask` and `mix` where their paper does.

    Attributes:
        stripes: SpecAugment's settings, or None: `mask` returns its input.
        time_draws, mel_draws: (B, stripes, 2) uniform numbers in [0, 1): width, position.
        mixup: mixup's settings, or None: `mix` and `targets` return their input.
        share: (B',) l of each mixed item; B' = B / 2 for "pairs" and "anywhere", else B.
        first, second: (B',) int64 indices into the batch.
    """

    stripes: SpecAugment | None
    time_draws: Tensor
    mel_draws: Tensor
    mixup: Mixup | None
    share: Tensor
    first: Tensor
    second: Tensor

    @classmethod
    def draw(
        cls,
        batch: int,
        rng: np.random.Generator,
        *,
        stripes: SpecAugment | None = None,
        mixup: Mixup | None = None,
    ) -> Augment:
        """Draw all numbers for a batch of `batch` clips.

        Raises:
            ValueError: an odd batch cannot be mixed in pairs.
        """
        settings = stripes or SpecAugment()
        time_draws = rng.random((batch, settings.time_stripes, 2))
        mel_draws = rng.random((batch, settings.mel_stripes, 2))
        settings_mixup = mixup or UNMIXED
        first, second = _partners(batch, settings_mixup.pairing, rng)
        share = rng.beta(settings_mixup.alpha, settings_mixup.alpha, len(first))
        share[rng.random(len(first)) >= settings_mixup.rate] = 1.0
        return cls(
            stripes=stripes,
            time_draws=torch.from_numpy(time_draws),
            mel_draws=torch.from_numpy(mel_draws),
            mixup=mixup,
            share=torch.from_numpy(share).float(),
            first=torch.from_numpy(first),
            second=torch.from_numpy(second),
        )

    @property
    def size(self) -> int:
        """Clips that come out of `mix`."""
        return len(self.time_draws) if self.mixup is None else len(self.share)

    def each(self, do: Callable[[Tensor], Tensor]) -> Augment:
        """The same with `do` applied to all its numbers, such as copying them to another device."""
        numbers: dict[str, Any] = {
            key: do(value) for key, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **numbers)

    def part(self, number: int, parts: int) -> tuple[np.ndarray, np.ndarray, Augment]:
        """Share `number` of `parts` of what comes out of `mix`, for processes that split a batch.

        Returns which of the mixed clips it holds, the clips that they are made of (both as indices
        into the batch), and the augmentation of these. Mixed clips stay with their partners: if
        whole pairs divide evenly, each clip of a "reversed" or "pairs" batch is in one share only;
        a "permutation" may need some in two.
        """
        order = np.arange(self.size)
        if self.mixup is not None:
            order = np.argsort(torch.minimum(self.first, self.second).numpy(), kind="stable")
        mine = np.array_split(order, parts)[number]
        if self.mixup is None:
            needed, first, second = mine, self.first, self.second
        else:
            first, second = self.first[mine], self.second[mine]
            needed = np.unique(torch.cat([first, second]).numpy())
            first, second = (
                torch.from_numpy(np.searchsorted(needed, x.numpy())) for x in (first, second)
            )
        return (
            mine,
            needed,
            replace(
                self,
                time_draws=self.time_draws[needed],
                mel_draws=self.mel_draws[needed],
                share=self.share[mine] if self.mixup is not None else self.share,
                first=first,
                second=second,
            ),
        )

    def mask(self, x: Tensor, fill: float = 0.0, *, mixed: bool = False) -> Tensor:
        """Set stripes of `x` (B, T, F) to `fill`; a new tensor, or `x` itself without SpecAugment.

        `mixed`: `x` is what `mix` returned, (B', T, F); each clip has the stripes of its `first`.

        Raises:
            ValueError: a stripe may be wider than the features.
        """
        if self.stripes is None:
            return x
        time_draws, mel_draws = self.time_draws, self.mel_draws
        if mixed and self.mixup is not None:
            time_draws, mel_draws = time_draws[self.first], mel_draws[self.first]
        hidden = _stripes(time_draws, x.shape[1], self.stripes.time_width)[:, :, None]
        hidden = hidden | _stripes(mel_draws, x.shape[2], self.stripes.mel_width)[:, None, :]
        return x.masked_fill(hidden.to(x.device), fill)

    def mix(self, x: Tensor) -> Tensor:
        """Mix `x` (B, ...) along the batch: (B', ...)."""
        if self.mixup is None:
            return x
        share = self.share.to(x).view(-1, *[1] * (x.ndim - 1))
        first, second = self.first.to(x.device), self.second.to(x.device)
        return share * x[first] + (1 - share) * x[second]

    def targets(self, y: Tensor) -> Tensor:
        """Targets (B, ...) that belong to the mixed batch: mixed, or those of `first`."""
        if self.mixup is None:
            return y
        return self.mix(y) if self.mixup.labels else y[self.first.to(y.device)]

    def known(self, weight: Tensor) -> Tensor:
        """Weights (B, T') of targets that belong to the mixed batch.

        A mixed target is known as far as both of its parts are; unmixed, it is that of `first`.
        """
        if self.mixup is None:
            return weight
        first, second = (weight[part.to(weight.device)] for part in (self.first, self.second))
        if not self.mixup.labels:
            return first
        alone = (self.share == 1).to(weight.device)[:, None]
        return torch.where(alone, first, torch.minimum(first, second))


def _partners(batch: int, pairing: Pairing, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    clips = np.arange(batch)
    if pairing == "reversed":
        return clips, clips[::-1].copy()
    if pairing == "permutation":
        return clips, rng.permutation(batch)
    if batch % 2:
        raise ValueError(f"a batch of {batch} cannot be mixed in pairs; use an even batch size")
    if pairing == "anywhere":
        return clips[: batch // 2].copy(), clips[batch // 2 :].copy()
    return clips[0::2].copy(), clips[1::2].copy()


def _stripes(draws: Tensor, size: int, max_width: int) -> Tensor:
    """(B, size) bool, True inside the stripes that the uniform numbers (B, n, 2) define."""
    if draws.shape[1] and max_width > size:
        raise ValueError(
            f"SpecAugment stripes below {max_width} wide do not fit into {size} values; "
            "lower the mask width"
        )
    width = (draws[..., :1] * max_width).long()
    start = (draws[..., 1:] * (size - width)).long()
    position = torch.arange(size, device=draws.device)
    return ((position >= start) & (position < start + width)).any(dim=1)
