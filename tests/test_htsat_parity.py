"""HTS-AT against its authors' class (as msclap ships it) and against transformers' CLAP encoder."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from htsat import HTSAT
from modelkit.augment import Augment, Mixup
from modelkit.vision import make_companions_importable
from speed.peers import clap_state, official_htsat, official_htsat_name

TINY = {"image_size": 64, "embed_dim": 24, "depths": (2, 2, 2), "heads": (1, 2, 4)}
CLASSES = 7


def official_model(classes: int, **sizes: Any) -> nn.Module:
    """The authors' class with every parameter and statistic randomised: parity is not trivial."""
    model = official_htsat(classes, **sizes)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name.startswith(("spectrogram_extractor", "logmel_extractor")) or name.endswith(
            ("attn_mask", "relative_position_index", "num_batches_tracked")
        ):
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name == "bn0.running_mean":
            tensor.data.copy_(noise - 40)
        elif name == "bn0.running_var":
            tensor.data.copy_(150 + 20 * noise)
        elif tensor.ndim == 1:
            tensor.data.add_(0.2 * noise)
        elif name.endswith("bias_table"):
            tensor.data.copy_(noise)
        else:
            tensor.data.copy_(noise * (2 / tensor[0].numel()) ** 0.5)
    return model.eval()


def lightning_file(model: nn.Module, path: Path) -> Path:
    """A file as the authors' training writes it."""
    torch.save(
        {
            "epoch": 29,
            "global_step": 1000,
            "pytorch-lightning_version": "1.5.9",
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.47)}},
            "optimizer_states": [{"state": {}, "param_groups": [{"lr": 1e-4, "params": [0]}]}],
            "lr_schedulers": [{"base_lrs": [1e-3], "lr_lambdas": [None]}],
            "state_dict": {f"sed_model.{k}": v for k, v in model.state_dict().items()},
        },
        path,
    )
    return path


def logmel(model: Any, waveforms: Tensor) -> Tensor:
    """(B, T, F) from the authors' own front end."""
    with torch.no_grad():
        return model.logmel_extractor(model.spectrogram_extractor(waveforms))[:, 0]


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(2))


def frames_of(outputs: dict[str, Tensor], frames: int) -> Tensor:
    """The authors repeat each frame; undo that."""
    framewise = outputs["framewise_output"]
    return framewise[:, :: framewise.shape[1] // frames]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, HTSAT]:
    """The authors' AudioSet model and this one, with the same weights by way of a file."""
    theirs = official_model(527)
    path = lightning_file(theirs, tmp_path_factory.mktemp("checkpoint") / "HTSAT.ckpt")
    ours = HTSAT().eval()
    report = ours.load_official(path)
    assert report.complete
    assert len(report.loaded) == len(ours.state_dict()) == 178
    assert len(theirs.state_dict()) == 200
    return theirs, ours


@pytest.mark.parametrize("samples", [320000, 100000])
def test_probabilities_equal_the_authors(
    full: tuple[Any, HTSAT], samples: int, device: torch.device, rounding: int
) -> None:
    theirs, ours = (copy.deepcopy(model).to(device) for model in full)
    waveforms = noise(1, samples).to(device)
    with torch.no_grad():
        expected = theirs(waveforms)
        found = ours(logmel(theirs, waveforms))
    assert found.frame_logits is not None
    close = {"rtol": 0, "atol": 1e-5 * rounding}
    clip, frames = found.clip_logits.sigmoid(), found.frame_logits.sigmoid()
    torch.testing.assert_close(clip, expected["clipwise_output"], **close)
    torch.testing.assert_close(frames, frames_of(expected, 32), **close)
    assert clip.std() > 0.01  # random weights still tell classes apart: the comparison bites
    assert found.seconds_per_frame == pytest.approx((samples // 320 + 1) / 1001 * 10 / 32)


def test_parameter_counts_are_the_published_ones(full: tuple[Any, HTSAT]) -> None:
    theirs, ours = full
    assert ours.published_parameters == 31_325_143
    assert ours.published_parameters == sum(p.numel() for p in theirs.parameters())
    assert sum(p.numel() for p in ours.parameters()) == 29_963_431


def test_features_equal_those_of_clap(full: tuple[Any, HTSAT]) -> None:
    make_companions_importable()
    from transformers import ClapAudioConfig, ClapAudioModel

    theirs, ours = full
    clap = ClapAudioModel(ClapAudioConfig()).eval()
    clap.load_state_dict(clap_state(theirs.state_dict()), strict=True)

    features = logmel(theirs, noise(1, 320000))
    with torch.no_grad():
        expected = clap(input_features=features[:, None], is_longer=None).last_hidden_state
        normalised = ours.bn0(features.transpose(1, 2)).transpose(1, 2)
        found = ours.semantic_tokens(normalised)
    assert found.shape == expected.shape == (1, 768, 2, 32)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("token_semantic", [True, False])
def test_gradients_equal_the_authors(
    tmp_path: Path, token_semantic: bool, device: torch.device, rounding: int
) -> None:
    """In training mode: batch statistics and mixup included, SpecAugment and drop path off."""
    theirs = official_model(
        CLASSES,
        spec_size=64,
        embed_dim=24,
        depths=[2, 2, 2],
        num_heads=[1, 2, 4],
        mel_bins=16,
        drop_path_rate=0.0,
        enable_tscam=token_semantic,
    )
    ours = HTSAT(CLASSES, frames=251, mels=16, **TINY, drop_path=0.0, token_semantic=token_semantic)
    path = lightning_file(theirs, tmp_path / "tiny.ckpt")
    assert ours.load_official(path).complete
    theirs.to(device)
    ours.to(device)

    waveforms = noise(4, 79680).to(device)  # 250 frames, stretched to 256
    share = torch.tensor([0.3, 0.7, 0.9, 0.1], device=device)
    augment = Augment(
        stripes=None,
        time_draws=torch.empty(4, 0, 2),
        mel_draws=torch.empty(4, 0, 2),
        mixup=Mixup(alpha=0.5, pairing="pairs", labels=False),
        share=share[::2],
        first=torch.tensor([0, 2]),
        second=torch.tensor([1, 3]),
    )
    features = logmel(theirs, waveforms)
    targets = torch.eye(CLASSES, device=device)[:2]

    theirs.train()
    expected = theirs(waveforms, mixup_lambda=share)
    loss = nn.functional.binary_cross_entropy(expected["clipwise_output"], targets)
    (loss + frames_of(expected, 16).square().mean()).backward()
    ours.train()
    found = ours(features, augment=augment)
    assert found.frame_logits is not None
    frames = found.frame_logits.sigmoid()
    torch.testing.assert_close(frames, frames_of(expected, 16), rtol=0, atol=1e-5 * rounding)
    loss = nn.functional.binary_cross_entropy_with_logits(found.clip_logits, targets)
    (loss + frames.square().mean()).backward()

    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        want, have = gradients[official_htsat_name(name)].grad, parameter.grad
        assert want is not None, name
        assert have is not None, name
        assert (have - want).norm() <= rounding * (1e-4 * want.norm() + 1e-8), name
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours.bn0, name), getattr(theirs.bn0, name))
