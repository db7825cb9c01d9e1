"""Released checkpoints: the registry, and evaluation of files in each original form."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pytest
import soundfile
import torch
import yaml
from test_ast_official import official_shapes, random_state
from test_ast_official import write as write_ast
from test_htsat_checkpoints import SMALL, authors_state, averaged, lightning, save

from bench.__main__ import main
from bench.data.task import open_task
from bench.evaluation.score_released import (
    DESED_CORRECTED,
    DESED_FROM_AUDIOSET,
    evaluate_released,
    mapped,
    outputs_of,
)
from bench.experiment import checkpoints, released
from bench.experiment import config as experiments
from bench.experiment.cells import Layout, plan, released_cells
from bench.experiment.config import Config
from bench.experiment.extends import read
from bench.experiment.released import Released, evaluable
from bench.experiment.triggers import Triggers
from bench.files import UserError, digest_file, read_json
from bench.models import networks
from bench.models.card import Card
from bench.models.scores import read_scores
from bench.sources.registry import LockFile

LOGMEL = {
    "kind": "logmel", "sample_rate": 32000, "window": 1024, "hop": 320, "mels": 16, "fmin": 50,
    "fmax": 14000, "frames": 250,
}  # fmt: skip
FBANK = {
    "kind": "fbank", "sample_rate": 16000, "window": 400, "hop": 160, "mels": 128, "fmin": 20,
    "fmax": 8000, "frames": 128, "fill": "zero", "normalise": [-6.8, 5.6],
}  # fmt: skip
ENTRIES = {
    "htsat": {"arguments": SMALL, "front_end": LOGMEL, "file": "HTSAT_*.ckpt",
              "classes": "audioset", "manual": "ask the authors",
              "evaluates": {"audioset": "0.47", "desed": "48.4"}},
    "htsat-esc": {"arguments": SMALL, "front_end": LOGMEL, "file": "ESC_fold=3_acc=*.ckpt",
                  "classes": "esc50", "loss": "ce", "manual": "by hand", "fold": 3,
                  "evaluates": {"esc50": "97.0"}},
    "ast-words": {"arguments": {"preset": "tiny", "stride": 10}, "front_end": FBANK,
                  "file": "words.pth", "classes": "speechcommands-ast",
                  "urls": ["https://nowhere.invalid/words.pth"],
                  "evaluates": {"speechcommands": "98.1"}},
    "pann": {"arguments": {"preset": "tiny", "variant": "decision_max"}, "front_end": LOGMEL,
             "file": "Max.pth", "classes": "audioset", "manual": "by hand",
             "evaluates": {"audioset": "0.385", "desed": "35.1"}},
}  # fmt: skip
PAIRS = {
    "audioset": ("htsat", "pann"),
    "esc50": ("htsat-esc",),
    "speechcommands": ("ast-words",),
    "desed": ("htsat", "pann"),
}


def _entry(name: str) -> Released:
    values = {"architecture": name.split("-")[0], "licence": "none", "loss": "bce", "megabytes": 1}
    values |= ENTRIES[name]
    return Released.model_validate(values)


def _pann_state() -> dict[str, Any]:
    """{"model": NumPy arrays} with the frozen front end, as PANNs' authors saved theirs."""
    model = networks.construct("pann", ENTRIES["pann"]["arguments"], _entry("pann").front_end, 527)
    state = {k: v for k, v in authors_state(mels=16).items() if "extractor" in k}
    return {name: value.numpy() for name, value in {**state, **model.state_dict()}.items()}


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Tiny corpora in the front ends of tiny "released" files, and those files in place."""
    monkeypatch.setattr(released, "read_registry", lambda: {n: _entry(n) for n in ENTRIES})
    record = LockFile(tmp_path / "lock.json")
    monkeypatch.setattr(checkpoints, "LockFile", lambda: record)
    esc50 = ("dog", "rain", "clock_tick", "hand_saw", "siren")
    monkeypatch.setitem(factories.CLASSES, "esc50", esc50)
    values = read(factories.ROOT / "tests" / "experiment.yaml")
    for dataset in values["datasets"].values():
        dataset["front_ends"] = {"logmel": LOGMEL | {"fill": "silence"}, "fbank": FBANK}
    values |= {"ablations": {}, "released": {name: list(own) for name, own in PAIRS.items()}}
    values["paths"] = {
        name: str(tmp_path / name) for name in ("work", "results", "report", "checkpoints")
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(values))
    settings = experiments.load(tmp_path / "experiment.yaml")
    factories.make_inputs(settings)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch.manual_seed(0)
    save(lightning(authors_state(527)), folder / "HTSAT_Saved_1.ckpt")
    save(averaged(authors_state(50)), folder / "ESC_fold=3_acc=0.970.ckpt")
    write_ast(folder / "words.pth", random_state(official_shapes(96, 4, 144, 35)))
    torch.save({"iteration": 9, "model": _pann_state()}, folder / "Max.pth")
    return settings


def test_the_registry_names_every_released_file_and_its_outputs() -> None:
    entries = evaluable()
    files = {entry.file: entry.architecture for entry in entries.values()}
    assert Counter(files.values()) == {
        "htsat": 14, "ast": 8, "pann": 3, "mobilenet": 23 + 6,
        "passt": 18, "atst_frame": 2, "dasheng": 1,
    }  # fmt: skip
    sizes = {"audioset": 527, "audioset-strong": 447, "esc50": 50}
    for name, entry in entries.items():
        assert name.startswith(entry.architecture)
        assert len(set(entry.class_names())) == sizes.get(entry.classes, 35)
        assert entry.urls or entry.manual
        assert entry.front_end.normalise is not True  # nobody's training split is at hand
        reported = {"audioset", "audioset_strong", "esc50", "speechcommands", "desed"}
        assert set(entry.evaluates) <= reported
    assert released.recognise(Path("x/HTSAT_ESC_exp=1_fold=1_acc=0.985.ckpt")).fold == 1
    assert released.recognise(Path("model.pt")) is None


def test_class_lists_agree_with_the_data_sets() -> None:
    words = {released.class_list(f"speechcommands-{name}") for name in ("ast", "htsat")}
    assert len(words) == 2  # other orders
    assert len({tuple(sorted(order)) for order in words}) == 1
    audioset = released.class_list("audioset")
    assert (audioset[0], audioset[288], audioset[377]) == ("Speech", "Water", "Vacuum cleaner")
    assert set(DESED_FROM_AUDIOSET) == set(factories.CLASSES["desed"])
    assert sum(map(len, DESED_FROM_AUDIOSET.values())) == 8 + 3 + 1 + 10 + 1 + 1 + 16 + 5 + 6 + 1
    corrected = {name: [audioset[i] for i in places] for name, places in DESED_CORRECTED.items()}
    assert corrected["Frying"] == ["Frying (food)"]
    assert not {"Rain", "Ocean"} & set(corrected["Running_water"])
    assert len({place for places in DESED_CORRECTED.values() for place in places}) == sum(
        map(len, DESED_CORRECTED.values())
    )
    classes = tuple(factories.CLASSES["desed"])
    entries = [released.find(name) for name in ("htsat-audioset-1", "htsat-audioset-1-corrected")]
    assert outputs_of(entries[0], classes) != outputs_of(entries[1], classes)


def test_scores_of_classes_are_the_largest_of_their_outputs() -> None:
    scores = np.array([[[0.1, 0.7, 0.3], [0.2, 0.1, 0.9]]])
    assert mapped(scores, [(2,), (0, 1)]).tolist() == [[[0.3, 0.7], [0.9, 0.2]]]


@pytest.mark.parametrize("dataset", PAIRS)
def test_each_form_is_evaluated_without_training(
    dataset: str, experiment: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout.of(experiment)
    for cell in released_cells(experiment):
        if cell.dataset != dataset:
            continue
        command = ["released", str(cell), "--config", str(tmp_path / "experiment.yaml")]
        assert main(command) == 0, capsys.readouterr().err
        record = read_json(layout.record(cell))
        chosen = plan(experiment, cell)
        entry = chosen.released
        assert record["metrics"]["test"]["accuracy" if entry.loss == "ce" else "mAP"]["n"] > 0
        assert record["cost"]["train_seconds"] == 0
        assert record["resolved"]["recipe"] == {"test_shifts": []}
        assert record["splits"]["test"] == len(
            open_task(
                chosen, layout.corpus(dataset), layout.features(dataset, chosen.model.front_end)
            ).rows["test"]
        )
        assert ("intersection_f1" in record["metrics"]["test"]) == (dataset == "desed")
        _equals_a_plain_forward_pass(experiment, cell, entry)


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_events_are_exclusive_by_the_loss_of_the_file_not_of_the_data_set(
    loss: str, experiment: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert experiment.datasets["desed"].loss == "bce"
    monkeypatch.setitem(ENTRIES["pann"], "loss", loss)
    (cell,) = (c for c in released_cells(experiment) if (c.dataset, c.model) == ("desed", "pann"))
    located = evaluate_released(experiment, cell).localization
    assert located is not None
    assert located.operating_point is not None
    assert located.operating_point.exclusive == (loss == "ce")


def _equals_a_plain_forward_pass(experiment: Config, cell: Any, entry: Released) -> None:
    """The stored scores, from the file and the feature array alone."""
    layout, chosen = Layout.of(experiment), plan(experiment, cell)
    stored = read_scores(layout.run(cell) / "scores.npz", "test")
    folder = layout.features(cell.dataset, chosen.model.front_end)
    task = open_task(chosen, layout.corpus(cell.dataset), folder)
    length = entry.front_end.frames
    number = task.position[task.rows["test"][0]]
    frames = np.load(folder / "features.npy")[number * 50 : number * 50 + 50].astype(np.float32)
    if entry.front_end.fill == "repeat":
        frames = np.resize(frames, (length, frames.shape[1]))
    else:
        frames = np.pad(frames, ((0, length - 50), (0, 0)))
    if scale := entry.front_end.fixed_scale:
        frames = (frames - scale[0]) / (2 * scale[1])
    path = released.file_of(entry, Path(experiment.paths.checkpoints))
    model = networks.open_released(Card.of_released("x", entry), path).eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(frames[None]).float()).clip_logits[0].double()
    scores = (logits.softmax(0) if entry.loss == "ce" else logits.sigmoid()).numpy()
    names = list(entry.class_names())
    for place, label in enumerate(task.corpus.classes):
        outputs = DESED_FROM_AUDIOSET[label] if cell.dataset == "desed" else [names.index(label)]
        expected = max(scores[output] for output in outputs)
        assert stored.scores.clip_scores[0, place] == pytest.approx(expected, abs=1e-4)


def test_an_absent_file_says_where_it_belongs_and_how_to_get_it(
    experiment: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(experiment.paths.checkpoints)
    (folder / "HTSAT_Saved_1.ckpt").unlink()
    command = ["released", "audioset/htsat/released-htsat/seed0"]
    assert main([*command, "--config", str(tmp_path / "experiment.yaml")]) == 2
    shown = capsys.readouterr().err
    assert (
        shown == f"error: {folder}/HTSAT_*.ckpt: no such file; ask the authors, and put it there\n"
    )
    triggers = Triggers(experiment)
    assert not triggers.obtainable("audioset/htsat/released-htsat/seed0")
    assert triggers.obtainable("audioset/pann/released-pann/seed0")
    (folder / "words.pth").unlink()
    assert triggers.obtainable("speechcommands/ast/released-ast-words/seed0")  # can be fetched


def test_what_was_used_first_is_recorded_and_enforced(
    experiment: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["released", "audioset/htsat/released-htsat/seed0"]
    command += ["--config", str(tmp_path / "experiment.yaml")]
    assert main(command) == 0
    path = Path(experiment.paths.checkpoints) / "HTSAT_Saved_1.ckpt"
    recorded = read_json(tmp_path / "lock.json")["checkpoints/HTSAT_Saved_1.ckpt"]
    assert recorded == {"sha256": digest_file(path), "bytes": path.stat().st_size}
    save(averaged(authors_state(527)), path)
    assert main(command) == 2
    assert "is not the file that was used first" in capsys.readouterr().err


def test_a_file_of_another_model_is_refused_by_name(
    experiment: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(lightning(authors_state(30)), Path(experiment.paths.checkpoints) / "HTSAT_Saved_1.ckpt")
    command = ["released", "audioset/htsat/released-htsat/seed0"]
    assert main([*command, "--config", str(tmp_path / "experiment.yaml")]) == 2
    assert "tscam_conv.weight is (30, 96, 1, 3)" in capsys.readouterr().err


def test_entries_that_do_not_suit_an_experiment_are_refused(experiment: Config) -> None:
    def cells(**changes: Any) -> Any:
        return released_cells(experiment.model_copy(update=changes))

    with pytest.raises(UserError, match="'htsat-esc' is for esc50, not audioset"):
        cells(released={"audioset": ("htsat-esc",)})
    with pytest.raises(UserError, match="did you mean 'htsat'"):
        cells(released={"audioset": ("htsatt",)})
    with pytest.raises(UserError, match="needs a model of architecture pann"):
        cells(models={"ast": experiment.models["ast"], "htsat": experiment.models["htsat"]})
    (cell, *_) = released_cells(experiment)
    other = experiment.datasets["audioset"].front_ends["fbank"]
    dataset = experiment.datasets["audioset"].model_copy(
        update={"front_ends": {"logmel": other, "fbank": other}}
    )
    with pytest.raises(UserError, match="trained on other features"):
        plan(experiment.model_copy(update={"datasets": {"audioset": dataset}}), cell)


def test_the_table_shows_figures_and_gaps(
    experiment: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--config", str(tmp_path / "experiment.yaml")]
    assert main(["released", "audioset/pann/released-pann/seed0", *where]) == 0
    (Path(experiment.paths.checkpoints) / "HTSAT_Saved_1.ckpt").unlink()
    capsys.readouterr()
    assert main(["report", "--released", *where]) == 0
    assert "no released checkpoint" in capsys.readouterr().out
    with open(tmp_path / "report" / "tables" / "released.csv", encoding="utf-8") as file:
        rows = {(row["section"], row["checkpoint"]): row for row in csv.DictReader(file)}
    audioset = "AudioSet-like (synthetic data)"
    assert float(rows[audioset, "pann"]["figure_percent"]) > 0
    said = "nothing on these data: synthetic data, not AudioSet-2M"
    assert rows[audioset, "pann"]["authors"] == said
    assert rows[audioset, "htsat"]["state"] == "no released checkpoint here: ask the authors"
    assert rows[audioset, "AST tiny"]["state"] == "no released checkpoint"


def test_the_papers_experiment_evaluates_every_released_file() -> None:
    """Each on the features that its front end gives, HTS-AT and PANN on DESED as well."""
    paper = experiments.load(factories.ROOT / "config" / "paper.yaml")
    cells = released_cells(paper)
    models = {model.architecture for model in paper.models.values()}
    assert {plan(paper, cell).released.file for cell in cells} == {
        entry.file for entry in evaluable().values() if entry.architecture in models
    }
    assert (
        len([cell for cell in cells if cell.dataset == "desed"]) == 7 + 2
    )  # two with a corrected map


def test_released_files_tag_recordings_by_name_or_as_told(
    experiment: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sound = Path(experiment.paths.checkpoints), tmp_path / "a.wav"
    soundfile.write(sound, np.random.default_rng(0).normal(0, 0.1, 32000 * 6), 32000)
    (folder / "HTSAT_Saved_1.ckpt").rename(folder / "mine.ckpt")
    for name, entry, told in (
        ("Max.pth", "pann", []),
        ("words.pth", "ast-words", []),
        ("mine.ckpt", "htsat", ["--as", "htsat"]),
    ):
        assert main(["tag", str(sound), "--checkpoint", str(folder / name), *told, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["labels"][0]["label"] in _entry(entry).class_names()
        assert found["can_localize"] == (entry != "ast-words")
    assert main(["tag", str(sound), "--checkpoint", str(folder / "mine.ckpt")]) == 2
    assert "say which one it is with --as" in capsys.readouterr().err
