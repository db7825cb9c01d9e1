"""Our models and the peers beside them, with equal weights: the same function twice."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench import registry
from bench.files import UserError
from speed.peers import (
    FRONT_END,
    clap_state,
    official_htsat,
    official_htsat_name,
    submodule,
    transformers_ast_state,
)

SAMPLES = 320_000  # 10 s at 32 kHz


class Side(nn.Module):
    """One implementation: a network, the shape of its input for one clip, and its output."""

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


def _fill(peer: nn.Module, state: Mapping[str, Tensor], own: str) -> nn.Module:
    """Load `state`; further entries of the peer must match the pattern `own`."""
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
    """Our model at full size, with biases, norms and position tables moved off their trivial
    start."""
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
    transformers = _beside_torch("transformers")
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


def _swin() -> Pair:
    timm = _beside_torch("timm.models.swin_transformer")
    ours = _ours("htsat", drop_path=0.0)
    peer = timm.SwinTransformer(
        img_size=256, in_chans=1, num_classes=0, num_heads=(4, 8, 16, 32), window_size=8
    )
    _fill(peer, ours.trunk.state_dict(), "$^")
    return Pair(
        Side(ours, (1, 256, 256), ours.trunk),
        Side(peer, (1, 256, 256), peer.forward_features),
        lambda x: x,
    )


def _ast() -> Pair:
    transformers = _beside_torch("transformers")
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


def _beside_torch(module: str) -> Any:
    """A module that imports torchvision and torchaudio where they are installed."""
    from modelkit.vision import make_companions_importable

    make_companions_importable()
    return importlib.import_module(module)


class Entry(NamedTuple):
    """Our model, its peer and the peer's package, and how both are built."""

    model: str
    title: str
    package: str
    build: Callable[[], Pair]


PAIRS = {
    "htsat/official": Entry(
        "htsat", "official class (msclap), from waveforms", "msclap", partial(_htsat, network=False)
    ),
    "htsat/official-network": Entry(
        "htsat", "official class, from features", "msclap", partial(_htsat, network=True)
    ),
    "htsat/timm": Entry("htsat", "timm SwinTransformer, the trunk alone", "timm", _swin),
    "htsat/clap": Entry("htsat", "transformers ClapAudioModel", "transformers", _clap),
    "ast/transformers": Entry("ast", "transformers AST", "transformers", _ast),
    "pann/official": Entry(
        "pann",
        "panns-inference Cnn14, from waveforms",
        "panns_inference",
        partial(_pann, network=False),
    ),
    "pann/official-network": Entry(
        "pann",
        "panns-inference Cnn14, from features",
        "panns_inference",
        partial(_pann, network=True),
    ),
}


def outputs(pair: Pair, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ours and the peer's for one batch, in evaluation mode, on the device that holds both."""
    x = 0.1 * torch.randn(2, *pair.peer.shape, generator=torch.Generator().manual_seed(0))
    x = x.to(device)
    pair.ours.eval()
    pair.peer.eval()
    with torch.no_grad():
        return pair.ours(pair.to_ours(x)), pair.peer(x)


def largest_difference(ours: Tensor, peer: Tensor) -> float:
    """Largest difference of any two values."""
    return float((ours - peer).abs().max())


def check_equal(pair: Pair) -> float:
    """Largest difference of the two outputs on the CPU.

    Raises:
        UserError: they are not the same function.
    """
    ours, peer = outputs(pair, torch.device("cpu"))
    if ours.shape != peer.shape:
        raise UserError(f"the two sides give {tuple(ours.shape)} and {tuple(peer.shape)}")
    difference = largest_difference(ours, peer)
    if not difference <= pair.tolerance * max(1, float(peer.std())):
        raise UserError(f"the two sides differ by {difference:.2g}: speed says nothing")
    return difference
