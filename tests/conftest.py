"""One thread for every test: two cores are shared by parallel tests, and digits depend on it."""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import shutil  # noqa: E402
import signal  # noqa: E402
import threading  # noqa: E402
from collections import namedtuple  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

import pytest  # noqa: E402
import yaml  # noqa: E402
from http_server import Server  # noqa: E402

from bench.strict import Quoted  # noqa: E402

if TYPE_CHECKING:
    import torch

if threading.current_thread() is threading.main_thread():
    # A shell that starts the tests in the background lets them, and what they start, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests write changed copies of what `read_yaml` has read.
yaml.SafeDumper.add_representer(
    Quoted,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="'"),
)


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server of this machine; see `http_server`."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def roomy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for the data of any experiment, whatever this machine has."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**15, 0, 10**15))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The CPU, and the GPU where there is one, which then multiplies in full float32."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    yield torch.device(request.param)
    for backend, allowed in zip(backends, before, strict=True):
        backend.allow_tf32 = allowed


@pytest.fixture
def rounding(device: torch.device) -> int:
    """How many times the CPU's rounding a comparison may show: GPU kernels sum in other orders."""
    return 1 if device.type == "cpu" else 10
