"""The fold and the token orders against their definitions, written as plain loops."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from htsat.fold import (
    Fold,
    TokenOrder,
    fold_spectrogram,
    patch_positions,
    plan_fold,
    token_order,
    unfold_tokens,
    unfolding_matrix,
)

PAPER = plan_fold(256, 64, 4, 8, None)
TINY = plan_fold(64, 32, 4, 2, None)
ORDERS = get_args(TokenOrder)

folds = st.builds(
    lambda windows, bands, columns, patch, merge: Fold(
        windows, bands * patch * merge, columns * patch * merge, patch, merge
    ),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2, 4]),
)


def test_the_paper_folds_1024_frames_of_64_mels_into_a_square() -> None:
    assert PAPER.image == (256, 256)
    assert (PAPER.windows, PAPER.frames, PAPER.bands, PAPER.outputs) == (4, 1024, 2, 32)


@settings(max_examples=25, deadline=None)
@given(folds)
def test_each_pixel_comes_from_its_window(fold: Fold) -> None:
    spectrogram = torch.arange(fold.frames * fold.mels).float().view(1, fold.frames, fold.mels)
    image = fold_spectrogram(spectrogram, fold)
    assert image.shape == (1, 1, *fold.image)
    for window in range(fold.windows):
        for mel in (0, fold.mels - 1):
            row = image[0, 0, fold.mels * window + mel]
            start = fold.columns * window
            assert torch.equal(row, spectrogram[0, start : start + fold.columns, mel])


@settings(max_examples=40, deadline=None)
@given(folds, st.sampled_from(ORDERS), st.integers(0, 5))
def test_token_orders_are_bijections_with_time_and_frequency(
    fold: Fold, order: TokenOrder, seed: int
) -> None:
    times, frequencies = patch_positions(fold)
    laid = token_order(order, fold, seed)
    cells = set(zip(times[laid].tolist(), frequencies[laid].tolist(), strict=True))
    windows, rows, columns = fold.patches
    assert cells == {(t, f) for t in range(windows * columns) for f in range(rows)}
    assert len(laid) == windows * rows * columns


def test_the_orders_are_what_their_names_say() -> None:
    times, frequencies = patch_positions(TINY)  # 2 windows of 8 x 16 patches, bands of 2

    def first(order: TokenOrder, count: int) -> list[tuple[int, int]]:
        laid = token_order(order, TINY)[:count]
        return list(zip(times[laid].tolist(), frequencies[laid].tolist(), strict=True))

    assert first("time_frequency_window", 17) == [(t, 0) for t in range(16)] + [(0, 1)]
    assert first("frequency_time_window", 9) == [(0, f) for f in range(8)] + [(1, 0)]
    interleaved = first("interleaved", 49)
    assert interleaved[:32] == [(t, f) for f in (0, 1) for t in range(16)]
    assert interleaved[32:] == [(t, 0) for t in range(16, 32)] + [(16, 1)]
    one, other = token_order("random", TINY, 1), token_order("random", TINY, 2)
    assert not torch.equal(one, other)
    assert torch.equal(one, token_order("random", TINY, 1))


@settings(max_examples=40, deadline=None)
@given(folds, st.sampled_from(ORDERS), st.integers(0, 5))
def test_frames_read_the_tokens_that_hold_their_patches(
    fold: Fold, order: TokenOrder, seed: int
) -> None:
    """Against the definition: walk the grid, note each token's patches, average per frame."""
    laid = token_order(order, fold, seed)
    times, frequencies = patch_positions(fold)
    height, width = fold.image[0] // fold.patch, fold.image[1] // fold.patch
    tokens = torch.rand(height // fold.merge, width // fold.merge, dtype=torch.float64)
    read: dict[tuple[int, int], list[float]] = {}
    for position, patch in enumerate(laid.tolist()):
        row, column = divmod(position, width)
        band, frame = frequencies[patch] // fold.merge, times[patch] // fold.merge
        token = tokens[row // fold.merge, column // fold.merge]
        read.setdefault((int(band), int(frame)), []).append(float(token))
    expected = torch.tensor(
        [
            [sum(read[b, t]) / len(read[b, t]) for t in range(fold.outputs)]
            for b in range(fold.bands)
        ],
        dtype=torch.float64,
    )
    matrix = unfolding_matrix(laid, fold).double()
    torch.testing.assert_close((matrix @ tokens.flatten()).view_as(expected), expected)


@settings(max_examples=25, deadline=None)
@given(folds, st.sampled_from(ORDERS))
def test_every_token_counts_alike(fold: Fold, order: TokenOrder) -> None:
    matrix = unfolding_matrix(token_order(order, fold), fold)
    ones = torch.ones(len(matrix))
    torch.testing.assert_close(matrix.sum(0), ones)
    torch.testing.assert_close(matrix.sum(1), ones)


@settings(max_examples=25, deadline=None)
@given(folds)
def test_unfolding_the_papers_order_is_a_reshape(fold: Fold) -> None:
    height, width = fold.windows * fold.bands, fold.outputs // fold.windows
    tokens = torch.rand(2, height, width, 3)
    matrix = unfolding_matrix(token_order("time_frequency_window", fold), fold)
    expected = (matrix @ tokens.flatten(1, 2)).transpose(1, 2)
    assert torch.equal(unfold_tokens(tokens, fold).flatten(2), expected)


@pytest.mark.parametrize("order", ["time_frequency_window", "interleaved"])
def test_tokens_of_one_moment_keep_their_frame(order: TokenOrder) -> None:
    matrix = unfolding_matrix(token_order(order, PAPER), PAPER)
    assert set(matrix.unique().tolist()) == {0.0, 1.0}


def test_frequency_first_blurs_frames_within_its_rows_only() -> None:
    matrix = unfolding_matrix(token_order("frequency_time_window", PAPER), PAPER)
    frames = matrix.view(PAPER.bands, PAPER.outputs, -1).sum(0)
    shared = (frames @ frames.T) > 0
    groups = torch.arange(PAPER.outputs) // 4  # 4 moments per row of 64, 8 rows per token
    assert torch.equal(shared, groups[:, None] == groups[None, :])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((256, 60, 4, 8, None), "60 mels"),
        ((256, 64, 4, 8, 100), "100 frames"),
        ((64, 32, 4, 8, 32), None),
        ((256, 16, 4, 8, None), "multiple of 32"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments: tuple, message: str | None) -> None:
    if message is None:
        assert plan_fold(*arguments).windows == 4
    else:
        with pytest.raises(ValueError, match=message):
            plan_fold(*arguments)
