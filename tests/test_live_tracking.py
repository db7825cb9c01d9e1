"""Live tracking sends what running trainings leave on disk, once, and never stops them."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.experiment.cells import Cell
from bench.files import write_json_lines
from bench.process.sampler import MOST_SAMPLES, Sampler
from bench.tracking import live
from bench.tracking.live import Follower, follow
from bench.training.running import Running

CELL = Cell("desed", "htsat", "base", -1, 1)


class Client:
    """Notes what it is asked to write."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.points: list[tuple[str, float, int]] = []

    def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> Any:
        self.runs.append({"experiment": experiment, "name": run_name, "tags": tags})
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def log_batch(self, run: str, metrics: list[Any]) -> None:
        assert run == "r1"
        self.points += [(m.key, m.value, m.step) for m in metrics]


def running(folder: Path) -> Running:
    return Running(CELL, 1, 2, 1.0, folder, os.getpid(), socket.gethostname())


def test_new_points_are_sent_once_under_one_run(tmp_path: Path) -> None:
    client = Client()
    follower = Follower(client, lambda dataset: f"id of {dataset}")
    points = [{"epoch": e, "step": 4 * e, "train_loss": 1 / e} for e in (1, 2, 3)]
    assert follower.send(running(tmp_path)) == 0
    write_json_lines(tmp_path / "metrics.jsonl", points[:2])
    assert follower.send(running(tmp_path)) == 2
    write_json_lines(tmp_path / "metrics.jsonl", points)
    assert follower.send(running(tmp_path)) == 1
    assert len(client.runs) == 1
    assert client.runs[0]["experiment"] == "id of desed"
    assert client.runs[0]["tags"]["key"] == str(CELL)
    losses = [point for point in client.points if point[0] == "curve_train_loss"]
    assert losses == [("curve_train_loss", 1 / e, 4 * e) for e in (1, 2, 3)]
    memory = [value for name, value, _ in client.points if name.endswith("memory_megabytes")]
    assert len(memory) == 3
    assert min(memory) > 1


def test_a_failing_server_is_told_of_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Failing:
        def send(self, item: Running) -> int:
            raise ConnectionError("no route")

    monkeypatch.setattr(live, "running_trainings", lambda settings: [running(tmp_path)])
    monkeypatch.setattr(live, "PAUSE_S", 0)
    follow(None, Failing(), rounds=2)
    assert capsys.readouterr().err == 2 * "live tracking: no route\n"


def test_the_sampler_thins_what_it_has_when_there_is_too_much() -> None:
    with Sampler() as sampler:
        for _ in range(2 * MOST_SAMPLES):
            sampler._note()
    assert MOST_SAMPLES / 2 <= len(sampler.samples) <= MOST_SAMPLES + 1
    assert all(sample["process_memory_megabytes"] > 1 for sample in sampler.samples)
    seconds = [sample["seconds"] for sample in sampler.samples]
    assert seconds == sorted(seconds)
