"""Files that the authors of today's models released: random weights in their form, from the
registry's own entries to labels and events of a recording."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pytest
import soundfile
import torch
from test_frame_transformer import (
    audiossl_tuned,
    dasheng_tuned,
    official_atst,
    official_dasheng,
    pretrained_sed,
)
from test_mobilenet import frame_wise_state, released_state
from test_mobilenet import official as official_mobilenet
from test_passt import official as official_passt

from bench.__main__ import main
from bench.experiment import config as experiments
from bench.experiment import released
from bench.experiment.cells import list_cells, plan, released_cells
from bench.experiment.released import evaluable, find, find_file
from bench.models import networks

MODERN = ("mobilenet", "passt", "atst_frame", "dasheng")
ENTRIES = [name for name, entry in evaluable().items() if entry.architecture in MODERN]
SMALL = {"dim": 48, "depth": 2, "heads": 3}
State = Callable[[int], Mapping[str, object]]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s: a chirp over noise."""
    path = tmp_path_factory.mktemp("sound") / "chirp.wav"
    time = np.arange(12 * 32000) / 32000
    noise = np.random.default_rng(0).normal(0, 0.05, len(time))
    soundfile.write(path, noise + 0.3 * np.sin(2 * np.pi * (200 + 100 * time) * time), 32000)
    return path


def tagged(
    capsys: pytest.CaptureFixture[str], sound: Path, file: Path, name: str
) -> dict[str, Any]:
    command = ["tag", str(sound), "--checkpoint", str(file), "--as", name, "--json"]
    assert main(command) == 0, capsys.readouterr()
    return json.loads(capsys.readouterr().out)


def make_small(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the registry's transformers be small ones; all else of the entry stays."""
    entry = find(name)
    if entry.architecture != "mobilenet":
        small = entry.model_copy(update={"arguments": {**entry.arguments, **SMALL}})
        monkeypatch.setattr(released, "read_registry", lambda: {name: small})


CLIP_WISE: dict[str, State] = {
    "mobilenet-mn04": lambda classes: released_state(official_mobilenet(0.4), classes),
    "passt-s10-swa": lambda classes: official_passt(10, classes).state_dict(),
    "passt-s16": lambda classes: official_passt(16, classes).state_dict(),
    "atst_frame-audioset": lambda classes: audiossl_tuned(official_atst(), classes),
    "dasheng-audioset": lambda classes: dasheng_tuned(official_dasheng(), classes),
}
FRAME_WISE: dict[str, State] = {
    "mobilenet-fmn04": lambda classes: frame_wise_state(
        official_mobilenet(0.4, frame_wise=True), classes, "net"
    ),
    "atst_frame-strong": lambda classes: pretrained_sed(official_atst(), classes),
}


@pytest.mark.parametrize("name", CLIP_WISE)
def test_a_network_for_clips_tags_a_recording(name, sound, tmp_path, capsys, monkeypatch) -> None:
    make_small(monkeypatch, name)
    file = tmp_path / find(name).file
    torch.save(CLIP_WISE[name](527), file)
    found = tagged(capsys, sound, file, name)
    assert found["windows"] == 2
    assert not found["can_localize"]
    assert len(found["thresholds"]) == 527


@pytest.mark.parametrize("name", FRAME_WISE)
def test_a_network_for_frames_locates_in_40_ms(name, sound, tmp_path, capsys, monkeypatch) -> None:
    make_small(monkeypatch, name)
    file = tmp_path / find(name).file
    torch.save(FRAME_WISE[name](447), file)
    found = tagged(capsys, sound, file, name)
    assert found["can_localize"]
    assert found["seconds_per_frame"] == pytest.approx(0.04)
    assert found["events"]
    assert len(found["thresholds"]) == 447


def test_every_entry_fits_a_network_and_names_its_classes() -> None:
    """Small ones: their kind, and the size of the features that they take."""
    kept = {"variant", "heads_for", "stride", "lowest"}
    different = {}
    for entry in map(find, ENTRIES):
        front_end, classes = entry.front_end, len(entry.class_names())
        kind = {key: value for key, value in entry.arguments.items() if key in kept}
        different[str((entry.architecture, kind, front_end, classes))] = entry, kind
    assert 12 < len(different) < len(ENTRIES)
    for entry, kind in different.values():
        front_end, classes = entry.front_end, len(entry.class_names())
        arguments = {"preset": "tiny"} | kind
        model = networks.construct(entry.architecture, arguments, front_end, classes).eval()
        with torch.inference_mode():
            out = model(torch.zeros(1, front_end.frames, front_end.mels))
        assert out.clip_logits.shape == (1, classes)
        assert front_end.seconds == pytest.approx(
            5.0 if entry.classes == "esc50" else 10.0, abs=0.02
        )


def test_every_entry_states_arguments_that_its_network_has() -> None:
    different = {str((e.architecture, e.arguments)): e for e in map(find, ENTRIES)}
    for entry in different.values():
        with torch.device("meta"):
            networks.construct(entry.architecture, entry.arguments, entry.front_end, 2)


def test_every_run_of_the_modern_experiment_has_its_start() -> None:
    modern = experiments.load(factories.ROOT / "config" / "modern.yaml")
    plans = [plan(modern, cell) for cell in list_cells(modern)]
    for made in plans:
        name = made.recipe.start
        assert name is None or find_file(name, "here").architecture == made.model.architecture
        located = made.model.arguments.get("heads_for") == "frames"
        located = located or made.model.arguments.get("variant") == "fmn"
        if (
            located and made.dataset.localize
        ):  # clip labels alone leave the head for frames as it is
            assert made.recipe.supervision != "weak", made.cell
    assert {made.cell.dataset for made in plans} == set(modern.datasets)


def test_the_modern_experiment_evaluates_the_files_that_its_features_fit() -> None:
    modern = experiments.load(factories.ROOT / "config" / "modern.yaml")
    evaluated = {plan(modern, cell).released.file for cell in released_cells(modern)}
    for name in ENTRIES:
        entry = find(name)
        for dataset in entry.evaluates:
            front_ends = modern.datasets[dataset].front_ends.values()
            fits = entry.front_end.stored in [f.stored for f in front_ends]
            assert (entry.file in evaluated) == fits, entry.file
