"""Names of entries in Hugging Face's transformers, turned into those of the models' authors."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

Renaming = tuple[tuple[str, str], ...]
"""Pairs of a pattern and what takes its place, applied in order."""

BLOCKS: Renaming = (
    (r"\blayernorm_before\.", "norm1."),
    (r"\blayernorm_after\.", "norm2."),
    (r"\battention\.(?:output\.dense|o_proj)\.", "attn.proj."),
    (r"\battention\.(?:attention\.|self\.)?(?:query|q_proj)\.", "attn.query."),
    (r"\battention\.(?:attention\.|self\.)?(?:key|k_proj)\.", "attn.key."),
    (r"\battention\.(?:attention\.|self\.)?(?:value|v_proj)\.", "attn.value."),
    (r"\battention\.self\.", "attn."),
    (r"\bintermediate\.dense\.", "mlp.fc1."),
    (r"\boutput\.dense\.", "mlp.fc2."),
)
"""Parts of a block: as files have them, and (q_proj and the like) as models of version 5 do."""


def authors_names(state: Mapping[str, Tensor], outside: Renaming) -> dict[str, Tensor]:
    """Rename the entries of a transformer, and join each query, key and value to one `qkv`.

    Args:
        outside: of names outside of the blocks, which `BLOCKS` knows.

    Entries that already have the authors' names keep them; so does a query without its key and
    value, for `load_checked` to name.
    """
    renamed = {}
    for name, value in state.items():
        for pattern, own in (*outside, *BLOCKS):
            name = re.sub(pattern, own, name)
        renamed[name] = value
    for name in [name for name in renamed if ".attn.query." in name]:
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if len({renamed[part].shape if part in renamed else None for part in parts}) == 1:
            joint = torch.cat([renamed.pop(part) for part in parts])
            renamed[name.replace(".query.", ".qkv.")] = joint
    return renamed
