"""Weights from elsewhere: the authors' files, CLAP's encoder, Swin's ImageNet weights, other
attention windows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from modelkit.checkpoint import CheckpointError, KeyReport, load_checked, read_state_dict
from modelkit.frontend import FRONT_END_KEYS, check_front_end
from modelkit.renaming import Renaming, authors_names

if TYPE_CHECKING:
    from htsat.model import HTSAT

CLASSIFIER = ("tscam_conv.*", "head.*")
_DERIVED = ("*.attn_mask", "*.relative_position_index")
_RELEASED_MASK = -100.0  # where this trunk has -inf
_TABLE = "relative_position_bias_table"
_FIRST = "patch_embed.proj.weight"
_TRANSFORMERS: Renaming = ((r"^batch_norm\.", "bn0."),)  # of its CLAP; the rest is Swin's


def load_official(
    model: HTSAT,
    path: str | Path,
    *,
    new_classes: bool = False,
    sample_rate: int = 32000,
    prefix: str = "",
) -> KeyReport:
    """See `HTSAT.load_official`."""
    whole = read_state_dict(path, prefixes=("sed_model.", "module."))
    state = _rename({k.removeprefix(prefix): v for k, v in whole.items() if k.startswith(prefix)})
    try:
        _check_prefix(state, whole)
        _check_variant(model, state)
        check_front_end(state, model.mels, sample_rate)
        _check_derived(model, state)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    unused: tuple[str, ...] = ("head.*",) if model.architecture.token_semantic else ()
    if new_classes:
        unused = CLASSIFIER  # of either kind: the model may have the other classifier
    return load_checked(
        model,
        fit_position_tables(model, state),
        ignore=(*FRONT_END_KEYS, *_DERIVED, *unused),
        fresh=CLASSIFIER if new_classes else (),
        source=path,
    )


def load_pretrained(model: HTSAT, path: str | Path) -> KeyReport:
    """See `HTSAT.load_pretrained`."""
    whole = read_state_dict(path, prefixes=())
    prefix = next((name.removesuffix(_FIRST) for name in whole if name.endswith(_FIRST)), "")
    inner = {k.removeprefix(prefix): v for k, v in whole.items() if k.startswith(prefix)}
    state = _rename(authors_names(inner, _TRANSFORMERS))
    try:
        _check_variant(model, state)
        _check_derived(model, state)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    report = load_checked(
        model,
        fit_position_tables(model, state),
        ignore=(*FRONT_END_KEYS, *_DERIVED, *CLASSIFIER),
        fresh=CLASSIFIER,
        source=path,
    )
    others = (name for name in whole if not name.startswith(prefix))
    return replace(report, ignored=(*report.ignored, *others))


def load_imagenet(model: HTSAT, path: str | Path) -> KeyReport:
    """See `HTSAT.load_imagenet`."""
    state = read_state_dict(path)
    last = len(model.architecture.depths) - 1
    if f"layers.{last}.downsample.reduction.weight" in state:  # timm: merging begins a stage
        state = {f"trunk.{name}": value for name, value in state.items()}
    else:
        state = _rename(state)
    projection = "trunk.patch_embed.proj.weight"
    if projection in state and state[projection].ndim == 4:
        state[projection] = state[projection].mean(1, keepdim=True)
    report = load_checked(
        model,
        fit_position_tables(model, state),
        ignore=(*_DERIVED, "head.*", "trunk.head.*"),
        fresh=("bn0.*", *CLASSIFIER),
        strict=False,
        source=path,
    )
    if report.missing or report.unexpected:
        raise CheckpointError(f"{path}: not the weights of this Swin transformer:\n{report}")
    return report


def fit_position_tables(model: HTSAT, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """See `HTSAT.adapt_state`."""
    fitted = dict(state)
    for name, module in model.named_modules():
        key = f"{name}.{_TABLE}"
        if key not in state or not hasattr(module, "window_size"):
            continue
        table, own = state[key], getattr(module, _TABLE)
        if table.ndim != 2 or table.shape == own.shape or table.shape[1] != own.shape[1]:
            continue
        side = round(len(table) ** 0.5)
        if side**2 == len(table) and side % 2:
            fitted[key] = _fit_table(table, side, module.window_size)
    return fitted


def _fit_table(table: Tensor, side: int, window: tuple[int, int]) -> Tensor:
    centre = side // 2
    rows, columns = (
        (torch.arange(2 * size - 1) - (size - 1)).clamp(-centre, centre) + centre for size in window
    )
    square = table.view(side, side, -1)
    return square[rows][:, columns].flatten(0, 1)


def _check_prefix(state: Mapping[str, Tensor], whole: Mapping[str, Tensor]) -> None:
    """Refuse a file whose HTS-AT is a part of another model, as in LAION's CLAP."""
    found = sorted(name.removesuffix(_FIRST) for name in whole if name.endswith(f".{_FIRST}"))
    if found and f"trunk.{_FIRST}" not in state:
        raise CheckpointError(
            f"its HTS-AT stands under '{found[0]}' among other networks: start a training from it "
            f"(recipe: init: pretrained:NAME); load_official(..., prefix='{found[0]}') reads it "
            "with its classes, where it has any"
        )


def _check_variant(model: HTSAT, state: Mapping[str, Tensor]) -> None:
    """Refuse an HTS-AT of another form or size by one line instead of every entry."""
    if fused := [name for name in state if re.search(r"\bfusion_model\.|\bmel_conv[12]d\.", name)]:
        raise CheckpointError(
            f"its HTS-AT fuses several spectrograms ({fused[0]}), as CLAP's `fused` variants do: "
            "use an unfused one"
        )
    first, arch = f"trunk.{_FIRST}", model.architecture
    if first not in state:
        raise CheckpointError(f"holds no HTS-AT: none of its entries ends in {_FIRST}")
    named = map(re.compile(r"trunk\.layers\.(\d+)\.blocks\.(\d+)\.").match, state)
    depths = Counter(stage for stage, _ in {match.groups() for match in named if match})
    sizes = {
        "embed_dim": (arch.embed_dim, len(state[first])),
        "depths": (arch.depths, tuple(depths[stage] for stage in sorted(depths))),
    }
    for argument, (own, other) in sizes.items():
        if own != other:
            raise CheckpointError(
                f"holds an HTS-AT of {argument} {other}, not {own}: set `{argument}`"
            )


def _check_derived(model: HTSAT, state: Mapping[str, Tensor]) -> None:
    """Compare the masks and indices of equal size, in the type that they are stored in; weight
    averaging has made them float."""
    for name, own in model.named_buffers():
        if name not in state or not any(fnmatchcase(name, pattern) for pattern in _DERIVED):
            continue
        found, own = state[name], own.nan_to_num(neginf=_RELEASED_MASK)
        if found.shape == own.shape and not torch.equal(found, own.to(found.dtype)):
            raise CheckpointError(f"{name} differs from the model's: it attends in another way")


def _rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Microsoft Swin's names, which the authors kept, to this model's.

    There, patch merging ends a stage; in timm it begins the next.
    """
    renamed = {}
    for name, value in state.items():
        name = re.sub(
            r"^layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) + 1}.downsample", name
        )
        trunk = name.startswith(("patch_embed.", "layers.", "norm."))
        renamed[f"trunk.{name}" if trunk else name] = value
    return renamed
