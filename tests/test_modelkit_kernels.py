"""Every kernel of our own equals its plain form, in values and in gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modelkit import kernels


def normal(*shape: int, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()


def assert_equal(ours: Callable[..., Tensor], plain: Callable[..., Tensor], *inputs: Any) -> None:
    """Values, and the gradients of all inputs that have one."""
    found, expected = ours(*inputs), plain(*inputs)
    torch.testing.assert_close(found, expected)
    weights = normal(*expected.shape, seed=4).detach()
    leaves = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    leaves += [p for x in inputs if isinstance(x, nn.Module) for p in x.parameters()]
    gradients = [torch.autograd.grad((y * weights).sum(), leaves) for y in (found, expected)]
    for have, want in zip(*gradients, strict=True):
        torch.testing.assert_close(have, want)


@pytest.mark.parametrize("windows", [1, 3])
def test_window_attention(windows: int) -> None:
    inputs = (normal(2, 3, 4, 3, 2, 5), normal(windows, 2, 4, 4, seed=5))
    assert_equal(kernels.WindowProducts.apply, kernels.fused_window_attention, *inputs)
    assert torch.autograd.gradcheck(kernels.WindowProducts.apply, inputs)


def test_attention_with_an_odd_number_of_tokens() -> None:
    qkv = normal(2, 37, 3, 4, 8)
    assert_equal(kernels.HeadwiseProducts.apply, kernels.fused_attention, qkv)


def test_attention_takes_the_faster_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[torch.dtype] = []

    def noted(qkv: Tensor) -> Tensor:
        taken.append(qkv.dtype)
        return kernels.fused_attention(qkv)

    monkeypatch.setattr(kernels.HeadwiseProducts, "apply", noted)
    for dtype in (torch.float32, torch.bfloat16):
        kernels.attention(normal(1, 5, 3, 2, 4).detach().to(dtype))
    assert taken == [torch.bfloat16]


def test_the_backward_pass_of_softmax_that_pytorch_does_not_promise() -> None:
    assert hasattr(torch, "_softmax_backward_data"), "see modelkit.kernels._through_softmax"


def test_patches() -> None:
    layer = nn.Conv2d(1, 5, 4, 4).double()
    assert_equal(
        kernels.embed_patches, lambda m, x: m(x).permute(0, 2, 3, 1), layer, normal(2, 1, 8, 12)
    )


@pytest.mark.parametrize("bands", [1, 2])
def test_convolutions_over_time(bands: int) -> None:
    layer = nn.Conv2d(6, 5, (bands, 3), padding=(0, 1)).double()
    assert_equal(
        kernels.convolve_time,
        lambda m, x: m(x).squeeze(2).transpose(1, 2),
        layer,
        normal(2, 6, bands, 9),
    )


@pytest.mark.parametrize("mels", [1, 2, 3])
def test_convolutions_of_narrow_images(mels: int) -> None:
    layer = nn.Conv2d(6, 5, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    assert_equal(kernels.convolve, lambda m, x: m(x), layer.double(), normal(2, 6, 9, mels))


def test_stochastic_depth() -> None:
    layer = nn.Linear(4, 4).double()

    def plain(m: nn.Module, x: Tensor) -> Tensor:
        return x + m(x) * (torch.empty(6).bernoulli_(0.7) / 0.7).view(-1, 1, 1)

    def seeded(function: Callable[..., Tensor], seed: int) -> Callable[..., Tensor]:
        def compute(m: nn.Module, x: Tensor) -> Tensor:
            torch.manual_seed(seed)
            return function(m, x)

        return compute

    def ours(m: nn.Module, x: Tensor) -> Tensor:
        return kernels.add_branch(x, m, 0.3)

    x = normal(6, 3, 4)
    for seed in range(5):
        assert_equal(seeded(ours, seed), seeded(plain, seed), layer, x)
    torch.testing.assert_close(kernels.add_branch(x, layer, 0.0), x + layer(x))
