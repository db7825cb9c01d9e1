"""From a folder, and from a table with events, to a report and to `bench tag`: one short file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from bench.__main__ import main
from bench.experiment import config
from bench.experiment.cells import Layout, list_cells
from bench.experiment.jobs import list_jobs

ROOT = Path(__file__).resolve().parent.parent
RATE, PITCHES = 8000, {"wren": 1500.0, "robin": 500.0}


def tone(label: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return 0.3 * np.sin(2 * np.pi * PITCHES[label] * rng.uniform(0.9, 1.1) * times)


def folder_of_classes(root: Path) -> str:
    """Twenty recordings of two takes; the config is the template."""
    rng = np.random.default_rng(0)
    for label in PITCHES:
        for group in range(10):
            for take in range(2):
                path = root / label / f"garden-{group}_{take}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                seconds = rng.uniform(0.5, 1.5)
                noise = rng.normal(0, 0.02, round(seconds * RATE))
                soundfile.write(path, tone(label, seconds, rng) + noise, RATE)
    return (ROOT / "config" / "template.yaml").read_text(encoding="utf-8")


def table_with_events(root: Path) -> str:
    """Thirty clips with an event each; the config is that of the page."""
    rng, clips, events = np.random.default_rng(1), ["filename,split"], []
    for number in range(30):
        label, onset = [*PITCHES][number % 2], rng.uniform(0, 1)
        sound = rng.normal(0, 0.02, 2 * RATE)
        event = tone(label, 0.5, rng)
        start = round(onset * RATE)
        sound[start : start + len(event)] += event
        (root / "clips").mkdir(parents=True, exist_ok=True)
        soundfile.write(root / "clips" / f"{number}.flac", sound, RATE)
        split = "train" if number < 18 else "validation" if number < 24 else "test"
        clips.append(f"clips/{number}.flac,{split}")
        events.append(f"{number}.flac\t{onset:.3f}\t{onset + 0.5:.3f}\t{label}")
    (root / "clips.csv").write_text("\n".join(clips) + "\n")
    header = "filename\tonset\toffset\tevent_label\n"
    (root / "events.tsv").write_text(header + "\n".join(events) + "\n")
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(experiment: events\n.*?)```", page, re.DOTALL)
    return example


@pytest.mark.parametrize("made", [folder_of_classes, table_with_events])
def test_a_short_file_leads_to_a_report_and_to_tags(
    made: Callable[[Path], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = made(tmp_path / "data" / "mine")
    lines = [line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    assert len(lines) <= 25
    values: dict[str, Any] = yaml.safe_load(text)
    assert "extends" not in values
    values["recipes"]["base"] |= {"epochs": 2, "batch_size": 4}  # a run of seconds
    values["seeds"] = [0]
    del values["models"]["htsat"]
    tagger = "pann"
    if values["datasets"]["mine"]["loss"] == "ce":
        tagger = "forest"
        for name, arguments in (("knn", {"neighbours": 3}), (tagger, {"trees": 5}), ("svm", {})):
            model = {"architecture": name, "front_end": "logmel", "arguments": arguments}
            values["models"][name] = model
    for front_end in values["datasets"]["mine"]["front_ends"].values():
        front_end |= {"clip_seconds": 2, "hop": 640}
    Path("mine.yaml").write_text(yaml.safe_dump(values))
    assert main(["check", "--config", "mine.yaml"]) == 0
    said = capsys.readouterr().out
    for told in ("mine: ", "classes (2): robin ", "splits: train ", "groups: ", "lengths: ", "as "):
        assert told in said
    settings = config.load("mine.yaml")
    for job in list_jobs(settings):
        if job.stage != "track":
            assert main([job.stage, *job.name.split(), "--config", "mine.yaml"]) == 0, job
    layout = Layout.of(settings)
    assert (layout.report / "index.html").is_file()
    for cell in list_cells(settings):
        record = json.loads(layout.record(cell).read_text())
        assert record["data_kind"] == "real"
    capsys.readouterr()
    audio = next((tmp_path / "data" / "mine").rglob("*.[wf][al]*"))
    weights = layout.results / "runs" / "mine" / tagger / "base" / "seed0" / "model.pt"
    assert main(["tag", str(audio), "--checkpoint", str(weights), "--json"]) == 0
    assert "robin" in capsys.readouterr().out


@pytest.mark.parametrize(("key", "value"), [("loss", "ce"), ("selection", "accuracy")])
def test_what_takes_one_label_is_refused_for_own_clips_with_several(
    key: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    values: dict[str, Any] = yaml.safe_load(table_with_events(tmp_path / "data" / "mine"))
    values["datasets"]["mine"][key] = value
    for recipe in values["recipes"].values():
        recipe.pop("supervision", None)  # which has a rule of its own
    Path("mine.yaml").write_text(yaml.safe_dump(values))
    for verb in (["check"], ["corpus", "mine"]):
        assert main([*verb, "--config", "mine.yaml"]) == 2
        *_, said = capsys.readouterr().err.splitlines()  # after the progress of reading files
        assert f"datasets.mine.{key}: '{value}'" in said
