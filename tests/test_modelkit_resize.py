"""The resize matrix against torch's interpolation, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from modelkit.resize import resize_matrix, resize_time


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.booleans())
def test_equals_torchs_interpolation(source: int, target: int, antialias: bool) -> None:
    x = torch.randn(2, source, 3, generator=torch.Generator().manual_seed(source))
    expected = F.interpolate(
        x[:, None], (target, 3), mode="bicubic", align_corners=True, antialias=antialias
    )[:, 0]
    torch.testing.assert_close(resize_time(x, target, antialias), expected, rtol=0, atol=2e-6)


def test_the_papers_stretch_and_its_gradient() -> None:
    x = torch.randn(2, 1001, 64, requires_grad=True)
    weights = torch.randn(2, 1024, 64)
    found = resize_time(x, 1024)
    (found * weights).sum().backward()
    gradient, x.grad = x.grad, None
    expected = F.interpolate(x[:, None], (1024, 64), mode="bicubic", align_corners=True)[:, 0]
    (expected * weights).sum().backward()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(gradient, x.grad, rtol=0, atol=1e-5)


def test_rows_sum_to_one() -> None:
    torch.testing.assert_close(resize_matrix(1001, 1024).sum(1), torch.ones(1024))


def test_the_same_size_is_no_work() -> None:
    x = torch.randn(2, 7, 3)
    assert resize_time(x, 7) is x


def test_nothing_cannot_be_resized() -> None:
    with pytest.raises(ValueError, match="cannot resize 0 values to 4"):
        resize_matrix(0, 4)


def test_a_matrix_first_needed_in_inference_mode_can_train_afterwards() -> None:
    with torch.inference_mode():
        resize_time(torch.zeros(1, 91, 2), 113)
    x = torch.zeros(1, 91, 2, requires_grad=True)
    resize_time(x, 113).sum().backward()
    assert x.grad is not None
