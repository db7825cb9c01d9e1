"""Repeats crossed with folds, the protocols that say which fold validates, and clip lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.corpora.base import assemble
from bench.corpora.folds import with_test_fold
from bench.experiment import cells, config
from bench.experiment.extends import read
from bench.files import UserError

ROOT = Path(__file__).resolve().parent.parent


def _default(**esc50: Any) -> dict[str, Any]:
    values = read(ROOT / "tests" / "experiment.yaml")
    values["datasets"]["esc50"] = values["datasets"]["esc50"] | esc50
    return values


def _runs(settings: config.Config, model: str) -> list[tuple[int, int]]:
    own = [c for c in cells.list_cells(settings) if (c.dataset, c.model) == ("esc50", model)]
    return [(cell.seed, cell.fold) for cell in own]


def test_crossed_seeds_test_every_fold() -> None:
    settings = config.load(_default(crossed=True))
    assert _runs(settings, "pann") == [(seed, fold) for seed in range(3) for fold in range(5)]
    cell = cells.find_cell(settings, "esc50/htsat/base/fold4-seed1")
    assert str(cells.plan(settings, cell).parent) == "audioset/htsat/base/seed1"
    in_turn = config.load(_default())
    same = cells.find_cell(in_turn, "esc50/htsat/base/fold1-seed1")
    assert cells.plan(in_turn, same).digest == cells.plan(settings, same).digest
    with pytest.raises(UserError, match=r"datasets\.esc50\.crossed: needs folds"):
        config.load(_default(crossed=True, folds=0))


def test_a_data_set_may_name_its_models() -> None:
    settings = config.load(_default(models=["pann", "linear"]))
    assert not _runs(settings, "htsat")
    assert _runs(settings, "linear")
    assert ("esc50", "fbank") not in cells.feature_sets(settings)
    with pytest.raises(UserError, match=r"datasets\.esc50\.models: unknown 'pan'; did you mean"):
        config.load(_default(models=["pan"]))


@pytest.mark.parametrize(
    ("protocol", "validation"),
    [("clean", 1), ("piczak_cnn", 4), ("published", None), ("piczak_baselines", None)],
)
def test_protocols_say_which_fold_validates(protocol: str, validation: int | None) -> None:
    import pandas as pd

    table = pd.DataFrame(
        {
            "clip": str(fold), "path": str(fold), "start_s": 0.0, "duration_s": 1.0,
            "split": "train", "fold": fold, "group": str(fold), "labels": [["a"]],
        }
        for fold in range(5)
    ).explode("labels")  # fmt: skip
    table["labels"] = [["a"]] * 5
    corpus = assemble("five", ROOT, ["a"], table, multilabel=False, synthetic=True)
    found = dict(enumerate(with_test_fold(corpus, 0, protocol).clips["split"]))
    expected = dict.fromkeys(range(5), "train") | {0: "test"}
    if validation is not None:
        expected[validation] = "validation"
    assert found == expected


@pytest.mark.parametrize("protocol", ["piczak_cnn", "piczak_baselines"])
def test_protocols_of_fixed_epochs_select_none(protocol: str) -> None:
    values = _default(fold_protocol=protocol)
    settings = config.load(values)
    cell = cells.find_cell(settings, "esc50/pann/base/fold0-seed0")
    with pytest.raises(UserError, match="selects no epoch; set the recipe's select to last"):
        cells.plan(settings, cell)
    values["recipes"]["base"]["select"] = "last"
    assert cells.plan(config.load(values), cell).dataset.fold_protocol == protocol


LOGMEL = {"kind": "logmel", "sample_rate": 16000, "window": 1024, "hop": 640, "mels": 32,
          "fmin": 50, "fmax": 8000}  # fmt: skip


def test_frames_follow_from_the_length_of_a_clip() -> None:
    found = config.FrontEnd.model_validate(LOGMEL | {"clip_seconds": 5})
    assert found.frames == found.frames_of(80_000) == 126
    assert config.FrontEnd.model_validate(found.model_dump()).frames == 126
    fbank = {**LOGMEL, "kind": "fbank", "window": 400, "hop": 160}
    assert config.FrontEnd.model_validate(fbank | {"clip_seconds": 10}).frames == 998


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "give clip_seconds, the length of a clip, or frames: one of them"),
        ({"clip_seconds": 5, "frames": 125}, "frames: one of them"),
        ({"clip_seconds": -1}, "clip_seconds"),
        ({"clip_seconds": 5, "hop": "x"}, "hop"),
    ],
)
def test_lengths_that_say_nothing_are_refused(settings: dict[str, Any], said: str) -> None:
    values = _default()
    values["datasets"]["desed"]["front_ends"] = {"logmel": LOGMEL | settings}
    with pytest.raises(UserError) as refused:
        config.load(values)
    own = [line for line in str(refused.value).splitlines() if "desed.front_ends" in line]
    assert said in own[0]
    assert len(own) == 1
