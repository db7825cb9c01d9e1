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
from workflow_copy import ROOT, snakemake

from bench.__main__ import main
from bench.experiment import config
from bench.experiment.cells import Layout, list_cells
from bench.experiment.jobs import list_jobs

PITCHES = {"wren": 1500.0, "robin": 500.0}
FORMS = ("wav", "flac", "ogg", "mp3")
RATES = (8000, 22_050, 44_100)
SHORT = {"[0, 1, 2]": "[0]", "batch_size: 16": "batch_size: 4", "epochs: 24": "epochs: 6"}


def put(path: str, number: int, seconds: float, label: str, onset: float, offset: float) -> str:
    """A tone in noise, in one form after the other (as many as `tag` reads), mono and stereo."""
    rng = np.random.default_rng(number)
    rate = RATES[number % 3]
    times = np.arange(round(seconds * rate)) / rate
    heard = (times >= onset) & (times < offset)
    pitch = PITCHES[label] * rng.uniform(0.9, 1.1)
    sound = 0.3 * heard * np.sin(2 * np.pi * pitch * times) + rng.normal(0, 0.02, len(times))
    file = Path(f"{path}.{FORMS[number % 4]}")
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, np.stack([sound] * (1 + number // 12 % 2), axis=1), rate)
    return file.name


def folder_of_classes(root: Path) -> str:
    """Ten recordings of two takes for each class; the config is the template with more models."""
    number = 0
    for label in PITCHES:
        for group in range(10):
            for take in range(2):
                seconds = 0.5 + group / 10 + take / 20
                put(f"{root}/{label}/garden-{group}_{take}", number, seconds, label, 0, seconds)
                number += 1
    text = (ROOT / "config" / "template.yaml").read_text(encoding="utf-8")
    more = {"knn": "{neighbours: 3}", "forest": "{trees: 5}", "svm": "{}"}
    lines = (
        f"  {name}: {{architecture: {name}, front_end: logmel, arguments: {arguments}}}\n"
        for name, arguments in more.items()
    )
    return text.replace("models:\n", "models:\n" + "".join(lines))


def table_with_events(root: Path) -> str:
    """Thirty clips with an event each; the config is that of the page."""
    clips, events = ["filename,split"], ["filename\tonset\toffset\tevent_label"]
    for number in range(30):
        label, onset = [*PITCHES][number % 2], 0.05 * number
        name = put(f"{root}/clips/{number}", number, 2.0, label, onset, onset + 0.5)
        split = "train" if number < 18 else "validation" if number < 24 else "test"
        clips.append(f"clips/{name},{split}")
        events.append(f"{name}\t{onset:.3f}\t{onset + 0.5:.3f}\t{label}")
    (root / "clips.csv").write_text("\n".join(clips) + "\n")
    (root / "events.tsv").write_text("\n".join(events) + "\n")
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(experiment: events\n.*?)```", page, re.DOTALL)
    return example


def stage_by_stage(settings: config.Config) -> None:
    for job in list_jobs(settings):
        if job.stage != "track":
            assert main([job.stage, *job.name.split(), "--config", "mine.yaml"]) == 0, job


def as_a_user(settings: config.Config) -> None:
    snakefile = str(ROOT / "Snakefile")
    done = snakemake(Path(), "-s", snakefile, "--configfile", "mine.yaml", "--", "all")
    assert done.returncode == 0, done.stdout[-6000:]


FOLDER = """\
mine: 40 clips below data/mine
  classes (2): robin 20, wren 20
  splits: train 24, validation 8, test 8
  groups: 10 recordings or speakers, 4 clips each; none in two splits or folds
  lengths: 0.50 to 1.45 s, median 0.97 s
  as robin/garden-0_0.wav: robin; group garden-0; train; 0.50 s
  as wren/garden-0_0.wav: wren; group garden-0; train; 0.50 s
  as wren/garden-9_1.mp3: wren; group garden-9; test; 1.45 s
"""
EVENTS = """\
mine: 30 clips below data/mine
  classes (2): robin 15, wren 15
  splits: train 18, validation 6, test 6
  groups: 30, 1 clip each: every clip is taken as a recording of its own (else name its `group`)
  lengths: 2.00 to 2.00 s, median 2.00 s
  events: 30 in 30 clips with times, 0 clips with labels alone
  as clips/0.wav: wren; group clips/0.wav; train; 2.00 s
  as clips/22.ogg: wren; group clips/22.ogg; validation; 2.00 s
  as clips/9.flac: robin; group clips/9.flac; train; 2.00 s
"""


@pytest.mark.parametrize(
    ("made", "run", "understood", "tagger", "take"),
    [
        (folder_of_classes, stage_by_stage, FOLDER, "forest", "robin/garden-0_0.wav"),
        (table_with_events, as_a_user, EVENTS, "pann", "clips/1.flac"),
    ],
)
def test_a_short_file_leads_to_a_report_and_to_tags(
    made: Callable[[Path], str],
    run: Callable[[config.Config], None],
    understood: str,
    tagger: str,
    take: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data" / "mine"
    text = re.sub("clip_seconds: [0-9]+", "clip_seconds: 2", made(root))
    for long, short in SHORT.items():
        assert long in text
        text = text.replace(long, short)
    lines = [line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    assert len(lines) <= 25
    assert not any(line.startswith("extends") for line in lines)
    Path("mine.yaml").write_text(text)
    assert main(["check", "--config", "mine.yaml"]) == 0
    assert capsys.readouterr().out.startswith(understood)
    settings = config.load("mine.yaml")
    run(settings)
    layout = Layout.of(settings)
    assert (layout.report / "index.html").is_file()
    for cell in list_cells(settings):
        record = json.loads(layout.record(cell).read_text())
        assert record["data_kind"] == "real"
    capsys.readouterr()
    weights = layout.results / "runs" / "mine" / tagger / "base" / "seed0" / "model.pt"
    assert main(["tag", str(root / take), "--checkpoint", str(weights), "--json"]) == 0
    tagged = json.loads(capsys.readouterr().out)
    assert tagged["labels"][0]["label"] == "robin"
    heard = {event["label"] for event in tagged["events"] if event["onset"] < 0.55}
    assert heard == ({"robin"} if made is table_with_events else set())  # at 0.05 to 0.55 s


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
