"""ATST-Frame against avex's, Dasheng against its package, and the forms of their files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from modern_peers import atst_frame, peer
from torch import Tensor, nn

from baselines.frame_transformer import ATSTFrame, Dasheng
from modelkit.checkpoint import CheckpointError

SMALL = {"dim": 48, "depth": 2, "heads": 3}


def randomised(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, float(parameter.ndim == 1), 0.1)
    return model.eval()


def official_atst(dim: int = 48, depth: int = 2, heads: int = 3) -> nn.Module:
    return randomised(
        atst_frame().FrameAST(
            patch_h=64,
            patch_w=4,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )
    )


def official_dasheng(dim: int = 48, depth: int = 2, heads: int = 3) -> nn.Module:
    module = peer("dasheng", "pretrained.pretrained")
    model = randomised(module.Dasheng(embed_dim=dim, depth=depth, num_heads=heads))
    model.init_bn[1].running_mean.normal_(-30, 10)
    model.init_bn[1].running_var.uniform_(100, 300)
    return model


def linear_heads(dim: int = 48, classes: int = 5) -> dict[str, Tensor]:
    heads = ("strong_head", "weak_head")
    state = {f"{name}.weight": torch.randn(classes, dim) for name in heads}
    return state | {f"{name}.bias": torch.randn(classes) for name in heads}


def pretrained_sed(encoder: nn.Module, classes: int = 5) -> dict[str, Tensor]:
    """As PretrainedSED's authors saved ATST-Frame."""
    state = {f"model.atst.{k}": v for k, v in encoder.state_dict().items()}
    mel = {"model.atst_mel.mel_transform.mel_scale.fb": torch.zeros(513, 64)}
    width = len(encoder.state_dict()["norm_frame.bias"])
    return state | mel | linear_heads(width, classes)


def audiossl_tuned(encoder: nn.Module, classes: int = 5) -> dict[str, object]:
    """As audiossl's Lightning module saved ATST-Frame after fine-tuning."""
    width = len(encoder.state_dict()["norm_frame.bias"])
    state = {f"encoder.encoder.{k}": v for k, v in encoder.state_dict().items()}
    state |= {
        "head.norm.running_mean": torch.randn(width),
        "head.norm.running_var": torch.rand(width) + 1,
    }
    state |= {"head.norm.num_batches_tracked": torch.tensor(3)}
    state |= {
        "head.linear.weight": torch.randn(classes, width),
        "head.linear.bias": torch.randn(classes),
    }
    return {"state_dict": state, "hyper_parameters": {"learning_rate": 0.5}}  # fmt: skip


def audiossl_pretrained(encoder: nn.Module) -> dict[str, object]:
    """As audiossl saved its self-supervised teacher and student."""
    state: dict[str, Tensor] = {}
    for side, factor in (("student", 0.0), ("teacher", 1.0)):
        for name, value in encoder.state_dict().items():
            state[f"model.{side}.encoder.{name}"] = factor * value
        state[f"model.{side}.projector.0.weight"] = torch.zeros(2, 48)
    return {"state_dict": state}


def dasheng_tuned(encoder: nn.Module, classes: int = 5) -> dict[str, Tensor]:
    """As Dasheng's authors saved it after fine-tuning on AudioSet."""
    width = len(encoder.state_dict()["norm.bias"])
    state = dict(encoder.state_dict())
    state |= {"outputlayer.0.weight": torch.rand(width), "outputlayer.0.bias": torch.randn(width)}
    return state | {
        "outputlayer.1.weight": torch.randn(classes, width),
        "outputlayer.1.bias": torch.randn(classes),
    }


def save(path: Path, content: Mapping[str, object]) -> Path:
    torch.save(dict(content), path)
    return path


def atst_tokens(model: nn.Module, features: Tensor) -> Tensor:
    lengths = torch.full((len(features),), features.shape[1], device=features.device)
    return model.get_intermediate_layers(
        features.transpose(1, 2).unsqueeze(1), lengths, 1, scene=False
    )


def dasheng_tokens(model: nn.Module, features: Tensor) -> Tensor:
    """Its evaluation mode, with the norm of the bands by its formula: on the CPU the gradient of
    PyTorch's two-dimensional batch norm over one row is wrong where gradients come strided."""
    norm = model.init_bn[1]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    features = (features - norm.running_mean) * scale + norm.bias
    return model.forward_spectrogram(features.transpose(1, 2).unsqueeze(1))


# --- the architectures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "published"),
    [
        (ATSTFrame, {"classes": 447, "heads_for": "frames"}, 86_106_750),
        (ATSTFrame, {"classes": 527}, 85_419_264 + 527 * 769),
        (Dasheng, {"classes": 527}, 85_854_607),
    ],
)
def test_parameter_counts_are_the_published_ones(kind, arguments, published):
    with torch.device("meta"):
        assert kind(**arguments).published_parameters == published


@pytest.mark.parametrize(("frames", "tokens"), [(1001, 250), (998, 249), (500, 125), (101, 25)])
@pytest.mark.parametrize("kind", [ATSTFrame, Dasheng])
def test_a_token_is_40_ms(kind, frames, tokens):
    model = kind(3, preset="tiny", heads_for="frames").eval()
    with torch.inference_mode():
        out = model(torch.zeros(1, frames, 64))
    assert out.frame_logits.shape == (1, tokens, 3)
    assert out.seconds_per_frame == pytest.approx(0.04)


@pytest.mark.parametrize("frames", [1001, 400])
def test_atst_frame_equals_avex(tmp_path, frames, device, rounding):
    theirs = official_atst()
    state = pretrained_sed(theirs)
    model = ATSTFrame(5, heads_for="frames", **SMALL).eval()
    report = model.load_official(save(tmp_path / "ATST-F_strong_1.pt", state))
    assert report.complete
    theirs.to(device)
    model.to(device)
    features, targets = torch.randn(2, frames, 64).to(device), torch.rand(2, 5).to(device)
    tokens = atst_tokens(theirs, features)
    state = {name: value.to(device) for name, value in state.items()}
    strong = F.linear(tokens, state["strong_head.weight"], state["strong_head.bias"])
    weak = F.linear(tokens.mean(1), state["weak_head.weight"], state["weak_head.bias"])
    out = model(features)
    scale = float(strong.detach().abs().max())
    torch.testing.assert_close(out.frame_logits, strong, rtol=0, atol=1e-5 * scale * rounding)
    torch.testing.assert_close(out.clip_logits, weak, rtol=0, atol=1e-5 * scale * rounding)
    for logits in (out.clip_logits, weak):
        F.binary_cross_entropy_with_logits(logits, targets).backward()
    own = {f"blocks.{n}": p.grad for n, p in model.blocks.named_parameters()}
    reference = dict(theirs.named_parameters())
    own |= {"patch_embed.patch_embed.weight": model.patch_embed["proj"].weight.grad.flatten(1)}
    for name, gradient in own.items():
        error = (gradient - reference[name].grad).norm() / reference[name].grad.norm()
        assert error < 1e-5 * rounding, f"{name}: {error}"


@pytest.mark.parametrize("frames", [1001, 1300, 400])
def test_dasheng_equals_its_package(tmp_path, frames, device, rounding):
    """1300 frames are heard in two pieces."""
    theirs = official_dasheng()
    state = dasheng_tuned(theirs)
    model = Dasheng(5, **SMALL).eval()
    report = model.load_official(save(tmp_path / "dasheng_audioset_mAP497.pt", state))
    assert report.complete
    assert model.clip_head[0].eps == 1e-5
    theirs.to(device)
    model.to(device)
    features = (20 * torch.randn(2, frames, 64) - 30).to(device)
    targets = torch.rand(2, 5).to(device)
    tokens = dasheng_tokens(theirs, features)
    state = {name: value.to(device) for name, value in state.items()}
    norm = [state[f"outputlayer.0.{part}"] for part in ("weight", "bias")]
    linear = [state[f"outputlayer.1.{part}"] for part in ("weight", "bias")]
    expected = F.linear(F.layer_norm(tokens.mean(1), (48,), *norm), *linear)
    torch.testing.assert_close(model.encode(features), tokens, rtol=0, atol=1e-5 * rounding)
    out = model(features)
    assert out.frame_logits is None
    scale = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(out.clip_logits, expected, rtol=0, atol=1e-5 * scale * rounding)
    for logits in (out.clip_logits, expected):
        F.binary_cross_entropy_with_logits(logits, targets).backward()
    reference = dict(theirs.named_parameters())
    for name, parameter in model.named_parameters():
        if not name.startswith("clip_head."):
            theirs_gradient = reference[name.replace("init_bn.", "init_bn.1.")].grad
            error = (parameter.grad - theirs_gradient).norm() / theirs_gradient.norm()
            assert error < 1e-4 * rounding, f"{name}: {error}"


def test_dashengs_input_norm_trains_as_its_package():
    theirs, model = official_dasheng(), Dasheng(5, **SMALL)
    features = 20 * torch.randn(4, 200, 64) - 30
    before = {name: value.clone() for name, value in theirs.init_bn[1].state_dict().items()}
    model.init_bn.load_state_dict(before)
    theirs.train().init_bn(features.transpose(1, 2).unsqueeze(1))
    model.train()(features)
    for name, value in theirs.init_bn[1].state_dict().items():
        torch.testing.assert_close(model.init_bn.state_dict()[name], value)


# --- released files ------------------------------------------------------------------------------


def test_a_fine_tuned_atst_frame_normalises_the_mean_of_its_tokens(tmp_path):
    theirs = official_atst()
    content = audiossl_tuned(theirs)
    model = ATSTFrame(5, **SMALL).eval()
    assert model.load_official(save(tmp_path / "tuned.ckpt", content)).complete
    features = torch.randn(2, 1001, 64)
    state = content["state_dict"]
    with torch.inference_mode():
        mean = atst_tokens(theirs, features).mean(1)
        mean = (mean - state["head.norm.running_mean"]) / (
            state["head.norm.running_var"] + 1e-5
        ).sqrt()
        expected = F.linear(mean, state["head.linear.weight"], state["head.linear.bias"])
        out = model(features)
    assert out.frame_logits is None
    torch.testing.assert_close(out.clip_logits, expected, rtol=1e-5, atol=1e-4)  # fmt: skip


@pytest.mark.parametrize("heads_for", ["clips", "frames"])
def test_a_self_supervised_file_starts_from_its_teacher(tmp_path, heads_for):
    theirs = official_atst()
    file = save(tmp_path / "atstframe_base.ckpt", audiossl_pretrained(theirs))
    model = ATSTFrame(7, heads_for=heads_for, **SMALL)
    report = model.load_pretrained(file)
    assert not report.unexpected
    assert {name.partition(".")[0].partition("_")[2] for name in report.fresh} == {"head"}
    assert torch.equal(model.norm.weight, theirs.norm_frame.weight)
    assert torch.equal(model.time_pos_embed[0, :, 0], theirs.pos_embed[0, 1:].T)
    with pytest.raises(CheckpointError, match="an encoder alone, without classes"):
        model.load_official(file)


def test_dashengs_self_supervised_file_starts_a_model_with_frames(tmp_path):
    theirs = official_dasheng()
    content = {"model": theirs.state_dict(), "config": {"embed_dim": 48}}
    model = Dasheng(7, heads_for="frames", **SMALL)
    report = model.load_pretrained(save(tmp_path / "dasheng_base.pt", content))
    assert report.complete
    assert len(report.fresh) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"heads_for": "clips"}, "has heads for frames: set `heads_for` to frames"),
        ({"depth": 3}, "a transformer of depth 2, not 3: set `depth`"),
        ({"dim": 96}, "a transformer of dim 48, not 96: set `dim`"),
    ],
)
def test_a_file_of_another_variant_is_one_clear_line(tmp_path, arguments, said):
    file = save(tmp_path / "ATST-F_strong_1.pt", pretrained_sed(official_atst()))
    with pytest.raises(CheckpointError, match=said) as caught:
        ATSTFrame(5, **(SMALL | {"heads_for": "frames"} | arguments)).load_official(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


# --- what goes in --------------------------------------------------------------------------------


def test_atst_frame_refuses_more_frames_than_its_positions_and_dasheng_hears_pieces():
    with pytest.raises(
        ValueError, match=r"250 tokens, so at most 1003 frames, got 1004; .*windows"
    ):
        ATSTFrame(3, preset="tiny", frames=1004)
    model = ATSTFrame(3, preset="tiny")
    model(torch.zeros(2, 1003, 64))
    with pytest.raises(ValueError, match="got 1004"):
        model(torch.zeros(1, 1004, 64))
    pieces = Dasheng(3, preset="tiny", frames=2020).eval()
    features = torch.randn(1, 2016, 64)
    with torch.inference_mode():
        alone = torch.cat([pieces.encode(part) for part in features.split(1008, 1)], 1)
        torch.testing.assert_close(pieces.encode(features), alone)


def test_values_below_the_lowest_take_it():
    features = torch.randn(2, 100, 64)
    model = ATSTFrame(3, preset="tiny", heads_for="frames", lowest=-0.545).eval()
    with torch.inference_mode():
        seen = model(features).frame_logits
        model.lowest = None
        torch.testing.assert_close(model(features.clamp(min=-0.545)).frame_logits, seen)
        assert not torch.allclose(model(features).frame_logits, seen)


def test_wrong_arguments_name_the_remedy():
    with pytest.raises(ValueError, match="unknown preset 'base' of ATSTFrame; known: paper, tiny"):
        ATSTFrame(preset="base")
    with pytest.raises(
        ValueError, match="unknown heads_for 'both' of Dasheng; known: clips, frames"
    ):
        Dasheng(heads_for="both")
    with pytest.raises(ValueError, match="5 heads do not divide a width of 96"):
        Dasheng(preset="tiny", heads=5)
    with pytest.raises(ValueError, match="needs 4 frames"):
        ATSTFrame(preset="tiny", frames=3)
    with pytest.raises(ValueError, match=r"takes features \(B, T, 64\), got \(1, 100, 32\)"):
        ATSTFrame(preset="tiny")(torch.zeros(1, 100, 32))
