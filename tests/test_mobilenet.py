"""EfficientAT's MobileNets against deepaudio-x's, and the forms of their released files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from modern_peers import peer
from torch import Tensor, nn

from baselines.mobilenet import MobileNet, scaled
from modelkit.checkpoint import CheckpointError

FMN_STEPS = {  # of the stem and the blocks, as EfficientSED's code lists them
    "frequency": (2, 1, 2, 2, 1, 1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 2),
    "time": (2, 1, 2, *[1] * 13),
}


WIDTHS = (16, 16, 24, 24, 40, 40, 40, 80, 80, 80, 80, 112, 112, 160, 160, 160)


def official(width: float, *, frame_wise: bool = False) -> nn.Module:
    """deepaudio-x's trunk with random weights under which all layers keep their scale."""
    module = peer("deepaudiox", "modules.backbones.mobilenet.model")
    torch.manual_seed(0)
    model = module.MobileNet(cfg=module.MobileNetConfig({"width_mult": width}))
    if frame_wise:
        for place, steps in enumerate(zip(*FMN_STEPS.values(), strict=True)):
            layer = model.features[place]
            convs = [
                m for m in layer.modules() if isinstance(m, nn.Conv2d) and m.kernel_size > (1, 1)
            ]
            convs[0].stride = steps
            if place:
                layer.use_res_connect = (
                    steps == (1, 1)
                    and len({scaled(c, width) for c in WIDTHS[place - 1 : place + 1]}) == 1
                )
    for module in model.modules():
        if isinstance(module, nn.Linear):  # scales around a half, but not all alike
            nn.init.normal_(module.weight, 0, 0.3)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.1)
    with torch.no_grad():
        model.train()(torch.randn(2, 128, 200))  # the statistics become those of its own layers
    for norm in norms:
        norm.momentum = 0.01
    return model.eval()


def released_state(trunk: nn.Module, classes: int) -> dict[str, Tensor]:
    """As EfficientAT's authors saved it: a bare state dict, trunk and classifier."""
    state = {k: v for k, v in trunk.state_dict().items() if k.startswith("features.")}
    last = len(state["features.16.0.weight"])
    hidden = scaled(1280, last / 960)
    state["classifier.2.weight"] = torch.randn(hidden, last) / last**0.5
    state["classifier.2.bias"] = torch.randn(hidden) * 0.1
    state["classifier.5.weight"] = torch.randn(classes, hidden) / hidden**0.5
    state["classifier.5.bias"] = torch.randn(classes) * 0.1
    return state


def frame_wise_state(trunk: nn.Module, classes: int, wrapping: str) -> dict[str, Tensor]:
    """As EfficientSED ("net.") or PretrainedSED ("model.frame_mn.") saved it."""
    state = {k: v for k, v in trunk.state_dict().items() if k.startswith("features.")}
    last = len(state["features.16.0.weight"])
    heads = {f"{name}.weight": torch.randn(classes, last) for name in ("strong_head", "weak_head")}
    heads |= {f"{name}.bias": torch.randn(classes) for name in ("strong_head", "weak_head")}
    inner, outer = ("net.model.", "net.") if wrapping == "net" else ("model.frame_mn.", "")
    state = {f"{inner}{name}": value for name, value in state.items()}
    return state | {f"{outer}{name}": value for name, value in heads.items()}


def save(path: Path, state: dict[str, Tensor]) -> Path:
    torch.save(state, path)
    return path


# --- the architecture ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "width", "published"),
    [
        (527, 0.4, 983_599),
        (527, 0.5, 1_431_239),
        (527, 1.0, 4_876_831),
        (527, 2.0, 17_909_287),
        (527, 3.0, 39_086_367),
        (527, 4.0, 68_427_303),
        (50, 1.0, 4_265_794),
    ],
)
def test_parameter_counts_are_the_published_ones(classes, width, published):
    with torch.device("meta"):
        model = MobileNet(classes, width=width)
    assert model.published_parameters == published


@pytest.mark.parametrize(
    ("width", "published"),
    [(0.4, 860_318), (0.6, 1_615_022), (1.0, 3_830_798), (2.0, 13_359_254), (3.0, 28_574_734)],
)
def test_frame_wise_parameter_counts_are_the_published_ones(width, published):
    with torch.device("meta"):
        model = MobileNet(447, variant="fmn", width=width)
    assert model.published_parameters == published


@pytest.mark.parametrize("width", [0.4, 1.0])
def test_logits_and_gradients_equal_the_peers(tmp_path, width, device, rounding):
    """deepaudio-x has no classifier: two matrix products stand in for it. Gradients in double
    precision: in single, sums in another order turn ReLUs, and they differ by a thousandth."""
    trunk = official(width)
    state = released_state(trunk, 7)
    model = MobileNet(7, width=width).eval()
    report = model.load_official(save(tmp_path / "mn.pt", state))
    assert report.complete
    assert len(report.loaded) == 312
    head = {name: value.to(device) for name, value in state.items() if "classifier" in name}
    features, targets = torch.randn(2, 200, 128).to(device), torch.rand(2, 7).to(device)

    for precision in (torch.float32, torch.float64):
        trunk.to(device, precision)
        model.to(device, precision)
        head = {name: value.to(precision) for name, value in head.items()}
        features, targets = features.to(precision), targets.to(precision)
        pooled = trunk(features.transpose(1, 2)).mean((2, 3))
        hidden = F.linear(pooled, head["classifier.2.weight"], head["classifier.2.bias"])
        theirs = F.linear(
            F.hardswish(hidden), head["classifier.5.weight"], head["classifier.5.bias"]
        )
        out = model(features)
        assert out.frame_logits is None
        assert theirs.std() > 0.1
        torch.testing.assert_close(out.clip_logits, theirs, rtol=0, atol=1e-5 * rounding)
    F.binary_cross_entropy_with_logits(out.clip_logits, targets).backward()
    F.binary_cross_entropy_with_logits(theirs, targets).backward()
    found = dict(model.named_parameters())
    for name, parameter in trunk.named_parameters():
        ours = found[name.replace(".conc_se_layers.0.", ".")].grad
        error = (ours - parameter.grad).norm() / parameter.grad.norm()
        assert error < 1e-4 * rounding, f"{name}: {error}"


def test_mn40_equals_the_peer(tmp_path):
    trunk = official(4.0)
    with torch.device("meta"):
        model = MobileNet(2, width=4.0)
    model.to_empty(device="cpu").eval()
    file = save(tmp_path / "mn40.pt", released_state(trunk, 2))
    model.load_official(file)
    file.unlink()  # 190 MB
    x = torch.randn(1, 100, 128).transpose(1, 2)
    with torch.inference_mode():
        theirs, ours = trunk(x), model.features(x.unsqueeze(1))
    assert theirs.shape == (1, 3840, 4, 4)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


def test_batch_norms_train_as_the_peers():
    trunk = official(0.4)
    model = MobileNet(2, width=0.4)
    own = {k: v for k, v in released_state(trunk, 2).items() if k.startswith("features.")}
    own = {name.replace(".conc_se_layers.0.", "."): value for name, value in own.items()}
    model.load_state_dict(own, strict=False)
    x = torch.randn(4, 64, 128).transpose(1, 2)
    trunk.train()(x)
    model.train().features(x.unsqueeze(1))
    for name, value in trunk.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrapping", ["net", "model"])
def test_the_frame_wise_network_equals_the_peer_with_its_steps(tmp_path, wrapping):
    trunk = official(0.4, frame_wise=True)
    state = frame_wise_state(trunk, 5, wrapping)
    model = MobileNet(5, variant="fmn", width=0.4).eval()
    report = model.load_official(save(tmp_path / "fmn04_strong.pt", state))
    assert report.complete
    assert len(report.loaded) == 312
    features = torch.randn(2, 203, 128)
    with torch.inference_mode():
        frames = trunk(features.transpose(1, 2)).mean(2).transpose(1, 2)
        out = model(features)
    assert frames.shape == (2, 51, 384)
    outer = "net." if wrapping == "net" else ""
    strong, weak = (
        F.linear(x, state[f"{outer}{head}.weight"], state[f"{outer}{head}.bias"])
        for head, x in (("strong_head", frames), ("weak_head", frames.mean(1)))
    )
    scale = float(strong.abs().max())
    torch.testing.assert_close(out.frame_logits, strong, rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close(out.clip_logits, weak, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(("frames", "kept"), [(1000, 250), (1001, 251), (998, 250), (500, 125)])
def test_frames_of_40_ms(frames, kept):
    model = MobileNet(3, variant="fmn", preset="tiny", frames=1000).eval()
    with torch.inference_mode():
        out = model(torch.zeros(1, frames, 128))
    assert out.frame_logits.shape == (1, kept, 3)
    assert out.seconds_per_frame == pytest.approx(0.04)


def test_any_length_and_every_number_of_mels_of_the_released_files():
    for mels in (40, 64, 128, 256):
        model = MobileNet(3, preset="tiny", mels=mels).eval()
        for frames in (1, 33, 100):
            assert model(torch.randn(1, frames, mels)).clip_logits.shape == (1, 3)
    with pytest.raises(ValueError, match=r"takes features \(B, T, 256\), got \(1, 100, 128\)"):
        model(torch.zeros(1, 100, 128))


def test_wrong_arguments_name_the_remedy():
    with pytest.raises(ValueError, match="known: mn, fmn"):
        MobileNet(variant="dymn")
    with pytest.raises(ValueError, match="known: paper, tiny"):
        MobileNet(preset="mn10")
    with pytest.raises(ValueError, match="width is 0"):
        MobileNet(width=0)


# --- released files ------------------------------------------------------------------------------


def test_the_released_form_has_the_published_entries():
    state = released_state(official(1.0), 527)
    assert len(state) == 312
    assert sum(math.prod(value.shape) for value in state.values()) == 4_901_277
    assert state["features.0.0.weight"].shape == (16, 1, 3, 3)
    assert "features.4.block.2.conc_se_layers.0.fc1.weight" in state


def test_other_classes_need_a_new_last_layer_alone(tmp_path):
    file = save(tmp_path / "mn04_as_mAP_432.pt", released_state(official(0.4), 5))
    with pytest.raises(CheckpointError, match=r"classifier\.5\.weight is \(5, 512\)"):
        MobileNet(7, width=0.4).load_official(file)
    model = MobileNet(7, width=0.4)
    report = model.load_official(file, new_classes=True)
    assert report.fresh == ("classifier.5.weight", "classifier.5.bias")
    assert report.complete


@pytest.mark.parametrize("heads", [("weak_head",), ("strong_head", "weak_head")])
def test_a_frame_wise_network_starts_from_one_of_other_classes(tmp_path, heads):
    trunk = official(0.4, frame_wise=True)
    kept = ("net.model", *(f"net.{head}" for head in heads))
    state = {k: v for k, v in frame_wise_state(trunk, 5, "net").items() if k.startswith(kept)}
    model = MobileNet(7, variant="fmn", width=0.4)
    report = model.load_pretrained(save(tmp_path / "fmn04_weak.pt", state))
    assert {name.partition(".")[0] for name in report.fresh} == {"strong_head", "weak_head"}
    assert torch.equal(model.features[3].block[0][0].weight, trunk.features[3].block[0][0].weight)


def test_a_frame_wise_network_starts_from_a_clip_wise_file(tmp_path):
    trunk = official(0.4)
    file = save(tmp_path / "mn04.pt", released_state(trunk, 5))
    model = MobileNet(7, variant="fmn", width=0.4)
    report = model.load_official(file, new_classes=True)
    assert {name.partition(".")[0] for name in report.fresh} == {"strong_head", "weak_head"}
    assert {name.partition(".")[0] for name in report.ignored} == {"classifier"}
    assert torch.equal(model.features[3].block[0][0].weight, trunk.features[3].block[0][0].weight)


@pytest.mark.parametrize("variant", ["mn", "fmn"])
def test_the_imagenet_start_leaves_the_heads_fresh(tmp_path, variant):
    trunk = official(0.4)
    file = save(tmp_path / "mn04_im.pt", released_state(trunk, 527))
    model = MobileNet(7, variant=variant, width=0.4)
    report = model.load_imagenet(file)
    assert len(report.loaded) == 308
    assert len(report.fresh) == 4
    assert torch.equal(model.features[0][0].weight, trunk.features[0][0].weight)


@pytest.mark.parametrize(
    ("arguments", "change", "said"),
    [
        ({"width": 1.0}, {}, r"a MobileNet of width 0\.4, not 1: set `width`"),
        ({"variant": "mn"}, {"strong_head.weight": torch.zeros(5, 384)}, "set `variant` to fmn"),
        ({}, {"classifier.0.weight": torch.zeros(5, 384, 1, 1)}, "a fully convolutional head"),
        ({}, {"net.seq_model.0.weight": torch.zeros(1)}, "a sequence model"),
        (
            {"seconds": 1.0, "frames": 100},
            {},
            r"collapse .* below 5 s.*built for 1 s; repeat clips",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_one_clear_line(tmp_path, arguments, change, said):
    file = save(tmp_path / "odd.pt", released_state(official(0.4), 5) | change)
    with pytest.raises(CheckpointError, match=said) as caught:
        MobileNet(5, **({"width": 0.4} | arguments)).load_official(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
