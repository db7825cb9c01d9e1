"""HTS-AT: a hierarchical token-semantic audio transformer.

Chen, Du, Zhu, Ma, Berg-Kirkpatrick, Dubnov, "HTS-AT: A Hierarchical Token-Semantic Audio
Transformer for Sound Classification and Detection", ICASSP 2022, arXiv 2202.00874.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from htsat import checkpoints
from htsat.fold import (
    fold_spectrogram,
    plan_fold,
    token_order,
    unfold_tokens,
    unfolding_matrix,
)
from htsat.presets import architecture, one_of
from htsat.swin import Checkpointing, SwinTransformer
from modelkit import kernels
from modelkit.augment import Augment
from modelkit.checkpoint import KeyReport
from modelkit.frontend import front_end_parameters
from modelkit.output import ModelOutput
from modelkit.resize import resize_time


class HTSAT(nn.Module):
    """Log-mel features in, clip and frame logits out.

    Args:
        classes: C.
        preset: "paper" (31M parameters), "small" or "tiny"; see `htsat.presets`.
        frames: T of the features of one clip.
        mels: F.
        seconds: duration that the T frames span.
        checkpointing: "mlp" or "blocks" save memory in training by recomputing parts of the trunk
            in the backward pass; nothing else changes.
        overrides: single entries of `htsat.presets.Architecture` in place of the preset's:
            token_order, window_size, token_semantic, padding and so on.

    Attributes:
        architecture: the preset with what overrode it.
        classifier_entries: patterns of what is new with other classes, of either kind.

    Raises:
        ValueError: unknown preset or entry, or sizes that do not fit each other.
    """

    classifier_entries = checkpoints.CLASSIFIER

    def __init__(
        self,
        classes: int = 527,
        *,
        preset: str = "paper",
        frames: int = 1001,
        mels: int = 64,
        seconds: float = 10.0,
        checkpointing: Checkpointing = "none",
        **overrides: Any,
    ) -> None:
        super().__init__()
        one_of("checkpointing", checkpointing, get_args(Checkpointing))
        self.classes = classes
        self.architecture = arch = architecture(preset, **overrides)
        self.seconds_per_input = seconds / frames
        self.mels = mels
        self.fold = plan_fold(
            arch.image_size,
            mels,
            arch.patch_size,
            arch.merge,
            arch.fold_frames,
            fold=arch.token_order != "no_windows",
        )
        if arch.padding == "zeros":
            self._check_fits(frames)

        self.bn0 = nn.BatchNorm1d(mels)
        self.trunk = SwinTransformer(
            self.fold.image,
            patch_size=arch.patch_size,
            embed_dim=arch.embed_dim,
            depths=arch.depths,
            heads=arch.heads,
            window_size=arch.window_size,
            mlp_ratio=arch.mlp_ratio,
            drop_path=arch.drop_path,
            checkpointing=checkpointing,
        )
        width = self.trunk.num_features
        if arch.token_semantic:
            self.tscam_conv = nn.Conv2d(width, classes, (self.fold.bands, 3), padding=(0, 1))
        else:
            self.head = nn.Linear(width, classes)
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

        self.reordered = arch.token_order not in ("time_frequency_window", "no_windows")
        if self.reordered:
            order = token_order(arch.token_order, self.fold, arch.order_seed)
            self.register_buffer("order", order, persistent=False)
            self.register_buffer("unfolding", unfolding_matrix(order, self.fold), persistent=False)

    def forward(self, features: Tensor, augment: Augment | None = None) -> ModelOutput:
        """Classify features (B, T, F), at any T.

        Args:
            augment: masks and mixes the batch after batch norm, before folding; for training.

        Raises:
            ValueError: not (B, T, F), or more frames than zero padding has room for.
        """
        if features.ndim != 3 or features.shape[2] != self.mels:
            raise ValueError(
                f"expected features (batch, frames, {self.mels} mels), got {tuple(features.shape)}"
            )
        x = self.bn0(features.transpose(1, 2)).transpose(1, 2)
        if augment is not None:
            x = augment.mix(augment.mask(x))
        tokens = self.semantic_tokens(x)
        if self.architecture.token_semantic:
            frame_logits = kernels.convolve_time(self.tscam_conv, tokens)
            clip_logits = frame_logits.mean(1)
        else:
            clip_logits = self.head(tokens.mean((2, 3)))
            # The released code sums over frequency here, where its clip logits take the mean.
            frame_logits = self.head(tokens.sum(2).transpose(1, 2))
        return ModelOutput(clip_logits, frame_logits, self._seconds_per_frame(features.shape[1]))

    def semantic_tokens(self, x: Tensor) -> Tensor:
        """Normalised features (B, T, F) -> tokens (B, D, bands, T') of the last stage.

        The input of the token-semantic module: time in order, frequency low to high.
        """
        image = fold_spectrogram(self._fill(x), self.fold)
        tokens = self.trunk.patch_embed(image)
        if self.reordered:
            tokens = tokens.flatten(1, 2)[:, self.order].view_as(tokens)
        tokens = self.trunk.norm(self.trunk.layers(tokens))
        if not self.reordered:
            return unfold_tokens(tokens, self.fold)
        mapped = self.unfolding @ tokens.flatten(1, 2)
        return mapped.transpose(1, 2).unflatten(2, (self.fold.bands, self.fold.outputs))

    @property
    def published_parameters(self) -> int:
        """Parameters as the authors' class counts them: 31,325,143 for AudioSet.

        Includes the frozen STFT and mel matrices of the front end (window 1024), and the
        Linear(C, C) that is unused beside the token-semantic module.
        """
        unused = self.classes * (self.classes + 1) if self.architecture.token_semantic else 0
        live = sum(parameter.numel() for parameter in self.parameters())
        return live + unused + front_end_parameters(self.mels)

    def load_official(
        self,
        path: str | Path,
        *,
        new_classes: bool = False,
        sample_rate: int = 32000,
        prefix: str = "",
    ) -> KeyReport:
        """Load a checkpoint of HTS-AT's authors (`HTSAT_AudioSet_Saved_1.ckpt` and the like).

        Reads Lightning files, weight-averaged files and bare state dicts. The front end's matrices
        are compared with those of `sample_rate`, 1024, 50-14000 Hz; attention masks and relative
        position indices with the model's. `head` is left out beside a token-semantic module.
        Position tables of other attention windows are fitted, see `adapt_state`.

        Args:
            new_classes: keep the fresh classifier, for other classes than the file's.
            sample_rate: of the file's front end, in Hz; 16000 for the Speech Commands files.
            prefix: of the names of HTS-AT's entries in the file of a larger model, whose other
                entries are left out: "audio_branch." in LAION's CLAP (48 kHz), which keeps the form
                of HTS-AT except in its fused variants.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: an entry is missing, surplus or misshaped (the message names each), or
                the file was trained on other features.
        """
        return checkpoints.load_official(
            self, path, new_classes=new_classes, sample_rate=sample_rate, prefix=prefix
        )

    def load_pretrained(self, path: str | Path) -> KeyReport:
        """Start from the HTS-AT within CLAP: LAION's files, transformers' `ClapModel` and
        `ClapAudioModel`, and others that keep it under one prefix. The classifier stays fresh.

        What the file holds besides (text encoder, projections, front end, a classifier) is left out
        and reported as ignored. CLAP's input is 48 kHz audio in steps of 10 ms, over the same mel
        bands; a training continues with its own features.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: a fused variant, another size, or an entry is missing, surplus or
                misshaped (the message names each).
        """
        return checkpoints.load_pretrained(self, path)

    def load_imagenet(self, path: str | Path) -> KeyReport:
        """Start the trunk from Swin's ImageNet weights; batch norm and classifier stay fresh.

        The paper's file is Microsoft's `swin_tiny_c24_patch4_window8_256.pth`, which fits in full.
        timm's Swin-T can be read as well: its position tables belong to 3, 6, 12 and 24 heads, so
        the report names them as misshaped unless the model has those heads. The patch kernels take
        the mean over the three colours, as in the authors' code.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: it is unreadable, or entries are missing or surplus.
        """
        return checkpoints.load_imagenet(self, path)

    def adapt_state(self, other: HTSAT) -> dict[str, Tensor]:
        """The state dict of another HTS-AT, its position tables fitted to these windows.

        A table holds one row per offset between two tokens of a window, and offsets keep their
        meaning: a smaller window takes the centre of the table, and those that a larger window
        adds take the value of the nearest one. Tables of other oblong windows, or of other
        numbers of heads, stay as they are.
        """
        return checkpoints.fit_position_tables(self, other.state_dict())

    def _fill(self, x: Tensor) -> Tensor:
        """(B, T, F) -> the frames and mels that the image holds."""
        frames = x.shape[1]
        if self.architecture.padding == "zeros":
            self._check_fits(frames)
            return F.pad(x, (0, 0, 0, self.fold.frames - frames))
        x = resize_time(x, self.fold.frames, antialias=frames > self.fold.frames)
        return resize_time(x.transpose(1, 2), self.fold.mels).transpose(1, 2)

    def _seconds_per_frame(self, frames: int) -> float:
        filled = self.fold.frames if self.architecture.padding == "zeros" else frames
        return filled * self.seconds_per_input / self.fold.outputs

    def _check_fits(self, frames: int) -> None:
        if frames > self.fold.frames:
            raise ValueError(
                f"{frames} frames do not fit into an image of {self.fold.frames}; cut the clip, "
                "use padding stretch or a larger image_size"
            )
