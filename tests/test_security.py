"""Nothing from outside is executed: no unpickling, no shell built from data, no unsafe YAML; names
found in data are escaped, and nothing is reported to anyone."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

import factories
import pytest
import yaml

from bench.experiment.cells import Layout, list_cells
from bench.experiment.config import load
from bench.files import UserError
from bench.reporting.build import build

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("modelkit", "htsat", "baselines", "bench", "synth", "speed")
SOURCES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
FORBIDDEN = {
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "joblib.load",
    "os.system",
    "os.popen",
    "eval",
    "exec",
    "yaml.unsafe_load",
    "yaml.full_load",
}


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found.append((ast.unparse(node.func), node))
    return found


def keyword(call: ast.Call, name: str) -> object:
    for item in call.keywords:
        if item.arg == name:
            return item.value.value if isinstance(item.value, ast.Constant) else item.value
    return None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_call_runs_what_a_file_says(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", None), *(alias.name for alias in node.names))
    }
    assert not imported & FORBIDDEN
    for name, call in calls(tree):
        assert name not in FORBIDDEN, ast.unparse(call)
        assert keyword(call, "shell") in (None, False), ast.unparse(call)
        assert keyword(call, "allow_pickle") in (None, False), ast.unparse(call)
        if name == "torch.load":
            assert keyword(call, "weights_only") is True, ast.unparse(call)
        if name == "yaml.load":
            assert "Safe" in path.read_text(encoding="utf-8"), ast.unparse(call)


@pytest.mark.parametrize("name", ["a;touch x", "$(touch x)", "../up", "a b", "`x`", "a/b", "-rf"])
def test_a_name_that_a_shell_could_misread_is_no_name(name: str) -> None:
    """Rules put names of data sets, models, variants and front ends into commands."""
    values = yaml.safe_load((ROOT / "config" / "default.yaml").read_text())
    values["datasets"][name] = values["datasets"].pop("esc50")
    values["recipes"] = {k: v for k, v in values["recipes"].items() if not k.endswith("/esc50")}
    with pytest.raises(UserError):
        load(values)


def test_names_found_in_data_are_escaped_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "<script>alert(1)</script>"
    monkeypatch.setitem(factories.CLASSES, "esc50", (evil, "rain", "clock", "saw", "siren"))
    settings = factories.make_config(tmp_path, seeds=(0,))
    factories.make_inputs(settings)
    for cell in list_cells(settings):
        if cell.dataset == "esc50":
            factories.make_run(settings, cell)
    build(settings)
    pages = list(Layout.of(settings).report.rglob("*.html"))
    assert pages
    assert all(evil not in page.read_text(encoding="utf-8") for page in pages)


def test_nothing_is_reported_to_anyone_and_mlflow_stays_on_this_machine() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in ("MLFLOW_DISABLE_TELEMETRY := true", "DO_NOT_TRACK := true", "DVC_NO_ANALYTICS"):
        assert f"export {line}" in makefile
    assert re.search(r"mlflow ui --host 127\.0\.0\.1 ", makefile)
    dvc = configparser.ConfigParser()
    dvc.read(ROOT / ".dvc" / "config")
    assert dvc.get("core", "analytics") == "false"
    assert "MLFLOW_DISABLE_TELEMETRY" in (ROOT / "bench" / "tracking" / "store.py").read_text()


def test_conda_and_the_container_install_the_pins_and_nothing_else() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, pinned = environment["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    assert pinned == {"pip": ["-r requirements.txt"]}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    names = [re.sub(r"[-_.]+", "-", pin.split("==")[0]).lower() for pin in pins]
    assert len(set(names)) == len(names)
    docker = (ROOT / "Dockerfile").read_text()
    assert "FROM python:3.11-" in docker
    assert "RUN make environment" in docker
    assert "pip install" not in docker
