"""AST's released file form, and its parity with transformers' implementation."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from baselines.ast import AST, resize_positions
from bench.experiment.released import Backbone, Released
from bench.ops.rehearsal.checkpoints import write_stand_in
from modelkit.checkpoint import CheckpointError, read_checkpoint
from modelkit.vision import make_companions_importable
from speed.peers import transformers_ast_state

make_companions_importable()
import transformers  # noqa: E402

DEAD = ("v.head.weight", "v.head.bias", "v.head_dist.weight", "v.head_dist.bias")


def official_shapes(
    dim: int = 768, depth: int = 12, patches: int = 1212, classes: int = 527, colours: int = 1
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the authors' state dict."""
    shapes: dict[str, tuple[int, ...]] = {
        "v.cls_token": (1, 1, dim),
        "v.dist_token": (1, 1, dim),
        "v.pos_embed": (1, patches + 2, dim),
        "v.patch_embed.proj.weight": (dim, colours, 16, 16),
        "v.patch_embed.proj.bias": (dim,),
    }
    layers = {"attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim)}
    layers |= {"mlp.fc1": (4 * dim, dim), "mlp.fc2": (dim, 4 * dim)}
    for block in range(depth):
        for norm in ("norm1", "norm2"):
            shapes[f"v.blocks.{block}.{norm}.weight"] = (dim,)
            shapes[f"v.blocks.{block}.{norm}.bias"] = (dim,)
        for layer, shape in layers.items():
            shapes[f"v.blocks.{block}.{layer}.weight"] = shape
            shapes[f"v.blocks.{block}.{layer}.bias"] = shape[:1]
    for name, shape in [("v.norm", (dim,)), ("v.head", (1000, dim)), ("v.head_dist", (1000, dim))]:
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    shapes |= {"mlp_head.0.weight": (dim,), "mlp_head.0.bias": (dim,)}
    return shapes | {"mlp_head.1.weight": (classes, dim), "mlp_head.1.bias": (classes,)}


def random_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Weights of a trained model's scale."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        state[name] = torch.empty(shape).normal_(0, 0.03, generator=generator)
        if "norm" in name or name.startswith("mlp_head.0"):
            state[name] += name.endswith("weight")
    return state


def write(path: Path, state: dict[str, torch.Tensor]) -> Path:
    """As the authors save it: a bare state dict of a DataParallel module."""
    torch.save({f"module.{name}": value for name, value in state.items()}, path)
    return path


SMALL = {"dim": 48, "depth": 2, "patches": 12 * 101, "classes": 5}


def small(**arguments) -> AST:
    size = {"dim": 48, "heads": 3, "depth": 2, "frames": 1024, "mels": 128, "stride": 10}
    return AST(5, preset="tiny", **(size | arguments))


def test_stand_ins_have_the_names_and_shapes_of_the_released_files(tmp_path: Path) -> None:
    shared = {"architecture": "ast", "megabytes": 1, "licence": "none", "manual": "ask"}
    front_end = {"kind": "fbank", "sample_rate": 16000, "window": 400, "hop": 160, "mels": 128}
    front_end |= {"fmin": 20, "fmax": 8000, "frames": 1024, "normalise": [0, 1]}
    theirs = {"file": "theirs.pth", "arguments": {"preset": "tiny", "stride": 10}, "loss": "bce"}
    theirs |= {"classes": "audioset", "front_end": front_end, "evaluates": {}}
    assert write_stand_in(Released.model_validate(shared | theirs), tmp_path / "theirs.pth")
    found = read_checkpoint(tmp_path / "theirs.pth")
    shapes = official_shapes(dim=96, depth=4)
    assert {name: tuple(v.shape) for name, v in found.items()} == {
        f"module.{name}": shape for name, shape in shapes.items()
    }
    deit = Backbone.model_validate({**shared, "kind": "imagenet", "file": "deit.pth"})
    assert write_stand_in(deit, tmp_path / "deit.pth")
    found = read_checkpoint(tmp_path / "deit.pth")["model"]
    shapes = official_shapes(patches=24 * 24, colours=3)
    assert {f"v.{name}": tuple(v.shape) for name, v in found.items()} == {
        name: shape for name, shape in shapes.items() if name.startswith("v.")
    }
    (tmp_path / "deit.pth").unlink()  # 350 MB


# --- transformers' names (5.x) -------------------------------------------------------------------


def peer_state(official: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The authors' live entries under transformers' names."""
    live = {name: value for name, value in official.items() if name not in DEAD}
    return transformers_ast_state(live)


def peer_of(official: dict[str, torch.Tensor], *, heads: int, stride: int, frames: int, mels: int):
    """transformers' AST with the `official` weights and the authors' LayerNorm eps."""
    dim = official["v.cls_token"].shape[2]
    config = transformers.ASTConfig(
        hidden_size=dim,
        num_hidden_layers=sum(name.endswith("norm1.bias") for name in official),
        num_attention_heads=heads,
        intermediate_size=4 * dim,
        frequency_stride=stride,
        time_stride=stride,
        max_length=frames,
        num_mel_bins=mels,
        num_labels=len(official["mlp_head.1.bias"]),
        layer_norm_eps=1e-6,
    )
    with torch.device("meta"):
        peer = transformers.ASTForAudioClassification(config)
    peer.load_state_dict(peer_state(official), assign=True)
    peer.classifier.layernorm.eps = 1e-5
    return peer.eval()


def test_the_released_form_has_the_published_entries():
    shapes = official_shapes()
    assert len(shapes) == 159
    assert sum(math.prod(shape) for shape in shapes.values()) == 88_132_063
    with torch.device("meta"):
        own = {name: tuple(value.shape) for name, value in AST().state_dict().items()}
    assert own == {name: shape for name, shape in shapes.items() if name not in DEAD}


def test_the_released_form_at_full_size_equals_transformers(tmp_path):
    """10 s at stride 16, the cheapest of the released files; 350 MB."""
    official = random_state(official_shapes(patches=512))
    file = write(tmp_path / "audioset_16_16_0.4422.pth", official)
    with torch.device("meta"):
        model = AST(stride=16)
    report = model.to_empty(device="cpu").eval().load_official(file)
    file.unlink()
    assert report.complete
    assert len(report.loaded) == 155
    assert set(report.ignored) == set(DEAD)
    peer = peer_of(official, heads=12, stride=16, frames=1024, mels=128)
    features = torch.randn(1, 1024, 128)
    with torch.inference_mode():
        ours, theirs = model(features).clip_logits, peer(features).logits
    assert ours.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("stride", [10, 16])
def test_logits_and_gradients_equal_transformers(tmp_path, stride, device, rounding):
    model = AST(5, preset="tiny", depth=2, frames=100, mels=64, stride=stride).eval()
    patches = model.grid[0] * model.grid[1]
    official = random_state(official_shapes(dim=96, depth=2, patches=patches, classes=5))
    model.load_official(write(tmp_path / "small.pth", official))
    peer = peer_of(official, heads=3, stride=stride, frames=100, mels=64).to(device)
    model.to(device)
    features, targets = torch.randn(2, 100, 64).to(device), torch.rand(2, 5).to(device)
    ours, theirs = model(features).clip_logits, peer(features).logits
    assert ours.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6 * rounding)
    F.binary_cross_entropy_with_logits(ours, targets).backward()
    F.binary_cross_entropy_with_logits(theirs, targets).backward()
    gradients = peer_state({name: p.grad for name, p in model.named_parameters()})
    largest = max(gradient.abs().max().item() for gradient in gradients.values())
    for name, parameter in peer.named_parameters():
        # Keys' biases have no gradient but rounding: softmax does not see them.
        bound = rounding * (1e-4 * parameter.grad.abs().max().item() + 1e-7 * largest)
        difference = (gradients[name] - parameter.grad).abs().max().item()
        assert difference <= bound, f"{name}: {difference} > {bound}"


# --- files that do not fit -----------------------------------------------------------------------


def test_every_entry_that_does_not_fit_is_named(tmp_path):
    official = random_state(official_shapes(**SMALL))
    official["v.blocks.1.norm3.weight"] = torch.zeros(48)
    official["v.norm.bias"] = torch.zeros(47)
    del official["v.blocks.1.mlp.fc1.bias"]
    file = write(tmp_path / "odd.pth", official)
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        model.load_official(file)
    message = str(caught.value)
    assert str(file) in message
    assert re.search(r"missing: v\.blocks\.1\.mlp\.fc1\.bias\b", message)
    assert re.search(r"unexpected: v\.blocks\.1\.norm3\.weight\b", message)
    assert re.search(r"v\.norm\.bias is \(47,\) in the file, \(48,\) in the model", message)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_other_classes_need_a_new_classifier(tmp_path):
    official = random_state(official_shapes(**(SMALL | {"classes": 6})))
    file = write(tmp_path / "six.pth", official)
    with pytest.raises(CheckpointError, match=r"mlp_head\.1\.weight is \(6, 48\)"):
        small().load_official(file)
    model = small()
    start = model.mlp_head[1].weight.clone()
    report = model.load_official(file, new_classes=True)
    assert len(report.fresh) == 4
    assert all(name.startswith("mlp_head.") for name in report.fresh)
    assert torch.equal(model.mlp_head[1].weight, start)
    assert torch.equal(model.v.norm.bias, official["v.norm.bias"])


def test_the_audioset_start_fits_positions_to_shorter_clips(tmp_path):
    official = random_state(official_shapes(**SMALL))
    file = write(tmp_path / "audioset.pth", official)
    model = small(frames=512)
    model.load_official(file)
    image = official["v.pos_embed"][:, 2:].reshape(1, 12, 101, 48)[:, :, 25:75]
    assert torch.equal(model.v.pos_embed[:, :2], official["v.pos_embed"][:, :2])
    torch.testing.assert_close(model.v.pos_embed[:, 2:], image.reshape(1, -1, 48))


@pytest.mark.parametrize("stride", [12, 14, 16])
def test_a_file_of_another_stride_is_refused(tmp_path, stride):
    file = write(tmp_path / "stride10.pth", random_state(official_shapes(**SMALL)))
    with pytest.raises(CheckpointError, match=r"12 rows of frequency.*the file's stride"):
        small(stride=stride).load_official(file)


# --- ImageNet start ------------------------------------------------------------------------------


def deit_state(patches: int = 24 * 24) -> dict[str, torch.Tensor]:
    """DeiT's own file: no prefix `v.`, three colours, a square grid, no `mlp_head`."""
    shapes = official_shapes(dim=48, depth=2, patches=patches, colours=3)
    state = random_state({n: s for n, s in shapes.items() if n.startswith("v.")})
    return {name.removeprefix("v."): value for name, value in state.items()}


@pytest.mark.parametrize("wrapped", [True, False], ids=["authors", "timm"])
def test_imagenet_start_sums_colours_and_fits_positions(tmp_path, wrapped):
    deit = deit_state()
    file = tmp_path / "deit_base_distilled_patch16_384.pth"
    torch.save({"model": deit} if wrapped else deit, file)
    model = small()
    report = model.load_imagenet(file)
    kernels = model.v.patch_embed.proj.weight
    torch.testing.assert_close(kernels[:, 0], deit["patch_embed.proj.weight"].sum(1))
    positions = resize_positions(deit["pos_embed"], (24, 24), (12, 101))
    assert torch.equal(model.v.pos_embed, positions)
    assert torch.equal(model.v.cls_token, deit["cls_token"])
    assert torch.equal(model.v.blocks[1].mlp.fc2.weight, deit["blocks.1.mlp.fc2.weight"])
    assert set(report.ignored) == set(DEAD)
    assert all(name.startswith("mlp_head.") for name in report.fresh)


def test_imagenet_start_names_what_is_wrong(tmp_path):
    file = tmp_path / "plain.pth"
    torch.save(deit_state(patches=24 * 24 - 1), file)
    with pytest.raises(CheckpointError, match=r"plain\.pth: v\.pos_embed .*no square grid"):
        small().load_imagenet(file)
    state = deit_state()
    del state["dist_token"]
    torch.save(state, file)
    with pytest.raises(CheckpointError, match=r"missing: v\.dist_token"):
        small().load_imagenet(file)
