"""PaSST against hear21passt's copy of the authors' class, and the form of the released files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from modern_peers import peer
from torch import Tensor, nn

from baselines.passt import PaSST
from modelkit.checkpoint import CheckpointError

SMALL = {"dim": 48, "depth": 2, "heads": 3}


def official(
    stride: int = 10,
    classes: int = 5,
    *,
    dim: int = 48,
    depth: int = 2,
    heads: int = 3,
    **more: Any,
) -> nn.Module:
    """The authors' class with random weights of a trained model's scale."""
    module = peer("hear21passt", "models.passt")
    module.first_RUN = False  # it prints every shape once
    model = module.PaSST(
        stride=(stride, stride),
        num_classes=classes,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        distilled=True,
        **more,
    )
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, float(parameter.ndim == 1), 0.1)
    return model.eval()


def save(path: Path, state: Mapping[str, Tensor]) -> Path:
    torch.save(dict(state), path)
    return path


@pytest.mark.parametrize(
    ("arguments", "published"),
    [
        ({}, 86_153_758),
        ({"stride": 12}, 86_139_934),
        ({"stride": 14}, 86_129_950),
        ({"stride": 16}, 86_122_270),
        ({"depth": 7}, 50_714_398),  # PaSST-L
        ({"classes": 50}, 85_420_132),
    ],
)
def test_parameter_counts_are_the_published_ones(arguments, published):
    with torch.device("meta"):
        assert PaSST(**arguments).published_parameters == published


@pytest.mark.parametrize("stride", [10, 16])
def test_the_released_form_has_our_entries(stride):
    theirs = official(stride, 527, depth=12).state_dict()
    ours = PaSST(stride=stride, dim=48, heads=3).state_dict()
    assert len(theirs) == 159
    dead = {name for name in theirs if name.startswith("head_dist.")}
    assert {k: v.shape for k, v in theirs.items() if k not in dead} == {
        k: v.shape for k, v in ours.items()
    }


@pytest.mark.parametrize(("stride", "frames"), [(10, 1000), (10, 998), (10, 500), (16, 1000)])
def test_logits_and_gradients_equal_the_authors(tmp_path, stride, frames, device, rounding):
    theirs = official(stride)
    model = PaSST(5, stride=stride, **SMALL).eval()
    report = model.load_official(save(tmp_path / "passt.pt", theirs.state_dict()))
    assert set(report.ignored) == {"head_dist.weight", "head_dist.bias"}
    theirs.to(device)
    model.to(device)
    features, targets = torch.randn(2, frames, 128).to(device), torch.rand(2, 5).to(device)
    expected, _ = theirs(features.transpose(1, 2).unsqueeze(1))
    out = model(features)
    assert out.frame_logits is None
    assert expected.std() > 0.1
    torch.testing.assert_close(out.clip_logits, expected, rtol=0, atol=1e-5 * rounding)
    F.binary_cross_entropy_with_logits(out.clip_logits, targets).backward()
    F.binary_cross_entropy_with_logits(expected, targets).backward()
    reference = dict(theirs.named_parameters())
    for name, parameter in model.named_parameters():
        error = (parameter.grad - reference[name].grad).norm() / reference[name].grad.norm()
        assert error < 1e-5 * rounding, f"{name}: {error}"


@pytest.mark.parametrize(
    ("ours", "theirs", "tokens"),
    [
        (
            {"patchout_time": 40, "patchout_frequency": 4},
            {"s_patchout_t": 40, "s_patchout_f": 4},
            8 * 59,
        ),
        ({"patchout": 400}, {"u_patchout": 400}, 12 * 99 - 400),
    ],
)
def test_patchout_leaves_out_what_the_authors_code_leaves_out(ours, theirs, tokens):
    reference = official(**theirs)
    model = PaSST(5, **SMALL, **ours)
    model.load_state_dict(reference.state_dict(), strict=False)
    seen = []
    model.norm.register_forward_hook(lambda _, __, out: seen.append(out.shape[1]))
    features = torch.randn(2, 1000, 128)
    results = []
    for network, inputs in (
        (model, features),
        (reference, features.transpose(1, 2).unsqueeze(1)),
    ):
        torch.manual_seed(7)
        out = network.train()(inputs)
        results.append(out[0] if isinstance(out, tuple) else out.clip_logits)
    torch.testing.assert_close(*results, rtol=0, atol=1e-5)
    model.eval()(features)
    assert seen == [2 + tokens, 2 + 12 * 99]


def test_the_tokens_equal_those_of_deepaudiox():
    """Its class has no heads, and returns the patches' tokens."""
    module = peer("deepaudiox", "modules.backbones.passt.passt")
    size = {"embed_dim": 48, "depth": 2, "num_heads": 3}
    theirs = module.PaSST(module.PaSSTConfig(size), sample_rate=32000).eval()
    model = PaSST(5, **SMALL).eval()
    own = {k: v for k, v in official().state_dict().items() if not k.startswith("head")}
    model.load_state_dict(own, strict=False)
    theirs.load_state_dict(own, strict=False)
    tokens: list[Tensor] = []
    model.norm.register_forward_hook(lambda _, __, out: tokens.append(out))
    features = torch.randn(1, 1000, 128)
    with torch.inference_mode():
        model(features)
        expected = theirs(features.transpose(1, 2).unsqueeze(1))
    torch.testing.assert_close(tokens[0][:, 2:], expected, rtol=0, atol=1e-5)


def test_the_imagenet_start_equals_the_authors(tmp_path):
    deit = official(classes=1000).state_dict()
    for name in ("new_pos_embed", "freq_new_pos_embed", "time_new_pos_embed", "head.0.weight"):
        deit.pop(name)
    deit = {name: value for name, value in deit.items() if not name.startswith("head.")}
    deit["pos_embed"] = torch.randn(1, 2 + 24 * 24, 48)
    deit["patch_embed.proj.weight"] = torch.randn(48, 3, 16, 16)
    model = PaSST(7, **SMALL)
    report = model.load_imagenet(save(tmp_path / "deit.pth", {"model": deit}))
    assert {name.partition(".")[0] for name in report.fresh} == {"head"}
    adapt = peer("hear21passt", "models.passt").adapt_image_pos_embed_to_passt
    special, frequency, time = adapt(deit["pos_embed"], 2, (12, 99))
    torch.testing.assert_close(model.new_pos_embed.data, special)
    torch.testing.assert_close(model.freq_new_pos_embed.data, frequency)
    torch.testing.assert_close(model.time_new_pos_embed.data, time)
    summed = deit["patch_embed.proj.weight"].sum(1, keepdim=True)
    torch.testing.assert_close(model.patch_embed["proj"].weight.data, summed)


def test_shorter_clips_take_the_beginning_of_the_time_table(tmp_path):
    theirs = official()
    file = save(tmp_path / "passt.pt", theirs.state_dict())
    model = PaSST(9, frames=500, **SMALL)
    report = model.load_official(file, new_classes=True)
    assert {name.partition(".")[0] for name in report.fresh} == {"head"}
    assert torch.equal(model.time_new_pos_embed, theirs.time_new_pos_embed[..., :49])
    long = PaSST(5, frames=1000, **SMALL)
    assert model.adapt_state(long)["time_new_pos_embed"].shape == (1, 48, 1, 49)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"stride": 16}, r"lie in 12 rows of frequency, those of this model in 8; .*stride"),
        ({"frames": 2000}, r"spans 99 columns of patches, this model 199: .*shorter clips"),
        ({"depth": 3}, r"a transformer of depth 2, not 3: set `depth`"),
        ({"dim": 96}, r"a transformer of dim 48, not 96: set `dim`"),
    ],
)
def test_a_file_of_another_variant_is_one_clear_line(tmp_path, arguments, said):
    file = save(tmp_path / "passt.pt", official().state_dict())
    with pytest.raises(CheckpointError, match=said) as caught:
        PaSST(5, **(SMALL | {"stride": 10} | arguments)).load_official(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 201, 128), "16 to 200 frames, got 201; longer clips"),
        ((1, 15, 128), "16 to 200 frames, got 15"),
        ((1, 200, 64), r"features \(B, T, 128\), got \(1, 200, 64\)"),
    ],
)
def test_features_that_do_not_fit_are_refused(shape, said):
    with pytest.raises(ValueError, match=said):
        PaSST(3, preset="tiny", frames=200)(torch.zeros(shape))


def test_wrong_arguments_name_the_remedy():
    with pytest.raises(ValueError, match="known: paper, tiny"):
        PaSST(preset="base")
    with pytest.raises(ValueError, match="leaves nothing of 8 rows x 12 columns"):
        PaSST(preset="tiny", frames=200, patchout_time=12)
    with pytest.raises(ValueError, match="leaves nothing"):
        PaSST(preset="tiny", frames=200, patchout=96)
    with pytest.raises(ValueError, match="5 heads do not divide a width of 96"):
        PaSST(preset="tiny", heads=5)
