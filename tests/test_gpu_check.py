"""The check of a GPU, rehearsed on the CPU: what it measures, and that a cut run loses nothing."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import registry
from bench.__main__ import main
from bench.experiment.config import Recipe
from bench.files import read_json
from bench.training.step import make_optimizer
from speed import checks, gpu_check, tables, timing
from speed.checks import CLASSES, Size

CPU = Size(torch.device("cpu"))


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The check makes torch deterministic for its process."""
    yield
    torch.set_deterministic_debug_mode("default")


def test_each_step_is_written_and_one_that_fails_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "check.json"
    written: list[list[str]] = []

    def parity(found: dict[str, Any]) -> None:
        found["parity"] = [checks.parity("piczak", CPU)]

    def fails(found: dict[str, Any]) -> None:
        written.append([step["step"] for step in read_json(path)["steps"]])
        raise RuntimeError("the device is gone")

    def steps(size: Size, found: dict[str, Any]) -> Iterator[tuple[str, Callable[[], None]]]:
        for name, step in (("parity", parity), ("fails", fails), ("after", lambda _: None)):
            yield name, lambda step=step: step(found)

    monkeypatch.setattr(gpu_check, "steps", steps)
    assert gpu_check.run(Namespace(device="cpu", minutes=1.0, output=path)) == 1
    found = read_json(path)
    assert written == [["parity"]]
    outcomes = {step["step"]: step["outcome"] for step in found["steps"]}
    assert outcomes == {
        "parity": "done",
        "fails": "RuntimeError: the device is gone",
        "after": "done",
    }
    assert found["parity"][0]["largest_difference"] == 0
    assert set(tables.sections(found)) == {"steps", "parity"}
    assert gpu_check.run(Namespace(device="cpu", minutes=0.0, output=path)) == 1
    assert "parity" not in read_json(path)


def test_the_order_is_that_of_worth() -> None:
    found: dict[str, Any] = {}
    names = [name for name, _ in gpu_check.steps(Size(torch.device("cuda")), found)]
    trained = set(registry.ARCHITECTURES) - registry.SOLVED
    assert {f"parity of {name}" for name in trained} == set(names[: len(trained)])
    assert names[len(trained) : len(trained) + 4] == [
        *("a training, twice", "peaks", "rate of htsat", "rate of htsat, compiled"),
    ]
    assert names.index("projected hours") < names.index("rate of passt")
    assert found == {}


def test_a_rate_is_that_of_the_benchmarks_own_step(tmp_path: Path) -> None:
    row = checks.rate("piczak", CPU, compiled=False)
    assert (row["model"], row["compiled"], row["batch"]) == ("piczak", False, 2)
    assert row["clips_per_second"]["median"] > 0
    model, shape = CPU.build("piczak")
    assert shape == (101, 60)
    assert model(torch.randn(1, *shape)).clip_logits.shape == (1, CLASSES)
    found = {"rates": [{**row, "model": "htsat"}]}
    gpu_check._hours(found)
    hours = {each["model"]: each for each in found["hours"]}
    assert {name: each["published_gpu_hours"] for name, each in hours.items()} == {
        **{"htsat": 80, "ast": 600, "pann": 72}
    }
    expected = 61.9e6 / row["clips_per_second"]["median"] / 3600
    assert hours["htsat"]["hours"] == pytest.approx(expected)
    assert hours["ast"]["hours"] is None
    assert set(tables.sections(found)) == {"rates", "hours"}


def test_memory_is_measured_beside_the_optimizers_state_and_no_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[torch.optim.Optimizer] = []
    held: list[tuple[int, int]] = []

    def make(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        made.append(make_optimizer(model, recipe))
        return made[0]

    def peak(do: Callable[[], None], device: torch.device) -> int:
        weights = [p for group in made[0].param_groups for p in group["params"]]
        held.append((len(weights) - len(made[0].state), sum(p.grad is not None for p in weights)))
        return 0

    monkeypatch.setattr("bench.training.step.make_optimizer", make)
    monkeypatch.setattr(timing, "peak_memory", peak)
    checks.rate("piczak", CPU, compiled=False)
    assert held == [(0, 0)]


def test_a_batch_fits_if_its_second_step_does() -> None:
    class Part:
        def __init__(self, clips: int) -> None:
            self.rows = range(clips)

        def beginning(self, clips: int) -> Part:
            return Part(clips)

    taken: list[int] = []

    def take(part: Part) -> torch.Tensor:
        taken.append(len(part.rows))
        if len(part.rows) == 16 or taken[-2:] == [8, 8]:
            raise torch.OutOfMemoryError
        return torch.zeros(2)

    batch, seconds = checks._fitting(take, Part(16))  # type: ignore[arg-type]
    assert (len(batch.rows), taken) == (4, [16, 8, 8, 4, 4])
    assert seconds >= 0


def test_an_interrupted_training_equals_a_straight_one() -> None:
    row = checks.train_twice(CPU)
    assert row["equal"]
    assert not row["compiled"]
    assert len(row["losses"]) == 2


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert main(["gpu-check"]) == 2
    assert "--device cpu" in capsys.readouterr().err
