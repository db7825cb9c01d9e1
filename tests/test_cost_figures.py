"""Energy counters, multiply-adds and the sizes that the cost table derives from them."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.cost import energy
from bench.cost.measure import measure, multiply_adds
from bench.experiment.config import Cost
from bench.files import UserError
from bench.models.activations import saved_activation_bytes
from bench.results.full_size import largest_batch, projected_hours


def package(root: Path, name: str, joules: float, limit: float = 100.0) -> Path:
    folder = root / name
    folder.mkdir(exist_ok=True)
    (folder / "energy_uj").write_text(f"{int(joules * 1e6)}\n")
    (folder / "max_energy_range_uj").write_text(f"{int(limit * 1e6)}\n")
    return folder


def test_the_packages_energy_is_the_sum_since_the_start_and_survives_a_wrap(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 98)
    package(tmp_path, "intel-rapl:1", 10)
    package(tmp_path, "intel-rapl:0:0", 5)  # a part of package 0: not counted twice
    spent = energy.meter(None, tmp_path)
    assert spent is not None
    assert spent() == 0
    package(tmp_path, "intel-rapl:0", 1)
    package(tmp_path, "intel-rapl:1", 14.5)
    package(tmp_path, "intel-rapl:0:0", 50)
    assert spent() == pytest.approx(3 + 4.5, abs=1e-3)


def test_counting_what_a_forward_pass_keeps_keeps_nothing() -> None:
    made: list[weakref.ref[Tensor]] = []

    class Squared(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            saved = super().forward(input).sigmoid()  # an output that its own gradient needs
            made.append(weakref.ref(saved))
            return saved * saved

    assert saved_activation_bytes(Squared(4, 4), torch.ones(2, 4)) == 2 * 4 * 4
    assert made[0]() is None


def cost(architecture: str, batch_size: int, **arguments: int) -> Cost:
    tiny = {"architecture": architecture, "preset": "tiny", **arguments}
    return Cost(models={"small": tiny}, batch_size=batch_size, steps=1, classes=2)


def test_convolutions_are_measured_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    found = measure(cost("mobilenet", 1, frames=32, mels=128), "small", None)
    assert (found.precision, torch.backends.cudnn.allow_tf32) == ("fp32", False)


def test_a_model_that_needs_two_clips_says_so() -> None:
    with pytest.raises(UserError, match=r"cost\.batch_size: cost\.models\.small cannot"):
        measure(cost("atst_frame", 1, frames=33, mels=64), "small", None)
    assert measure(cost("atst_frame", 2, frames=33, mels=64), "small", None).batch_size == 2


def test_without_a_counter_there_is_no_figure(tmp_path: Path) -> None:
    assert energy.meter(None, tmp_path) is None
    assert energy.meter("GPU-00000000-0000-0000-0000-000000000000", tmp_path) is None


class Square(nn.Module):
    """A batch of (T, F) times a (F, F) matrix: T F F multiply-adds a clip."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layer(features)


def test_multiply_adds_are_those_of_the_matrix_products() -> None:
    assert multiply_adds(Square(), (3, 10, 8)) == 3 * 10 * 8 * 8


def test_every_model_can_be_counted_without_memory() -> None:
    from baselines.ast import AST
    from baselines.mobilenet import MobileNet
    from baselines.pann import PANN
    from htsat import HTSAT

    for model in (HTSAT, AST, PANN, MobileNet):
        made = model(5, preset="tiny", frames=125, mels=32)
        assert multiply_adds(made, (2, 125, 32)) == 2 * multiply_adds(made, (1, 125, 32)) > 1e6


def test_the_largest_batch_fills_the_usable_part_of_a_card() -> None:
    assert largest_batch(31e6, 300e6, 12) == 37  # 37.001 clips
    assert largest_batch(1e9, 300e6, 12) == 0


def test_projected_hours_are_clips_over_rate() -> None:
    assert projected_hours(61.9e6, 215) == pytest.approx(80, abs=0.1)
