"""Comments do not count, code does, and only for the stages that run it."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import code_digest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
import json
from bench.code_digest import model_stage_digest, stage_digest
print(json.dumps({
    "htsat": model_stage_digest("train", "htsat"),
    "ast": model_stage_digest("train", "ast"),
    "pann": model_stage_digest("train", "pann"),
    "evaluate": stage_digest("evaluate"),
    "featurize": stage_digest("featurize"),
}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for package in ("modelkit", "htsat", "baselines", "bench", "synth"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignore)
    return folder


def _digests(folder: Path) -> dict[str, str]:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _changed(folder: Path, file: str, old: str, new: str) -> set[str]:
    path = folder / file
    before, text = _digests(folder), path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    after = _digests(folder)
    path.write_text(text)
    return {name for name in before if before[name] != after[name]}


def test_comments_docstrings_and_blank_lines_change_nothing(copy: Path) -> None:
    added = "# a remark\n\nfrom __future__ import annotations"
    assert _changed(copy, "htsat/model.py", "from __future__ import annotations", added) == set()
    assert _changed(copy, "htsat/model.py", '"""', '"""Another wording. ') == set()


@pytest.mark.parametrize(
    ("line", "digest"),
    [
        ("class A(B, c=1): pass", "150477095c6af8be"),
        (
            "def f(a, /, b=None, *, c=0, **d): return lambda x: {**d, a: [], b: ''}",
            "c3d346a8f88ece21",
        ),
        ("f'{a!r:>{b}}' f'c{d:}' ''", "4273937d47609536"),
    ],
)
def test_every_python_gives_one_digest(line: str, digest: str) -> None:
    text = repr(code_digest._plain(ast.parse(line)))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("file", "old"),
    [
        ("bench/steps.py", "-(-clips // batch_size)"),
        ("bench/training/step.py", 'device == "cuda" and'),
        ("bench/audio/frontend.py", "frames * self.hop"),
    ],
)
def test_what_trainings_compute_from_their_settings_concerns_them(
    copy: Path, file: str, old: str
) -> None:
    assert _changed(copy, file, old, f"1 * {old}") >= {"htsat", "ast", "pann"}


def test_the_forward_pass_of_htsat_concerns_its_training_alone(copy: Path) -> None:
    changed = _changed(copy, "htsat/model.py", "def forward(", "EXTRA = 1\n\n    def forward(")
    assert changed == {"htsat"}


def test_the_training_loop_concerns_every_training_and_no_evaluation(copy: Path) -> None:
    changed = _changed(copy, "bench/training/fit.py", "if state.due():", "if state.due() or False:")
    assert changed == {"htsat", "ast", "pann"}


def test_metrics_concern_evaluation(copy: Path) -> None:
    changed = _changed(copy, "bench/metrics/event_counts.py", "import", "import os\nimport")
    assert "evaluate" in changed
    assert "featurize" not in changed


def test_a_new_model_or_data_set_concerns_no_other(copy: Path) -> None:
    added = 'LOADERS = {\n    "mine": "bench.corpora.mine:load",'
    assert _changed(copy, "bench/registry.py", "LOADERS = {", added) == set()
    old = 'META = "meta/esc50.csv"'
    assert _changed(copy, "bench/corpora/esc50.py", old, 'META = "meta/other.csv"') == set()


INERT = sorted(
    str(path.relative_to(ROOT))
    for folder in ("experiment", "ops", "process", "sources")
    for path in (ROOT / "bench" / folder).glob("*.py")
)


def test_folders_that_decide_what_runs_and_where_concern_no_stage(copy: Path) -> None:
    before = _digests(copy)
    for file in INERT:
        (copy / file).write_text((copy / file).read_text() + "\nEXTRA = 1\n")
    assert len(INERT) > 30
    assert _digests(copy) == before
    for file in INERT:
        shutil.copy(ROOT / file, copy / file)


@pytest.mark.parametrize(
    "file", ["training/loading.py", "models/team.py", "models/torch_setup.py", "training/train.py"]
)
def test_what_orders_and_computes_batches_concerns_every_training(copy: Path, file: str) -> None:
    changed = _changed(copy, f"bench/{file}", "import", "import os\nimport")
    assert changed >= {"htsat", "ast", "pann"}


def test_the_folder_of_a_package_says_that_it_changes_nothing(copy: Path) -> None:
    mark = "CHANGES_RESULTS = False"
    changed = _changed(copy, "bench/process/__init__.py", mark, "CHANGES_RESULTS = True")
    assert changed == {"htsat", "ast", "pann", "evaluate", "featurize"}
