"""Checkpoints that runs start from: there before the first job, verified, hashed once."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import factories
import pytest
import torch
import yaml
from http_server import ranged
from test_htsat_checkpoints import SMALL, authors_state, imagenet_state, lightning, save

from bench.__main__ import main
from bench.experiment import checkpoints, config, released
from bench.experiment.cells import Layout, find_cell, list_cells, plan
from bench.experiment.config import Config
from bench.experiment.extends import read
from bench.experiment.jobs import list_jobs
from bench.experiment.released import Backbone, Checkpoint, Released
from bench.files import UserError, digest_file, read_json
from bench.ops import preflight, supervise
from bench.ops.plan import table
from bench.sources import present, registry
from modelkit.checkpoint import read_checkpoint

LOGMEL = {
    "kind": "logmel", "sample_rate": 32000, "window": 1024, "hop": 320, "mels": 16, "fmin": 50,
    "fmax": 14000, "frames": 250,
}  # fmt: skip
AUTHORS, SWIN = "HTSAT_Saved_1.ckpt", "swin.pth"
ON_ESC50 = "esc50/htsat/base/fold0-seed0"
HAND = f"{AUTHORS}: no such file; take it from https://drive, and put it there"


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Any) -> Config:
    """HTS-AT alone: on ESC-50 from a file that a person brings, on DESED from one that a server
    gives; features are there, no checkpoint is."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    content = save({"model": imagenet_state()}, tmp_path / SWIN).read_bytes()
    shared = {"architecture": "htsat", "megabytes": 1, "licence": "none"}
    authors = {"file": AUTHORS, "manual": "take it from https://drive"}
    authors |= {"arguments": SMALL, "front_end": LOGMEL, "classes": "audioset", "loss": "bce"}
    swin = {"kind": "imagenet", "file": SWIN, "urls": [server.url(f"/{SWIN}", ranged(content))]}
    entries: dict[str, Checkpoint] = {
        "authors": Released.model_validate({**shared, **authors, "evaluates": {}}),
        "swin": Backbone.model_validate({**shared, **swin}),
    }
    monkeypatch.setattr(released, "read_registry", lambda: entries)
    monkeypatch.setattr(registry.LockFile.__init__, "__defaults__", (tmp_path / "lock.json",))
    values = read(factories.ROOT / "tests" / "experiment.yaml")
    values["datasets"] = {name: values["datasets"][name] for name in ("esc50", "desed")}
    for dataset in values["datasets"].values():
        dataset |= {"front_ends": {"logmel": LOGMEL}, "root": str(tmp_path)}
    values["models"] = {"htsat": {"architecture": "htsat", "front_end": "logmel"}}
    values["models"]["htsat"]["arguments"] = SMALL
    values["recipes"] = {
        "base": {"epochs": 1, "batch_size": 16, "learning_rate": 1.0e-9},
        "htsat/esc50": {"init": "official:authors"},
        "htsat/desed": {"init": "imagenet:swin"},
    }
    values |= {"seeds": [0], "ablations": {}, "tuning": {}, "cost": {}, "localization": {}}
    values |= {"embedded": None}
    values["paths"] = {
        name: str(tmp_path / name) for name in ("work", "results", "report", "checkpoints")
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(values))
    settings = config.load(tmp_path / "experiment.yaml")
    factories.make_inputs(settings)
    return settings


def bench(experiment: Config, *arguments: str) -> int:
    where = Path(experiment.paths.work).parent / "experiment.yaml"
    return main([*arguments, "--config", str(where)])


def bring_by_hand(experiment: Config) -> Path:
    folder = Path(experiment.paths.checkpoints)
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    return save(lightning(authors_state(527)), folder / AUTHORS)


def test_what_a_person_has_to_bring_is_said_before_the_first_job(
    experiment: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(experiment, "check") == 2
    assert HAND in capsys.readouterr().err
    assert bench(experiment, "plan") == 2
    assert HAND in capsys.readouterr().out
    training = Layout.of(experiment).run(find_cell(experiment, ON_ESC50)) / "training.json"
    with pytest.raises(UserError, match=HAND):
        supervise.begin(experiment, [str(training)])
    preflight.check_starts(
        experiment, ["swin"]
    )  # of runs that start from another file: no obstacle
    bring_by_hand(experiment)
    assert bench(experiment, "check") == 0


def test_the_plan_lists_starts_with_their_bytes_until_they_are_here(experiment: Config) -> None:
    names = [job.name for job in list_jobs(experiment) if job.stage == "fetch"]
    assert sorted(names) == ["checkpoints/authors", "checkpoints/swin"]
    assert "fetched checkpoints/authors 0.0" in table(experiment)
    bring_by_hand(experiment)
    assert "fetched checkpoints/authors" not in table(experiment)
    assert "fetched checkpoints/swin 0.0" in table(experiment)


def test_runs_start_from_the_file_and_record_it_hashed_once(
    experiment: Config, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def digest(path: Path, *rest: str) -> str:
        hashed.append(Path(path).name)
        return digest_file(path, *rest)

    monkeypatch.setattr(present, "digest_file", digest)
    path = bring_by_hand(experiment)
    layout = Layout.of(experiment)
    assert bench(experiment, "check") == 0
    assert bench(experiment, "fetch", "checkpoints/authors") == 0
    assert bench(experiment, "fetch", "checkpoints/swin") == 0
    fetched = {
        name: read_json(layout.fetched(f"checkpoints/{name}"))["files"]
        for name in ("authors", "swin")
    }
    assert fetched["authors"] == {AUTHORS: digest_file(path)}
    for cell in list_cells(experiment):
        assert bench(experiment, "train", str(cell)) == 0
        recorded = read_json(layout.run(cell) / "training.json")["digests"]["start"]
        (expected,) = fetched[str(plan(experiment, cell).recipe.start)].values()
        assert recorded == expected
    assert bench(experiment, "check") == 0
    assert hashed == [AUTHORS]  # the other one as it arrived
    assert len(server.requests) == 1
    weights = read_checkpoint(layout.run(find_cell(experiment, ON_ESC50)) / "model.pt")[
        "state_dict"
    ]
    theirs = read_checkpoint(path)["state_dict"]["sed_model.norm.weight"]
    torch.testing.assert_close(weights["trunk.norm.weight"], theirs, atol=1e-6, rtol=0)


def test_complete_checkpoints_may_lie_in_a_folder_that_cannot_be_written(
    experiment: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bring_by_hand(experiment).parent
    assert bench(experiment, "fetch", "checkpoints/swin") == 0
    shutil.rmtree(folder / ".fetched")
    files = sorted(folder.iterdir())
    real_open, real_access = os.open, os.access

    def refuse(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_ACCMODE and folder in (Path(path), *Path(path).parents):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real_open(path, flags, *rest, **more)

    def access(path: Any, mode: int) -> bool:
        return real_access(path, mode) and not (Path(path) == folder and mode & os.W_OK)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "access", access)
    assert bench(experiment, "check") == 0
    for name in ("authors", "swin"):
        assert bench(experiment, "fetch", f"checkpoints/{name}") == 0
    assert bench(experiment, "train", ON_ESC50) == 0
    assert [path for path in sorted(folder.iterdir()) if path.name != ".fetched"] == files
    files[-1].unlink()
    assert bench(experiment, "check") == 2
    assert f"{folder} cannot be written" in capsys.readouterr().err


def test_another_file_is_refused_by_check_and_training(
    experiment: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bring_by_hand(experiment)
    assert bench(experiment, "train", ON_ESC50) == 0
    save(lightning(authors_state(50)), path)
    capsys.readouterr()
    for verb in (["check"], ["train", ON_ESC50]):
        assert bench(experiment, *verb) == 2
        assert f"{path}: is not the file that was used first (" in capsys.readouterr().err
    assert path.is_file()


def test_a_start_that_is_not_fetched_yet_says_how(
    experiment: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(experiment, "train", "desed/htsat/base/seed0") == 2
    assert "run `python -m bench fetch checkpoints/swin` first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("init", "said"),
    [
        ("official:autors", "unknown 'autors'; did you mean 'authors'"),
        ("imagenet:authors", "authors is a start of htsat by official:, not"),
    ],
)
def test_a_start_that_is_no_entry_or_does_not_fit_is_named(
    experiment: Config, init: str, said: str
) -> None:
    recipes = {**experiment.recipes, "htsat/esc50": {"init": init}}
    changed = experiment.model_copy(update={"recipes": recipes})
    with pytest.raises(UserError, match=said):
        plan(changed, find_cell(changed, ON_ESC50))


def test_two_processes_may_ask_for_one_file(experiment: Config, server: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    entry, folder = released.find_file("swin", "test"), Path(experiment.paths.checkpoints)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: checkpoints.obtain(entry, folder).sha256, range(4)))
    assert found == {digest_file(folder / SWIN)}
    assert len(server.requests) == 1
