"""Energy as reported by the hardware: of an NVIDIA GPU through NVML, else of the CPU packages."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

POWERCAP = Path("/sys/class/powercap")
NVML = "libnvidia-ml.so.1"


def meter(gpu: str | None, powercap: Path = POWERCAP) -> Callable[[], float] | None:
    """A function that returns the joules spent since this call; None if nothing reports them.

    Args:
        gpu: the UUID of the GPU that does the work; None for work on the CPU, whose packages are
            counted as a whole, including other processes (Linux powercap, often readable only by
            root).
    """
    read = _gpu_counter(gpu) if gpu is not None else _package_counter(powercap)
    if read is None:
        return None
    counter, start = read, read()
    return lambda: counter() - start


def gpu_uuid(device: torch.device) -> str | None:
    """The name by which the driver knows a GPU; None for the CPU."""
    import torch

    on_gpu = device.type == "cuda"
    return str(torch.cuda.get_device_properties(device).uuid) if on_gpu else None


def _gpu_counter(uuid: str) -> Callable[[], float] | None:
    """Joules by nvmlDeviceGetTotalEnergyConsumption (millijoules since the driver was loaded)."""
    try:
        nvml = ctypes.CDLL(NVML)
        device, energy = ctypes.c_void_p(), ctypes.c_ulonglong()
        named = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
        if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByUUID(
            named.encode(), ctypes.byref(device)
        ):
            return None
    except (OSError, AttributeError):
        return None

    def read() -> float:
        failed = nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(energy))
        return float("nan") if failed else energy.value / 1000

    return None if read() != read() else read


def _package_counter(powercap: Path) -> Callable[[], float] | None:
    """Joules of all CPU packages; a counter that wraps within a measurement is corrected."""
    zones = [p for p in sorted(powercap.glob("intel-rapl:*")) if p.name.count(":") == 1]
    if not zones or not all(os.access(zone / "energy_uj", os.R_OK) for zone in zones):
        return None
    limits = {zone: int((zone / "max_energy_range_uj").read_text()) for zone in zones}
    first = {zone: int((zone / "energy_uj").read_text()) for zone in zones}

    def read() -> float:
        now = {zone: int((zone / "energy_uj").read_text()) for zone in zones}
        return sum((now[zone] - first[zone]) % (limits[zone] + 1) for zone in zones) / 1e6

    return read
