"""timm, imported so that it works beside a CPU build of torch.

The torchvision wheel on PyPI is built against CUDA torch. Beside a CPU torch its compiled
operators do not load, and `import torchvision` (hence `import timm`) stops with "operator
torchvision::nms does not exist", because it registers shape functions for two operators that
nothing here calls. Declaring the schemas of those two is all that the import needs. Where the real
operators load, this module only imports timm.

Import timm's names from here: `from modelkit.vision import SwinTransformer`.
"""

from __future__ import annotations

import torch

_SCHEMAS = ("nms", "qnms")
_library: torch.library.Library | None = None


def _import_torchvision() -> None:
    """Import torchvision, declaring the two schemas if their absence is what stops it."""
    global _library
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        # Kept alive for the life of the process: a Library takes its schemas along when it goes.
        _library = torch.library.Library("torchvision", "DEF")
        for name in _SCHEMAS:
            _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401


_import_torchvision()

from timm.models.deit import VisionTransformerDistilled  # noqa: E402
from timm.models.swin_transformer import SwinTransformer  # noqa: E402

__all__ = ["SwinTransformer", "VisionTransformerDistilled"]
