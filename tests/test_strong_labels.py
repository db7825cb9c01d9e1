"""Training on time ranges: frame targets, the loss, its gradients, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from factories import make_config, make_inputs, write_clips
from hypothesis import given
from hypothesis import strategies as st
from small_training import stored
from torch.nn import functional as F

from baselines.ast import AST
from baselines.pann import PANN
from bench.corpora import Corpus
from bench.data.task import Task, open_task
from bench.experiment import cells
from bench.experiment.config import FrontEnd, Recipe
from bench.files import UserError
from bench.models.team import Team
from bench.training import fit
from bench.training.losses import FrameLabels, Objective, clip_loss, frame_grid, frame_loss
from bench.training.state import StateFolder
from bench.training.step import make_loss
from htsat import HTSAT
from modelkit.augment import Augment, Mixup

CLASSES = ("bell", "cat")
SECONDS, FRAMES, MELS = 4.0, 64, 32
BASE = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3}
FRONT_END = {"frames": FRAMES, "mels": MELS, "seconds": SECONDS}
EVENTS = [  # clip 0 has an event over frame edges, clip 1 none, clip 2 only clip labels
    ("clip0", 0.5, 1.25, "bell"),
    ("clip0", 1.0, 3.0, "cat"),
    ("clip0", 2.0, 9.0, "cat"),
    ("clip3", 3.0, 4.0, "bell"),
]


def loud_bands(events: pd.DataFrame, clips: int) -> np.ndarray:
    """(clips, FRAMES, MELS): mel bands of class c are loud while it sounds."""
    frames = np.random.default_rng(0).normal(size=(clips, FRAMES, MELS))
    for name, onset, offset, label in events.itertuples(index=False):
        span = slice(*(round(time / SECONDS * FRAMES) for time in (onset, offset)))
        band = slice(*((16, 32) if label == "cat" else (0, 16)))
        frames[int(name[4:]), span, band] += 3.0
    return frames


def make_task(events: list[tuple[str, float, float, str]], strong: list[bool]) -> Task:
    table = pd.DataFrame(events, columns=["filename", "onset", "offset", "event_label"])
    names = [f"clip{number}" for number in range(len(strong))]
    clips = pd.DataFrame({"clip": names, "duration_s": SECONDS, "strong": strong})
    targets = np.zeros((len(names), len(CLASSES)), np.float32)
    for name, _, _, label in events:
        targets[names.index(name), CLASSES.index(label)] = 1
    targets[~np.array(strong), 1] = 1
    corpus = Corpus("made up", Path(), CLASSES, clips, table, True, True, clips.iloc[:0])
    front_end = FrontEnd(
        kind="logmel", sample_rate=160, window=20, hop=10, mels=MELS, fmin=0, fmax=80, frames=FRAMES
    )
    everything = np.arange(len(names))
    rows = dict.fromkeys(("train", "validation", "test"), everything)
    return Task(
        corpus, stored(loud_bands(table, len(names))), front_end, targets, rows, everything, None
    )


@pytest.fixture
def task() -> Task:
    return make_task(EVENTS, [True, True, False, True])


def test_frame_targets_by_hand(task: Task) -> None:
    active, labelled = FrameLabels(task).batch(np.array([0, 1, 2, 0]), 5, 1.0)
    bell, cat = active[0].T
    assert bell.tolist() == [0.5, 0.25, 0, 0, 0]
    assert cat.tolist() == [0, 1, 1, 1, 0]  # two overlapping events count once, up to the end
    assert labelled.tolist() == [[1, 1, 1, 1, 0]] * 2 + [[0] * 5] + [[1, 1, 1, 1, 0]]
    assert not active[1:3].any()
    assert np.array_equal(active[3], active[0])


times = st.integers(0, 400).map(lambda hundredths: hundredths / 100)


@given(
    spans=st.lists(st.tuples(times, times).filter(lambda span: span[0] < span[1]), max_size=5),
    frames=st.integers(1, 40),
    step=st.floats(0.05, 1.5),
)
def test_frame_targets_hold_the_events_time_on_any_grid(spans, frames, step) -> None:
    made = make_task([("clip0", *span, "bell") for span in spans], [True])
    active, labelled = FrameLabels(made).batch(np.array([0]), frames, step)
    seen = min(frames * step, SECONDS)
    fine = (np.arange(400) + 0.5) / 100  # events begin and end on hundredths of a second
    sounding = np.zeros(400, bool)
    for onset, offset in spans:
        sounding |= (fine > onset) & (fine < offset)
    assert labelled.sum() * step == pytest.approx(seen, rel=1e-5)
    found = float((active[0, :, 0] * labelled[0]).sum() * step)
    assert found == pytest.approx(sounding[fine < seen].sum() / 100, abs=0.011)
    assert ((active >= 0) & (active <= 1)).all()


def test_unlabelled_time_contributes_nothing() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 8, 2, requires_grad=True)
    active = torch.randint(0, 2, (3, 8, 2)).float()
    labelled = torch.ones(3, 8)
    labelled[0, 3:] = 0
    labelled[2] = 0
    value = frame_loss(logits, active, labelled)
    value.backward()
    assert logits.grad is not None
    assert not logits.grad[labelled == 0].any()
    assert logits.grad[labelled == 1].all()
    elsewhere = torch.where(labelled[..., None] == 0, 1 - active, active)
    assert torch.equal(frame_loss(logits, elsewhere, labelled), value)
    chosen = labelled == 1
    expected = F.binary_cross_entropy_with_logits(logits[chosen], active[chosen])
    torch.testing.assert_close(value, expected)
    assert frame_loss(logits, active, torch.zeros(3, 8)) == 0


def test_the_loss_does_not_depend_on_the_frame_grid(task: Task) -> None:
    """The same step function, on a grid twice as fine, has the same loss."""
    labels, rows = FrameLabels(task), np.array([0, 1, 2, 3])
    logits = torch.randn(4, 5, 2, generator=torch.Generator().manual_seed(0))
    coarse, fine = (
        frame_loss(
            logits.repeat_interleave(factor, 1),
            *map(torch.from_numpy, labels.batch(rows, 5 * factor, 0.9 / factor)),
        )
        for factor in (1, 2)
    )
    torch.testing.assert_close(coarse, fine)


MODELS: dict[str, Any] = {
    "htsat": lambda: HTSAT(2, preset="tiny", **FRONT_END),
    "htsat_h": lambda: HTSAT(2, preset="tiny", token_semantic=False, **FRONT_END),
    **{
        variant: lambda variant=variant: PANN(2, preset="tiny", variant=variant, **FRONT_END)
        for variant in ("decision_max", "decision_avg", "decision_att")
    },
}


@pytest.mark.parametrize("name", MODELS)
def test_clips_without_times_move_a_model_only_by_the_weak_loss(task: Task, name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    rows = np.array([0, 2])  # with times, without
    moved = {}
    for supervision in ("weak", "strong", "both"):
        features = torch.from_numpy(task.features(rows)).requires_grad_()
        output = model(features)
        objective = Objective(task, "bce", supervision, frame_grid(output))
        value = objective(output, objective.targets(rows))
        value.backward()
        assert features.grad is not None
        moved[supervision] = (value.item(), features.grad)
    assert not moved["strong"][1][1].any()
    assert moved["strong"][1][0].any()
    assert moved["weak"][1][1].any()
    assert moved["both"][0] == pytest.approx(moved["weak"][0] + moved["strong"][0])
    torch.testing.assert_close(moved["both"][1], moved["weak"][1] + moved["strong"][1])


def test_weak_supervision_is_the_loss_of_clip_labels(task: Task) -> None:
    torch.manual_seed(0)
    model = MODELS["htsat"]().eval()
    rows = np.arange(4)
    with torch.no_grad():
        output = model(torch.from_numpy(task.features(rows)))
    expected = clip_loss(output.clip_logits, torch.from_numpy(task.targets), "bce")
    objective = Objective(task, "bce", "weak")
    assert objective(output, objective.targets(rows)) == expected


def test_mixed_time_is_labelled_where_both_clips_are() -> None:
    labelled = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.5, 1.0], [0.0, 0.0, 0.0]])
    draw = {"stripes": None, "time_draws": torch.empty(0), "mel_draws": torch.empty(0)}
    augment = Augment(
        **draw,
        mixup=Mixup(alpha=0.5, labels=True, pairing="reversed"),
        share=torch.tensor([0.3, 0.3, 1.0]),
        first=torch.tensor([0, 1, 0]),
        second=torch.tensor([1, 2, 2]),
    )
    assert augment.known(labelled).tolist() == [[1, 0.5, 0], [0, 0, 0], [1, 1, 0]]
    unmixed = Augment(
        **{**vars(augment), "mixup": Mixup(alpha=0.5, labels=False, pairing="reversed")}
    )
    assert torch.equal(unmixed.known(labelled), labelled[augment.first])
    assert torch.equal(Augment(**{**vars(augment), "mixup": None}).known(labelled), labelled)


def test_strong_supervision_learns_where_events_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    onsets = rng.integers(0, 9, 32) * 0.25
    events = [(f"clip{i}", t, t + 1.5, CLASSES[i % 2]) for i, t in enumerate(onsets)]
    made = make_task(events, [True] * 32)
    torch.manual_seed(0)
    model = MODELS["htsat"]()
    recipe = Recipe(epochs=8, batch_size=8, learning_rate=3e-3, supervision="strong")
    state = StateFolder(tmp_path, "a")
    fit.fit(model, made, recipe, "bce", "mAP", 0, state, log=lambda line: None)
    model.eval()
    with torch.no_grad():
        output = model(torch.from_numpy(made.features(np.arange(32))))
    frames = output.frame_logits
    active, _ = FrameLabels(made).batch(np.arange(32), frames.shape[1], output.seconds_per_frame)
    sharp = (active == 0) | (active == 1)
    right = (frames.sigmoid().numpy() > 0.5) == (active > 0.5)
    assert right[sharp].mean() > 0.95


def test_a_model_without_frames_is_refused(task: Task) -> None:
    model = AST(2, preset="tiny", **FRONT_END)
    recipe = Recipe(**BASE, supervision="strong")
    with pytest.raises(UserError, match="supervision to weak"):
        make_loss(model, task, recipe, "bce", Team())


def test_strong_supervision_trains_on_the_clips_with_times(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    make_inputs(config)
    layout = cells.Layout.of(config)

    def opened(dataset: str, **recipe: Any) -> Task:
        own = make_config(tmp_path, recipes={"base": {**BASE, **recipe}})
        plan = cells.plan(own, cells.Cell(dataset, "htsat", "base", -1, 0))
        return open_task(plan, layout.corpus(dataset), layout.features(dataset, "logmel"))

    clips = pd.read_parquet(layout.corpus("desed") / "clips.parquet")
    clips["strong"] = np.arange(len(clips)) % 3 != 0
    write_clips(layout.corpus("desed"), clips)
    everything = opened("desed").rows["train"]
    timed = opened("desed", supervision="strong").rows["train"]
    assert timed.tolist() == [row for row in everything if row % 3]
    assert opened("desed", supervision="both").rows["train"].tolist() == everything.tolist()
    with pytest.raises(UserError, match="audioset has none"):
        opened("audioset", supervision="both")
