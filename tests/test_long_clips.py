"""Clips of other lengths than a model takes: heard whole, and each as if it were alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from small_training import stored
from test_tag import CLASSES, FBANK, LOGMEL, RATE
from torch import nn

from bench.audio.decode import read
from bench.corpora import Corpus, save
from bench.corpora.base import assemble
from bench.data.features import featurize
from bench.data.store import FeatureStore
from bench.data.task import Task
from bench.evaluation.evaluate import evaluate_cell
from bench.evaluation.localization import choose_operating_point, detect, median_filtered
from bench.experiment.cells import Layout, list_cells
from bench.experiment.config import FrontEnd, Recipe
from bench.files import read_json
from bench.metrics.event_arrays import FrameScores, decode, encode
from bench.metrics.psds import psds
from bench.models import networks
from bench.models.card import Card
from bench.models.scores import Scores, joined, read_scores, write_scores
from bench.models.scoring import score, score_clips
from bench.models.shifts import score_shifted
from bench.models.team import Team
from bench.results.record import OperatingPoint
from bench.tagging.tag import Tagger
from bench.training import solve
from bench.training.batches import Batch, read_batches
from bench.training.losses import FrameLabels, Objective
from bench.training.train import Resources, train_cell
from modelkit.output import ModelOutput

SECONDS = (5.0, 3.0, 5.02, 12.3, 5.1)
NETWORKS: dict[str, dict[str, Any]] = {
    "htsat": {"preset": "tiny"},
    "pann": {"preset": "tiny", "variant": "decision_max"},
    "ast": {"preset": "tiny"},
    "linear": {},
}
SCALE = (-8.0, 4.0)


def network(name: str) -> tuple[nn.Module, FrontEnd]:
    front_end = FBANK if name == "ast" else LOGMEL
    torch.manual_seed(0)
    model = networks.construct(name, NETWORKS[name], front_end, len(CLASSES))
    if name == "linear":
        for parameter in model.parameters():
            nn.init.normal_(parameter)
    return model.eval(), front_end


def features(lengths: Sequence[int], mels: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(-40, 8, (n, mels)).astype(np.float16) for n in lengths]


@pytest.mark.parametrize("loss", ["bce", "ce"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_long_clip_is_heard_in_windows(name: str, loss: str) -> None:
    """By hand: windows that overlap by half, the last one ending with the clip."""
    model, front_end = network(name)
    n = front_end.frames
    (clip,) = features([2 * n + 30], front_end.mels)
    starts = [0, n // 2, 2 * (n // 2), n + 30]
    windows = np.stack([clip[start : start + n] for start in starts]).astype(np.float32)
    mean, deviation = SCALE
    with torch.no_grad():
        output = model((torch.from_numpy(windows) - mean) / (2 * deviation))
    found = score(model, [clip], front_end, SCALE, loss)
    act = torch.softmax if loss == "ce" else lambda logits, _: torch.sigmoid(logits)
    clips = act(output.clip_logits, -1).numpy()
    expected = clips.mean(axis=0) if loss == "ce" else clips.max(axis=0)
    assert found.clip_scores[0] == pytest.approx(expected, abs=1e-5)
    if output.frame_logits is None:
        assert found.frame_scores is None
        return
    frames = act(output.frame_logits, -1).numpy()
    step, hop_s = output.seconds_per_frame, front_end.hop / RATE
    assert found.frame_counts.tolist() == [
        int(np.ceil(starts[-1] * hop_s / step - 1e-6)) + frames.shape[1]
    ]
    ends = [(0, frames[0, 0]), (-1, frames[-1, -1])]  # only one window reaches so far
    for place, expected in ends:
        assert found.frame_scores[0, place] == pytest.approx(expected, abs=1e-3)
    if loss == "ce":
        assert found.frame_scores.sum(axis=-1) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_clips_digits_do_not_depend_on_what_else_is_scored(name: str) -> None:
    model, front_end = network(name)
    n = front_end.frames
    clips = features([n, n - 40, 3 * n, n + 1, *[n] * 9, n + 2, 5], front_end.mels)
    whole = score(model, clips, front_end, None, "bce")
    for place, clip in enumerate(clips):
        alone = score(model, [clip], front_end, None, "bce")
        assert np.array_equal(alone.clip_scores[0], whole.clip_scores[place])
        if alone.frame_scores is not None:
            assert np.array_equal(alone.frames()[0], whole.frames()[place])


def test_a_clip_that_fits_is_one_forward_pass() -> None:
    model, front_end = network("htsat")
    clips = features([125, 126], 32)
    batches = [torch.from_numpy(clip[None, :125].astype(np.float32)) for clip in clips]
    with torch.no_grad():
        outputs = [model(batch) for batch in batches]
    logits = [[getattr(o, f"{kind}_logits") for o in outputs] for kind in ("clip", "frame")]
    output = ModelOutput(torch.cat(logits[0]), torch.cat(logits[1]), 1.0)
    found = score(model, clips, front_end, None, "ce")
    assert np.array_equal(found.clip_scores, output.clip_logits.softmax(-1).numpy())
    frames = output.frame_logits.softmax(-1).numpy().astype(np.float16)
    assert np.array_equal(found.frame_scores, frames)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Recordings of several lengths, featurized as the pipeline does, with events."""
    rng = np.random.default_rng(0)
    rows, events = [], []
    for number, seconds in enumerate(SECONDS):
        sound = rng.normal(0, np.linspace(0.01, 0.2, round(seconds * RATE)))
        soundfile.write(tmp_path / f"{number}.wav", sound, RATE)
        name = f"{number}.wav"
        row = {"clip": name, "path": name, "start_s": 0.0, "duration_s": seconds, "fold": -1}
        rows.append(row | {"split": "test", "group": name, "strong": True, "labels": ["cat"]})
        events.append((name, seconds - 1.5, seconds - 0.5, "cat"))
    table = pd.DataFrame(events, columns=["filename", "onset", "offset", "event_label"])
    corpus = assemble(
        "long", tmp_path, CLASSES, pd.DataFrame(rows), multilabel=True, synthetic=True, events=table
    )
    save(corpus, tmp_path / "corpus")
    folder = tmp_path / "features"
    front_end = LOGMEL
    featurize(tmp_path / "corpus", front_end, folder, code="1", sees=LOGMEL.frames)
    everything = np.arange(len(SECONDS))
    targets = np.tile([[0, 1, 0]], (len(SECONDS), 1)).astype(np.uint8)
    splits = dict.fromkeys(("train", "validation", "test"), everything)
    return Task(corpus, FeatureStore.open(folder), LOGMEL, targets, splits, everything, None)


def test_the_corpus_report_counts_clips_that_are_longer(task: Task, tmp_path: Path) -> None:
    report = read_json(tmp_path / "features" / "corpus_report.json")
    assert task.lengths(np.arange(5)).tolist() == [126, 76, 126, 308, 128]
    assert report["longer_than_a_model_sees"] == 2
    assert report["frames_of_a_model"] == 125
    featurize(tmp_path / "corpus", LOGMEL, tmp_path / "features", code="1", sees=75)
    assert read_json(tmp_path / "features" / "corpus_report.json")["longer_than_a_model_sees"] == 4


@pytest.mark.parametrize("name", ["htsat", "pann", "linear"])
def test_tagging_a_file_of_any_length_equals_scoring_it_as_a_clip(
    name: str, task: Task, tmp_path: Path
) -> None:
    model, _ = network(name)
    card = Card(f"d/{name}", name, NETWORKS[name], LOGMEL, CLASSES, "bce", None)
    networks.save_run(model, card, tmp_path / "model.pt")
    scores = score_clips(model, task, task.rows["test"], "bce")
    tagger = Tagger.open(tmp_path / "model.pt")
    for place, windows in enumerate([1, 1, 1, 4, 2]):
        tagged = tagger.tag(tmp_path / f"{place}.wav")
        assert tagged.windows == windows
        assert tagged.duration_s == SECONDS[place]
        assert np.array_equal(tagged.clip_scores, scores.clip_scores[place])
        if name != "linear":
            assert np.array_equal(tagged.frame_scores, scores.frames()[place])
            heard = len(tagged.frame_scores) * tagged.seconds_per_frame
            assert heard > SECONDS[place] - tagged.seconds_per_frame


def test_shifts_move_long_clips_whole(task: Task) -> None:
    model, front_end = network("htsat")
    rows = np.array([3])
    rolled = np.roll(read(task.corpus.root / "3.wav", RATE), -700)
    clip = front_end.features(rolled).astype(np.float16)
    found = score_shifted(model, task, rows, "bce", (700,))
    assert np.array_equal(
        found.clip_scores, score(model, [clip], front_end, None, "bce").clip_scores
    )


def test_training_draws_a_window_of_long_clips_each_epoch(task: Task) -> None:
    recipe = Recipe(epochs=1, batch_size=5, learning_rate=1e-3)
    objective = Objective(task, "bce", "weak")

    def batch(epoch: int) -> Batch:
        (found,) = read_batches(task, recipe, objective, 0, epoch, [0], Team(), workers=0)
        return found

    def starts(epoch: int) -> np.ndarray:
        """In the order of the clips."""
        found = batch(epoch)
        return found.starts[np.argsort(found.rows)]

    assert starts(0)[:3].tolist() == [0, 0, 0]  # those that fit
    assert np.array_equal(starts(0), starts(0))
    drawn = np.array([starts(epoch)[3:] for epoch in range(60)]).T
    assert drawn.min() == 0
    assert drawn[0].max() > 150
    assert drawn[1].max() == 3  # 128 frames, of which 125 are seen
    assert len(np.unique(drawn[0])) > 40
    begin, first = starts(0)[3], batch(0)
    whole, seen = task.store.clip(3), first.features[int(np.argmax(first.rows == 3))]
    assert np.array_equal(seen.numpy(), whole[begin : begin + 125].astype(np.float32))


def test_strong_labels_move_with_the_window(task: Task) -> None:
    labels, rows = FrameLabels(task), np.array([3, 0])
    step = 5 * LOGMEL.hop / RATE  # 0.2 s
    whole, known = labels.batch(rows, 60, step)
    starts = np.array([150, 0])  # frames of 0.04 s: 6 s, which is 30 steps
    moved, moved_known = labels.batch(rows, 25, step, starts)
    assert moved[0] == pytest.approx(whole[0, 30:55], abs=1e-6)
    assert moved_known[0] == pytest.approx(known[0, 30:55], abs=1e-6)
    assert moved[1] == pytest.approx(whole[1, :25], abs=1e-6)
    assert moved[0, :, 1].sum() * step == pytest.approx(0.2, abs=1e-5)  # 10.8 to 11.0 s of it
    end, end_known = labels.batch(rows[:1], 25, step, np.array([308 - 125]))
    assert end[0, :, 1].sum() * step == pytest.approx(1.0, abs=1e-5)
    assert end_known[0].sum() * step == pytest.approx(12.3 - 183 * 0.04, abs=1e-5)


def test_the_linear_baseline_learns_from_every_window(task: Task) -> None:
    model, _ = network("linear")
    x, y = solve._examples(model, task, task.rows["train"])
    assert len(x) == len(y) == 1 + 1 + 1 + 4 + 2
    last = task.store.clip(3)[-125:].astype(np.float64)
    assert x[6] == pytest.approx(np.concatenate([last.mean(axis=0), last.std(axis=0)]))


def test_two_exclusive_classes_are_told_apart_by_the_linear_baseline() -> None:
    """scikit-learn gives one row of weights for two classes."""
    labels = np.arange(40) % 2
    clips = np.random.default_rng(0).normal(size=(40, 12, 4)) + 2 * labels[:, None, None]
    table = pd.DataFrame({"clip": [f"{i}" for i in range(40)], "duration_s": 1.0})
    corpus = Corpus("two", Path(), ("a", "b"), table, None, False, True, table.iloc[:0])
    front_end = LOGMEL.model_copy(update={"frames": 12, "mels": 4})
    rows = {"train": np.arange(30), "validation": np.arange(30, 40)}
    targets = np.eye(2, dtype=np.uint8)[labels]
    made = Task(corpus, stored(clips), front_end, targets, rows, np.arange(40), None)
    model = networks.construct("linear", {}, front_end, 2)
    solve.fit(model, made, "ce", "accuracy")
    scores = score_clips(model, made, rows["validation"], "ce").clip_scores
    assert (scores.argmax(axis=1) == labels[30:]).mean() > 0.9
    assert scores.sum(axis=1) == pytest.approx(1.0, abs=1e-6)


def ragged(rng: np.random.Generator, counts: Sequence[int]) -> Scores:
    frames = [rng.random((count, 2)) for count in counts]
    return Scores.of(rng.random((len(counts), 2)), frames, 0.5)


def test_scores_of_several_lengths_round_trip(task: Task, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    splits = {
        "validation": Scores.of(rng.random((5, 3)), [rng.random((9, 3))] * 5, 0.5),
        "test": Scores.of(rng.random((5, 3)), [rng.random((n, 3)) for n in (4, 9, 2, 30, 9)], 0.5),
    }
    write_scores(tmp_path / "scores.npz", task, splits)
    for name, expected in splits.items():
        found = read_scores(tmp_path / "scores.npz", name).scores
        assert np.array_equal(found.frame_counts, expected.frame_counts)
        assert np.array_equal(found.frame_scores, expected.frame_scores)
    both = joined(list(splits.values()))
    assert both.frame_scores.shape == (10, 30, 3)
    assert not both.frame_scores[:5, 9:].any()


@pytest.mark.parametrize("length", [3, 5, 9])
def test_a_median_filter_ends_with_each_clip(length: int) -> None:
    scores = ragged(np.random.default_rng(1), (12, 7, 12, 3))
    frames = scores.frame_scores.astype(np.float32)
    found = median_filtered(frames, length, scores.frame_counts)
    for row, own in zip(found, scores.frames(), strict=True):
        alone = median_filtered(own[None].astype(np.float32), length)[0]
        assert np.array_equal(row[: len(own)], alone)
        assert not row[len(own) :].any()


def test_metrics_of_a_clip_do_not_depend_on_longer_ones() -> None:
    """Events, thresholds and PSDS of clips, with and without the zeros behind their frames."""
    scores = ragged(np.random.default_rng(2), (8, 8, 8))
    clips, classes = ["a", "b", "c"], ("x", "y")
    durations = dict.fromkeys(clips, 4.3)  # a little more than their frames span
    events = pd.DataFrame(
        [("a", 0.4, 2.1, "x"), ("b", 1.0, 3.9, "y"), ("c", 2.2, 4.2, "x")],
        columns=["filename", "onset", "offset", "event_label"],
    )
    frames = scores.frame_scores.astype(np.float32)
    padded = np.pad(frames, ((0, 0), (0, 20), (0, 0)))
    counts = scores.frame_counts

    truth = encode(events, durations, classes)
    fives = OperatingPoint(classes, (0.4, 0.4), (5, 5), "by hand")

    def made(frames: np.ndarray, counts: np.ndarray | None) -> list[Any]:
        seconds = np.array(list(durations.values()))
        scores = FrameScores(frames, 0.5, tuple(clips), classes, seconds, counts)
        point = choose_operating_point(
            scores, truth, thresholds=[0.3, 0.5, 0.7], median_filters=(1, 3, 5)
        )
        found = [decode(detect(scores, p), clips, classes).to_dict() for p in (point, fives)]
        return [point, found, psds(scores, truth).value]

    assert made(frames, None) == made(padded, counts)


def test_long_clips_go_through_the_pipeline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clips of 50 frames, a model that takes 20: trained, scored in windows, and counted."""
    full = factories.make_config(tmp_path).model_dump(mode="json")
    desed = full["datasets"]["desed"]
    desed["front_ends"] = {"logmel": desed["front_ends"]["logmel"] | {"frames": 20}}
    config = factories.make_config(
        tmp_path,
        seeds=(0,),
        datasets={"desed": desed},
        models={name: full["models"][name] for name in ("htsat", "linear")},
        recipes={"base": full["recipes"]["base"] | {"epochs": 1, "supervision": "both"}},
        ablations={},
        cost={},
        localization={},
    )
    factories.make_inputs(config)
    layout = Layout.of(config)
    for cell in list_cells(config):
        train_cell(config, cell, Resources(gpus=0))
        record = evaluate_cell(config, cell)
        assert record.coverage.windowed == factories.CLIPS
        scores = read_scores(layout.run(cell) / "scores.npz", "test").scores
        if cell.model == "htsat":
            assert (scores.frame_counts * scores.seconds_per_frame >= 50 * 0.04 - 1e-9).all()
            assert "window" in record.seeds
