"""Checkpoint files of every form that HTS-AT starts from, written with their real names."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from htsat import HTSAT
from modelkit.checkpoint import CheckpointError
from modelkit.frontend import mel_matrix, stft_kernels
from modelkit.vision import _stand_ins

with _stand_ins():
    from timm.models.swin_transformer import SwinTransformer

SMALL = {"image_size": 64, "embed_dim": 24, "depths": (2, 2, 2), "heads": (1, 2, 4)}
CLASSES, MELS = 7, 16


def build(classes: int = CLASSES, **switches: object) -> HTSAT:
    return HTSAT(classes, frames=250, mels=MELS, **{**SMALL, **switches})


def authors_state(
    classes: int = CLASSES,
    embed: int = 24,
    depths: tuple[int, ...] = (2, 2, 2),
    heads: tuple[int, ...] = (1, 2, 4),
    grid: int = 16,
    mels: int = MELS,
    bands: int = 1,
    colours: int = 1,
) -> dict[str, Tensor]:
    """Names and shapes of the authors' class, from their files (window 8, patch 4)."""
    real, imaginary = stft_kernels(1024)
    front_end = {
        "spectrogram_extractor.stft.conv_real.weight": real[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": imaginary[:, None],
        "logmel_extractor.melW": mel_matrix(32000, 1024, mels, 50, 14000),
    }
    state = {name: torch.from_numpy(value).float() for name, value in front_end.items()}
    generator = torch.Generator().manual_seed(0)

    def add(name: str, *weight: int, bias: bool = True) -> None:
        state[f"{name}.weight"] = torch.randn(weight, generator=generator)
        if bias:
            state[f"{name}.bias"] = torch.randn(weight[0], generator=generator)

    add("bn0", mels)
    state["bn0.running_mean"] = torch.randn(mels, generator=generator)
    state["bn0.running_var"] = torch.rand(mels, generator=generator)
    state["bn0.num_batches_tracked"] = torch.tensor(12)
    add("patch_embed.proj", embed, colours, 4, 4)
    add("patch_embed.norm", embed)
    for stage, depth in enumerate(depths):
        width, side = embed * 2**stage, grid // 2**stage
        for block in range(depth):
            prefix = f"layers.{stage}.blocks.{block}"
            add(f"{prefix}.norm1", width)
            window = min(8, side)
            table = torch.randn((2 * window - 1) ** 2, heads[stage], generator=generator)
            state[f"{prefix}.attn.relative_position_bias_table"] = table
            state[f"{prefix}.attn.relative_position_index"] = position_index(window)
            add(f"{prefix}.attn.qkv", 3 * width, width)
            add(f"{prefix}.attn.proj", width, width)
            add(f"{prefix}.norm2", width)
            add(f"{prefix}.mlp.fc1", 4 * width, width)
            add(f"{prefix}.mlp.fc2", width, 4 * width)
            if block % 2 and side > 8:
                state[f"{prefix}.attn_mask"] = attention_mask(side)
        if stage < len(depths) - 1:
            add(f"layers.{stage}.downsample.reduction", 2 * width, 4 * width, bias=False)
            add(f"layers.{stage}.downsample.norm", 4 * width)
    add("norm", width)
    add("tscam_conv", classes, width, bands, 3)
    add("head", classes, classes)
    return state


def position_index(window: int) -> Tensor:
    """(window^2, window^2): row of the position table for each pair of tokens in a window."""
    token, reach = torch.arange(window**2), window - 1
    row, column = token // window, token % window
    return (row[:, None] - row + reach) * (2 * window - 1) + column[:, None] - column + reach


def attention_mask(side: int) -> Tensor:
    """(windows, 64, 64): -100 between tokens that only the cyclic shift by 4 brought together."""
    region = torch.zeros(side, dtype=torch.long)
    region[side - 8 : side - 4] = 1
    region[side - 4 :] = 2
    regions = region[:, None] * 3 + region
    windows = regions.view(side // 8, 8, side // 8, 8).transpose(1, 2).reshape(-1, 64)
    return (windows[:, :, None] != windows[:, None]).float() * -100


def lightning(state: dict[str, Tensor]) -> dict[str, object]:
    return {"epoch": 9, "state_dict": {f"sed_model.{name}": v for name, v in state.items()}}


def averaged(state: dict[str, Tensor]) -> dict[str, object]:
    """As the authors' `weight_average` leaves it: the mean of every entry, integers included."""
    mean = {name: sum([value, value, value]) / 3 for name, value in state.items()}
    assert mean["layers.0.blocks.0.attn.relative_position_index"].dtype == torch.float32
    return {"state_dict": {f"sed_model.{name}": value for name, value in mean.items()}}


def save(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def test_the_form_of_the_released_files() -> None:
    """200 entries and 31,325,143 parameters; what the report says of each."""
    state = authors_state(527, 96, (2, 2, 6, 2), (4, 8, 16, 32), grid=64, mels=64, bands=2)
    assert len(state) == 200
    fixed = ("running_mean", "running_var", "tracked", "attn_mask", "position_index")
    assert sum(v.numel() for k, v in state.items() if not k.endswith(fixed)) == 31_325_143


@pytest.mark.parametrize("form", ["lightning", "averaged", "bare", "module"])
def test_every_form_is_loaded_whole(tmp_path: Path, form: str) -> None:
    state = authors_state()
    content = {
        "lightning": lightning(state),
        "averaged": averaged(state),
        "bare": state,
        "module": {f"module.{name}": value for name, value in state.items()},
    }[form]
    model = build()
    report = model.load_official(save(content, tmp_path / "HTSAT.ckpt"))
    assert report.complete
    assert set(report.loaded) == set(model.state_dict())
    ignored = {name.removeprefix("trunk.") for name in report.ignored}
    assert ignored == {
        name
        for name in state
        if name.startswith(("spectrogram", "logmel", "head"))
        or name.endswith(("attn_mask", "relative_position_index"))
    }
    merging = model.state_dict()["trunk.layers.1.downsample.reduction.weight"]
    torch.testing.assert_close(merging, state["layers.0.downsample.reduction.weight"])
    assert model.bn0.num_batches_tracked == 12


def test_missing_surplus_and_misshaped_entries_are_all_named(tmp_path: Path) -> None:
    state = authors_state()
    del state["layers.1.blocks.1.mlp.fc1.bias"]
    state["layers.1.blocks.1.norm3.weight"] = torch.zeros(48)
    state["norm.weight"] = torch.zeros(95)
    model = build()
    before = copy.deepcopy(model.state_dict())
    path = save(lightning(state), tmp_path / "HTSAT.ckpt")
    with pytest.raises(CheckpointError) as caught:
        model.load_official(path)
    message = str(caught.value)
    assert str(path) in message
    assert "1 missing: trunk.layers.1.blocks.1.mlp.fc1.bias" in message
    assert "1 unexpected: trunk.layers.1.blocks.1.norm3.weight" in message
    assert "trunk.norm.weight is (95,) in the file, (96,) in the model" in message
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("window", [8, 16])
def test_files_in_half_precision_are_read(
    tmp_path: Path, precision: torch.dtype, window: int
) -> None:
    """Front end, masks and, in averaged files, indices are rounded as everything else is."""
    content = averaged(authors_state())["state_dict"]
    assert isinstance(content, dict)
    half = {k: v.to(precision) if v.is_floating_point() else v for k, v in content.items()}
    report = build(window_size=window).load_official(save(half, tmp_path / "HTSAT.ckpt"))
    assert report.complete
    key = "sed_model.logmel_extractor.melW"
    half[key] = torch.from_numpy(mel_matrix(16000, 1024, MELS, 50, 8000)).to(precision)
    with pytest.raises(CheckpointError, match="trained on other features"):
        build().load_official(save(half, tmp_path / "other.ckpt"))


def test_a_clap_file_names_the_prefix_of_its_htsat_and_is_read_by_it(tmp_path: Path) -> None:
    """LAION-CLAP's files: HTS-AT at 48 kHz beside a text encoder and projections."""
    state = authors_state()
    state["logmel_extractor.melW"] = torch.from_numpy(
        mel_matrix(48000, 1024, MELS, 50, 14000)
    ).float()
    whole = {f"module.audio_branch.{name}": value for name, value in state.items()} | {
        "module.text_branch.embeddings.word_embeddings.weight": torch.zeros(9, 4),
        "module.audio_projection.0.weight": torch.zeros(4, 96),
        "module.logit_scale_a": torch.zeros(()),
    }
    path = save({"epoch": 3, "state_dict": whole}, tmp_path / "630k-audioset-best.pt")
    with pytest.raises(CheckpointError, match=r"best.pt: .*prefix='audio_branch\.'"):
        build().load_official(path)
    model = build()
    report = model.load_official(path, prefix="audio_branch.", sample_rate=48000)
    assert report.complete
    assert torch.equal(model.tscam_conv.weight, state["tscam_conv.weight"])
    with pytest.raises(CheckpointError, match="trained on other features"):
        build().load_official(path, prefix="audio_branch.")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    state = authors_state()
    state["norm.bias"][3] = value
    with pytest.raises(CheckpointError, match=r"HTSAT.ckpt: trunk.norm.bias holds"):
        build().load_official(save(lightning(state), tmp_path / "HTSAT.ckpt"))


def test_new_classes_keep_the_fresh_classifier(tmp_path: Path) -> None:
    path = save(lightning(authors_state()), tmp_path / "HTSAT.ckpt")
    with pytest.raises(CheckpointError, match=r"misshaped: tscam_conv.bias is \(7,\)"):
        build(classes=50).load_official(path)
    model = build(classes=50)
    before = model.tscam_conv.weight.clone()
    report = model.load_official(path, new_classes=True)
    assert report.complete
    assert set(report.fresh) == {"tscam_conv.weight", "tscam_conv.bias"}
    assert torch.equal(model.tscam_conv.weight, before)


def test_files_of_other_features_or_attention_are_refused(tmp_path: Path) -> None:
    state = authors_state()
    state["logmel_extractor.melW"] = torch.from_numpy(mel_matrix(16000, 1024, MELS, 50, 8000))
    path = save(lightning(state), tmp_path / "HTSAT.ckpt")
    with pytest.raises(CheckpointError, match=r"HTSAT.ckpt: front-end entry logmel_extractor.melW"):
        build().load_official(path)
    state = authors_state()
    state["layers.0.blocks.1.attn_mask"] = state["layers.0.blocks.1.attn_mask"].roll(1, 0)
    path = save(lightning(state), tmp_path / "HTSAT.ckpt")
    with pytest.raises(CheckpointError, match=r"layers.0.blocks.1.attn_mask differs"):
        build().load_official(path)


def offset_rows(table: Tensor, window: int) -> dict[tuple[int, int], np.ndarray]:
    """A position table as a mapping from offset to heads."""
    side = 2 * window - 1
    rows = table.numpy().reshape(side, side, -1)
    offsets = range(-window + 1, window)
    return {(y, x): rows[y + window - 1, x + window - 1] for y in offsets for x in offsets}


@pytest.mark.parametrize("window", [4, 16])
def test_other_attention_windows_keep_what_each_offset_means(tmp_path: Path, window: int) -> None:
    state = authors_state()
    model = build(window_size=window)
    report = model.load_official(save(lightning(state), tmp_path / "HTSAT.ckpt"))
    assert report.complete
    name = "layers.0.blocks.0.attn.relative_position_bias_table"
    source = offset_rows(state[name], 8)
    found = offset_rows(model.state_dict()[f"trunk.{name}"], window)
    for (y, x), heads in found.items():
        nearest = (int(np.clip(y, -7, 7)), int(np.clip(x, -7, 7)))
        np.testing.assert_array_equal(heads, source[nearest])


def test_another_run_of_the_benchmark_starts_a_smaller_window() -> None:
    source, target = build(window_size=8), build(window_size=4)
    fitted = target.adapt_state(source)
    target.load_state_dict(fitted)
    changed = {n for n, v in source.state_dict().items() if not torch.equal(fitted[n], v)}
    tables = {name for name in fitted if name.endswith("bias_table")}
    assert changed == {name for name in tables if "layers.2" not in name}  # a 4 x 4 grid anyway


def imagenet_state() -> dict[str, Tensor]:
    """Swin's own file: colour patches, ImageNet head, neither batch norm nor tscam_conv."""
    state = authors_state(classes=10, colours=3)
    return {
        name: value
        for name, value in state.items()
        if not name.startswith(("spectrogram", "logmel", "bn0", "tscam"))
    } | {"head.weight": torch.zeros(1000, 96), "head.bias": torch.zeros(1000)}


def test_swin_imagenet_weights_fit_in_full(tmp_path: Path) -> None:
    state = imagenet_state()
    model = build()
    report = model.load_imagenet(save({"model": state}, tmp_path / "swin_tiny_c24.pth"))
    assert report.complete
    own = set(model.state_dict())
    fresh = {name for name in own if name.startswith(("bn0", "tscam"))}
    assert set(report.fresh) == fresh
    assert set(report.loaded) == own - fresh
    expected = state["patch_embed.proj.weight"].sum(1, keepdim=True) / 3
    torch.testing.assert_close(model.trunk.patch_embed.proj.weight.data, expected)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_timms_swin_reports_what_does_not_fit(tmp_path: Path, suffix: str) -> None:
    swin = SwinTransformer(
        img_size=56, embed_dim=24, depths=(2, 2, 2), num_heads=(3, 6, 12), window_size=7
    )
    path = tmp_path / f"swin{suffix}"
    if suffix == ".pth":
        torch.save(swin.state_dict(), path)
    else:
        from safetensors.torch import save_file

        save_file(swin.state_dict(), path)
    report = build().load_imagenet(path)
    tables = {name for name, _, _ in report.misshaped}
    assert len(tables) == 6
    assert all(name.endswith("relative_position_bias_table") for name in tables)
    assert "head.fc.weight" in str(report)

    same_heads = build(heads=(3, 6, 12))
    report = same_heads.load_imagenet(path)
    assert report.complete
    assert torch.equal(
        same_heads.state_dict()["trunk.layers.2.downsample.reduction.weight"],
        swin.state_dict()["layers.2.downsample.reduction.weight"],
    )


def test_another_network_is_no_swin(tmp_path: Path) -> None:
    state = imagenet_state()
    state["layers.2.blocks.2.norm1.weight"] = torch.zeros(96)
    path = save({"model": state}, tmp_path / "swin_small.pth")
    with pytest.raises(CheckpointError, match=r"swin_small.pth: .*\n.*\n.*layers.2.blocks.2"):
        build().load_imagenet(path)
