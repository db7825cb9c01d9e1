"""Two processes that share each batch give what one gives, within float tolerance."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import Tagger
from team_training import main
from torch import nn

from bench.files import UserError
from bench.process import launch
from bench.process.slots import VISIBLE
from bench.process.team import Team, synchronised
from bench.training.state import StateFolder
from modelkit.augment import Augment, Mixup, SpecAugment

ROOT = Path(__file__).resolve().parent.parent


def torchrun(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "tests/team_training.py", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_processes_equal_one_also_when_told_to_end_between(tmp_path: Path) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    stopped = torchrun(str(two), "20000")
    assert stopped.stdout is not None
    for line in stopped.stdout:
        if line.startswith("epoch 3/"):
            stopped.terminate()
            break
    told = stopped.stdout.read()
    assert stopped.wait() != 0
    assert told.count("; saved") == 2, told  # both ended, at the same batch
    state = StateFolder(two / "reversed", "a").load()
    assert state is not None
    epochs = state["progress"]["epoch"] + 2
    finished = torchrun(str(two), str(epochs))
    out, _ = finished.communicate(timeout=300)
    assert finished.returncode == 0, out
    main(one, epochs)
    for pairing in ("reversed", "permutation", "pairs"):
        both, alone = (torch.load(folder / f"{pairing}.pt") for folder in (two, one))
        assert both["scores"].shape == (11, 3)  # an odd number: no clip twice
        for name in both:
            torch.testing.assert_close(both[name], alone[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pairing", ["reversed", "permutation", "pairs", None])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_parts_of_an_augmentation_are_the_whole(pairing: str | None, parts: int) -> None:
    rng = np.random.default_rng(3)
    mixup = Mixup(pairing=pairing, rate=0.7, labels=True) if pairing else None
    whole = Augment.draw(12, rng, stripes=SpecAugment(time_width=4, mel_width=3), mixup=mixup)
    x = torch.randn(12, 8, 6)
    expected = whole.mix(whole.mask(x))
    shares = [whole.part(number, parts) for number in range(parts)]
    assert sum(share.size for _, share in shares) == whole.size == len(expected)
    found = torch.cat([share.mix(share.mask(x[needed])) for needed, share in shares])
    order = [int((expected == row).flatten(1).all(1).nonzero()[0, 0]) for row in found]
    assert sorted(order) == list(range(len(expected)))
    if pairing != "permutation":
        assert sum(len(needed) for needed, _ in shares) == 12  # none is read twice


def test_batch_norm_is_never_trained_on_parts_of_a_batch() -> None:
    with pytest.raises(UserError, match=r"Tagger has batch normalisation.* on GPUs only"):
        Team(0, 2).wrap(Tagger())
    assert type(synchronised(Tagger(), Team()).norm) is nn.BatchNorm1d


def test_a_gpu_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert launch.find_device(None).type == launch.find_device(0).type == "cpu"
    monkeypatch.setenv(VISIBLE, "3")
    with pytest.raises(UserError, match=r"--gpus 1, but PyTorch sees no GPU.*VISIBLE_DEVICES is 3"):
        launch.find_device(1)
