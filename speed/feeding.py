"""Does reading keep up with training? HTS-AT at full size, fed from a feature store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from bench import registry
from bench.training.batches import Batch, on_device
from bench.training.loading import read_ahead
from bench.training.losses import Targets
from speed.made_up import random_store
from speed.models import training_step
from speed.pairs import Side
from speed.timing import interleaved, precisions, ratios, spread

FRAMES, MELS, WORKERS = 1001, 64, 2


def feeding(rounds: int, steps: int = 4, *, small: bool = False) -> list[dict[str, Any]]:
    """Rates of reading alone, of training alone, and of both, as a training does them.

    The device's busy share is the time of training alone over that of both. Random clips, read
    ahead by WORKERS threads from a file that was just written and so is in memory; batches of 128
    on a GPU, of 4 on a CPU, whose cores both share.

    Args:
        small: the small preset instead of full size.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch = 128 if device.type == "cuda" else 4
    arguments = {"preset": "tiny"} if small else {}
    model = registry.find("htsat", registry.ARCHITECTURES)(527, **arguments).to(device)
    side = Side(model, (FRAMES, MELS), lambda x: model(x).clip_logits)
    precision = list(precisions(device))[-1]
    train = training_step(side, precision)
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        store = random_store(4 * batch, FRAMES, MELS, Path(folder))

        def read(rows: np.ndarray) -> Batch:
            features = torch.from_numpy(store.batch(rows, frames=FRAMES))
            targets = Targets(None, None, None, torch.ones(2))
            found = Batch(features, targets, None, None, rows, 0 * rows)
            return found.each(torch.Tensor.pin_memory) if device.type == "cuda" else found

        def batches() -> Iterator[Batch]:
            rows = [rng.permutation(len(store.clips))[:batch] for _ in range(steps)]
            return read_ahead(read, rows, WORKERS)

        kept = read(np.arange(batch)).features.to(device)

        def read_alone() -> None:
            for _ in batches():
                pass

        def train_alone() -> None:
            for _ in range(steps):
                train(kept)

        def both() -> None:
            for read_one in on_device(batches(), device):
                train(read_one.features)

        found = interleaved({"read": read_alone, "train": train_alone, "both": both}, rounds)
    clips = batch * steps
    rows: list[dict[str, Any]] = [
        {"what": what, "value": clips / spread(found[key])["median"], "unit": "clips/s"}
        for key, what in (
            (
                "read",
                f"batches of {batch} read ahead from memory by {WORKERS} threads, no training",
            ),
            ("train", f"HTS-AT training in {precision}, batches of {batch}, no reading"),
            ("both", f"HTS-AT training in {precision} on batches read ahead from memory"),
        )
    ]
    busy = ratios(found["train"], found["both"])
    what = "busy share of the device while training on batches read ahead from memory"
    return [*rows, {"what": what, "value": busy["median"], "unit": "of 1", "spread": busy}]
