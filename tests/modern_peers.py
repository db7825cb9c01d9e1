"""Installed implementations of today's models, each loaded without what it does not need."""

from __future__ import annotations

import functools
import sys
from types import ModuleType

from torch import nn

from modelkit.vision import make_companions_importable
from speed.peers import submodule

make_companions_importable()


peer = functools.cache(submodule)


@functools.cache
def atst_frame() -> ModuleType:
    """avex's ATST-Frame: one file. The package would import cloud clients, and PyTorch Lightning,
    whose module stands in for a plain one."""
    lightning, utils = ModuleType("pytorch_lightning"), ModuleType("avex.utils")
    lightning.LightningModule = nn.Module
    utils.universal_torch_load = None
    sys.modules |= {"pytorch_lightning": lightning, "avex.utils": utils}
    try:
        return peer("avex", "models.atst_frame.atst_frame")
    finally:
        del sys.modules["pytorch_lightning"]
