"""The example of docs/data.md works as it is printed, on tiny data in the places that it names."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import soundfile

from bench.__main__ import main
from bench.experiment import config
from bench.experiment.wanted import fetched_here, start_name, starts
from bench.ops import preflight
from synth import EmbeddedSizes, build

PAGE = Path(__file__).resolve().parent.parent / "docs" / "data.md"
SIZES = EmbeddedSizes(
    sources=10, clip_seconds=2.0, balanced=18, unbalanced=6, evaluation=14, esc_classes=2,
    esc_clips=1, words=2, speakers=16, noise_seconds=1.0, weak=5, strong=5, validation=6,
    public=14, empty_share=0.3,
)  # fmt: skip
PLACES = {
    "esc50": "ESC-50-master",
    "speechcommands": "speech_commands_v0.02",
    "desed": "desed/dataset",
    "audioset": "audioset",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny corpora under the names that the page has for the real ones."""
    built, folder = (tmp_path_factory.mktemp(name) for name in ("built", "data"))
    build(built, SIZES, "code")
    (folder / "desed").mkdir()
    for name, place in PLACES.items():
        (built / name).rename(folder / place)
    audioset = folder / "audioset"
    (audioset / "audio").rename(audioset / "clips")
    packed = min((audioset / "clips").rglob("*.wav"))
    samples, rate = soundfile.read(packed, dtype="int16")
    packed.unlink()
    packs = audioset / "hdf5s" / "waveforms"
    packs.mkdir(parents=True)
    with h5py.File(packs / "balanced_train.h5", "w") as pack:
        pack.attrs["sample_rate"] = rate
        pack["audio_name"] = np.array([packed.name.encode()])
        pack["waveform"] = samples[None]
        pack["target"] = np.ones((1, 1), bool)
    return folder


@pytest.mark.usefixtures("roomy_disk")
def test_the_example_is_planned_and_read_as_printed(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(extends: paper.yaml\n.*?)```", text, re.DOTALL)
    assert example.count(" /data/") == len(PLACES)
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/mine.yaml").write_text(example.replace(" /data/", f" {data}/"))
    settings = config.load("config/mine.yaml")
    assert set(fetched_here(settings)) == set(map(start_name, starts(settings)))
    assert {settings.data_kind(name) for name in settings.datasets} == {"real"}
    preflight.check(settings)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1e15))
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    by_hand = Path(settings.paths.checkpoints) / "HTSAT_AudioSet_Saved_1.ckpt"
    assert main(["plan", "--config", "config/mine.yaml"]) == 2
    (obstacle,) = capsys.readouterr().out.partition("Blocking problems:\n")[2].splitlines()
    assert obstacle.strip().startswith(f"{by_hand}: no such file; ")
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(b"weights")
    assert main(["plan", "--config", "config/mine.yaml"]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"^fetch +{len(starts(settings))} +0 ", said, re.MULTILINE)
    assert not re.search(r"^ *embed ", said, re.MULTILINE)
    for name in settings.datasets:
        assert main(["corpus", name, "--config", "config/mine.yaml"]) == 0
        facts = json.loads(Path(f"work/mine/corpora/{name}/corpus.json").read_text())
        coverage = facts["coverage"]
        assert (coverage["found"], facts["synthetic"]) == (coverage["listed"], False), name
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    assert {path.name for path in tmp_path.iterdir()} == {
        "config",
        "data",  # checkpoints
        "work",
        "results",
        "reports",
    }
