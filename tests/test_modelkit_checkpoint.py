"""Reading foreign checkpoints: no foreign code runs, no entry goes unreported."""

from __future__ import annotations

import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modelkit.checkpoint import CheckpointError, load_checked, read_checkpoint, read_state_dict


class Hostile:
    """A pickle that runs a command when it is loaded in full."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_does_not_execute(tmp_path: Path, zipped: bool) -> None:
    mark, path = tmp_path / "executed", tmp_path / "hostile.pth"
    content = {"model": {"weight": torch.zeros(2)}, "callback": Hostile(mark)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"hostile.pth: refused.*mkdir"):
        read_checkpoint(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the file is what it claims to be
    assert mark.exists()


def test_a_hostile_plain_pickle_does_not_execute(tmp_path: Path) -> None:
    mark, path = tmp_path / "executed", tmp_path / "hostile.ckpt"
    path.write_bytes(pickle.dumps(Hostile(mark), protocol=2))
    with pytest.raises(CheckpointError, match=r"hostile.ckpt"):
        read_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize("form", ["zip", "legacy", "legacy by NumPy 1"])
def test_numpy_arrays_of_old_and_new_files_are_read(tmp_path: Path, form: str) -> None:
    """PANNs' files: wrapped in {"model": ...}, NumPy arrays and scalars beside tensors."""
    arrays = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.int64(4)}
    content = {
        "iteration": 600000,
        "model": {f"module.{name}": value for name, value in arrays.items()},
        "sampler": {"indexes": np.array([3, 1]), "names": np.array(["dog", "cat"])},
    }
    path = tmp_path / "Cnn14.pth"
    torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    if form == "legacy by NumPy 1":
        written = path.read_bytes()
        assert b"numpy._core.multiarray" in written
        path.write_bytes(written.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    state = read_state_dict(path)
    assert set(state) == set(arrays)
    np.testing.assert_array_equal(state["weight"].numpy(), arrays["weight"])
    assert state["count"].item() == 4


@pytest.mark.parametrize("name", ["file.pth", "file.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 but no archive"])
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name}: not a readable PyTorch checkpoint"):
        read_checkpoint(path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    torch.save({"weight": torch.randn(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"cut.pth: not a readable"):
        read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent.pth: no such checkpoint"):
        read_checkpoint(tmp_path / "absent.pth")


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}])
def test_files_without_a_state_dict_are_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"other.pth: (holds no state|state dict entry)"):
        read_state_dict(path)


def test_prefixes_come_off_only_where_every_name_has_them(tmp_path: Path) -> None:
    path = tmp_path / "file.ckpt"
    torch.save({"state_dict": {"sed_model.module.a": torch.ones(1)}}, path)
    assert set(read_state_dict(path, prefixes=("sed_model.", "module."))) == {"a"}
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, path)
    assert set(read_state_dict(path)) == {"module.a", "b"}


def test_every_entry_is_accounted_for() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    state = {
        "0.weight": torch.ones(2, 3),
        "0.bias": torch.ones(5),
        "1.weight": torch.ones(2),
        "2.weight": torch.full((2, 2), 9.0),
        "head.weight": torch.ones(4),
        "surplus": torch.ones(1),
    }
    report = load_checked(model, state, ignore=["head.*"], fresh=["2.*"], strict=False)
    assert report.loaded == ("0.weight", "1.weight")
    assert set(report.missing) == {
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    }
    assert report.unexpected == ("surplus",)
    assert report.misshaped == (("0.bias", (5,), (2,)),)
    assert set(report.ignored) == {"2.weight", "head.weight"}
    assert report.fresh == ("2.weight", "2.bias")
    assert not report.complete
    assert torch.equal(model[0].weight, torch.ones(2, 3))
    assert not torch.equal(model[2].weight, state["2.weight"])
    for word in ("1.running_var", "surplus", "0.bias is (5,) in the file, (2,) in the model"):
        assert word in str(report)


def test_a_strict_load_changes_nothing_unless_all_fits() -> None:
    model = nn.Linear(3, 2)
    before = model.weight.clone()
    with pytest.raises(CheckpointError, match=r"weights.pth: does not fit.*\n.*\n.*missing: bias"):
        load_checked(model, {"weight": torch.ones(2, 3)}, source="weights.pth")
    assert torch.equal(model.weight, before)
    assert load_checked(model, {"weight": torch.ones(2, 3)}, fresh=["bias"]).complete
    assert torch.equal(model.weight, torch.ones(2, 3))


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_entries_in_half_precision_become_single(precision: torch.dtype) -> None:
    model = nn.Linear(3, 2)
    half = {name: value.to(precision) for name, value in model.state_dict().items()}
    assert load_checked(model, half).complete
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert torch.equal(model.bias, half["bias"].float())


def test_an_archive_that_grows_in_memory_is_refused_before_it_does(tmp_path: Path) -> None:
    """Two kilobytes that unpack to a hundred megabytes: torch itself never compresses."""
    path = tmp_path / "bomb.pt"
    torch.save({"weight": torch.zeros(4)}, path)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("archive/data/9", "w") as entry,
    ):
        for _ in range(100):
            entry.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=r"bomb\.pt: not a readable PyTorch checkpoint"):
        read_checkpoint(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20
