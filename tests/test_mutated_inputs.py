"""1,110 damaged files: each gives a clear error or the right result, never a bare traceback.

A right result is, for files with checksums, what the whole file gives; for files that people write
(configs, tables), what a valid file of that content means, held to what must be true of any.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from factories import make_config, make_inputs, make_run
from mutations import BINARY, TEXT, mutations
from small_training import parent_run

from bench.audio.decode import AudioError, decode
from bench.data.store import FeatureStore
from bench.evaluation.score import score_files
from bench.experiment import cells, config
from bench.experiment.cells import Layout, find_cell
from bench.files import UserError
from bench.models.networks import build, start_from_run
from bench.models.scores import read_scores
from bench.results.load import load_results
from bench.results.record import Record
from bench.training.state import StateFolder
from modelkit.checkpoint import CheckpointError, read_state_dict

ROOT = Path(__file__).resolve().parent.parent
CELL = "desed/htsat/base/seed0"
COUNTS = {"reference": "reference_events", "predictions": "predicted_events"}


def refused_or_right(
    path: Path, count: int, kinds: tuple[str, ...], use: Callable[[], object], *errors: type
) -> int:
    """Damage the file `count` times; `use` must pass or raise one of `errors` that names a cause.

    Returns how many were refused with a message; the file is restored.
    """
    whole, refused = path.read_bytes(), 0
    for damaged in mutations(whole, count, path.name, kinds):
        path.write_bytes(damaged)
        try:
            use()
        except errors as error:
            refused += len(str(error)) > 20
    path.write_bytes(whole)
    use()
    return refused


def test_configs(tmp_path: Path) -> None:
    """What is not refused is an experiment whose every run resolves."""
    for name in ("default.yaml", "smoke.yaml"):
        (tmp_path / name).write_bytes((ROOT / "config" / name).read_bytes())

    def use() -> None:
        settings = config.load(tmp_path / "smoke.yaml")
        for cell in cells.list_cells(settings):
            assert cells.find_cell(settings, str(cell)) == cell
            cells.plan(settings, cell)

    assert refused_or_right(tmp_path / "smoke.yaml", 150, TEXT, use, UserError) > 50
    assert refused_or_right(tmp_path / "default.yaml", 150, TEXT, use, UserError) > 50


@pytest.mark.parametrize("damaged", ["reference", "predictions", "durations"])
def test_event_tables(tmp_path: Path, damaged: str) -> None:
    """What is not refused scores between 0 and 1, and counts every event of the tables."""
    rng = np.random.default_rng(5)
    names = [f"clip{i}.wav" for i in range(6)]
    for table in ("reference", "predictions"):
        rows = ["filename\tonset\toffset\tevent_label"]
        for name in names:
            onset = rng.uniform(0, 5)
            rows.append(f"{name}\t{onset:.3f}\t{onset + 1:.3f}\t{rng.choice(['Dog', 'Cat'])}")
        (tmp_path / f"{table}.tsv").write_text("\n".join(rows) + "\n")
    durations = "".join(f"{name}\t10.0\n" for name in names)
    (tmp_path / "durations.tsv").write_text("filename\tduration\n" + durations)
    paths = {name: tmp_path / f"{name}.tsv" for name in ("reference", "predictions", "durations")}

    def use() -> None:
        scores = score_files(*paths.values())
        for family in ("intersection", "event_based", "segment_based"):
            values = [scores[family]["macro_f1"], *scores[family]["per_class"].values()]
            assert all(v is None or math.isnan(v) or 0 <= v <= 1 for v in values), values
        for table in ("reference", "predictions"):
            head, *rows = paths[table].read_text(encoding="utf-8-sig").split("\n")
            onset = head.rstrip("\r").split("\t").index("onset")
            events = [row for row in rows if row.strip() and row.split("\t")[onset].strip()]
            assert scores[COUNTS[table]] == len(events), table
        assert scores["files"] <= len(names) + 3

    assert refused_or_right(tmp_path / f"{damaged}.tsv", 70, TEXT, use, UserError) > 10


def test_checkpoints_and_states(tmp_path: Path) -> None:
    """Zip archives with checksums: every damage that touches a number is refused."""
    torch.manual_seed(0)
    settings, path = make_config(tmp_path), tmp_path / "model.pt"
    plan = cells.plan(settings, find_cell(settings, "desed/pann/base/seed0"))
    whole = parent_run(path, plan).state_dict()

    def equal(state: dict[str, torch.Tensor]) -> None:
        assert state.keys() == whole.keys()
        assert all(torch.equal(state[name], whole[name]) for name in whole)

    def use() -> None:
        equal(read_state_dict(path))
        other = build(plan, 3)
        loaded = start_from_run(other, plan, path).loaded
        assert all(torch.equal(other.state_dict()[name], whole[name]) for name in loaded)

    assert refused_or_right(path, 120, BINARY, use, CheckpointError, UserError) > 60

    state = StateFolder(tmp_path / "state", "a")
    state.save({"epoch": 1, "model": whole})
    state.save({"epoch": 2, "model": whole})

    def resume() -> None:
        found = state.load()
        assert found is not None
        assert found["epoch"] in (1, 2)
        equal(found["model"])

    refused_or_right(state.current, 80, BINARY, resume)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> config.Config:
    settings = make_config(tmp_path_factory.mktemp("fuzz"), seeds=(0,))
    make_inputs(settings)
    make_run(settings, find_cell(settings, CELL))
    return settings


def test_scores(experiment: config.Config) -> None:
    path = Layout.of(experiment).run(find_cell(experiment, CELL)) / "scores.npz"
    whole = read_scores(path, "test")

    def use() -> None:
        found = read_scores(path, "test")
        assert found.classes == whole.classes
        for one, other in (
            (found.clip_ids, whole.clip_ids),
            (found.targets, whole.targets),
            (found.scores.clip_scores, whole.scores.clip_scores),
            (found.scores.frame_scores, whole.scores.frame_scores),
        ):
            np.testing.assert_array_equal(one, other)

    assert refused_or_right(path, 100, BINARY, use, UserError) > 50


def test_records(experiment: config.Config) -> None:
    """A record carries its own digest: nothing edited or cut ever reaches a table."""
    path = Layout.of(experiment).run(find_cell(experiment, CELL)) / "record.json"
    known = Record.read(path)

    def use() -> None:
        (group,) = load_results(experiment).groups.values()
        assert group.runs[0].record == known

    assert refused_or_right(path, 120, TEXT, use, UserError) > 80


@pytest.mark.parametrize(("name", "least"), [("index.parquet", 20), ("features.npy", 1)])
def test_feature_stores(experiment: config.Config, name: str, least: int) -> None:
    """Features themselves have no checksum; their index and shape must fit, and reading ends."""
    folder = Layout.of(experiment).features("desed", "logmel")

    def use() -> None:
        store = FeatureStore.open(folder)
        for start in range(0, len(store.clips), 16):
            positions = np.arange(start, min(start + 16, len(store.clips)))
            assert store.batch(positions, frames=60).shape[:2] == (len(positions), 60)

    assert refused_or_right(folder / name, 40, BINARY, use, UserError) > least


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16")])
def test_audio(tmp_path: Path, kind: str, subtype: str) -> None:
    """What is not refused is finite sound of a bounded length."""
    path, buffer = tmp_path / f"clip.{kind.lower()}", io.BytesIO()
    wave = 0.5 * np.sin(np.arange(4000) / 9)
    soundfile.write(buffer, wave, 8000, format=kind, subtype=subtype)
    path.write_bytes(buffer.getvalue())

    def use() -> None:
        audio = decode(path, 8000)
        assert np.isfinite(audio.samples).all()
        assert 0 < len(audio.samples) < 10**7

    assert refused_or_right(path, 50, BINARY, use, AudioError) > 5
