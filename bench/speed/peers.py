"""Installed implementations of the same models, beside which ours are timed and checked.

They are test extras (requirements-test.txt, requirements-oracles.txt). Single modules are loaded by
path where a package's own import would pull in what is not installed, or download something.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from bench import registry
from bench.files import UserError

FRONT_END = {
    "sample_rate": 32000,
    "window_size": 1024,
    "hop_size": 320,
    "mel_bins": 64,
    "fmin": 50,
    "fmax": 14000,
}
SAMPLES = 320_000  # 10 s at 32 kHz


class Side(nn.Module):
    """One implementation: a network, the shape of its input for one clip, and what it gives."""

    def __init__(
        self, network: nn.Module, shape: tuple[int, ...], output: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.network, self.shape, self.output = network, shape, output

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape) to probabilities or normalised tokens."""
        return self.output(x)


@dataclass(frozen=True)
class Pair:
    """The same function twice: with equal weights, equal input gives equal output.

    Attributes:
        to_ours: the input of our model that belongs to a batch of the peer's input.
        tolerance: largest difference of the outputs, which are probabilities or normalised tokens.
    """

    ours: Side
    peer: Side
    to_ours: Callable[[Tensor], Tensor]
    tolerance: float = 1e-4


def submodule(package: str, name: str) -> ModuleType:
    """`package.name` of an installed package, without running the package's own imports.

    Raises:
        UserError: it is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise UserError(f"{package} is not installed; `make test-environment` installs the peers")
    root = found.submodule_search_locations[0]
    parents = [package, *(f"{package}.{part}" for part in name.split(".")[:-1])]
    for stub in parents:
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


def split_qkv(
    state: Mapping[str, Tensor], names: tuple[str, str, str], old: str = "attn.qkv"
) -> dict[str, Tensor]:
    """`state` with each joint projection in three parts, as transformers keeps them."""
    parts: dict[str, Tensor] = {}
    for name, value in state.items():
        if old in name:
            thirds = zip(names, value.chunk(3), strict=True)
            parts |= {name.replace(old, part): third for part, third in thirds}
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


def _fill(peer: nn.Module, state: Mapping[str, Tensor], own: str) -> nn.Module:
    """Load `state`; what the peer has besides must match the pattern `own`."""
    found = peer.load_state_dict(dict(state), strict=False)
    foreign = [name for name in found.missing_keys if not re.search(own, name)]
    if foreign or found.unexpected_keys:
        raise UserError(
            f"{type(peer).__name__} has other entries: {foreign + found.unexpected_keys}"
        )
    return peer


def _logmel(peer: Any) -> Callable[[Tensor], Tensor]:
    """(B, samples) to the features (B, T, F) that the peer's own front end makes."""
    return lambda waves: peer.logmel_extractor(peer.spectrogram_extractor(waves))[:, 0]


def _ours(name: str, **changes: Any) -> Any:
    """Our model at full size, its biases, norms and position tables off their trivial start."""
    model = registry.find(name, registry.ARCHITECTURES)(527, **changes)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 1 or parameter_name.endswith("bias_table"):
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.get_buffer("running_mean").fill_(-10)
                module.get_buffer("running_var").fill_(400)
    return model


_FROZEN = r"^(spectrogram_extractor|logmel_extractor|head)\.|attn_mask|position_index"


def _beside_official(ours: Any, peer: Any, features_in: Callable[[Tensor], Tensor] | None) -> Pair:
    """Our model and the authors' class: from waveforms, or, past its front end, from features."""
    if features_in is None:
        theirs = Side(peer, (SAMPLES,), lambda x: peer(x)["clipwise_output"])
    else:
        theirs = Side(peer, (1001, 64), features_in)
    return Pair(
        Side(ours, (1001, 64), lambda x: ours(x).clip_logits.sigmoid()),
        theirs,
        _logmel(peer) if features_in is None else (lambda x: x),
    )


def _htsat(network: bool) -> Pair:
    ours, peer = _ours("htsat"), official_htsat()
    state = {official_htsat_name(name): value for name, value in ours.state_dict().items()}
    _fill(peer, state, _FROZEN)
    official: Any = peer

    def features_in(x: Tensor) -> Tensor:
        x = official.bn0(x[:, None].transpose(1, 3)).transpose(1, 3)
        return official.forward_features(official.reshape_wav2img(x))["clipwise_output"]

    return _beside_official(ours, peer, features_in if network else None)


def _clap() -> Pair:
    transformers = _transformers()
    ours = _ours("htsat", drop_path=0.0)  # as transformers' default
    peer = transformers.ClapAudioModel(transformers.ClapAudioConfig())
    official = {official_htsat_name(name): value for name, value in ours.state_dict().items()}
    _fill(peer, clap_state(official), "position_index")

    def tokens(x: Tensor) -> Tensor:
        return ours.semantic_tokens(ours.bn0(x.transpose(1, 2)).transpose(1, 2))

    def their_tokens(x: Tensor) -> Tensor:
        hidden: Tensor = peer(input_features=x[:, None], is_longer=None).last_hidden_state
        return hidden

    return Pair(Side(ours, (1001, 64), tokens), Side(peer, (1001, 64), their_tokens), lambda x: x)


def _ast() -> Pair:
    transformers = _transformers()
    ours = _ours("ast")
    peer = transformers.ASTForAudioClassification(
        transformers.ASTConfig(num_labels=527, layer_norm_eps=1e-6)
    )
    peer.classifier.layernorm.eps = 1e-5
    _fill(peer, transformers_ast_state(ours.state_dict()), "$^")
    return Pair(
        Side(ours, (1024, 128), lambda x: ours(x).clip_logits.sigmoid()),
        Side(peer, (1024, 128), lambda x: peer(x).logits.sigmoid()),
        lambda x: x,
    )


def _pann(network: bool) -> Pair:
    ours = _ours("pann")
    models = submodule("panns_inference", "models")
    peer: Any = models.Cnn14(**FRONT_END, classes_num=527)
    peer.spec_augmenter = nn.Identity()
    _fill(peer, ours.state_dict(), _FROZEN)

    def features_in(x: Tensor) -> Tensor:
        with _front_end_skipped(peer):
            return peer(x[:, None])["clipwise_output"]

    return _beside_official(ours, peer, features_in if network else None)


@contextmanager
def _front_end_skipped(peer: Any) -> Iterator[None]:
    kept = peer.spectrogram_extractor, peer.logmel_extractor
    peer.spectrogram_extractor = peer.logmel_extractor = nn.Identity()
    try:
        yield
    finally:
        peer.spectrogram_extractor, peer.logmel_extractor = kept


def _transformers() -> Any:
    from modelkit.vision import make_torchvision_importable

    make_torchvision_importable()
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UserError(
            "transformers is not installed; `make test-environment` installs the peers"
        ) from error


# By name: our model, what stands beside it, and how both are built.
PAIRS: dict[str, tuple[str, str, Callable[[], Pair]]] = {
    "htsat/official": (
        "htsat",
        "official class (msclap), from waveforms",
        lambda: _htsat(network=False),
    ),
    "htsat/official-network": (
        "htsat",
        "official class, from features",
        lambda: _htsat(network=True),
    ),
    "htsat/clap": ("htsat", "transformers ClapAudioModel", _clap),
    "ast/transformers": ("ast", "transformers AST", _ast),
    "pann/official": (
        "pann",
        "panns-inference Cnn14, from waveforms",
        lambda: _pann(network=False),
    ),
    "pann/official-network": (
        "pann",
        "panns-inference Cnn14, from features",
        lambda: _pann(network=True),
    ),
}


def check_equal(pair: Pair) -> float:
    """Largest difference of the two outputs for one batch, in evaluation mode.

    Raises:
        UserError: they are not the same function.
    """
    x = 0.1 * torch.randn(2, *pair.peer.shape, generator=torch.Generator().manual_seed(0))
    pair.ours.eval()
    pair.peer.eval()
    with torch.no_grad():
        ours, peer = pair.ours(pair.to_ours(x)), pair.peer(x)
    difference = float((ours - peer).abs().max())
    if ours.shape != peer.shape or not difference <= pair.tolerance * max(1, float(peer.std())):
        raise UserError(f"the two sides differ by {difference:.2g}: speed says nothing")
    return difference
