"""The config refuses what it does not know, and resolves cells the same way for everybody."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bench.experiment import cells, config
from bench.experiment.extends import read
from bench.files import UserError
from bench.strict import read_yaml

ROOT = Path(__file__).resolve().parent.parent

FBANK = ("datasets", "esc50", "front_ends", "fbank")


def _default() -> dict:
    return read(ROOT / "config" / "default.yaml")


def _started_from_audioset(seeds: list[int] | None = None) -> config.Config:
    values = _default()
    values["datasets"]["audioset"]["seeds"] = seeds
    values["recipes"]["htsat/esc50"]["init"] = "run:audioset"
    return config.load(values)


def test_names_that_yaml_1_1_takes_for_values_stay_names(tmp_path: Path) -> None:
    path = tmp_path / "names.yaml"
    path.write_text("a: [no, on, 007, 1_000, 12:30, 2026-05-01]\nb: [true, False, 10, -3, 1.5, ~]")
    assert read_yaml(path) == {
        "a": ["no", "on", "007", "1_000", "12:30", "2026-05-01"],
        "b": [True, False, 10, -3, 1.5, None],
    }


def test_a_text_in_quotes_stays_a_text_where_texts_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "quoted.yaml"
    options = """{a: "1e5", b: 1e5, c: '007', d: ["true", true, "10", 10], e: {"f": "1"}}"""
    path.write_text(
        f"extends: default.yaml\nexperiment: quoted\ndatasets: {{esc50: {{options: {options}}}}}\n"
        'recipes: {base: {epochs: "3", select: "last"}}\n'
        'models: {htsat: {arguments: {window_size: "4", token_semantic: "false"}}}\n'
        "tuning: {space: {base: {learning_rate: [1e-4, 2e-4, 3e-4, 4e-4, 5e-4]}}}\n"
    )
    settings = config.load(path)
    found = settings.datasets["esc50"].options
    expected = {"a": "1e5", "b": 1e5, "c": "007", "d": ["true", True, "10", 10], "e": {"f": "1"}}
    assert repr(found) == repr(expected)
    assert yaml.safe_load(yaml.safe_dump(found)) == expected  # no type of this project is left
    assert settings.recipe("linear", "esc50").epochs == 3
    arguments = settings.models["htsat"].arguments  # without types, a number is meant
    assert (arguments["window_size"], arguments["token_semantic"]) == (4, False)
    assert settings.tuning.space["base"]["learning_rate"][0] == 1e-4
    resolved = tmp_path / "config.json"  # as the commands read it
    resolved.write_text(settings.model_dump_json())
    assert config.load(resolved) == settings
    values = _default()  # as `snakemake --config` passes it
    values["datasets"]["esc50"]["options"] = {"a": "1e5", "d": ["true"]}
    assert config.load(values).datasets["esc50"].options == {"a": 1e5, "d": [True]}


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_committed_experiment_is_valid_and_resolves_every_cell(path: Path) -> None:
    settings = config.load(path)
    assert settings.experiment == path.stem
    listed = cells.list_cells(settings)
    assert len(set(map(str, listed))) == len(listed) > 0
    for cell in listed:
        plan = cells.plan(settings, cell)
        assert plan.parent is None or plan.parent in listed
        assert cells.find_cell(settings, str(cell)) == cell


@pytest.mark.parametrize(
    ("place", "key", "value", "words"),
    [
        ((), "ablation", {}, ["unknown key 'ablation'", "did you mean 'ablations'"]),
        (("recipes", "base"), "epoch", 3, ["recipes", "unknown key 'epoch'", "'epochs'"]),
        (("recipes", "base"), "epochs", "many", ["epochs", "'many'"]),
        (("recipes",), "htsta/esc50", {}, ["unknown 'htsta'", "did you mean 'htsat'"]),
        (("datasets", "esc50"), "rooot", "x", ["rooot", "did you mean 'root'"]),
        (("models", "ast"), "front_end", "fbnk", ["fbnk", "did you mean 'fbank'"]),
        (FBANK, "fmax", 9000, ["datasets.esc50.front_ends.fbank: fmax 9000.0 Hz", "16000 Hz"]),
        (
            FBANK,
            "kind",
            "fbanks",
            ["datasets.esc50.front_ends.fbank.kind", "'htk' or 'cepstra'"],
        ),
        (FBANK, "kind", "preemphasis", ["front_ends.fbank: kind preemphasis", "log_offset (1e-5"]),
        (FBANK, "range_db", 80, ["front_ends.fbank: range_db is a setting of kind htk"]),
        (FBANK, "normalise", [0, 0], ["front_ends.fbank: normalise", "deviation is 0"]),
        (("ablations", "htsat"), "datasets", ["dessed"], ["dessed", "did you mean 'desed'"]),
        ((), "seeds", [], ["seeds"]),
        ((), "experiment", "My-Pets", ["experiment: 'My-Pets' is not valid: name, of lower-case"]),
        ((), "seeds", [0, 1, 0], ["config: seeds: 0 is listed twice"]),
        (("datasets", "esc50"), "seeds", [3, 3], ["datasets.esc50.seeds: 3 is listed twice"]),
        (
            ("datasets", "esc50"),
            "models",
            ["ast"] * 2,
            ["datasets.esc50.models: ast is listed twice"],
        ),
        (("ablations", "htsat"), "seeds", [1, 1], ["ablations.htsat.seeds: 1 is listed twice"]),
        (("models", "ast"), "seeds_on", {"esc50": [9]}, ["models.ast.seeds_on.esc50", "'9'"]),
        (("models", "ast"), "seeds_on", {"esc5": [0]}, ["models.ast.seeds_on", "'esc50'"]),
        ((), "released", {"desed": ["a", "a"]}, ["released.desed: a is listed twice"]),
        (("datasets", "desed"), "loss", "ce", ["datasets.desed.loss: 'ce'", "set it to bce"]),
        (("datasets", "audioset"), "selection", "accuracy", ["datasets.audioset.selection", "mAP"]),
        (("datasets", "esc50"), "metric", "psds1_macro", ["datasets.esc50.localize to true"]),
    ],
)
def test_a_mistake_is_named_with_its_remedy(place, key, value, words) -> None:
    values = _default()
    section = values
    for part in place:
        section = section[part]
    section[key] = value
    with pytest.raises(UserError) as caught:
        config.load(values)
    for word in words:
        assert word in str(caught.value)


def test_not_yaml_and_missing_files_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1, 2")
    with pytest.raises(UserError, match=r"broken\.yaml.*not valid YAML"):
        config.load(broken)
    with pytest.raises(UserError, match=r"absent\.yaml: no such"):
        config.load(tmp_path / "absent.yaml")


def test_extends_merges_section_by_section(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text(yaml.safe_dump(_default()))
    child = tmp_path / "child.yaml"
    child.write_text("extends: default.yaml\nexperiment: child\nrecipes: {base: {epochs: 3}}\n")
    settings = config.load(child)
    parent = config.load(_default())
    assert settings.recipe("linear", "audioset").epochs == 3
    assert (
        settings.recipe("linear", "audioset").batch_size
        == parent.recipe("linear", "audioset").batch_size
    )
    assert settings.seeds == (0, 1, 2, 3, 4, 5)


def test_recipes_merge_from_base_to_model_to_model_and_dataset_to_variant() -> None:
    values = _default()
    values["recipes"]["base"] |= {"batch_size": 32}
    values["recipes"] |= {"htsat": {"batch_size": 8}, "htsat/desed": {"epochs": 7}}
    settings = config.load(values)
    assert settings.recipe("ast", "desed").batch_size == 32
    assert settings.recipe("htsat", "desed").batch_size == 8
    assert settings.recipe("htsat", "desed").epochs == 7
    assert settings.recipe("htsat", "desed", {"epochs": 9}).epochs == 9


def test_a_layer_of_recipes_may_need_another_one_and_base_has_no_data_set(tmp_path: Path) -> None:
    values = _default()
    values["recipes"]["base"] |= {"schedule": "steps", "step_factors": [0.5, 0.2]}
    for name in values["models"]:
        values["recipes"].setdefault(name, {})["step_epochs"] = [2, 3]
    assert config.load(values).recipe("linear", "esc50").step_factors == (0.5, 0.2)
    values["recipes"]["base/esc50"] = {"epochs": 3}
    with pytest.raises(UserError, match=r"recipes\.base/esc50: .*'base'"):
        config.load(values)


def test_one_changed_recipe_value_changes_the_digest_of_its_cells_alone() -> None:
    values = _default()
    before = config.load(values)
    values["recipes"]["htsat/esc50"] = {**values["recipes"]["htsat/esc50"], "learning_rate": 5e-4}
    after = config.load(values)
    changed = {
        str(cell)
        for cell in cells.list_cells(before)
        if cells.plan(before, cell).digest != cells.plan(after, cell).digest
    }
    assert changed == {f"esc50/htsat/base/fold{k}-seed{k}" for k in range(5)}


def test_a_moved_data_folder_changes_no_digest() -> None:
    values = _default()
    cell = cells.list_cells(config.load(values))[0]
    before = cells.plan(config.load(values), cell).digest
    values["datasets"]["audioset"]["root"] = "elsewhere"
    assert cells.plan(config.load(values), cell).digest == before


def test_seeds_test_folds_in_turn_and_parents_share_the_seed() -> None:
    settings = _started_from_audioset()
    cell = cells.find_cell(settings, "esc50/htsat/base/fold2-seed2")
    parent = cells.plan(settings, cell).parent
    assert str(parent) == "audioset/htsat/base/seed2"


def test_an_unknown_cell_is_named_with_the_nearest() -> None:
    settings = config.load(ROOT / "config" / "default.yaml")
    with pytest.raises(UserError, match="audioset/htsat/base/seed0"):
        cells.find_cell(settings, "audioset/htsat/bass/seed0")


def test_the_full_experiment_has_targets_with_seeds_of_their_own() -> None:
    settings = config.load(ROOT / "config" / "paper.yaml")
    small = cells.target_cells(settings, "small")
    assert {cell.dataset for cell in small} == {*settings.datasets} - {"audioset"}
    by_kind: dict[tuple[str, str, str, int], int] = {}
    for cell in small:
        kind = (cell.dataset, cell.model, cell.variant, cell.fold)
        by_kind[kind] = by_kind.get(kind, 0) + 1
    assert min(by_kind.values()) == 8
    full = cells.target_cells(settings, "full")
    assert [(cell.model, cell.seed) for cell in full] == [("htsat", 0), ("ast", 0), ("pann", 0)]
    located = cells.plan(settings, cells.find_cell(settings, "desed/pann/base/seed0"))
    assert located.model.arguments["variant"] == "decision_max"


def test_a_data_set_with_fewer_seeds_lends_its_runs_in_turn() -> None:
    settings = _started_from_audioset(seeds=[7, 8])
    names = [f"esc50/htsat/base/fold{k}-seed{k}" for k in range(3)]
    parents = [cells.plan(settings, cells.find_cell(settings, name)).parent for name in names]
    assert [parent and parent.seed for parent in parents] == [7, 8, 7]


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("models", "htsat", {"arguments_on": {"esc5": {}}}, "did you mean 'esc50'"),
        ("targets", "small", {"about": "x", "datasets": ["dessed"]}, "did you mean 'desed'"),
    ],
)
def test_targets_and_arguments_name_known_data_sets(section, key, value, said) -> None:
    values = _default()
    values.setdefault(section, {})
    values[section][key] = {**values[section].get(key, {}), **value}
    with pytest.raises(UserError, match=said):
        config.load(values)
