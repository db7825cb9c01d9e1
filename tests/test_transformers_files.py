"""Start checkpoints as Hugging Face's transformers keeps them: same outputs, every entry told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_htsat_checkpoints import SMALL, authors_state, save
from torch import Tensor, nn

from baselines.ast import AST
from bench.experiment.released import Backbone
from bench.ops.rehearsal.checkpoints import write_stand_in
from htsat import HTSAT
from modelkit.checkpoint import CheckpointError, read_checkpoint
from modelkit.vision import make_companions_importable

make_companions_importable()
import transformers  # noqa: E402

CLASSES = 5
SIZE = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3}
VISION = SIZE | {"intermediate_size": 384, "layer_norm_eps": 1e-6}  # transformers' own: 1e-12
TEXT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
TEXT |= {"intermediate_size": 8, "max_position_embeddings": 6}
AUDIO = {"spec_size": 64, "num_mel_bins": 16, "patch_embeds_hidden_size": 24, "hidden_size": 48}
AUDIO |= {"depths": [2, 2], "num_attention_heads": [1, 2]}
TWO_STAGES = {"depths": (2, 2), "heads": (1, 2)}


def randomised(model: Any) -> Any:
    """With other values than zeros and ones everywhere, so that equal outputs mean something."""
    generator = torch.Generator().manual_seed(0)
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator)
            spread = 0.2 if value.ndim < 2 else 0.5 * value[0].numel() ** -0.5
            value.data.copy_(spread * noise + (value.ndim == 1 and not name.endswith("bias")))
            if name.endswith("running_var"):
                value.data.abs_()
    return model.eval()


def written(model: Any, folder: Path, form: str) -> Path:
    """A file of the hub, or one of the weights as the installed version holds them in memory."""
    if form == "hub":
        model.save_pretrained(folder)
        return folder / "model.safetensors"
    return save(model.state_dict(), folder / "pytorch_model.bin")


def transformers_ast(kind: str = "ASTForAudioClassification") -> Any:
    config = transformers.ASTConfig(
        **VISION, max_length=100, num_mel_bins=64, num_labels=CLASSES, frequency_stride=10
    )
    return randomised(getattr(transformers, kind)(config))


def our_ast(**arguments: Any) -> AST:
    sizes = {"depth": 2, "frames": 100, "mels": 64, "stride": 10} | arguments
    return AST(CLASSES, preset="tiny", **sizes).eval()


@pytest.mark.parametrize("form", ["hub", "memory"])
def test_ast_of_transformers_gives_the_same_logits(tmp_path: Path, form: str) -> None:
    theirs, ours = transformers_ast(), our_ast()
    theirs.classifier.layernorm.eps = 1e-5  # as the authors' code
    path = written(theirs, tmp_path, form)
    if form == "hub":
        assert any(".attention.attention.query." in name for name in read_checkpoint(path))
    report = ours.load_official(path)
    assert set(report.loaded) == set(ours.state_dict())
    assert not report.ignored
    features = torch.randn(2, 100, 64)
    with torch.no_grad():
        expected, found = theirs(features).logits, ours(features).clip_logits
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_an_ast_without_a_classifier_is_a_start_alone(tmp_path: Path) -> None:
    path = written(transformers_ast("ASTModel"), tmp_path, "hub")
    with pytest.raises(CheckpointError, match=r"missing: mlp_head\.0\.weight.*mlp_head\.1\.bias"):
        our_ast().load_official(path)
    model = our_ast(frames=80)
    fresh = {name for name in model.state_dict() if name.startswith("mlp_head.")}
    report = model.load_pretrained(path)
    assert set(report.fresh) == fresh
    assert set(report.loaded) == set(model.state_dict()) - fresh


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_a_query_without_its_key_is_named(tmp_path: Path, part: str) -> None:
    state = transformers_ast().state_dict()
    del state[f"audio_spectrogram_transformer.layers.1.attention.k_proj.{part}"]
    with pytest.raises(CheckpointError) as caught:
        our_ast().load_official(save(state, tmp_path / "odd.bin"))
    message = str(caught.value)
    assert f"1 missing: v.blocks.1.attn.qkv.{part}\n" in message
    assert f"v.blocks.1.attn.query.{part}, v.blocks.1.attn.value.{part}" in message


@pytest.mark.parametrize(("argument", "value"), [("depth", 3), ("dim", 48)])
def test_an_ast_of_another_size_is_refused_in_one_line(
    tmp_path: Path, argument: str, value: int
) -> None:
    path = written(transformers_ast(), tmp_path, "hub")
    with pytest.raises(CheckpointError) as caught:
        our_ast(**{argument: value}).load_official(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert f"set `{argument}`" in message
    assert "\n" not in message


@pytest.mark.parametrize("form", ["hub", "memory"])
def test_deit_of_transformers_is_an_imagenet_start(tmp_path: Path, form: str) -> None:
    config = transformers.DeiTConfig(**VISION, image_size=48, num_labels=7)
    theirs = randomised(transformers.DeiTForImageClassificationWithTeacher(config))
    ours = our_ast(frames=48, mels=48, stride=16)  # on the grid of the file
    report = ours.load_imagenet(written(theirs, tmp_path, form))
    assert len(report.ignored) == 4  # the two classifiers
    assert all(name.startswith("mlp_head.") for name in report.fresh)
    image = torch.randn(2, 1, 48, 48)
    with torch.no_grad():
        expected = theirs.deit(image.expand(-1, 3, -1, -1)).last_hidden_state
        found = ours.v.forward_features(image)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def transformers_clap(whole: bool, **audio: Any) -> nn.Module:
    if whole:
        config = transformers.ClapConfig(
            text_config=TEXT, audio_config=AUDIO | audio, projection_dim=4
        )
        return randomised(transformers.ClapModel(config))
    return randomised(transformers.ClapAudioModel(transformers.ClapAudioConfig(**AUDIO | audio)))


def our_htsat(**arguments: Any) -> HTSAT:
    return HTSAT(CLASSES, frames=256, mels=16, **{**SMALL, **arguments}).eval()


@pytest.mark.parametrize("form", ["hub", "memory"])
@pytest.mark.parametrize("whole", [True, False], ids=["ClapModel", "ClapAudioModel"])
def test_the_encoder_of_transformers_clap_gives_the_same_tokens(
    tmp_path: Path, whole: bool, form: str
) -> None:
    theirs, ours = transformers_clap(whole), our_htsat(**TWO_STAGES)
    path = written(theirs, tmp_path, form)
    report = ours.load_pretrained(path)
    assert set(report.fresh) == {"tscam_conv.weight", "tscam_conv.bias"}
    assert set(report.loaded) | set(report.fresh) == set(ours.state_dict())
    others = {name for name in read_checkpoint(path) if "audio_encoder." not in name}
    assert bool(others) == whole
    assert others <= set(report.ignored)
    assert all(name.endswith("position_index") for name in set(report.ignored) - others)
    features = torch.randn(2, 256, 16)
    encoder: Any = theirs.get_submodule("audio_model") if whole else theirs
    with torch.no_grad():
        expected = encoder(input_features=features[:, None]).last_hidden_state
        found = ours.semantic_tokens(ours.bn0(features.transpose(1, 2)).transpose(1, 2))
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("prefix", ["module.audio_branch.", "model.audio_branch."])
def test_the_encoder_of_a_clap_of_laion_is_a_start(tmp_path: Path, prefix: str) -> None:
    state = authors_state(classes=527)
    others = {"module.text_branch.embeddings.word_embeddings.weight": torch.zeros(9, 4)}
    whole = {f"{prefix}{name}": value for name, value in state.items()} | others
    ours = our_htsat()
    report = ours.load_pretrained(save({"epoch": 3, "state_dict": whole}, tmp_path / "630k.pt"))
    assert set(report.loaded) == set(ours.state_dict()) - set(report.fresh)
    assert {*others, "logmel_extractor.melW", "tscam_conv.weight"} <= set(report.ignored)
    assert torch.equal(ours.bn0.running_mean, state["bn0.running_mean"])
    assert torch.equal(
        ours.state_dict()["trunk.layers.1.downsample.reduction.weight"],
        state["layers.0.downsample.reduction.weight"],
    )


def state_of(name: str) -> dict[str, Tensor]:
    if name == "fused":
        return transformers_clap(whole=False, enable_fusion=True).state_dict()
    if name == "deep":
        return transformers_clap(whole=False, depths=[2, 4]).state_dict()
    if name == "wide":
        return transformers_clap(whole=False, patch_embeds_hidden_size=32).state_dict()
    return {"audio_branch.conv_block1.conv1.weight": torch.zeros(2, 1, 3, 3)}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fused", r"fuses several spectrograms .*use an unfused one"),
        ("deep", r"depths \(2, 4\), not \(2, 2\): set `depths`"),
        ("wide", r"embed_dim 32, not 24: set `embed_dim`"),
        ("pann", r"holds no HTS-AT"),
    ],
)
def test_another_clap_is_refused_in_one_line(tmp_path: Path, name: str, said: str) -> None:
    path = save(state_of(name), tmp_path / "clap.bin")
    with pytest.raises(CheckpointError, match=rf"^{path}: .*{said}") as caught:
        our_htsat(**TWO_STAGES).load_pretrained(path)
    assert "\n" not in str(caught.value)


def test_a_rehearsal_stands_in_for_clap(tmp_path: Path) -> None:
    clap = {"kind": "pretrained", "architecture": "htsat", "file": "clap.bin", "manual": "ask"}
    entry = Backbone.model_validate(clap | {"megabytes": 1, "licence": "none"})
    path = tmp_path / "clap.bin"
    assert write_stand_in(entry, path)
    report = HTSAT(CLASSES).load_pretrained(path)
    path.unlink()  # 120 MB
    assert "module.audio_projection.0.weight" in report.ignored
