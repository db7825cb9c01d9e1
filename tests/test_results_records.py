"""Records, trainings and measurements on disk: what is written is read, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import factories
import pytest
from pydantic import ValidationError

from bench import provenance
from bench.experiment.cells import Layout, find_cell, plan
from bench.experiment.config import Config
from bench.files import SEAL, UserError, digest_of, read_json, write_sealed
from bench.results.load import usable_record
from bench.results.measured import Measurement
from bench.results.record import Record
from bench.results.sealed import OtherForm, Sealed
from bench.results.training import Training

CELL = "esc50/pann/base/fold1-seed1"
KINDS: dict[str, type[Sealed]] = {
    f"runs/{CELL}/record.json": Record,
    f"runs/{CELL}/training.json": Training,
    "cost/pann.json": Measurement,
}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("experiment")
    cost = factories.make_config(root).cost.model_dump(mode="json")
    values = factories.make_small_config(root, seeds=(0, 1)).model_dump(mode="json")
    config = factories.make_config(
        root, **{k: values[k] for k in ("seeds", "datasets", "models", "recipes")},
        ablations={}, cost=cost,
    )  # fmt: skip
    factories.make_inputs(config)
    factories.make_run(config, find_cell(config, CELL))
    factories.make_cost(config, "pann")
    return config


@pytest.fixture(params=KINDS)
def path(experiment: Config, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a file of each kind."""
    written = Layout.of(experiment).results / request.param
    copy = tmp_path / written.name
    copy.write_bytes(written.read_bytes())
    return copy


def kind_of(path: Path) -> type[Sealed]:
    return next(kind for name, kind in KINDS.items() if Path(name).name == path.name)


def change(path: Path, **values: Any) -> None:
    """Write other values as this software would have written them: with their seal."""
    known = {k: v for k, v in read_json(path).items() if k != SEAL}
    write_sealed(path, {k: v for k, v in {**known, **values}.items() if v != "absent"})


def test_what_is_read_is_written_again_byte_for_byte(path: Path) -> None:
    before = path.read_bytes()
    kind_of(path).read(path).write(path)
    assert path.read_bytes() == before


def test_a_value_that_is_absent_or_of_another_type_is_named_in_one_line(path: Path) -> None:
    for values, key in (
        ({"parameters": "absent"}, "parameters"),
        ({"parameters": "many"}, "parameters"),
        ({"provenance": {}}, "provenance.git_sha"),
        ({"surplus": 1}, "surplus"),
    ):
        before = path.read_bytes()
        change(path, **values)
        with pytest.raises(UserError) as error:
            kind_of(path).read(path)
        path.write_bytes(before)
        said = str(error.value)
        assert said.startswith(f"{path}: {key}: ")
        assert said.endswith(kind_of(path).REMEDY)
        assert "\n" not in said


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"parameters": NaN}', "\udcff"])
def test_what_is_no_such_file_is_one_line(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError, match=path.name) as error:
        kind_of(path).read(path)
    assert "\n" not in str(error.value)


def test_an_edited_file_is_not_read(path: Path) -> None:
    values = read_json(path)
    path.write_text(json.dumps({**values, "parameters": values["parameters"] + 1}))
    with pytest.raises(UserError, match="not what was written"):
        kind_of(path).read(path)


def test_a_file_of_another_version_says_so(path: Path) -> None:
    change(path, schema=0, parameters="absent")
    with pytest.raises(OtherForm, match=r"schema 0, this version reads \d"):
        kind_of(path).read(path)


def test_a_record_of_another_version_is_left_out_with_its_reason(experiment: Config) -> None:
    layout, cell = Layout.of(experiment), find_cell(experiment, CELL)
    path = layout.record(cell)
    before = path.read_bytes()
    try:
        change(path, schema=1)
        found = usable_record(experiment, layout, cell)
    finally:
        path.write_bytes(before)
    assert found == (None, "written by another version of this software")
    assert usable_record(experiment, layout, cell)[0] is not None


def test_a_record_keeps_the_config_values_that_its_digest_is_of(experiment: Config) -> None:
    cell = find_cell(experiment, CELL)
    record = Record.read(Layout.of(experiment).record(cell))
    assert record.resolved.values == plan(experiment, cell).resolved
    assert digest_of(record.resolved.values) == record.config_digest
    assert record.cell == cell


def test_a_record_is_frozen(experiment: Config) -> None:
    record = Record.read(Layout.of(experiment).run(find_cell(experiment, CELL)) / "record.json")
    with pytest.raises(ValidationError, match="frozen"):
        record.parameters = 1  # type: ignore[misc]


def test_processors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"

    def name(**numbers: int) -> str:
        fields = {**numbers, "model name": "Xeon(R) Processor", "flags": "fpu avx2 avx512f"}
        info.write_text("".join(f"{key}\t: {value}\n" for key, value in fields.items()) * 2)
        return provenance._cpu_name(info)

    known = {"cpu family": 6, "model": 207, "stepping": 2}
    assert name(**known) == "Xeon(R) Processor family 6 model 207 stepping 2 avx2 avx512f"
    assert len({name(**known | {key: 8}) for key in known} | {name(**known)}) == 4
    assert name() == "Xeon(R) Processor avx2 avx512f"
    assert provenance._cpu_name(tmp_path / "none")
