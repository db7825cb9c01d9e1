"""Files that the authors of today's models released: random weights in their form, from the
registry's own entries to labels and events of a recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pytest
import soundfile
import torch
from test_mobilenet import frame_wise_state, official, released_state

from bench.__main__ import main
from bench.experiment import config as experiments
from bench.experiment.cells import plan, released_cells
from bench.experiment.released import evaluable, find
from bench.models import networks

MODERN = ("mobilenet",)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s: a chirp over noise."""
    path = tmp_path_factory.mktemp("sound") / "chirp.wav"
    time = np.arange(12 * 32000) / 32000
    noise = np.random.default_rng(0).normal(0, 0.05, len(time))
    soundfile.write(path, noise + 0.3 * np.sin(2 * np.pi * (200 + 100 * time) * time), 32000)
    return path


def tagged(capsys: pytest.CaptureFixture[str], sound: Path, file: Path) -> dict[str, Any]:
    assert main(["tag", str(sound), "--checkpoint", str(file), "--json"]) == 0, capsys.readouterr()
    return json.loads(capsys.readouterr().out)


def test_a_clip_wise_mobilenet_tags_a_recording(sound, tmp_path, capsys) -> None:
    file = tmp_path / find("mobilenet-mn04").file
    torch.save(released_state(official(0.4), 527), file)
    found = tagged(capsys, sound, file)
    assert found["windows"] == 2
    assert not found["can_localize"]
    assert len(found["thresholds"]) == 527


def test_a_frame_wise_mobilenet_locates_in_40_ms(sound, tmp_path, capsys) -> None:
    file = tmp_path / find("mobilenet-fmn04").file
    torch.save(frame_wise_state(official(0.4, frame_wise=True), 447, "net"), file)
    found = tagged(capsys, sound, file)
    assert found["can_localize"]
    assert found["seconds_per_frame"] == pytest.approx(0.04)
    assert found["events"]
    assert len(found["thresholds"]) == 447


@pytest.mark.parametrize(
    "name", [name for name, entry in evaluable().items() if entry.architecture in MODERN]
)
def test_every_entry_builds_its_network_and_names_its_classes(name: str) -> None:
    entry = find(name)
    with torch.device("meta"):
        model = networks.construct(
            entry.architecture, entry.arguments, entry.front_end, len(entry.class_names())
        ).eval()
        front_end = entry.front_end
        out = model(torch.zeros(1, front_end.frames, front_end.mels))
    assert out.clip_logits.shape == (1, len(entry.class_names()))
    assert front_end.seconds == pytest.approx(10.0, abs=0.02)


def test_the_modern_experiment_evaluates_the_files_that_its_features_fit() -> None:
    modern = experiments.load(factories.ROOT / "config" / "modern.yaml")
    evaluated = {plan(modern, cell).released.file for cell in released_cells(modern)}
    stored = [f.digest for f in modern.datasets["audioset"].front_ends.values()]
    for entry in evaluable().values():
        fits = entry.front_end.digest in stored
        if entry.architecture in MODERN and "audioset" in entry.evaluates:
            assert (entry.file in evaluated) == fits, entry.file
