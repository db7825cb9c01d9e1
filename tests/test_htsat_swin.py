"""The trunk of HTS-AT: timm's function, PyTorch's gradients, less memory and work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from htsat.swin import Block, SwinTransformer
from modelkit import kernels, vision

with vision._stand_ins():
    from timm.models.swin_transformer import SwinTransformer as TimmSwin

SIZES: dict[str, Any] = {"patch_size": 4, "embed_dim": 24, "depths": (2, 2, 2), "mlp_ratio": 4.0}
HEADS = (1, 2, 4)


def trunk(image: tuple[int, int] = (64, 64), window: int = 8, **options: Any) -> SwinTransformer:
    torch.manual_seed(0)
    model = SwinTransformer(
        image, heads=HEADS, window_size=window, **{"drop_path": 0.0, **SIZES, **options}
    )
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():  # random biases and norms: parity is not trivial
        parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def image(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def gradients(model: nn.Module, found: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    found.square().mean().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


# 8: shifts in the first stage, one window in the last two. 4 and an oblong grid: shifts everywhere
# but in the last; a grid smaller than the window in one direction.
@pytest.mark.parametrize(("size", "window"), [((64, 64), 8), ((64, 64), 4), ((128, 32), 4)])
def test_outputs_and_gradients_equal_timms(
    size: tuple[int, int], window: int, device: torch.device, rounding: int
) -> None:
    ours = trunk(size, window).to(device)
    theirs = TimmSwin(
        img_size=size,
        in_chans=1,
        num_classes=0,
        num_heads=HEADS,
        window_size=window,
        drop_path_rate=0.0,
        **SIZES,
    )
    theirs.load_state_dict(ours.state_dict())
    theirs.to(device)
    x = image(2, 1, *size).to(device)
    expected = theirs.norm(theirs.layers(theirs.patch_embed(x)))
    found = ours(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * rounding)
    want = gradients(theirs, expected)
    for name, have in gradients(ours, found).items():
        assert (have - want[name]).norm() <= rounding * 1e-4 * want[name].norm(), name
    with torch.no_grad():
        torch.testing.assert_close(ours(x), found, rtol=0, atol=1e-6 * rounding)


def test_windows_are_kept_apart_without_subnormal_weights() -> None:
    """As the released -100 does, whose exp(-100) slows Intel's multiplications down."""
    model, x = trunk(window=4), image(2, 1, 64, 64)
    found = model(x)
    wanted = gradients(model, found)
    masks = [mask for name, mask in model.named_buffers() if name.endswith("attn_mask")]
    for mask in masks:
        assert set(mask.exp().unique().tolist()) == {0.0, 1.0}
        mask.nan_to_num_(neginf=-100.0)
        assert 0 < mask.exp().min() < torch.finfo(mask.dtype).tiny
    assert len(masks) == 2
    released = model(x)
    torch.testing.assert_close(released, found, rtol=0, atol=1e-6)
    for name, have in gradients(model, released).items():
        torch.testing.assert_close(have, wanted[name], rtol=1e-5, atol=1e-7, msg=name)


def test_other_devices_take_the_fused_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = trunk(), image(2, 1, 64, 64)
    expected = model(x)
    monkeypatch.setattr(kernels.WindowProducts, "apply", kernels.fused_window_attention)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-5)
    assert model.to("meta")(x.to("meta")).shape == expected.shape


@pytest.mark.parametrize(("checkpointing", "share"), [("mlp", 0.6), ("blocks", 0.3)])
def test_checkpointing_changes_memory_and_nothing_else(checkpointing: str, share: float) -> None:
    from bench.models.activations import saved_activation_bytes

    plain, saving = trunk(drop_path=0.3), trunk(drop_path=0.3, checkpointing=checkpointing)
    x = image(4, 1, 64, 64)
    found = []
    for model in (plain, saving):
        torch.manual_seed(5)
        found.append(gradients(model, model(x)))
    for name, expected in found[0].items():
        torch.testing.assert_close(found[1][name], expected, rtol=1e-5, atol=1e-7)
    assert saved_activation_bytes(saving, x) < share * saved_activation_bytes(plain, x)


def test_a_dropped_branch_costs_nothing_and_counts_as_its_expectation() -> None:
    torch.manual_seed(0)
    block = Block(8, (4, 4), heads=2, window_size=2, shifted=True, mlp_ratio=2, drop_path=0.5)
    seen: list[int] = []
    block.mlp.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    tokens = image(6, 16, 8)
    block.eval()
    attended = tokens + block.attn(block.norm1(tokens), block.attn_mask)
    once = {0.0: tokens, 2.0: attended + (attended - tokens)}  # 1 / keep = 2
    block.train()
    drawn = []
    for seed in range(8):
        seen.clear()
        torch.manual_seed(seed)
        found = block(tokens)
        torch.manual_seed(seed)
        first, second = (torch.empty(6).bernoulli_(0.5) * 2 for _ in range(2))
        kept = int((second > 0).sum())
        assert seen == ([kept] if kept else [])
        drawn += first.tolist()
        for clip in range(6):
            middle = once[first[clip].item()][clip]
            branch = block.mlp(block.norm2(middle)) if second[clip] else torch.zeros(16, 8)
            torch.testing.assert_close(found[clip], middle + second[clip] * branch)
    assert set(drawn) == {0.0, 2.0}


def test_windows_that_leave_a_remainder_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5, 5\) do not divide the grid \(16, 16\) of stage 1"):
        trunk(window=5)
