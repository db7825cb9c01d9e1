"""timm imports beside a CPU build of torch, and real operators are left alone."""

from __future__ import annotations

import builtins
import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from modelkit import vision


def test_timms_models_are_there() -> None:
    assert vision.SwinTransformer.__module__.startswith("timm.")
    assert vision.VisionTransformerDistilled.__module__.startswith("timm.")
    assert torch.ops.torchvision.nms.default._schema.name == "torchvision::nms"


def test_nothing_is_declared_where_torchvision_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setattr(vision, "_library", None)
    vision._import_torchvision()
    assert vision._library is None


def test_other_failures_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def failing(name: str, *rest: Any, **named: Any) -> Any:
        if name == "torchvision":
            raise RuntimeError("something else")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", failing)
    with pytest.raises(RuntimeError, match="something else"):
        vision._import_torchvision()
