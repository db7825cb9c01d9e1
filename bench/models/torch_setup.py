"""torch in this process: repeatable, on a given number of threads, and quick to start."""

from __future__ import annotations

import inspect

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer


def set_up(threads: int) -> None:
    """Prepare torch for a run whose results depend on nothing but its inputs and `threads`.

    Raises (later): RuntimeError from an operation that has no deterministic form.
    """
    torch.set_num_threads(threads)
    # Equal to use_deterministic_algorithms(True), which also loads the compiler to set it there.
    torch.set_deterministic_debug_mode("error")
    # Only helps to find reads of uninitialised memory; it costs a write of every new tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False  # True by default: convolutions would round to 10 bits
    leave_compiler_out()


def emulates_bf16(device: str) -> bool:
    """Whether products in bf16 are made of fp32 ones: on CPUs without instructions for them, four
    times as slow as fp32 with AVX-512, about a hundred times with AVX2."""
    if device != "cpu":
        return False
    has = torch.cpu.get_capabilities()
    if has["architecture"] == "x86_64":
        return not (has["avx512_bf16"] or has["amx_bf16"])
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def compile_in_place(module: nn.Module) -> None:
    """Let `module` be computed as one graph for each shape of its input: the first calls take long.

    Graphs are deterministic where torch is.
    """
    torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())
    module.compile(dynamic=False)


def leave_compiler_out() -> None:
    """Keep torch's optimizers from importing the compiler just to tell it to skip them.

    torch wraps four methods so that a call imports torch._dynamo, half of a process's start. Three
    of them cache the result in an attribute, which is set here to the method itself; `step` loses
    its wrapper but keeps its other effect, no gradients. If a torch release does this differently,
    the import returns and nothing else changes.
    """
    for name in ("add_param_group", "state_dict", "load_state_dict"):
        method = inspect.unwrap(getattr(Optimizer, name))
        method.__dynamo_disable = method
    for kind in (Adam, AdamW):
        kind.step = torch.no_grad()(inspect.unwrap(kind.step))  # type: ignore[method-assign]
