"""PANN against panns-inference's models, and the form of its released files."""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.pann import PANN
from modelkit.augment import Augment, Mixup, SpecAugment
from modelkit.checkpoint import CheckpointError
from speed.peers import FRONT_END, submodule


@functools.cache
def peer_models() -> types.ModuleType:
    """`panns_inference.models`, without the package's __init__, which downloads a label list."""
    models = submodule("panns_inference", "models")
    models.init_layer = lambda layer: None  # its 80 million weights are set below
    return models


@pytest.fixture(scope="module")
def peer() -> nn.Module:
    """Cnn14_DecisionLevelMax at full size, with weights that tell all entries apart."""
    torch.manual_seed(0)
    model = peer_models().Cnn14_DecisionLevelMax(**FRONT_END, classes_num=527)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.05, 0.2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
        model.bn0.running_mean.normal_(-20, 5)  # dB of the noise below
        model.bn0.running_var.uniform_(50, 150)
        model.fc_audioset.weight.mul_(0.1)  # logits around 0, where probabilities move most
    return model.eval()


@pytest.fixture(scope="module")
def released(peer: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As PANNs' authors saved it: step, weights and the sampler's arrays, in torch 1's format."""
    file = tmp_path_factory.mktemp("pann") / "Cnn14_mAP=0.431.pth"
    sampler = {
        "indexes_per_class": [np.arange(3), np.arange(2)],
        "queue": [np.int64(1), np.int64(0)],
        "pointers_of_classes": [0, 1],
    }
    content = {"iteration": 600_000, "model": peer.state_dict(), "sampler": sampler}
    torch.save(content, file, _use_new_zipfile_serialization=False)
    yield file
    file.unlink()  # 330 MB


def load(variant: str, file: Path) -> PANN:
    with torch.device("meta"):
        model = PANN(variant=variant)
    report = model.to_empty(device="cpu").load_official(file)
    assert report.complete
    assert len(report.loaded) == 81
    assert len(report.ignored) == 3  # the front end
    return model.eval()


@pytest.fixture(scope="module")
def ours(released: Path) -> PANN:
    return load("decision_max", released)


def noise(clips: int, samples: int) -> Tensor:
    """Noise whose level rises and falls, so that segments differ."""
    level = torch.linspace(0, 20, samples).sin().abs()
    return 0.1 * level * torch.randn(clips, samples, generator=torch.Generator().manual_seed(2))


def log_mel(peer: nn.Module, waves: Tensor) -> Tensor:
    """(B, T, 64) as the peer's own front end makes them."""
    return peer.logmel_extractor(peer.spectrogram_extractor(waves))[:, 0]


def test_ten_seconds_equal_the_peer_clip_and_frames(peer, ours):
    waves = noise(1, 320_000)
    with torch.inference_mode():
        theirs = peer(waves)
        out = ours(log_mel(peer, waves))
    assert out.frame_logits.shape == (1, 31 + 1, 527)
    assert theirs["framewise_output"].std() > 0.05
    difference = out.clip_logits.sigmoid() - theirs["clipwise_output"]
    assert difference.abs().max() <= 1e-6
    frames = out.frame_logits.sigmoid().repeat_interleave(ours.ratio, dim=1)[:, :1001]
    assert (frames - theirs["framewise_output"]).abs().max() <= 1e-6


def test_cnn14_equals_the_peer(peer, released, device, rounding):
    twin = peer_models().Cnn14(**FRONT_END, classes_num=527)
    twin.load_state_dict(peer.state_dict(), assign=device.type == "cpu")
    twin.to(device)
    model, waves = load("cnn14", released).to(device), noise(2, 64_000).to(device)
    with torch.inference_mode():
        theirs = twin.eval()(waves)["clipwise_output"]
        out = model(log_mel(twin, waves))
    assert theirs.std() > 0.05
    assert (out.clip_logits.sigmoid() - theirs).abs().max() <= 1e-6 * rounding


def test_gradients_of_the_loss_equal_the_peers(peer, ours, device, rounding):
    """The peer trains on probabilities, this model on logits."""
    if device.type != "cpu":
        peer, ours = (copy.deepcopy(model).to(device) for model in (peer, ours))
    waves, targets = noise(2, 32_000).to(device), torch.rand(2, 527).round().to(device)
    watched = ["bn0.weight", "conv_block1.conv1.weight", "conv_block6.bn2.bias"]
    watched += ["fc1.weight", "fc_audioset.bias"]
    loss = F.binary_cross_entropy(peer(waves)["clipwise_output"], targets)
    wanted = torch.autograd.grad(loss, [peer.get_parameter(name) for name in watched])
    out = ours(log_mel(peer, waves))
    loss = F.binary_cross_entropy_with_logits(out.clip_logits, targets)
    found = torch.autograd.grad(loss, [ours.get_parameter(name) for name in watched])
    for name, mine, theirs in zip(watched, found, wanted, strict=True):
        error = (mine - theirs).norm() / theirs.norm()
        assert error < 1e-4 * rounding, f"{name}: {error}"


@pytest.mark.parametrize("variant", ["decision_avg", "decision_att"])
def test_the_other_decisions_equal_their_definition(peer, ours, variant):
    """On the peer's own embeddings; these variants are in no package."""
    model = PANN(3, variant=variant, preset="tiny").eval()
    embeddings: list[Tensor] = []
    hook = peer.fc_audioset.register_forward_pre_hook(lambda _, x: embeddings.append(x[0]))
    waves = noise(2, 64_000)
    with torch.inference_mode():
        peer(waves)
        hook.remove()
        x = embeddings[0].transpose(1, 2)  # (B, 2048, T')
        if variant == "decision_avg":
            weight, bias = peer.fc_audioset.weight, peer.fc_audioset.bias
            model.fc_audioset = peer.fc_audioset
            segments = torch.einsum("bct,oc->bot", x, weight) + bias[:, None]
            clip = segments.sigmoid().mean(dim=2)
        else:
            block = model.att_block
            block.att, block.cla = (nn.Conv1d(2048, 527, 1) for _ in range(2))
            block.att.weight.data.mul_(20)  # some beyond the clamp
            attention = F.conv1d(x, block.att.weight, block.att.bias)
            assert attention.abs().max() > 10
            segments = F.conv1d(x, block.cla.weight, block.cla.bias)
            share = attention.clamp(-10, 10).exp()
            clip = (share * segments.sigmoid()).sum(2) / share.sum(2)
        ours_clip, ours_segments = model._decide(embeddings[0])
    assert (ours_clip.sigmoid() - clip).abs().max() <= 1e-6
    assert (ours_segments.sigmoid() - segments.sigmoid().transpose(1, 2)).abs().max() <= 1e-6


def test_training_equals_the_peer(peer, ours, monkeypatch):
    """Batch statistics, places of dropout and of augmentation.

    Dropout is replaced by a power that depends on its rate: the same rates in the same places give
    the same numbers, others do not.
    """
    monkeypatch.setattr(F, "dropout", lambda x, p=0.5, training=True: x ** (1 + p * training))
    augment = Augment.draw(
        4,
        np.random.default_rng(0),
        stripes=SpecAugment(time_width=16),
        mixup=Mixup(alpha=1.0, pairing="pairs", labels=True),
    )
    lambdas = torch.stack([augment.share, 1 - augment.share], dim=1).flatten()
    waves = noise(4, 32_000)
    state = {name: value.clone() for name, value in peer.state_dict().items()}
    peer.spec_augmenter = Masks(augment)
    try:
        theirs = peer.train()(waves, lambdas)["clipwise_output"]
        out = ours.train()(log_mel(peer, waves), augment=augment).clip_logits
        assert (out.sigmoid() - theirs).abs().max() <= 1e-3 * theirs.std()
        for name in ("bn0.running_mean", "conv_block6.bn2.running_var"):
            torch.testing.assert_close(ours.state_dict()[name], peer.state_dict()[name])
    finally:
        peer.load_state_dict(state)
        ours.load_state_dict({name: state[name] for name in ours.state_dict()})
        peer.eval()
        ours.eval()


class Masks(nn.Module):
    """The peer's SpecAugment with the stripes of `augment`."""

    def __init__(self, augment: Augment) -> None:
        super().__init__()
        self.augment = augment

    def forward(self, x: Tensor) -> Tensor:
        return self.augment.mask(x[:, 0])[:, None]


# --- files that do not fit, at a small size ------------------------------------------------------


def small(variant: str = "cnn14", classes: int = 5) -> PANN:
    return PANN(classes, variant=variant, channels=(2, 3))


def small_state(peer: nn.Module, variant: str = "cnn14") -> dict[str, Tensor]:
    front_end = {n: v for n, v in peer.state_dict().items() if "extractor" in n}
    state = front_end | small(variant).state_dict()
    if variant == "decision_att":
        norm = nn.BatchNorm1d(5).state_dict()
        state |= {f"att_block.bn_att.{name}": value for name, value in norm.items()}
    return state


def write(path: Path, state: dict[str, Tensor]) -> Path:
    torch.save({"iteration": 1, "model": state, "sampler": {"queue": [np.int64(3)]}}, path)
    return path


def test_every_entry_that_does_not_fit_is_named(peer, tmp_path):
    state = small_state(peer)
    state["conv_block3.conv1.weight"] = torch.zeros(4, 3, 3, 3)
    state["fc1.bias"] = torch.zeros(4)
    del state["conv_block2.bn2.running_var"]
    file = write(tmp_path / "odd.pth", state)
    with pytest.raises(CheckpointError) as caught:
        small().load_official(file)
    message = str(caught.value)
    assert str(file) in message
    assert "missing: conv_block2.bn2.running_var" in message
    assert "unexpected: conv_block3.conv1.weight" in message
    assert "fc1.bias is (4,) in the file, (3,) in the model" in message


def test_the_attention_blocks_unused_norm_is_left_out(peer, tmp_path):
    file = write(tmp_path / "att.pth", small_state(peer, "decision_att"))
    model = small("decision_att")
    report = model.load_official(file)
    assert sum("bn_att" in name for name in report.ignored) == 5
    assert report.complete
    with pytest.raises(CheckpointError, match="missing: fc_audioset"):
        small("decision_max").load_official(file)


@pytest.mark.parametrize("variant", ["cnn14", "decision_att"])
def test_other_classes_need_a_new_classifier(peer, tmp_path, variant):
    file = write(tmp_path / "five.pth", small_state(peer, variant))
    with pytest.raises(CheckpointError, match=r"in the file, \(7,"):
        small(variant, classes=7).load_official(file)
    report = small(variant, classes=7).load_official(file, new_classes=True)
    assert report.complete
    assert {name.split(".")[0] for name in report.fresh} <= {"fc_audioset", "att_block"}


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_half_precision_files_become_single(peer, tmp_path, precision):
    """The front end's matrices are compared as exactly as they are stored."""
    half = {
        name: value.to(precision) if value.is_floating_point() else value
        for name, value in small_state(peer).items()
    }
    model = small()
    assert model.load_official(write(tmp_path / "half.pth", half)).complete
    assert torch.equal(model.fc1.bias, half["fc1.bias"].float())
    assert model.fc1.bias.dtype == torch.float32
    mel = "logmel_extractor.melW"
    other = write(tmp_path / "other.pth", half | {mel: half[mel].roll(1, 0)})
    with pytest.raises(CheckpointError, match=f"{mel} differs by"):
        small().load_official(other)


def test_another_front_end_is_refused(peer, tmp_path):
    mel, kernel = "logmel_extractor.melW", "spectrogram_extractor.stft.conv_real.weight"
    changed = [
        (mel, small_state(peer)[mel].roll(1, 0), "differs by"),
        (kernel, torch.zeros(257, 1, 512), r"is \(257, 1, 512\), expected \(513, 1, 1024\)"),
    ]
    for name, value, reason in changed:
        file = write(tmp_path / "other.pth", small_state(peer) | {name: value})
        with pytest.raises(CheckpointError, match=rf"other\.pth: .*{name} {reason}"):
            small().load_official(file)
    state = small_state(peer)
    del state[mel]
    with pytest.raises(CheckpointError, match=f"{mel} is missing"):
        small().load_official(write(tmp_path / "none.pth", state))
