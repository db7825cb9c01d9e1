"""AST: geometry, positions, readout, augmentation, and the published parameter counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from baselines.ast import AST, patch_grid, resize_positions
from modelkit import kernels
from modelkit.augment import Augment, Mixup, SpecAugment


def small(**arguments) -> AST:
    size = {"dim": 32, "heads": 2, "depth": 2, "frames": 96, "mels": 48}
    return AST(7, preset="tiny", **(size | arguments))


@pytest.mark.parametrize(
    ("frames", "stride", "tokens"),
    [
        (1024, 10, 1212),
        (1024, 12, 850),
        (1024, 14, 657),
        (1024, 16, 512),
        (512, 10, 600),
        (128, 10, 144),
    ],
)
def test_token_counts_are_the_published_ones(frames, stride, tokens):
    rows, columns = patch_grid(frames, 128, 16, stride)
    with torch.device("meta"):
        model = AST(frames=frames, stride=stride)
    assert rows * columns == tokens
    assert model.v.pos_embed.shape == (1, tokens + 2, 768)


@pytest.mark.parametrize(
    ("classes", "frames", "published"),
    [(527, 1024, 88_132_063), (50, 512, 87_295_234), (35, 128, 86_933_491)],
)
def test_parameter_counts_are_the_published_ones(classes, frames, published):
    with torch.device("meta"):
        model = AST(classes, frames=frames)
    live = sum(parameter.numel() for parameter in model.parameters())
    assert model.published_parameters == published
    assert published - live == 1_538_000  # DeiT's two ImageNet classifiers
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_output_holds_clip_logits_and_no_frames():
    out = small()(torch.randn(3, 96, 48))
    assert out.clip_logits.shape == (3, 7)
    assert out.frame_logits is None


def test_tokens_are_frequency_major():
    model = small(stride=16).eval()  # patches that do not overlap: 3 rows x 6 columns
    features = torch.randn(1, 96, 48)
    changed = features.clone()
    changed[:, 32:48, 16:32] += 1  # row 1, column 2
    patches = [model.v.patch_embed(x.transpose(1, 2)[:, None])[0] for x in (features, changed)]
    moved = (patches[0] != patches[1]).any(dim=1).nonzero().flatten().tolist()
    assert moved == [1 * 6 + 2]


def test_layer_norms_have_the_published_eps():
    model = small()
    eps = {name: m.eps for name, m in model.named_modules() if isinstance(m, nn.LayerNorm)}
    assert eps.pop("mlp_head.0") == 1e-5
    assert len(eps) == 2 * 2 + 1
    assert set(eps.values()) == {1e-6}


def test_every_weight_but_biases_and_norms_starts_at_random():
    torch.manual_seed(0)
    model = AST(7, preset="tiny", frames=96, mels=48)
    for name, std in [("v.cls_token", 0.02), ("v.dist_token", 0.02), ("v.pos_embed", 0.02)]:
        assert model.get_parameter(name).std().item() == pytest.approx(std, rel=0.3), name
    assert model.v.blocks[0].attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("shape", [(2, 95, 48), (2, 96, 64), (96, 48)])
def test_features_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"built for features \(B, 96, 48\)"):
        small()(torch.zeros(shape))


def test_wrong_arguments_name_the_remedy():
    with pytest.raises(ValueError, match="known: paper, tiny"):
        AST(preset="huge")
    with pytest.raises(ValueError, match=r"12 frames x 64 mels.*patch of 16"):
        AST(preset="tiny", frames=12, mels=64)
    with pytest.raises(ValueError, match="5 heads do not divide its width of 96"):
        AST(preset="tiny", heads=5)


def test_augmentation_mixes_first_and_masks_with_silence():
    model = small(silence=0.25).eval()
    augment = Augment.draw(
        4,
        np.random.default_rng(0),
        stripes=SpecAugment(time_stripes=1, time_width=30, mel_stripes=1, mel_width=20),
        mixup=Mixup(alpha=10.0, pairing="permutation", labels=True),
    )
    features = torch.randn(4, 96, 48)
    share = augment.share[:, None, None]
    by_hand = share * features + (1 - share) * features[augment.second]
    by_hand = augment.mask(by_hand, fill=0.25)
    assert (by_hand == 0.25).any()
    torch.testing.assert_close(
        model(features, augment=augment).clip_logits, model(by_hand).clip_logits
    )


@pytest.mark.parametrize("target", [(12, 101), (12, 50), (12, 12), (8, 64), (30, 12), (30, 40)])
def test_positions_are_cut_or_interpolated_axis_by_axis(target):
    """Against the authors' rules, time first: cut [12 - n // 2 :][:n], or bilinear."""
    table = torch.randn(1, 2 + 24 * 24, 5)
    image = table[:, 2:].transpose(1, 2).reshape(1, 5, 24, 24)
    rows, columns = target
    if columns <= 24:
        image = image[:, :, :, 12 - columns // 2 : 12 - columns // 2 + columns]
    else:
        image = F.interpolate(image, (24, columns), mode="bilinear")
    if rows <= 24:
        image = image[:, :, 12 - rows // 2 : 12 - rows // 2 + rows]
    else:
        image = F.interpolate(image, (rows, columns), mode="bilinear")
    resized = resize_positions(table, (24, 24), target)
    torch.testing.assert_close(resized[:, :2], table[:, :2])
    torch.testing.assert_close(resized[:, 2:], image.reshape(1, 5, -1).transpose(1, 2))


@pytest.mark.parametrize(("target", "first"), [((12, 50), 25), ((12, 12), 44), ((12, 101), 0)])
def test_audioset_positions_are_cut_around_column_50(target, first):
    """ESC-50 keeps columns 25 to 74, Speech Commands 44 to 55."""
    image = torch.arange(101.0).expand(12, 101)
    table = torch.cat([torch.zeros(2), image.flatten()]).reshape(1, -1, 1)
    columns = resize_positions(table, (12, 101), target)[0, 2:, 0].reshape(target)
    assert columns[0].tolist() == list(range(first, first + target[1]))


def test_state_of_another_grid_is_fitted():
    source = small(frames=48)
    for model in (small(frames=96), small(frames=48, mels=64)):
        model.load_state_dict(model.adapt_state(source))


def test_bfloat16_on_the_cpu_is_as_near_to_float32_as_fused_attention_is(monkeypatch):
    """Whole model under autocast: gradients of all weights, ours and by PyTorch's kernels."""
    torch.manual_seed(0)
    model = small(depth=4)
    features, targets = torch.randn(4, 96, 48), torch.rand(4, 7)
    calls = []

    def gradients(enabled: bool) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = model(features).clip_logits
        loss = F.binary_cross_entropy_with_logits(logits.float(), targets)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])

    def difference(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a - b).norm() / b.norm())

    exact, ours = gradients(False), gradients(True)

    def by_pytorch(qkv: torch.Tensor) -> torch.Tensor:
        calls.append(qkv.dtype)
        return kernels.fused_attention(qkv)

    monkeypatch.setattr(kernels.HeadwiseProducts, "apply", by_pytorch)
    fused = gradients(True)
    assert calls == [torch.bfloat16] * 4
    assert 0 < difference(ours, exact) < 1.3 * difference(fused, exact)
    assert difference(fused, exact) < 0.05
