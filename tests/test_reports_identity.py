"""What may stand beside a published figure: the published data and network, told by content."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from bench.corpora import load, open_corpus, save
from bench.corpora.desed import CLASSES
from bench.data.corpus import find_dataset
from bench.data.features import featurize
from bench.evaluation.evaluate import evaluate_cell
from bench.experiment import extends
from bench.experiment.cells import Layout, find_cell, list_cells
from bench.experiment.config import Config, FrontEnd
from bench.experiment.config import load as load_config
from bench.experiment.released import class_list
from bench.files import read_json, read_sealed
from bench.models.networks import construct, live_parameters, resolved_values
from bench.registry import OWN_DATA
from bench.reporting.build import build
from bench.results import published
from bench.results.audit import Audited, audit
from bench.results.claim import FIGURES, entry_beside
from bench.results.claims import claims
from bench.results.groups import Group, Run
from bench.results.identity import (
    fingerprints,
    other_data,
    other_layout,
    other_network,
    other_recipe,
)
from bench.results.load import load_results
from bench.results.record import Record
from bench.training.train import Resources, train_cell

ROOT = Path(__file__).resolve().parent.parent
TEN = ("chainsaw", "clock_tick", "crackling_fire", "crying_baby", "dog", "helicopter", "rain")
TEN += ("rooster", "sea_waves", "sneezing")
OVERRIDES = {
    "preset": "paper",
    "image_size": 64,
    "embed_dim": 32,
    "depths": [2, 2],
    "heads": [2, 4],
    "window_size": 4,
}


def other_data_in_its_layout(root: Path, select: str = "best") -> Config:
    """Ten classes in ESC-50's layout, and a small network as overrides of preset `paper`."""
    full = factories.make_config(root).model_dump(mode="json")
    dataset = full["datasets"]["esc50"] | {
        "title": "Ten sounds",
        "root": str(root / "ten"),
        "fold_protocol": "published",
    }
    htsat = {"architecture": "htsat", "front_end": "logmel", "arguments": OVERRIDES}
    return factories.make_config(
        root,
        seeds=(0, 1),
        embedded=None,
        datasets={"ten": dataset},
        models={"htsat": htsat},
        recipes={"base": full["recipes"]["base"] | {"epochs": 2, "select": select}},
        ablations={},
        localization={},
        cost={},
    )


def write_ten(root: Path) -> None:
    """One clip per class and fold: a tone of its own pitch in noise."""
    rng = np.random.default_rng(0)
    (root / "audio").mkdir(parents=True)
    (root / "meta").mkdir()
    rows = []
    for fold in range(1, 6):
        for target, name in enumerate(TEN):
            file = f"{fold}-{fold}{target:03d}-A-{target}.wav"
            tone = 0.3 * np.sin(2 * np.pi * 200 * (target + 1) * np.arange(16000) / 16000)
            soundfile.write(root / "audio" / file, tone + rng.normal(0, 0.05, tone.shape), 16000)
            rows.append((file, fold, target, name, "True", f"{fold}{target:03d}", "A"))
    columns = ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "meta" / "esc50.csv", index=False)


def run_all(config: Config) -> None:
    """Corpus, features, training and evaluation of every run, as the verbs do them."""
    layout = Layout.of(config)
    for name in config.datasets:
        dataset = find_dataset(config, name)
        save(load(dataset.loader, dataset.root), layout.corpus(name))
        front_end = dataset.front_ends["logmel"]
        features = layout.features(name, "logmel")
        featurize(layout.corpus(name), front_end, features, code="1", workers=1)
    for cell in list_cells(config):
        train_cell(config, cell, Resources(gpus=0))
        evaluate_cell(config, cell)


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("ten")
    write_ten(root / "ten")
    config = other_data_in_its_layout(root)
    run_all(config)
    return config


def test_other_data_in_a_published_layout_have_no_published_figure(ten: Config) -> None:
    results = audit(load_results(ten))
    group = results.group("ten", "htsat")
    assert group is not None
    assert published.beside(group) is None
    assert other_data(group.first, "ESC-50") == "not ESC-50: 10 instead of 50 classes"
    assert "embed dim 32 instead of 96" in other_network("htsat", group.first.network, "htsat")
    assert group.first.parameters < 200_000
    build(ten)
    tables = results.layout.report / "tables"
    columns = pd.read_csv(tables / "ten.csv").columns
    assert not [name for name in columns if "published" in name or name == "comparison"]
    text = (tables / "ten.md").read_text()
    assert "97.0" not in text
    assert "published" not in text
    claimed = (results.layout.report / "claims.html").read_text()
    assert "not ESC-50: 10 instead of 50 classes" in claimed
    found = claims(results, None)
    assert FIGURES not in {claim.section for claim in found}
    about = [c for c in found if c.groups and "ten/htsat/base" in c.groups]
    assert {c.verdict.kind for c in about} <= {"not comparable", "inconclusive"}


def test_the_audit_says_what_the_epoch_was_chosen_on(ten: Config) -> None:
    broken = [
        str(breach) for breach in audit(load_results(ten)).breaches if breach.rule == "selection"
    ]
    assert len(broken) == 2
    assert all("the epoch was chosen on 10 test clips" in words for words in broken)


def test_the_last_epoch_is_chosen_on_nothing(ten: Config, tmp_path: Path) -> None:
    shutil.copytree(Path(ten.datasets["ten"].root), tmp_path / "ten")
    config = other_data_in_its_layout(tmp_path, select="last")
    run_all(config)
    results = load_results(config)
    assert [breach for breach in audit(results).breaches if breach.rule == "selection"] == []
    caption = (build(config).parent / "tables" / "ten.md").read_text()
    assert "Nothing was chosen by scores" in caption
    assert "tested as well" not in caption


def test_lists_are_told_clip_by_clip_on_disk_or_not(tmp_path: Path) -> None:
    write_ten(tmp_path / "ten")
    whole = save(load("esc50", tmp_path / "ten"), tmp_path / "whole")
    facts = read_json(tmp_path / "whole" / "corpus.json")["lists"]
    next((tmp_path / "ten" / "audio").glob("*.wav")).unlink()
    save(load("esc50", tmp_path / "ten"), tmp_path / "partial")
    assert read_json(tmp_path / "partial" / "corpus.json")["lists"] == facts
    assert open_corpus(tmp_path / "partial").digest != whole.digest
    meta = tmp_path / "ten" / "meta" / "esc50.csv"
    table = pd.read_csv(meta)
    table.loc[[0, 10], "fold"] = [2, 1]  # two clips of one class change folds
    table.to_csv(meta, index=False)
    save(load("esc50", tmp_path / "ten"), tmp_path / "moved")
    assert read_json(tmp_path / "moved" / "corpus.json")["lists"] != facts


@pytest.mark.parametrize("name", sorted(fingerprints().data))
def test_a_published_data_set_is_its_classes_counts_and_lists(name: str) -> None:
    entry = next(e for e in published.load() if e.beside and e.dataset == name)
    values = factories.as_published(entry)

    def record(**changes: Any) -> Record:
        known = {key: values[key] for key in ("data_kind", "classes", "lists")}
        return Record.model_validate({**factories.record_values(), **known, **changes})

    assert other_data(record(), name) == ""
    assert other_layout(record(), fingerprints().data[name].loader) == ""
    clips = values["lists"]["clips"]
    for change in (
        {"data_kind": "synthetic"},
        {"data_kind": "recordings"},
        {"classes": values["classes"][:-1]},
        {"classes": [*values["classes"][:-1], "another"]},
        {"lists": {**values["lists"], "clips": {**clips, "test": clips["test"] - 1}}},
    ):
        assert other_data(record(**change), name) != ""
    other = record(lists={**values["lists"], "digest": "0" * 64, "clips": {"train": 4, "test": 4}})
    for loader in OWN_DATA:
        assert other_layout(record(), loader) == ""
        assert other_layout(other, loader) != ""
    if fingerprints().data[name].lists:
        assert other_data(record(lists={**values["lists"], "digest": "0" * 64}), name)


def test_the_class_lists_of_the_registry_are_the_loaders() -> None:
    assert class_list("desed") == CLASSES
    assert set(class_list("speechcommands-ast")) == set(class_list("speechcommands-htsat"))


BUILT = [entry for entry in published.load() if entry.parameters]


@pytest.mark.parametrize("entry", BUILT, ids=[f"{e.beside}-{e.dataset}" for e in BUILT])
def test_published_networks_are_what_the_models_build(entry: published.Published) -> None:
    known = fingerprints()
    network = known.networks[entry.beside]
    features = FrontEnd.model_validate({"frames": 1001, **entry.front_end})
    arguments = {**network.values, **network.training}
    # HTS-AT computes with what it builds; the others are counted without their weights.
    with torch.device("cpu" if network.architecture == "htsat" else "meta"):
        model = construct(
            network.architecture,
            {"preset": "paper", **arguments},
            features,
            len(class_list(known.data[entry.dataset].classes)),
        )
    own = resolved_values(model)
    assert own is not None
    own = {key: list(value) if isinstance(value, tuple) else value for key, value in own.items()}
    assert other_network(network.architecture, own, entry.beside) == ""
    assert own == factories.NETWORKS[network.architecture] | network.values
    assert live_parameters(model) == entry.parameters


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """One run that an AudioSet figure stands beside, and that differs from it in nothing."""
    root = tmp_path_factory.mktemp("compared")
    full = factories.make_config(root).model_dump(mode="json")
    paper = {"preset": "paper"}
    config = factories.make_config(
        root,
        seeds=(0,),
        embedded=None,
        datasets={"audioset": full["datasets"]["audioset"]},
        models={"pann": full["models"]["pann"] | {"arguments": paper}},
        recipes={"base": full["recipes"]["base"]},
        ablations={},
        localization={},
        cost={},
    )
    factories.make_results(config)
    cell = find_cell(config, "audioset/pann/base/seed0")
    factories.change_record(config, cell, **factories.as_published(CNN14))
    return config


CNN14 = entry_beside("pann-cnn14", "AudioSet-2M")


def group_of(config: Config) -> tuple[Audited, Group]:
    results = audit(load_results(config))
    group = results.group("audioset", "pann")
    assert group is not None
    return results, group


def test_a_run_like_the_published_one_differs_in_nothing(compared: Config) -> None:
    results, group = group_of(compared)
    assert published.beside(group) == CNN14
    assert published.differences(results, group, CNN14) == []
    assert published.differences(results, group, replace(CNN14, differs=("x",))) == ["x"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"resolved": {"recipe": {"init": "imagenet:x.pth"}}}, "began from ImageNet weights"),
        ({"resolved": {"recipe": {"supervision": "both"}}}, "trained on clip labels and time"),
        ({"resolved": {"recipe": {"average_epochs": 2}}}, "average epochs 2 instead of 0"),
        ({"resolved": {"recipe": {"epochs": 1}}}, "epochs 1 instead of 20"),
        ({"resolved": {"recipe": {"batch_size": 32}}}, "batch size 32 instead of 64"),
        (
            {"resolved": {"recipe": {"learning_rate": 1e-4}}},
            "learning rate 0.0001 instead of 0.001",
        ),
        ({"resolved": {"recipe": {"sampler": "shuffle"}}}, "sampler shuffle instead of cycled"),
        ({"resolved": {"recipe": {"mixup": {"alpha": 0.5}}}}, "mixup {'alpha': 0.5, "),
        ({"resolved": {"recipe": {"select": "last"}}}, "select last instead of best"),
        ({"resolved": {"dataset": {"loss": "ce"}}}, "loss ce instead of bce"),
        ({"resolved": {"front_end": {"sample_rate": 16000}}}, "sample rate 16000 instead of 32000"),
        ({"resolved": {"front_end": {"frames": 500}}}, "frames 500 instead of 1001"),
        ({"network": {"dropout": 0.1}}, "dropout 0.1 instead of 0.5"),
        ({"parameters": 5}, "5 parameters instead of 80,753,615"),
        # Nearly all clips are there, but few of those that are tested.
        ({"splits": {"test": 15_000}}, "15,000 of 20,371 test clips are used"),
        ({"digests": {"pins": "0" * 64}}, "made with other pinned packages"),
    ],
)
def test_every_difference_from_a_published_run_is_named(
    compared: Config, change: dict[str, Any], named: str
) -> None:
    cell = find_cell(compared, "audioset/pann/base/seed0")
    path = Layout.of(compared).record(cell)
    before = path.read_bytes()
    factories.change_record(compared, cell, **change)
    try:
        results, group = group_of(compared)
        (reason,) = published.differences(results, group, CNN14)
    finally:
        path.write_bytes(before)
    assert named in reason


RECIPES = [entry for entry in published.load() if entry.recipe]


@pytest.mark.parametrize("entry", RECIPES, ids=[entry.recipe for entry in RECIPES])
def test_a_published_recipe_is_that_of_the_config_for_its_network(
    entry: published.Published,
) -> None:
    values = factories.merged(factories.record_values(), factories.as_published(entry))
    assert other_recipe(Record.model_validate(values), entry.recipe) == []
    experiment, dataset, model = entry.recipe.split("/")
    settings = load_config(ROOT / "config" / f"{experiment}.yaml")
    data, network = (
        fingerprints().data[entry.dataset],
        fingerprints().networks[entry.beside],
    )
    assert settings.datasets[dataset].loader == data.loader
    assert settings.models[model].architecture == network.architecture
    init = settings.recipe(model, dataset).init.partition(":")[0]
    assert init == {"audioset": "official"}.get(entry.start, entry.start)
    # What their network is fine-tuned from on AudioSet has a recipe as well.
    assert entry.start != "audioset" or entry_beside(entry.beside, "AudioSet-2M").recipe


def test_networks_that_were_trained_on_a_data_set_have_a_recipe() -> None:
    others = {
        (entry.beside, entry.dataset)
        for entry in published.load()
        if entry.beside and not entry.recipe
    }
    solved = {(f"piczak-{name}", "ESC-10") for name in ("knn", "svm", "forest")}
    assert others - solved == {
        (network, "DESED-public-eval") for network in ("htsat", "pann-decision-max")
    }


def test_an_edit_of_the_published_recipes_is_named(
    compared: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that the recipe is read from cannot be bent to the run."""
    text = (ROOT / "config" / "paper.yaml").read_text()
    (tmp_path / "paper.yaml").write_text(text.replace("epochs: 20, sampler", "epochs: 1, sampler"))
    monkeypatch.setattr(extends, "CONFIG", tmp_path)
    _, group = group_of(compared)
    (reason,) = other_recipe(group.first, CNN14.recipe)
    assert "config/paper.yaml" in reason


@pytest.mark.parametrize(
    "change",
    [
        {"network": {"channels": [64, 128, 256, 512, 1024, 1024]}},
        {"network": {"variant": "decision_max"}},
        {"lists": {"clips": {"test": 20_370}}},
        {"data_kind": "synthetic"},
        {"data_kind": "recordings"},
    ],
)
def test_no_figure_stands_beside_another_network_or_data_set(
    compared: Config, change: dict[str, Any]
) -> None:
    cell = find_cell(compared, "audioset/pann/base/seed0")
    path = Layout.of(compared).record(cell)
    record = read_sealed(path)
    before = path.read_bytes()
    factories.change_record(compared, cell, **change)
    try:
        results, group = group_of(compared)
        assert published.beside(group) is None
        assert published.against(results, group, "mAP") is None
    finally:
        path.write_bytes(before)
    assert read_sealed(path) == record


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, []),
        ({"lists": {"clips": {"train": 9, "test": 9}, "digest": ""}}, ["began from a run"]),
        ({"resolved": {"recipe": {"epochs": 1}}}, ["began from a run"]),
    ],
)
def test_an_own_run_on_audioset_is_a_published_start(
    change: dict[str, Any], named: list[str], compared: Config
) -> None:
    """Where it is the published network on the whole of AudioSet, and nowhere else."""
    entry = entry_beside("htsat", "ESC-50")
    parent = factories.as_published(entry_beside("htsat", "AudioSet-2M"))
    parent["resolved"]["recipe"] |= {"supervision": "weak"}
    child = factories.as_published(entry)
    child["resolved"]["recipe"] |= {"init": "run:audioset", "supervision": "weak"}
    child["parent"] = {"key": "audioset/htsat/base/seed0", "identity": ""}
    first = load_results(compared).group("audioset", "pann")
    assert first is not None
    known = first.first.model_dump()
    groups = {
        dataset: Group(
            dataset,
            "htsat",
            "base",
            (Run(Record.model_validate(factories.merged(known, values)), Path()),),
            1,
        )
        for dataset, values in (("audioset", factories.merged(parent, change)), ("esc50", child))
    }
    results = replace(
        load_results(compared),
        groups={group.key: group for group in groups.values()},
    )
    found = list(published.differences_in_training(results, groups["esc50"], entry))
    assert [
        words for words, start in zip(found, named, strict=True) if words.startswith(start)
    ] == found
