"""Learning from another network's scores: what the loss is, and from which files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import factories
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import yaml
from small_training import CLASSES, make_recipe, make_task, train

from bench.__main__ import main
from bench.data.task import Task
from bench.experiment import config
from bench.experiment.cells import Layout, list_cells
from bench.experiment.config import Distill
from bench.files import UserError, digest_file, read_json
from bench.models.scores import Scores, read_scores, write_scores
from bench.ops.receipts import Receipts
from bench.training.losses import Objective
from bench.training.teacher import Teacher
from modelkit.augment import Augment, Mixup
from modelkit.output import ModelOutput


@pytest.fixture
def task() -> Task:
    return make_task()


def scores_of(task: Task, seed: int = 0, frames: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    clips = rng.random((len(task.rows["train"]), CLASSES))
    parts = list(rng.random((len(clips), frames, CLASSES))) if frames else []
    return Scores.of(list(clips), parts, 0.02)


@pytest.fixture
def teacher(task: Task, tmp_path: Path) -> Distill:
    write_scores(tmp_path / "teacher.npz", task, {"train": scores_of(task)})
    return Distill(scores=str(tmp_path / "teacher.npz"), weight=0.9)


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_the_loss_is_the_weighted_sum_of_labels_and_scores(task, teacher, loss):
    rows = np.array([5, 0, 17])
    logits = torch.randn(3, CLASSES, requires_grad=True)
    said = torch.from_numpy(scores_of(task).clip_scores[rows])
    labels = torch.from_numpy(task.targets[rows]).float()
    own = F.cross_entropy if loss == "ce" else F.binary_cross_entropy_with_logits
    if loss == "ce":
        said = said / said.sum(1, keepdim=True)
        scores = replace(scores_of(task), clip_scores=_normalised(scores_of(task).clip_scores))
        write_scores(Path(teacher.scores), task, {"train": scores})
    objective = Objective(task, loss, "weak", distill=teacher)
    value = objective(ModelOutput(logits, None, 0.0), objective.targets(rows))
    expected = 0.1 * own(logits, labels) + 0.9 * own(logits, said)
    torch.testing.assert_close(value, expected)


def _normalised(scores: np.ndarray) -> np.ndarray:
    return scores / scores.sum(1, keepdims=True)


def test_scores_are_mixed_as_labels_are(task, teacher):
    rows = np.arange(8)
    augment = Augment.draw(
        8, np.random.default_rng(3), mixup=Mixup(alpha=0.5, pairing="permutation", labels=True)
    )
    logits = torch.randn(8, CLASSES)
    objective = Objective(task, "bce", "weak", distill=teacher)
    value = objective(ModelOutput(logits, None, 0.0), objective.targets(rows), augment)
    said = torch.from_numpy(scores_of(task).clip_scores[rows])
    targets = 0.1 * torch.from_numpy(task.targets[rows]).float() + 0.9 * said
    torch.testing.assert_close(
        value, F.binary_cross_entropy_with_logits(logits, augment.mix(targets))
    )


def test_a_clip_without_scores_keeps_its_labels(task, tmp_path):
    few = replace(task, rows=task.rows | {"train": task.rows["train"][:4]})
    write_scores(tmp_path / "few.npz", few, {"train": scores_of(few)})
    read = Teacher.open(Distill(scores=str(tmp_path / "few.npz"), weight=0.5), task)
    rows = np.array([2, 20])
    mixed = read.clip_targets(task.targets[rows], rows)
    said = scores_of(few).clip_scores[2]
    np.testing.assert_allclose(mixed[0], 0.5 * task.targets[2] + 0.5 * said, rtol=1e-6)
    np.testing.assert_array_equal(mixed[1], task.targets[20])


def test_classes_may_stand_in_another_order(task, tmp_path):
    scores = scores_of(task)
    other = replace(task, corpus=replace(task.corpus, classes=("c", "x", "a", "b")))
    other = replace(other, targets=np.zeros((len(task.targets), 4), np.uint8))
    wider = scores.clip_scores[:, [2, 0, 0, 1]]
    write_scores(tmp_path / "other.npz", other, {"train": replace(scores, clip_scores=wider)})
    read = Teacher.open(Distill(scores=str(tmp_path / "other.npz")), task)
    np.testing.assert_array_equal(read.clips, scores.clip_scores)


def test_frames_are_those_of_the_teacher_at_their_middles(task, tmp_path):
    write_scores(tmp_path / "frames.npz", task, {"train": scores_of(task, frames=6)})
    read = Teacher.open(Distill(scores=str(tmp_path / "frames.npz"), weight=1.0), task)
    rows, stored = np.array([3, 9]), scores_of(task, frames=6).frame_scores
    whole = read.frame_targets(np.zeros((2, 3, CLASSES)), rows, 0.04, np.zeros(2))
    np.testing.assert_allclose(whole, stored[rows][:, [1, 3, 5]])
    later = read.frame_targets(np.zeros((2, 2, CLASSES)), rows, 0.04, np.array([0.04, 0.0]))
    np.testing.assert_allclose(later[0], stored[3][[3, 5]])
    np.testing.assert_allclose(later[1], stored[9][[1, 3]])


def test_a_student_learns_from_scores_alone(task, tmp_path):
    """The teacher names the next class; with weight 1 the student does as it says."""
    swapped = np.roll(task.targets[task.rows["train"]], 1, axis=1).astype(np.float32)
    write_scores(tmp_path / "swapped.npz", task, {"train": Scores(swapped, None, 0.0, None)})
    distill = Distill(scores=str(tmp_path / "swapped.npz"), weight=1.0)
    recipe = make_recipe(mixup=None, specaugment=None, distill=distill, select="last", epochs=20)
    model, _ = train(task, tmp_path / "state", recipe)
    rows = task.rows["test"]
    with torch.inference_mode():
        found = model.eval()(torch.from_numpy(task.features(rows))).clip_logits.argmax(1)
    assert (found.numpy() == (task.targets[rows].argmax(1) + 1) % CLASSES).mean() > 0.8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": ("a", "b", "d")}, r"no scores of class 'c' \(1 such classes\)"),
        ({"clip": "other"}, "scores none of the 37 training clips"),
    ],
)
def test_scores_of_other_data_are_refused(task, tmp_path, change, said):
    names = [f"{change['clip']}{i}" for i in range(57)] if "clip" in change else None
    clips = task.corpus.clips if names is None else pd.DataFrame({"clip": names})
    corpus = replace(task.corpus, clips=clips, classes=change.get("classes", task.corpus.classes))
    write_scores(tmp_path / "odd.npz", replace(task, corpus=corpus), {"train": scores_of(task)})
    with pytest.raises(UserError, match=said) as caught:
        Teacher.open(Distill(scores=str(tmp_path / "odd.npz")), task)
    assert str(tmp_path / "odd.npz") in str(caught.value)


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("said", [True, False], ids=["said", "not said"])
def test_a_teacher_of_held_out_clips_is_refused(task, tmp_path, split, said):
    held_out = task.rows[split][:2]
    rows = np.concatenate([held_out, task.rows["train"][2:]])
    other = replace(task, rows=task.rows | {"train": task.rows["train"] if said else rows})
    path = tmp_path / "fold.npz"
    write_scores(path, other, {"train": scores_of(task)}, trained_on=rows if said else None)
    clip = task.corpus.clips["clip"][held_out[0]]
    with pytest.raises(UserError, match=rf"trained on clip '{clip}' \(2 such clips\)") as caught:
        Teacher.open(Distill(scores=str(path)), task)
    assert str(path) in str(caught.value)


def test_a_teacher_may_score_held_out_clips_that_it_was_not_trained_on(task, tmp_path):
    other = replace(task, rows=task.rows | {"train": np.arange(37)[::-1] + 20})
    distill = Distill(scores=str(tmp_path / "all.npz"))
    write_scores(tmp_path / "all.npz", other, {"train": scores_of(task)}, task.rows["train"])
    assert Teacher.open(distill, task).place[task.rows["test"]].min() >= 0


def test_training_clips_in_place_of_validation_clips_are_no_held_out_ones(task, teacher):
    same = replace(task, rows=task.rows | {"validation": task.rows["train"]})
    assert Teacher.open(teacher, same).weight == 0.9


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """PANN, and a small MobileNet that learns from it, on a data set with features in place."""
    values = factories.make_small_config(tmp_path).model_dump(mode="json")
    base = {"epochs": 1, "batch_size": 8, "learning_rate": 0.001, "warmup_epochs": 0}
    distill = {"scores": str(tmp_path / "pann.npz"), "weight": 0.9}
    tiny = {"front_end": "logmel", "arguments": {"preset": "tiny"}}
    values |= {
        "models": {
            "pann": {"architecture": "pann"} | tiny,
            "mn": {"architecture": "mobilenet"} | tiny,
        },
        "recipes": {"base": base, "mn": {"distill": distill}},
        "tuning": {},
        "localization": {},
    }
    values["datasets"]["esc50"]["front_ends"]["logmel"] |= {"frames": 50, "repeat_to_s": None}
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(values))
    factories.make_inputs(config.load(path))
    return path


def test_a_run_teaches_a_student(experiment: Path, tmp_path: Path, capsys) -> None:
    settings = config.load(experiment)
    layout = Layout.of(settings)
    student, teacher = list_cells(settings)  # by name
    last = ["--config", str(experiment)]
    scores = tmp_path / "pann.npz"
    assert main(["train", str(student), *last]) == 2
    assert f"error: {scores}: no such file; recipe value distill.scores" in capsys.readouterr().err
    assert main(["teach", str(teacher), "--scores", str(scores), *last]) == 2
    assert "model.pt: no such file; train the run first" in capsys.readouterr().err
    assert main(["train", str(teacher), *last]) == 0
    assert main(["teach", str(teacher), "--scores", str(scores), *last]) == 0
    stored, described = (
        read_scores(scores, "train"),
        read_json(layout.run(teacher) / "training.json"),
    )
    assert len(stored.clip_ids) == described["splits"]["train"]
    assert stored.trained_on.tolist() == stored.clip_ids.tolist()
    assert main(["teach", str(teacher), "--scores", str(scores), *last]) == 2
    assert "exists; give another name" in capsys.readouterr().err
    assert main(["train", str(student), *last]) == 0
    described = read_json(layout.run(student) / "training.json")
    assert described["digests"]["teacher"] == digest_file(scores)
    assert described["resolved"]["recipe"]["distill"]["weight"] == 0.9


def test_another_teacher_trains_its_students_again_and_a_moved_one_does_not(
    experiment: Path, tmp_path: Path
) -> None:
    scores, moved = tmp_path / "pann.npz", tmp_path / "moved.npz"
    values = yaml.safe_load(experiment.read_text())
    student = str(list_cells(config.load(experiment))[0])

    def changed() -> str:
        receipts = Receipts(config.load(experiment))
        return receipts.changed(receipts.jobs["train", student])

    scores.write_bytes(b"one")
    receipts = Receipts(config.load(experiment))
    job = receipts.jobs["train", student]
    job.output.parent.mkdir(parents=True)
    for path in job.writes:
        path.write_text("made")
    receipts.perform(job, lambda: 0)
    assert changed() == ""
    scores.rename(moved)
    assert changed() == "another teacher"
    values["recipes"]["mn"]["distill"]["scores"] = str(moved)
    experiment.write_text(yaml.safe_dump(values))
    assert changed() == ""
    moved.write_bytes(b"two")
    assert changed() == "another teacher"
