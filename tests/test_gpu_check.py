"""The check of a GPU, rehearsed on the CPU: what it measures, and that a cut run loses nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import registry
from bench.__main__ import main
from bench.code_digest import ROOT
from bench.data.task import Task
from bench.experiment.cells import Plan
from bench.experiment.config import Recipe
from bench.files import UserError, read_json
from bench.provenance import environment
from bench.training.step import make_optimizer
from speed import checks, feeding, gpu_check, pairs, tables, timing
from speed.checks import CLASSES, Size
from speed.made_up import random_task

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
    assert written == [["parity", "fails"]]
    outcomes = {step["step"]: step["outcome"] for step in found["steps"]}
    assert outcomes == {
        "parity": "done",
        "fails": "RuntimeError: the device is gone",
        "after": "done",
    }
    assert found["parity"][0]["largest_difference"] == 0
    assert set(tables.sections(found)) == {"rehearsal", "steps", "parity"}
    assert gpu_check.run(Namespace(device="cpu", minutes=0.0, output=path)) == 1
    assert "parity" not in read_json(path)


def test_a_step_that_takes_too_long_is_ended_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    both = [("slow", partial(time.sleep, 60)), ("after", partial(taken.append, "after"))]
    monkeypatch.setattr(gpu_check, "steps", lambda size, found: both)
    monkeypatch.setattr(gpu_check, "LONGEST", 0.005)
    path = tmp_path / "check.json"
    assert gpu_check.run(Namespace(device="cpu", minutes=1.0, output=path)) == 1
    slow, after = read_json(path)["steps"]
    assert slow["outcome"].startswith("OutOfTimeError")
    assert 0.3 <= slow["seconds"] < 30
    assert after["outcome"] == "done"
    assert taken == ["after"]


def test_a_step_that_hangs_ends_the_check_which_loses_nothing_before_it(tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    code = f"""
import signal, time
from argparse import Namespace
from pathlib import Path
from speed import gpu_check

def hang():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(300)

def steps(size, found):
    yield "first", lambda: found.update(parity=[])
    yield "hangs", hang

gpu_check.steps, gpu_check.LONGEST, gpu_check.GRACE_S = steps, 0.005, 0.1
gpu_check.run(Namespace(device="cpu", minutes=1.0, output=Path({str(path)!r})))
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "in hang" in ended.stderr
    found = read_json(path)
    assert [step["step"] for step in found["steps"]] == ["first", "hangs"]
    assert found["steps"][0]["outcome"] == "done"
    assert found["steps"][1]["outcome"].startswith("not finished")
    assert found["parity"] == []


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


def test_a_compiled_rate_is_that_of_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = []

    def backend(graph: Any, example: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def compile_in_place(module: torch.nn.Module) -> None:
        module.compile(dynamic=False, backend=backend)

    monkeypatch.setattr("bench.training.step.compile_in_place", compile_in_place)
    monkeypatch.setattr(torch._dynamo.config, "fail_on_recompile_limit_hit", False)
    row = checks.rate("piczak", CPU, compiled=True)
    assert row["compiled"]
    assert len(graphs) == 1
    assert row["first_step_seconds"] > 0
    assert torch._dynamo.config.fail_on_recompile_limit_hit


def test_a_pair_is_measured_beside_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> pairs.Pair:
        ours = torch.nn.Linear(4, 3)
        return pairs.Pair(*(pairs.Side(ours, (4,), ours) for _ in range(2)), lambda x: x)

    entries = {name: pairs.Entry("htsat", name, "torch", build) for name in ("one", "two")}
    missing = {"none": pairs.Entry("htsat", "none", "no_such_package", build)}
    monkeypatch.setattr(pairs, "PAIRS", entries | missing)
    monkeypatch.setattr(timing, "matmul_peak", lambda device, kind: 1e9)
    torch.set_deterministic_debug_mode("error")
    found: dict[str, Any] = {"device": "one GPU", "provenance": environment()}
    for name in entries:
        gpu_check._beside(found, name, CPU)
    assert [row["pair"] for row in found["pairs"]] == ["one", "two"]
    assert {point["batch"] for row in found["pairs"] for point in row["points"]} == {1}
    assert found["device"] == "one GPU"
    assert torch.get_deterministic_debug_mode() == 2
    assert {"machine", "models"} <= set(tables.sections(found))
    with pytest.raises(UserError, match="no_such_package"):
        gpu_check._beside(found, "none", CPU)


def test_a_rehearsal_feeds_the_small_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[dict[str, Any]] = []
    seen: list[torch.Size] = []

    def find(name: str, among: Any) -> Any:
        def build(classes: int, **arguments: Any) -> torch.nn.Module:
            built.append(arguments)
            return torch.nn.Linear(1, 1)

        return build

    monkeypatch.setattr(feeding.registry, "find", find)
    monkeypatch.setattr(feeding, "training_step", lambda *_: lambda x: seen.append(x.shape))
    found: dict[str, Any] = {}
    gpu_check._feeding(found, CPU)
    assert built == [{"preset": "tiny"}]
    assert set(seen) == {(4, feeding.FRAMES, feeding.MELS)}
    assert [row["unit"] for row in found["pipeline"]] == [*["clips/s"] * 3, "of 1"]
    assert set(tables.sections(found)) == {"pipeline"}


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


def test_an_interrupted_training_equals_a_straight_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = checks.train_twice(CPU)
    assert row["equal"]
    assert row["features"] == "random"
    assert not row["compiled"]
    assert len(row["losses"]) == 2


def test_it_trains_on_the_features_of_the_smoke_experiment_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("corpora/audioset/corpus.json", "features/audioset/logmel/digest.json"):
        path = tmp_path / "work" / "smoke" / name
        path.parent.mkdir(parents=True)
        path.touch()
    opened: list[tuple[Path, Path]] = []

    def open_task(plan: Plan, corpus: Path, features: Path) -> Task:
        opened.append((corpus, features))
        return random_task(plan.front_end, clips=8, classes=3)

    monkeypatch.setattr("bench.data.task.open_task", open_task)
    row = checks.train_twice(CPU)
    assert (row["features"], row["equal"]) == ("smoke experiment", True)
    work = Path("work/smoke")
    assert opened == [(work / "corpora" / "audioset", work / "features" / "audioset" / "logmel")]


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert main(["gpu-check"]) == 2
    assert "--device cpu" in capsys.readouterr().err
