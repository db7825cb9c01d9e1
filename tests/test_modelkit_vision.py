"""timm's DeiT imports lightly, torchvision imports beside a CPU torch, real operators stay."""

from __future__ import annotations

import builtins
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from factories import ROOT

from modelkit import vision


def test_the_trunk_is_timms_and_nothing_stays_of_the_stand_ins() -> None:
    assert vision.VisionTransformerDistilled.__module__ == "timm.models.deit"
    left = [name for name, module in sys.modules.items() if isinstance(module, vision._StandIn)]
    assert left == []


@pytest.mark.parametrize("module", ["htsat", "baselines.ast", "baselines.pann"])
def test_a_training_step_leaves_the_compiler_and_torchvision_out(module: str) -> None:
    """They cost more than half of a process's start."""
    script = f"""
import sys
import torch
import {module}
from bench.models.torch_setup import set_up
set_up(1)
layer = torch.nn.Linear(2, 2)
optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
layer(torch.ones(1, 2)).sum().backward()
optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
assert torch.are_deterministic_algorithms_enabled()
assert not torch.backends.cudnn.allow_tf32
heavy = {{"torch._dynamo", "sympy", "torchvision", "timm.data.loader", "huggingface_hub"}}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_torchvision_imports_after_all() -> None:
    vision.make_companions_importable()
    assert torch.ops.torchvision.nms.default._schema.name == "torchvision::nms"


def test_nothing_is_declared_where_torchvision_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setattr(vision, "_library", None)
    vision.make_companions_importable()
    assert vision._library is None


def test_other_failures_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def failing(name: str, *rest: Any, **named: Any) -> Any:
        if name == "torchvision":
            raise RuntimeError("something else")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", failing)
    with pytest.raises(RuntimeError, match="something else"):
        vision.make_companions_importable()
