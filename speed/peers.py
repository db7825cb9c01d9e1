"""Installed implementations of the same models, with which ours are compared.

They are test extras (requirements-test.txt, requirements-oracles.txt). Single modules are loaded by
path if a package's own import would need packages that are not installed, or download something.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

from torch import Tensor, nn

from bench.files import UserError

FRONT_END = {
    "sample_rate": 32000,
    "window_size": 1024,
    "hop_size": 320,
    "mel_bins": 64,
    "fmin": 50,
    "fmax": 14000,
}


def submodule(package: str, name: str) -> ModuleType:
    """`package.name` of an installed package, without running the package's own imports.

    Raises:
        UserError: it is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise UserError(f"{package} is not installed; `make test-environment` installs the peers")
    root = found.submodule_search_locations[0]
    parts = f"{package}.{name}".split(".")[:-1]
    for stub in (".".join(parts[:count]) for count in range(1, len(parts) + 1)):
        module = ModuleType(stub)
        module.__path__ = ["/".join([root, *stub.split(".")[1:]])]
        sys.modules[stub] = module
    try:
        return importlib.import_module(f"{package}.{name}")
    finally:
        for known in [known for known in sys.modules if known.split(".")[0] == package]:
            del sys.modules[known]


def official_htsat(classes: int = 527, **changes: Any) -> nn.Module:
    """The class of HTS-AT's authors, as msclap ships it, without SpecAugment: waveforms in."""
    options = {
        "enable_tscam": True,
        "htsat_attn_heatmap": False,
        "enable_repeat_mode": False,
        "loss_type": "clip_bce",
    }
    config = {**FRONT_END, **options}
    config |= {name: changes.pop(name) for name in list(changes) if name in config}
    module = submodule("msclap", "models.htsat")
    model: nn.Module = module.HTSAT_Swin_Transformer(
        num_classes=classes, config=SimpleNamespace(**config), **changes
    )
    model.spec_augmenter = nn.Identity()
    return model


def official_htsat_name(name: str) -> str:
    """Our parameter name in the authors' class, where patch merging ends a stage."""
    name = name.removeprefix("trunk.")
    return re.sub(
        r"^layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name
    )


def clap_state(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries of the authors' class under the names of transformers' CLAP audio model."""
    state = {}
    for name, value in official.items():
        for old, new in CLAP_NAMES.items():
            name = name.replace(old, new)
        if not name.startswith(("spectrogram", "logmel", "tscam", "head")) and "mask" not in name:
            state[f"audio_encoder.{name}"] = value
    query, key, v = (f"attention.self.{part}" for part in ("query", "key", "value"))
    return split_qkv(state, (query, key, v))


def split_qkv(state: Mapping[str, Tensor], names: tuple[str, str, str]) -> dict[str, Tensor]:
    """`state` with each joint projection in three parts, as transformers keeps them."""
    parts: dict[str, Tensor] = {}
    for name, value in state.items():
        if "attn.qkv" in name:
            thirds = zip(names, value.chunk(3), strict=True)
            parts |= {name.replace("attn.qkv", part): third for part, third in thirds}
        else:
            parts[name] = value
    return parts


CLAP_NAMES = {
    "bn0": "batch_norm",
    "attn.proj": "attention.output.dense",
    "attn.relative": "attention.self.relative",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
}
AST_NAMES = {
    "cls_token": "embeddings.cls_token",
    "dist_token": "embeddings.distillation_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "blocks.": "layers.",
    "attn.proj": "attention.o_proj",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "v.norm": "v.layernorm",
    "mlp_head.0": "classifier.layernorm",
    "mlp_head.1": "classifier.dense",
}


def transformers_ast_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our AST's entries under transformers' names."""
    renamed = {}
    for name, value in state.items():
        for part, other in AST_NAMES.items():
            name = name.replace(part, other)
        renamed[re.sub(r"^v\.", "audio_spectrogram_transformer.", name)] = value
    thirds = ("attention.q_proj", "attention.k_proj", "attention.v_proj")
    return split_qkv(renamed, thirds)
