"""Live tracking sends what running trainings leave on disk, once; a lost server is told of."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from factories import ROOT, make_results, make_small_config
from http_server import Handler, Server, status, whole

from bench import __main__ as cli
from bench.experiment.cells import Cell, Layout
from bench.experiment.config import Config
from bench.experiment.running import Running
from bench.files import UserError, read_json, write_json_lines
from bench.ops import supervise
from bench.process.sampler import MOST_SAMPLES, Sampler
from bench.tracking import live, server
from bench.tracking.live import Follower, attempt, follow
from bench.tracking.server import SERVER, silence

CELL = Cell("desed", "htsat", "base", -1, 1)
NOBODY = "http://127.0.0.1:1"  # no unprivileged server has this port


class Store:
    """Notes what it is asked to write."""

    def __init__(self) -> None:
        self.client = self
        self.runs: list[dict[str, Any]] = []
        self.points: list[tuple[str, float, int]] = []

    def experiment(self, dataset: str) -> str:
        return f"id of {dataset}"

    def create(self, experiment: str, name: str, tags: dict[str, str]) -> Any:
        self.runs.append({"experiment": experiment, "name": name, "tags": tags})
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def log_batch(self, run: str, metrics: list[Any]) -> None:
        assert run == "r1"
        self.points += [(m.key, m.value, m.step) for m in metrics]


def running(folder: Path) -> Running:
    return Running(CELL, 1, 2, 1.0, folder, os.getpid(), socket.gethostname())


def experiment_of(folder: Path, unreachable: str) -> tuple[Config, Path]:
    """A config with made-up results, and its file."""
    values = make_small_config(folder).model_dump(mode="json")
    values["tracking"] = {"unreachable": unreachable}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return make_small_config(folder).model_validate(values), path


@pytest.fixture
def web() -> Iterator[Server]:
    with Server() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def test_new_points_are_sent_once_under_one_run(tmp_path: Path) -> None:
    store = Store()
    follower = Follower(store)
    points = [{"epoch": e, "step": 4 * e, "train_loss": 1 / e} for e in (1, 2, 3)]
    assert follower.send(running(tmp_path)) == 0
    write_json_lines(tmp_path / "metrics.jsonl", points[:2])
    assert follower.send(running(tmp_path)) == 2
    write_json_lines(tmp_path / "metrics.jsonl", points)
    assert follower.send(running(tmp_path)) == 1
    assert len(store.runs) == 1
    assert store.runs[0]["experiment"] == "id of desed"
    assert store.runs[0]["tags"]["key"] == str(CELL)
    losses = [point for point in store.points if point[0] == "curve_train_loss"]
    assert losses == [("curve_train_loss", 1 / e, 4 * e) for e in (1, 2, 3)]
    system = [(name, value) for name, value, _ in store.points if name.startswith("system/")]
    memory = [value for name, value in system if name.endswith("process_memory_megabytes")]
    assert len(memory) == 3
    assert min(memory) > 1
    assert len([name for name, _ in system if name.endswith("cpu_utilization_percentage")]) == 3


HANGS_S = 30.0


def hang(handler: Handler) -> None:
    time.sleep(HANGS_S)


def drip(handler: Handler) -> None:
    """An answer of which a byte comes now and then: no pause is as long as a time limit."""
    for _ in range(int(HANGS_S / 0.3)):
        handler.wfile.write(b"H")
        handler.wfile.flush()
        time.sleep(0.3)


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        (whole(b"OK"), False),
        (status(404), False),
        (status(401), False),
        (status(502), True),
        (hang, True),
        (drip, True),
        (None, True),
    ],
)
def test_what_counts_as_an_answer(
    web: Server, monkeypatch: pytest.MonkeyPatch, answer: Any, lost: bool
) -> None:
    monkeypatch.setattr(server, "ANSWER_S", 1.0 if answer in (hang, drip) else HANGS_S)
    url = web.url("/health", answer).removesuffix("/health") if answer else NOBODY
    started = time.monotonic()
    line = silence(url)
    assert time.monotonic() - started < HANGS_S
    assert (line is not None) == lost
    if line is not None:
        assert line.startswith(f"{url}: ")
        assert "\n" not in line


def rounds(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let `follow` end after so many rounds."""
    left = iter(range(number - 1))

    def sleep(_: float) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(live, "time", SimpleNamespace(sleep=sleep))


def test_an_outage_is_told_of_once_and_so_is_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answers = iter([None, "gone", "gone (again)", "gone", None, None])
    monkeypatch.setenv(SERVER, NOBODY)
    monkeypatch.setattr(live, "silence", lambda url: next(answers))
    monkeypatch.setattr(live, "running_trainings", lambda settings: [])
    rounds(monkeypatch, 6)
    with pytest.raises(KeyboardInterrupt):
        follow(experiment_of(tmp_path, "continue")[0])
    first, last = capsys.readouterr().err.splitlines()
    assert first == "gone"
    assert last.startswith(NOBODY)


def test_a_config_that_says_stop_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = iter([None, "gone"])
    monkeypatch.setenv(SERVER, NOBODY)
    monkeypatch.setattr(live, "silence", lambda url: next(answers))
    monkeypatch.setattr(live, "running_trainings", lambda settings: [])
    rounds(monkeypatch, 6)
    with pytest.raises(UserError, match=r"^gone; .*tracking\.unreachable"):
        follow(experiment_of(tmp_path, "stop")[0])


def failing() -> None:
    raise ConnectionError("first\nsecond")


@pytest.mark.parametrize(
    ("silences", "send", "said"),
    [
        ([None], lambda: None, ("", False)),
        ([None, None], failing, (f"{NOBODY}: first", False)),
        ([None, "gone"], failing, ("gone", True)),
        (["gone"], failing, ("gone", True)),
    ],
)
def test_a_fault_is_told_from_a_lost_server(
    monkeypatch: pytest.MonkeyPatch,
    silences: list[str | None],
    send: Callable[[], None],
    said: tuple[str, bool],
) -> None:
    answers = iter(silences)
    monkeypatch.setattr(live, "silence", lambda url: next(answers))
    assert attempt(NOBODY, send) == said


def test_a_lost_server_is_said_within_15_seconds(tmp_path: Path) -> None:
    assert live.PAUSE_S + server.ANSWER_S < 15  # from the last answer to the end of a silence
    path = experiment_of(tmp_path, "continue")[1]
    command = [sys.executable, "-m", "bench", "track", "--live", "--config", str(path)]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, SERVER: NOBODY}, stderr=subprocess.PIPE, text=True
    )
    late = threading.Timer(60, process.kill)
    late.start()
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"{NOBODY}: ")
        assert process.poll() is None
    finally:
        late.cancel()
        process.kill()
        process.wait()


def test_records_wait_for_a_server_that_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config, path = experiment_of(tmp_path, "continue")
    make_results(config)
    capsys.readouterr()
    monkeypatch.setenv(SERVER, NOBODY)
    assert cli.main(["track", "--config", str(path)]) == 0
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"{NOBODY}: ")
    seal = Layout.of(config).results / "mlflow.json"
    assert read_json(seal)["store"] is None  # so that the next call is due
    path = experiment_of(tmp_path, "stop")[1]
    assert cli.main(["track", "--config", str(path)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {NOBODY}: ")


def test_nothing_begins_without_a_server_that_has_to_be_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config, _ = experiment_of(tmp_path, "stop")
    monkeypatch.setenv(SERVER, NOBODY)
    due = [str(Layout.of(config).results / "mlflow.json")]
    with pytest.raises(UserError, match=NOBODY):
        supervise.begin(config, due)


@pytest.mark.parametrize(
    ("unreachable", "ended_with", "interrupted"),
    [("stop", 2, True), ("stop", -15, False), ("continue", 2, False)],
)
def test_a_call_ends_with_a_server_that_has_to_be_there(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    unreachable: str,
    ended_with: int,
    interrupted: bool,
) -> None:
    process = SimpleNamespace(wait=lambda: ended_with)
    monkeypatch.setattr(supervise.subprocess, "Popen", lambda *_, **__: process)
    found = False
    try:
        supervise._show_live(experiment_of(tmp_path, unreachable)[0])
        for thread in threading.enumerate():
            if thread.name == "live tracking":
                thread.join(30)
        time.sleep(30 if interrupted else 0)
    except KeyboardInterrupt:
        found = True
    assert found == interrupted


def test_the_sampler_thins_what_it_has_when_there_is_too_much() -> None:
    with Sampler() as sampler:
        for _ in range(2 * MOST_SAMPLES):
            sampler._note()
    assert MOST_SAMPLES / 2 <= len(sampler.samples) <= MOST_SAMPLES + 1
    assert all(sample["process_memory_megabytes"] > 1 for sample in sampler.samples)
    seconds = [sample["seconds"] for sample in sampler.samples]
    assert seconds == sorted(seconds)
