"""EfficientAT's MobileNets: MobileNetV3 over a spectrogram, for clips or frame by frame.

Schmid, Koutini, Widmer, "Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge
Distillation", ICASSP 2023 (arXiv 2211.04772), as in the authors' code (fschmid56/EfficientAT,
models/mn). The frame-wise variant, which keeps a quarter of the frames: Morocutti et al.,
"Exploring Performance-Complexity Trade-Offs in Sound Event Detection", EUSIPCO 2025 (arXiv
2503.11373; theMoro/EfficientSED, models/efficient_cnns/fmn).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.presets import resolve
from modelkit import draws
from modelkit.augment import Augment
from modelkit.checkpoint import CheckpointError, KeyReport, load_checked, read_state_dict
from modelkit.output import ModelOutput

Variant = Literal["mn", "fmn"]


class Row(NamedTuple):
    """One inverted residual block at width 1: channels, and steps in frequency."""

    kernel: int
    expanded: int
    out: int
    squeeze: bool
    smooth: bool  # Hardswish instead of ReLU
    step: int  # of the clip-wise network in both axes
    frequency_step: int  # of the frame-wise one, whose time step is 2 only in the second block


TABLE = (
    Row(3, 16, 16, False, False, 1, 1),
    Row(3, 64, 24, False, False, 2, 2),
    Row(3, 72, 24, False, False, 1, 2),
    Row(5, 72, 40, True, False, 2, 1),
    Row(5, 120, 40, True, False, 1, 1),
    Row(5, 120, 40, True, False, 1, 2),
    Row(3, 240, 80, False, True, 2, 1),
    Row(3, 200, 80, False, True, 1, 2),
    Row(3, 184, 80, False, True, 1, 1),
    Row(3, 184, 80, False, True, 1, 1),
    Row(3, 480, 112, True, True, 1, 2),
    Row(3, 672, 112, True, True, 1, 1),
    Row(5, 672, 160, True, True, 2, 1),
    Row(5, 960, 160, True, True, 1, 1),
    Row(5, 960, 160, True, True, 1, 2),
)
STEM, CLASSIFIER = 16, 1280
WIDENING = 6  # of the last convolution, over the last block
DROPOUT = 0.2
SHORTEST_S = 5.0  # below, the released weights are known to collapse (EfficientAT issues 3 and 20)
RELEASED_WIDTHS = (0.1, 0.2, 0.4, 0.5, 0.6, 1.0, 2.0, 3.0, 4.0)
HEADS = {"mn": ("classifier.*",), "fmn": ("strong_head.*", "weak_head.*")}


@dataclass(frozen=True)
class Architecture:
    """What preset and arguments fix.

    Attributes:
        width: factor of all channels; 0.4, 1 and 4 in mn04, mn10 and mn40.
        momentum: of the batch norms; the paper's needs hundreds of steps to forget its start.
    """

    width: float
    momentum: float
    variant: Variant = "mn"


PRESETS = {"paper": Architecture(1.0, 0.01), "tiny": Architecture(0.2, 0.1)}


class MobileNet(nn.Module):
    """Features to clip logits, and for the frame-wise variant to frame logits.

    Args:
        classes: C.
        variant: "mn" pools over both axes before a two-layer classifier and locates nothing. "fmn"
            halves time only twice, and classifies the mean over time ("weak head") and
            every frame ("strong head").
        preset: "paper" (mn10: 4.9M parameters, fmn10 at 447 classes: 3.8M) or "tiny" (0.3M).
        frames, mels: T and F; other T are accepted when called.
        seconds: time spanned by `frames` frames.
        width: overrides the preset: 0.4 for mn04, 4.0 for mn40.
        mask_value: what SpecAugment's stripes take: 0 before the normalisation (x + 4.5) / 5.

    Attributes:
        architecture: the preset with what overrode it.
        classifier_entries: patterns of what is new with other classes.

    Raises:
        ValueError: variant or preset is unknown, or the width is not positive.
    """

    def __init__(
        self,
        classes: int = 527,
        *,
        variant: Variant = "mn",
        preset: str = "paper",
        frames: int = 1000,
        mels: int = 128,
        seconds: float = 10.0,
        width: float | None = None,
        mask_value: float = 0.9,
    ) -> None:
        super().__init__()
        if variant not in get_args(Variant):
            raise ValueError(
                f"unknown variant {variant!r} of MobileNet; known: {', '.join(get_args(Variant))}"
            )
        size = resolve(PRESETS, preset, "MobileNet", variant=variant, width=width)
        if size.width <= 0:
            raise ValueError(f"MobileNet's width is {size.width}, must be positive")
        self.architecture = size
        self.variant, self.mels, self.seconds, self.width = variant, mels, seconds, size.width
        self.seconds_per_frame = 4 * seconds / frames
        self.mask_value = mask_value
        # Of a clip-wise file, a frame-wise model takes neither of the classifier's two layers.
        self.classifier_entries = {
            "mn": ("classifier.5.*",),
            "fmn": (*HEADS["mn"], *HEADS["fmn"]),
        }[variant]

        inputs = scaled(STEM, size.width)
        layers: list[nn.Module] = [convolution(1, inputs, 3, step=(2, 2), activation=nn.Hardswish)]
        for place, row in enumerate(TABLE):
            step = (row.step, row.step)
            if variant == "fmn":
                step = (row.frequency_step, 2 if place == 1 else 1)
            layers.append(InvertedResidual(inputs, row, size.width, step))
            inputs = scaled(row.out, size.width)
        last = WIDENING * inputs
        layers.append(convolution(inputs, last, 1, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        if variant == "mn":
            hidden = scaled(CLASSIFIER, size.width)
            # Places of the two layers in the authors' classifier, which name their weights.
            self.classifier = nn.ModuleDict(
                {"2": nn.Linear(last, hidden), "5": nn.Linear(hidden, classes)}
            )
        else:
            self.strong_head = nn.Linear(last, classes)
            self.weak_head = nn.Linear(last, classes)
        self.apply(_initialise)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = 1e-3, size.momentum
        # The layout that convolutions run fastest in, on CPUs and on tensor cores.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, features: Tensor, augment: Augment | None = None) -> ModelOutput:
        """(B, T, F) to clip logits (B, C), and frame logits (B, ceil(T / 4), C) or None.

        `augment` masks, then mixes the features, as the authors' front end and loop do.

        Raises:
            ValueError: the features have another number of mels.
        """
        if features.ndim != 3 or features.shape[2] != self.mels:
            raise ValueError(
                f"MobileNet takes features (B, T, {self.mels}), got {tuple(features.shape)}"
            )
        if augment is not None:
            features = augment.mix(augment.mask(features, fill=self.mask_value))
        x = self.features(features.transpose(1, 2).unsqueeze(1))
        if self.variant == "mn":
            x = F.hardswish(self.classifier["2"](x.mean((2, 3))))
            clip = self.classifier["5"](draws.dropout(x, DROPOUT, self.training))
            return ModelOutput(clip, frame_logits=None, seconds_per_frame=0.0)
        x = x.mean(2).transpose(1, 2)
        return ModelOutput(self.weak_head(x.mean(1)), self.strong_head(x), self.seconds_per_frame)

    @property
    def published_parameters(self) -> int:
        """Parameters as the authors' class counts them: all of these."""
        return sum(parameter.numel() for parameter in self.parameters())

    def load_official(self, path: str | Path, *, new_classes: bool = False) -> KeyReport:
        """Load a file released by the authors.

        Clip-wise: EfficientAT's `mn10_as_mAP_471.pt` and the like. Frame-wise: EfficientSED's
        `fmn10_strong.pt`, PretrainedSED's `frame_mn10_strong_1.pt`, and, with new classes, a
        clip-wise file: only the strides of the convolutions differ.

        Args:
            new_classes: keep the fresh last layer, for other classes than the file's.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: this model was built for clips so short that the released weights
                collapse; or the file is of another width or kind, or its entries do not fit.
        """
        if self.seconds < SHORTEST_S:
            raise CheckpointError(
                f"{path}: the released weights, trained on 10 s, collapse on clips below "
                f"{SHORTEST_S:g} s, and this model was built for {self.seconds:g} s; repeat clips "
                "(front end: repeat_to_s: 10, and the frames of 10 s)"
            )
        state = self._own_names(path, read_state_dict(path))
        new = self.classifier_entries if new_classes else ()
        return load_checked(self, state, ignore=new, fresh=new, source=path)

    def load_pretrained(self, path: str | Path) -> KeyReport:
        """Start from a file of `load_official` whose heads are for other classes, such as
        EfficientSED's `fmn10_weak.pt`.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: see `load_official`.
        """
        return self.load_official(path, new_classes=True)

    def load_imagenet(self, path: str | Path) -> KeyReport:
        """Start from EfficientAT's ImageNet weights (`mn10_im.pt`); heads stay fresh.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: the file is of another width, or its entries do not fit.
        """
        state = self._own_names(path, read_state_dict(path))
        ignore, fresh = HEADS["mn"], HEADS[self.variant]
        return load_checked(self, state, ignore=ignore, fresh=fresh, source=path)

    def _own_names(self, path: str | Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Entries of a released file under this model's names.

        Raises:
            CheckpointError: the file holds a MobileNet of another width or head.
        """
        wrapping = re.compile(r"^(net\.model|model\.(frame_mn|fmn))\.(?=features\.)|^net\.")
        own = {wrapping.sub("", name): value for name, value in state.items()}
        own = {name.replace(".conc_se_layers.0.", "."): value for name, value in own.items()}
        last = f"features.{len(self.features) - 1}.0.weight"
        found = ""
        if last in own and len(own[last]) != len(self.get_parameter(last)):
            found = (
                f"a MobileNet of width {_width_of(len(own[last]))}, not {self.width:g}: set `width`"
            )
        elif any(name.startswith("seq_model.") for name in own):
            found = "a sequence model over its MobileNet, which this class has not"
        elif "strong_head.weight" in own and self.variant == "mn":
            found = "a frame-wise MobileNet: set `variant` to fmn"
        elif "classifier.0.weight" in own:
            found = "a fully convolutional head, where this class has two layers"
        if found:
            raise CheckpointError(f"{path}: holds {found}")
        return own


class InvertedResidual(nn.Module):
    """Inverted residual block: expansion, depthwise convolution, squeeze-and-excitation,
    projection."""

    def __init__(self, inputs: int, row: Row, width: float, step: tuple[int, int]) -> None:
        super().__init__()
        expanded, outputs = scaled(row.expanded, width), scaled(row.out, width)
        activation: type[nn.Module] = nn.Hardswish if row.smooth else nn.ReLU
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(convolution(inputs, expanded, 1, activation=activation))
        layers.append(
            convolution(
                expanded, expanded, row.kernel, step=step, groups=expanded, activation=activation
            )
        )
        if row.squeeze:
            layers.append(SqueezeExcitation(expanded))
        layers.append(convolution(expanded, outputs, 1))
        self.block = nn.Sequential(*layers)
        self.residual = step == (1, 1) and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, F, T) to (B, outputs, F / step, T / step), rounded up."""
        return x + self.block(x) if self.residual else self.block(x)


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation: scales channels by a function of all channel means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = scaled(channels // 4, 1.0)
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, F, T) to the same."""
        scale = self.fc2(self.fc1(x.mean((2, 3))).relu()).sigmoid()
        return x * scale[:, :, None, None]


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    step: tuple[int, int] = (1, 1),
    groups: int = 1,
    activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    """Convolution with same padding, batch norm, and an activation or none."""
    layers: list[nn.Module] = [
        nn.Conv2d(
            inputs, outputs, kernel, step, padding=(kernel - 1) // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(outputs),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


def scaled(channels: float, width: float) -> int:
    """Channels times width as a multiple of 8, at least 8 and not below nine tenths."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _width_of(last: int) -> str:
    """The released width whose last convolution has this many channels."""
    known = {WIDENING * scaled(TABLE[-1].out, width): width for width in RELEASED_WIDTHS}
    return f"{known[last]:g}" if last in known else f"unknown ({last} channels)"


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)
