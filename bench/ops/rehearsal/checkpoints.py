"""Stand-ins for released checkpoints: random weights under the names and in the wrapping of the
released files, so that their readers get the real format."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.experiment.released import Checkpoint, Released
from bench.files import write_tensors
from bench.models.networks import construct
from modelkit.frontend import mel_matrix, stft_kernels

State = dict[str, Tensor]
IMAGENET_CLASSES = 1000


class Form(NamedTuple):
    """How an architecture's files differ from its state dict: entries, and what wraps them."""

    entries: Callable[[nn.Module, State], State]
    wrapped: Callable[[State], Any]


def write_stand_in(entry: Checkpoint, path: Path) -> bool:
    """Write random weights in the form of a file of the registry.

    Returns whether the released file's own names are known; else the entries have the model's.
    """
    torch.manual_seed(0)
    model = _model_of(entry)
    form = FORMS.get((entry.architecture, entry.kind))
    state = dict(model.state_dict())
    if form is None:
        write_tensors(path, state)
        return False
    if isinstance(entry, Released) and entry.architecture in ("htsat", "pann"):
        state |= _front_end(entry)
    write_tensors(path, form.wrapped(form.entries(model, state)))
    return True


def _model_of(entry: Checkpoint) -> nn.Module:
    """The model that a file holds the weights of."""
    from bench import registry

    if isinstance(entry, Released):
        classes = len(entry.class_names())
        return construct(entry.architecture, entry.arguments, entry.front_end, classes)
    deit = (entry.architecture, entry.kind) == ("ast", "imagenet")
    arguments = {"frames": 384, "mels": 384, "stride": 16} if deit else {}
    model: nn.Module = registry.find(entry.architecture, registry.ARCHITECTURES)(**arguments)
    return model


def _front_end(entry: Released) -> State:
    """torchlibrosa's frozen matrices, as PANNs and HTS-AT save them."""
    chosen = entry.front_end
    real, imaginary = stft_kernels(chosen.window)
    mel = mel_matrix(chosen.sample_rate, chosen.window, chosen.mels, chosen.fmin, chosen.fmax)
    named = {
        "spectrogram_extractor.stft.conv_real.weight": real[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": imaginary[:, None],
        "logmel_extractor.melW": mel,
    }
    return {name: torch.from_numpy(value).float() for name, value in named.items()}


def _linear(name: str, inputs: int, outputs: int) -> State:
    return {f"{name}.weight": torch.randn(outputs, inputs), f"{name}.bias": torch.randn(outputs)}


def _swin_names(state: State) -> State:
    """Microsoft Swin's names, in which patch merging ends a stage (htsat/checkpoints.py)."""
    renamed = {}
    for name, value in state.items():
        name = name.removeprefix("trunk.")
        name = re.sub(
            r"^layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name
        )
        renamed[name] = value
    return renamed


def _htsat(model: nn.Module, state: State) -> State:
    derived = {
        name: value.nan_to_num(neginf=-100.0)
        for name, value in model.named_buffers()
        if name.endswith(("attn_mask", "relative_position_index"))
    }
    classes = len(state["tscam_conv.bias"])
    return _swin_names(state | derived) | _linear("head", classes, classes)


def _clap(model: nn.Module, state: State) -> State:
    """HTS-AT among CLAP's other networks, of which one represents all."""
    encoder = {f"module.audio_branch.{k}": v for k, v in _htsat(model, state).items()}
    return encoder | _linear("module.audio_projection.0", 512, len(state["trunk.norm.weight"]))


def _swin(model: nn.Module, state: State) -> State:
    trunk = {name: value for name, value in state.items() if name.startswith("trunk.")}
    first = "trunk.patch_embed.proj.weight"
    trunk[first] = trunk[first].expand(-1, 3, -1, -1).contiguous()
    width = len(trunk["trunk.norm.weight"])
    return _swin_names(trunk) | _linear("head", width, IMAGENET_CLASSES)


def _ast(model: nn.Module, state: State) -> State:
    """With DeiT's two classifiers, which AST's class keeps and never calls."""
    width = state["v.cls_token"].shape[2]
    for name in ("v.head", "v.head_dist"):
        state = state | _linear(name, width, IMAGENET_CLASSES)
    return state


def _deit(model: nn.Module, state: State) -> State:
    whole = {k: v for k, v in _ast(model, state).items() if k.startswith("v.")}
    first = "v.patch_embed.proj.weight"
    whole[first] = whole[first].expand(-1, 3, -1, -1).contiguous()
    return {name.removeprefix("v."): value for name, value in whole.items()}


def _pann(model: nn.Module, state: State) -> State:
    if "att_block.cla.bias" not in state:
        return state
    unused = nn.BatchNorm1d(len(state["att_block.cla.bias"])).state_dict()
    return state | {f"att_block.bn_att.{name}": value for name, value in unused.items()}


FORMS = {
    ("htsat", "official"): Form(
        _htsat, lambda state: {"state_dict": {f"sed_model.{k}": v for k, v in state.items()}}
    ),
    ("htsat", "pretrained"): Form(_clap, lambda state: {"epoch": 9, "state_dict": state}),
    ("htsat", "imagenet"): Form(_swin, lambda state: {"model": state}),
    ("ast", "official"): Form(_ast, lambda state: {f"module.{k}": v for k, v in state.items()}),
    ("ast", "imagenet"): Form(_deit, lambda state: {"model": state}),
    ("pann", "official"): Form(_pann, lambda state: {"iteration": 600_000, "model": state}),
}
"""By architecture and kind of file."""
