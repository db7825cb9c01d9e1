"""From spectrogram to image and back: the fold, the token orders, and their inverse.

The spectrogram is cut along time into windows, and the windows are stacked along the frequency
axis, which makes a long strip a square image (paper, section 2.1):

    image[mels * w + f, t] == spectrogram[columns * w + t, f]

Read row by row, the patches of that image come in the order time -> frequency -> window, time
fastest. The other token orders write the same patches row by row into the trunk's grid in another
order. They measure what the paper's order contributes:

* frequency_time_window: frequency fastest, then time. A row of the grid holds several moments.
* interleaved: as the paper's, but the windows alternate band by band (a band is as high as one
  token of the last stage), so that shifted windows and later stages see the same band of
  neighbouring windows instead of the whole height of one window.
* random: a fixed permutation; neighbours are unrelated.
* no_windows: the whole spectrogram resized to one square window.

Frame outputs go the other way. Each final token stands for the patches merged into it, and a
frame takes the mean, over its own patches, of the tokens that hold them. In the paper's order,
interleaved or not, a final token lies within one frame, and this only sorts the tokens. With
frequency_time_window and random, it holds patches of several frames, which share it: the order
itself then limits how well a model can localize.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

TokenOrder = Literal[
    "time_frequency_window", "frequency_time_window", "no_windows", "interleaved", "random"
]


@dataclass(frozen=True)
class Fold:
    """Sizes of the fold.

    Attributes:
        windows: W, pieces of the spectrogram.
        mels: rows of the image per window.
        columns: frames per window, the width of the image.
        patch: side of a patch.
        merge: patches per side of a final token.
    """

    windows: int
    mels: int
    columns: int
    patch: int
    merge: int

    def __post_init__(self) -> None:
        token = self.patch * self.merge
        for name, size in (("mels", self.mels), ("frames", self.columns)):
            if size % token:
                raise ValueError(
                    f"{size} {name} per window are not a multiple of {token}, the side of a final "
                    f"token (patch {self.patch} x {self.merge}); change the front end, fold_frames "
                    "or the number of stages"
                )

    @property
    def frames(self) -> int:
        """Frames of the spectrogram that the image holds."""
        return self.windows * self.columns

    @property
    def image(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.windows * self.mels, self.columns

    @property
    def patches(self) -> tuple[int, int, int]:
        """Patches: (windows, along frequency, along time)."""
        return self.windows, self.mels // self.patch, self.columns // self.patch

    @property
    def bands(self) -> int:
        """Final tokens along frequency, per window."""
        return self.mels // (self.patch * self.merge)

    @property
    def outputs(self) -> int:
        """T', final tokens along time, over all windows."""
        return self.frames // (self.patch * self.merge)


def plan_fold(
    image_size: int, mels: int, patch: int, merge: int, columns: int | None, fold: bool = True
) -> Fold:
    """The fold whose image has image_size^2 pixels; without folding, one square window.

    Raises:
        ValueError: the sizes do not fit each other.
    """
    if not fold:
        return Fold(1, image_size, image_size, patch, merge)
    columns = columns or image_size
    if image_size**2 % (mels * columns):
        raise ValueError(
            f"an image of {image_size} x {image_size} does not hold a whole number of windows of "
            f"{columns} frames x {mels} mels; choose mels and fold_frames that divide {image_size}"
        )
    return Fold(image_size**2 // (mels * columns), mels, columns, patch, merge)


def fold_spectrogram(x: Tensor, fold: Fold) -> Tensor:
    """(B, T, F) -> image (B, 1, W F, T / W)."""
    batch = x.shape[0]
    windows = x.view(batch, fold.windows, fold.columns, fold.mels)
    return windows.transpose(2, 3).reshape(batch, 1, *fold.image)


def token_order(order: TokenOrder, fold: Fold, seed: int = 0) -> Tensor:
    """The patch at each position of the trunk's grid, row by row: (N,) int64, a permutation.

    Patches are numbered row by row in the folded image: window, then frequency, then time.
    """
    windows, frequencies, times = fold.patches
    patches = torch.arange(windows * frequencies * times).view(windows, frequencies, times)
    if order == "frequency_time_window":
        patches = patches.permute(0, 2, 1)
    elif order == "interleaved":
        patches = patches.unflatten(1, (fold.bands, fold.merge)).transpose(0, 1)
    elif order == "random":
        generator = torch.Generator().manual_seed(seed)
        return torch.randperm(patches.numel(), generator=generator)
    return patches.flatten()


def patch_positions(fold: Fold) -> tuple[Tensor, Tensor]:
    """Time and frequency of each patch, in patches: two (N,) int64.

    Time runs over all windows, so that the pair is unique.
    """
    windows, frequencies, times = fold.patches
    window, frequency, time = torch.meshgrid(
        torch.arange(windows), torch.arange(frequencies), torch.arange(times), indexing="ij"
    )
    return (window * times + time).flatten(), frequency.flatten()


def unfold_tokens(tokens: Tensor, fold: Fold) -> Tensor:
    """Final tokens in the paper's order (B, H, W, D) -> map (B, D, bands, T') in time order."""
    batch, _, columns, width = tokens.shape
    windows = tokens.view(batch, fold.windows, fold.bands, columns, width)
    return windows.permute(0, 4, 2, 1, 3).reshape(batch, width, fold.bands, fold.outputs)


def unfolding_matrix(order: Tensor, fold: Fold) -> Tensor:
    """How frames read final tokens after any token order: (bands T', H W) float32.

    Entry (i, j) is the share of the patches of map position i (band, frame) that went into token
    j. Rows and columns sum to one; for the paper's order it is the permutation that
    `unfold_tokens` applies.
    """
    _, _, width = fold.patches
    position = torch.arange(len(order))
    row, column = position // width, position % width
    token = row // fold.merge * (width // fold.merge) + column // fold.merge
    time, frequency = patch_positions(fold)
    target = frequency // fold.merge * fold.outputs + time // fold.merge
    matrix = torch.zeros(fold.bands * fold.outputs, fold.bands * fold.outputs)
    share = torch.full((len(order),), 1 / fold.merge**2)
    return matrix.index_put_((target[order], token), share, accumulate=True)
