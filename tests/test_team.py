"""Two processes that share each batch give what one gives, within float tolerance."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from factories import make_config, make_inputs
from small_training import Tagger
from team_training import made_up_recipes, main, torchrun
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from baselines.pann import PANN
from bench.experiment.cells import Layout
from bench.experiment.config import Config
from bench.files import UserError, read_json
from bench.models.scores import read_scores
from bench.models.team import Team, synchronised
from bench.process import launch
from bench.process.locks import holder
from bench.process.slots import VISIBLE
from bench.training.description import SCORED
from bench.training.state import StateFolder
from htsat import HTSAT
from modelkit.augment import Augment, Mixup, SpecAugment
from modelkit.checkpoint import read_checkpoint
from modelkit.draws import Share, share_of_batch

ROOT = Path(__file__).resolve().parent.parent


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
    main(one, made_up_recipes(epochs))
    for pairing in ("reversed", "permutation", "pairs"):
        both, alone = (torch.load(folder / f"{pairing}.pt") for folder in (two, one))
        assert both["scores"].shape == (11, 3)  # an odd number: no clip twice
        for name in both:
            torch.testing.assert_close(both[name], alone[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pairing", ["reversed", "permutation", "pairs", None])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_parts_of_an_augmentation_are_the_whole(pairing: str | None, parts: int) -> None:
    rng = np.random.default_rng(3)
    mixup = Mixup(alpha=0.5, pairing=pairing, rate=0.7, labels=True) if pairing else None
    whole = Augment.draw(12, rng, stripes=SpecAugment(time_width=4, mel_width=3), mixup=mixup)
    x = torch.randn(12, 8, 6)
    expected = whole.mix(whole.mask(x))
    shares = [whole.part(number, parts) for number in range(parts)]
    assert whole.size == len(expected)
    order = np.concatenate([mine for mine, _, _ in shares])
    assert sorted(order) == list(range(len(expected)))
    found = torch.cat([share.mix(share.mask(x[needed])) for _, needed, share in shares])
    assert torch.equal(found, expected[order])
    after = whole.mask(whole.mix(x), mixed=True)  # as AST does it
    found = torch.cat([share.mask(share.mix(x[needed]), mixed=True) for _, needed, share in shares])
    assert torch.equal(found, after[order])
    if pairing != "permutation":
        assert sum(len(needed) for _, needed, _ in shares) == 12  # none is read twice


@pytest.mark.parametrize("make", [partial(HTSAT, drop_path=0.6), partial(PANN, conv_dropout=0.3)])
def test_the_parts_of_a_batch_drop_out_what_the_whole_does(make: Callable[..., nn.Module]) -> None:
    """Stochastic depth and dropout of the published recipes, batch norm with frozen statistics."""
    torch.manual_seed(0)
    model = make(classes=3, preset="tiny", frames=128).train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    x = torch.randn(6, 128, 64)
    whole = Augment.draw(
        6, np.random.default_rng(3), mixup=Mixup(alpha=0.5, pairing="reversed", labels=False)
    )

    def outputs(rows: np.ndarray, augment: Augment, share: Share | None) -> torch.Tensor:
        torch.manual_seed(7)
        with share_of_batch(share), torch.no_grad():
            return model(x[rows], augment=augment).clip_logits

    expected = outputs(np.arange(6), whole, None)
    for mine, needed, part in (whole.part(number, 2) for number in range(2)):
        found = outputs(needed, part, (6, torch.from_numpy(mine)))
        torch.testing.assert_close(found, expected[mine], rtol=1e-4, atol=1e-5)
        alone = outputs(needed, part, None)  # what each process would draw by itself
        assert not torch.allclose(alone, expected[mine], rtol=1e-2)


@pytest.fixture
def experiment(tmp_path: Path) -> tuple[Config, str]:
    """Corpora and features, and the config file of two epochs on them."""
    recipes = {"base": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3}}
    settings = make_config(tmp_path, seeds=(0,), recipes=recipes, ablations={})
    make_inputs(settings)
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    return settings, str(path)


def test_the_command_gives_the_same_scores_by_one_and_by_two_processes(
    experiment: tuple[Config, str],
) -> None:
    settings, path = experiment
    folder = Layout.of(settings).results / "runs" / "esc50/ast/base/fold0-seed0"
    command = ["-m", "bench", "train", "esc50/ast/base/fold0-seed0", "--config", path]
    scores, weights, ran = [], [], []
    for start in (["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"], []):
        done = subprocess.run(
            [sys.executable, *start, *command, "--gpus", "0"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        scores.append([read_scores(folder / "scores.npz", name) for name in SCORED])
        weights.append(read_checkpoint(folder / "model.pt")["state_dict"])
        ran.append(read_json(folder / "training.json")["provenance"]["processes"])
    assert ran == [2, 1]
    for two, one in zip(*scores, strict=True):
        assert two.clip_ids.tolist() == one.clip_ids.tolist()  # none missing, none twice
        np.testing.assert_allclose(two.scores.clip_scores, one.scores.clip_scores, atol=1e-4)
    for name, value in weights[1].items():
        torch.testing.assert_close(weights[0][name], value, rtol=1e-3, atol=1e-4)


def test_a_run_on_two_gpus_is_torchrun_inside_one_claim_on_both(
    experiment: tuple[Config, str], tmp_path: Path
) -> None:
    """Without GPUs each of the two processes says that they are missing."""
    command = [sys.executable, "-m", "bench", "train", "desed/ast/base/seed0", "--gpus", "2"]
    environment = {k: v for k, v in os.environ.items() if k != "SLURM_JOB_ID"}
    environment |= {VISIBLE: "GPU-a,GPU-b,GPU-c", "TMPDIR": str(tmp_path)}
    started = subprocess.Popen(
        [*command, "--config", experiment[1]],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    locks, held = tmp_path / f"bench-gpu-{os.getuid()}", set[str]()
    while started.poll() is None:
        held |= {path.stem for path in locks.glob("*.lock") if holder(path)}
        time.sleep(0.1)
    assert started.stderr is not None
    told = started.stderr.read()
    assert held == {"GPU-a", "GPU-b"}
    assert started.returncode != 0
    missing = "error: --gpus 2, but PyTorch sees no GPU here (CUDA_VISIBLE_DEVICES is GPU-a,GPU-b)"
    assert told.count(missing) == 2, told
    assert not list(locks.iterdir())


def test_batch_norm_is_never_trained_on_parts_of_a_batch() -> None:
    with pytest.raises(UserError, match=r"this model has batch normalisation.* on GPUs only"):
        Team(0, 2).wrap(Tagger())
    assert type(synchronised(Tagger(), Team()).norm) is nn.BatchNorm1d


def test_a_gpu_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert launch.find_device(None).type == launch.find_device(0).type == "cpu"
    monkeypatch.setenv(VISIBLE, "3")
    with pytest.raises(UserError, match=r"--gpus 1, but PyTorch sees no GPU.*VISIBLE_DEVICES is 3"):
        launch.find_device(1)
