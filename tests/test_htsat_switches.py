"""Each switch of HTS-AT changes what it names and nothing else."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htsat import HTSAT
from htsat.fold import TokenOrder
from modelkit.augment import Augment, Mixup, SpecAugment

FRONT_END = {"frames": 126, "mels": 32, "seconds": 5.0}
CLASSES = 5


def build(**switches: Any) -> HTSAT:
    torch.manual_seed(0)
    return HTSAT(CLASSES, preset="tiny", **FRONT_END, **switches).eval()


def features(batch: int = 2, frames: int = 126) -> Tensor:
    return torch.randn(batch, frames, 32, generator=torch.Generator().manual_seed(3))


def with_weights_of(source: HTSAT, **switches: Any) -> HTSAT:
    model = build(**switches)
    model.load_state_dict(source.state_dict())
    return model


def differing(one: HTSAT, other: HTSAT) -> set[str]:
    """Entries that only one of them has, or whose shapes differ."""
    shapes = [{name: value.shape for name, value in m.state_dict().items()} for m in (one, other)]
    return {name for name, _ in shapes[0].items() ^ shapes[1].items()}


@torch.no_grad()
def outputs(model: HTSAT, x: Tensor) -> tuple[Tensor, Tensor]:
    found = model(x)
    assert found.frame_logits is not None
    return found.clip_logits, found.frame_logits


def test_the_default_is_the_papers_configuration() -> None:
    arch = HTSAT(2).architecture
    assert (arch.embed_dim, arch.depths, arch.heads) == (96, (2, 2, 6, 2), (4, 8, 16, 32))
    assert (arch.window_size, arch.image_size, arch.patch_size) == (8, 256, 4)


@pytest.mark.parametrize(("preset", "frames", "outputs"), [("tiny", 126, 16), ("small", 501, 32)])
def test_presets_locate_within_a_third_of_a_second(preset: str, frames: int, outputs: int) -> None:
    model = HTSAT(CLASSES, preset=preset, frames=frames, mels=32, seconds=5.0).eval()
    with torch.no_grad():
        found = model(torch.randn(1, frames, 32))
    assert found.clip_logits.shape == (1, CLASSES)
    assert found.frame_logits.shape == (1, outputs, CLASSES)
    assert found.seconds_per_frame == pytest.approx(5.0 / outputs)


def test_clip_logits_are_the_mean_of_frame_logits() -> None:
    clip, frames = outputs(build(), features())
    torch.testing.assert_close(clip, frames.mean(1))


@pytest.mark.parametrize("order", ["frequency_time_window", "interleaved", "random"])
def test_token_order_moves_patches_and_no_weights(order: TokenOrder) -> None:
    paper = build()
    other = with_weights_of(paper, token_order=order)
    assert not differing(paper, other)
    assert not torch.allclose(outputs(paper, features())[0], outputs(other, features())[0])


def test_order_seed_picks_the_permutation() -> None:
    one = build(token_order="random")
    other = with_weights_of(one, token_order="random", order_seed=1)
    assert not torch.equal(one.order, other.order)
    assert not torch.allclose(outputs(one, features())[0], outputs(other, features())[0])


def test_without_windows_only_the_classifiers_height_differs() -> None:
    paper, flat = build(), build(token_order="no_windows")
    assert differing(paper, flat) == {"tscam_conv.weight"}
    assert outputs(flat, features())[1].shape == (2, 8, CLASSES)


class AveragePatches(nn.Module):
    """(B, 1, H, W) -> (B, H / 4, W / 4, 1)."""

    def forward(self, image: Tensor) -> Tensor:
        return F.avg_pool2d(image, 4).permute(0, 2, 3, 1)


class AverageMerging(nn.Module):
    """(B, H, W, 1) -> (B, H / 2, W / 2, 1)."""

    def forward(self, tokens: Tensor) -> Tensor:
        return F.avg_pool2d(tokens.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


@pytest.mark.parametrize("order", get_args(TokenOrder))
def test_frames_come_back_in_time_order(order: TokenOrder) -> None:
    """A trunk that only averages turns a ramp over time into what each frame can know of it."""
    model = build(token_order=order)
    ramp = torch.linspace(0, 1, model.fold.frames)[None, :, None].expand(1, -1, 32).contiguous()
    model.trunk.patch_embed = AveragePatches()
    model.trunk.layers = AverageMerging()
    model.trunk.norm = nn.Identity()
    found = model.semantic_tokens(ramp)[0, 0].mean(0)
    exact = ramp[0, :, 0].view(len(found), -1).mean(1)
    if order in ("time_frequency_window", "interleaved"):
        torch.testing.assert_close(found, exact)
    elif order == "no_windows":  # the resize keeps the ends, so its frames are a little apart
        assert (found - exact).abs().max() < 0.02
    elif order == "frequency_time_window":
        assert (found.diff() >= -1e-6).all()  # tokens of two moments, still in order
        assert np.corrcoef(found, exact)[0, 1] > 0.9
    else:  # a quarter of each token is its frame's own, the rest comes from anywhere
        assert np.corrcoef(found, exact)[0, 1] > 0.9
        assert float(found.std()) == pytest.approx(float(exact.std()) / 4, rel=0.3)
    torch.testing.assert_close(found.mean(), exact.mean(), atol=1e-3, rtol=0)


def test_window_size_changes_position_tables_only() -> None:
    four, eight, sixteen = (build(window_size=size) for size in (4, 8, 16))
    tables = {name for name in four.state_dict() if name.endswith("bias_table")}
    assert differing(four, eight) == tables
    # The second stage's grid is 8 x 8, so a window of 16 is one of 8 there.
    assert differing(eight, sixteen) == {name for name in tables if "layers.0" in name}
    with pytest.raises(ValueError, match=r"do not divide the grid \(16, 16\) of stage 1"):
        build(window_size=7)


@pytest.mark.parametrize("columns", [32, 128])
def test_fold_frames_changes_the_images_shape_only(columns: int) -> None:
    paper = build()
    other = with_weights_of(paper, fold_frames=columns)
    assert other.fold.image == (64 * 64 // columns, columns)
    clip, frames = outputs(other, features())
    assert frames.shape == (2, 16, CLASSES)
    assert not torch.allclose(clip, outputs(paper, features())[0])


def test_fold_frames_of_the_image_size_is_the_default() -> None:
    paper = build()
    same = with_weights_of(paper, fold_frames=64)
    assert torch.equal(outputs(paper, features())[1], outputs(same, features())[1])


def test_token_semantic_exchanges_the_classifier_only() -> None:
    paper, flat = build(), build(token_semantic=False)
    tscam = {"tscam_conv.weight", "tscam_conv.bias"}
    assert differing(paper, flat) == tscam | {"head.weight", "head.bias"}
    shared = {name: value for name, value in paper.state_dict().items() if name not in tscam}
    flat.load_state_dict(shared, strict=False)
    with torch.no_grad():
        tokens = [model.semantic_tokens(features()) for model in (paper, flat)]
    assert torch.equal(*tokens)
    clip, frames = outputs(flat, features())
    bands = flat.fold.bands  # the authors sum over them
    torch.testing.assert_close((frames - flat.head.bias).mean(1) / bands, clip - flat.head.bias)


def test_padding_matters_to_short_features_only() -> None:
    stretch = build()
    zeros = with_weights_of(stretch, padding="zeros")
    full = features(frames=128)
    assert torch.equal(outputs(stretch, full)[1], outputs(zeros, full)[1])
    assert not torch.allclose(outputs(stretch, features())[1], outputs(zeros, features())[1])
    assert zeros(features()).seconds_per_frame == pytest.approx(5.0 / 126 * 128 / 16)
    padded = F.pad(features(), (0, 0, 0, 2))  # zeros are the mean of fresh bn0
    assert torch.equal(outputs(zeros, features())[1], outputs(zeros, padded)[1])
    with pytest.raises(ValueError, match="129 frames do not fit"):
        zeros(features(frames=129))


def test_drop_path_acts_in_training_only() -> None:
    none, half = build(drop_path=0.0), build(drop_path=0.5)
    assert torch.equal(outputs(none, features())[1], outputs(half, features())[1])
    assert torch.equal(*(outputs(none.train(), features())[0] for _ in range(2)))
    half.train()
    assert not torch.equal(*(outputs(half, features(8))[0] for _ in range(2)))


@pytest.mark.parametrize("frames", [1, 2, 60, 127, 300])
def test_any_number_of_frames_is_resized(frames: int) -> None:
    model = build()
    found = model(features(frames=frames))
    assert found.frame_logits is not None
    assert found.frame_logits.shape == (2, 16, CLASSES)
    assert torch.isfinite(found.frame_logits).all()
    assert found.seconds_per_frame == pytest.approx(frames * 5.0 / 126 / 16)


def test_augmentation_acts_between_batch_norm_and_fold() -> None:
    """All mels masked leaves zeros, the mean after batch norm, whatever the input."""
    model = build()
    everything = Augment(
        stripes=SpecAugment(time_stripes=0, mel_stripes=2, mel_width=32),
        time_draws=torch.empty(2, 0, 2),
        mel_draws=torch.tensor([[[0.6, 0.0], [0.6, 1.0]]] * 2),
        mixup=None,
        share=torch.empty(0),
        first=torch.empty(0),
        second=torch.empty(0),
    )
    model.bn0.running_mean.fill_(3.0)
    with torch.no_grad():
        found = model(features(), augment=everything).clip_logits
        expected = model(torch.full((2, 126, 32), 3.0)).clip_logits
    torch.testing.assert_close(found, expected)


def test_mixup_of_a_clip_with_itself_changes_nothing() -> None:
    model = build()
    one = features(1).expand(4, -1, -1)
    augment = Augment.draw(
        4, np.random.default_rng(0), mixup=Mixup(alpha=0.5, pairing="reversed", labels=False)
    )
    with torch.no_grad():
        torch.testing.assert_close(model(one, augment).clip_logits, model(one).clip_logits)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"token_ordr": "random"}, "did you mean 'token_order'"),
        ({"token_order": "spiral"}, "'spiral' is not one of time_frequency_window"),
        ({"padding": "mirror"}, "not one of stretch, zeros"),
        ({"preset": "huge"}, "one of paper, small, tiny"),
        ({"heads": [5, 10]}, "5 heads do not divide the 32 channels"),
        ({"heads": [2]}, "same number of stages"),
        ({"token_order": "no_windows", "fold_frames": 32}, "leave out fold_frames"),
        ({"token_order": "no_windows", "padding": "zeros"}, "padding must be stretch"),
        ({"fold_frames": 48}, "whole number of windows"),
        ({"mels": 24}, "24 mels"),
        ({"padding": "zeros", "frames": 200}, "200 frames do not fit"),
    ],
)
def test_bad_settings_are_refused_by_name(switches: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HTSAT(CLASSES, **{"preset": "tiny", **FRONT_END, **switches})


def test_features_of_another_front_end_are_refused() -> None:
    with pytest.raises(ValueError, match="32 mels"):
        build()(torch.zeros(2, 126, 64))
