"""timm's DeiT, imported without what it does not use.

`import timm` loads every model of timm, its image pipeline, torchvision and, through it, torch's
compiler: 5 s of CPU time before a model exists, where the trunk needs 0.4 s. So its module is
loaded from timm's files with stand-ins for the packages around it, which no model calls. The
stand-ins are removed afterwards: other code imports the real packages as usual.

Import it from here: `from modelkit.vision import VisionTransformerDistilled`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

# Named by the module and what it imports; used only for images and downloads.
UNUSED = (
    "torchvision",
    "torchvision.ops",
    "torchvision.ops.misc",
    "timm.data",
    "timm.models._hub",
)

_library: torch.library.Library | None = None


class _StandIn(ModuleType):
    """A package in which every name is an empty class; submodules load from `folder`."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        super().__init__(name)
        self.__path__ = [str(folder)] if folder else []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Put the stand-ins in place during the block, then restore what was there."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        raise ImportError("timm is not installed; install requirements.txt")
    home = Path(spec.origin).parent
    modules: dict[str, ModuleType] = {name: _StandIn(name) for name in UNUSED}
    modules["timm"] = _StandIn("timm", home)
    modules["timm"].__version__ = importlib.metadata.version("timm")  # type: ignore[attr-defined]
    modules["timm.models"] = _StandIn("timm.models", home / "models")
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def make_companions_importable() -> None:
    """Let torchvision and torchaudio be imported beside a CPU build of torch, for packages that
    want them.

    Their wheels on PyPI are built against CUDA torch. Beside a CPU torch torchvision's compiled
    operators do not load, and the import stops with "operator torchvision::nms does not exist",
    because it registers shape functions for two of them. Declaring their schemas is all that it
    needs. Where the real operators load, nothing is declared. Only the Python part of torchaudio is
    used, so its extension is left out.
    """
    global _library
    extension = ModuleType("torchaudio._extension")
    extension._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
    extension._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
    extension.fail_if_no_align = lambda function: function  # type: ignore[attr-defined]
    sys.modules.setdefault(extension.__name__, extension)
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        # Kept for the life of the process: a Library removes its schemas when it is deleted.
        _library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401


with _stand_ins():
    from timm.layers.attention import Attention
    from timm.models.deit import VisionTransformerDistilled
    from timm.models.vision_transformer import Block

__all__ = ["Attention", "Block", "VisionTransformerDistilled"]
