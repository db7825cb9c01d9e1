"""Load and memory of a process while it works, for curves beside those of its learning.

MLflow has a monitor of its own (`mlflow.system_metrics`). It measures the whole machine, on which
several trainings run side by side, and sends to a store while they train; here no training knows of
MLflow, and the figures are its process's own.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

FIRST_PAUSE_S = 2.0
MOST_SAMPLES = 240


class Sampler:
    """Collects samples from a thread while its block runs: seconds, CPU share, memory.

    Beyond MOST_SAMPLES every second one is dropped and the pause doubles, so that a week takes no
    more room than an hour.
    """

    def __init__(self, pid: int | None = None) -> None:
        import psutil

        self.process = psutil.Process(pid)
        self.process.cpu_percent()  # the first call has nothing to compare with
        self.samples: list[dict[str, float]] = []
        self._pause = FIRST_PAUSE_S
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()
        self._note()

    def sample(self) -> dict[str, float]:
        """What the process takes now; CPU in percent of one core since the last call."""
        found = {
            "seconds": round(time.monotonic() - self._started, 3),
            "cpu_utilization_percentage": self.process.cpu_percent(),
            "process_memory_megabytes": self.process.memory_info().rss / 2**20,
        }
        cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
        if hasattr(cuda, "memory_allocated") and cuda.is_initialized():  # not half imported
            found["gpu_memory_megabytes"] = cuda.memory_allocated() / 2**20
        return found

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            self._note()

    def _note(self) -> None:
        self.samples.append(self.sample())
        if len(self.samples) > MOST_SAMPLES:
            del self.samples[::2]
            self._pause *= 2
