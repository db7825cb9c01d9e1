"""Who may import whom. The arrows of docs/architecture.md, read from the import statements."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OWN = {"modelkit", "htsat", "baselines", "bench", "synth", "speed"}
ALLOWED = {
    "modelkit": {"modelkit"},
    "htsat": {"htsat", "modelkit"},
    "baselines": {"baselines", "modelkit"},
    "bench": {"bench", "modelkit"},
    "synth": {"synth", "bench"},
    "speed": {"speed", "bench", "modelkit"},
}
# The verb that builds the corpora knows the generator, which meets the loaders through files; what
# mixes soundscapes of recordings uses its mixer.
MEETS_SYNTH = (
    ROOT / "bench" / "data" / "embed.py",
    ROOT / "bench" / "corpora" / "soundscapes.py",
)
SYNTH_MAY_USE = (
    *("bench.files", "bench.parallel", "bench.process.", "bench.strict"),
    "bench.text_tables",
)
# The rooms of bench/: each may import those before it; the modules at its root import none.
ROOMS = (
    *("audio", "process", "metrics", "sources", "corpora", "experiment", "data", "models"),
    *("results", "figures", "cost", "training", "evaluation"),
    *("tagging", "tracking", "reporting", "ops"),
)
TORCH_FREE = (
    *("bench/audio", "bench/corpora", "bench/metrics"),
    *("bench/results", "bench/figures", "bench/reporting", "synth"),
)
VIEWS = ("figures", "reporting")
# What a view of the analysis may read besides: its own templates, and the metrics of old reports.
READS = {"bench/reporting/page.py": {"read_text"}, "bench/reporting/changes.py": {"read_json"}}
READERS = {
    *("open", "read_text", "read_bytes", "read_json", "read_sealed", "read_yaml", "read_csv"),
    *("read_parquet", "read_scores", "read_events", "open_corpus", "read", "audit"),
}
TORCH = {"torch", "timm", "torchvision"}


def _imports(path: Path) -> set[str]:
    """The modules that a file imports, and the names that it takes from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            assert node.module is not None
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_a_module_is_seen_however_it_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    for text in ("import bench.ops", "from bench.ops import x", "from bench import ops as x"):
        path.write_text(f"def late():\n    {text}\n")
        assert "bench.ops" in _imports(path)
    for text in ("from . import ops", "from ..ops import x"):
        path.write_text(text)
        with pytest.raises(AssertionError, match="relative import"):
            _imports(path)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_packages_import_only_what_stands_below_them(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        roots = {name.split(".")[0] for name in _imports(path)} & OWN
        allowed = ALLOWED[package] | ({"synth"} if path in MEETS_SYNTH else set())
        assert roots <= allowed, path


def test_the_generator_of_corpora_uses_files_values_and_processes_alone() -> None:
    for path in (ROOT / "synth").rglob("*.py"):
        used = {name for name in _imports(path) if name.startswith("bench")}
        assert all(name.startswith(SYNTH_MAY_USE) for name in used), (path, used)


def test_rooms_import_only_the_rooms_before_them() -> None:
    assert set(ROOMS) == {path.parent.name for path in (ROOT / "bench").glob("*/__init__.py")}
    for path in (ROOT / "bench").rglob("*.py"):
        inside = path.relative_to(ROOT / "bench").parts[0]
        if inside == "__main__.py":
            continue
        before = ROOMS[: ROOMS.index(inside) + 1] if inside in ROOMS else ()
        rooms = {name.split(".")[1] for name in _imports(path) if name.startswith("bench.")}
        assert rooms & set(ROOMS) <= set(before), path


@pytest.mark.parametrize("room", VIEWS)
def test_views_of_the_analysis_read_no_results(room: str) -> None:
    for path in (ROOT / "bench" / room).rglob("*.py"):
        place = path.relative_to(ROOT).as_posix()
        rooms = {name.split(".")[1] for name in _imports(path) if name.startswith("bench.")}
        assert not rooms & {"corpora", "data", "models", "evaluation", "training"}, place
        calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
        called = {getattr(n.func, "attr", getattr(n.func, "id", "")) for n in calls}
        assert called & READERS <= READS.get(place, set()), place


def test_no_module_needs_itself_to_be_imported() -> None:
    """Whichever is imported first; imports inside functions come later and may look back."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in OWN
        for path in (ROOT / package).rglob("*.py")
    }
    needs: dict[str, set[str]] = {}
    for module, path in paths.items():
        needs[module] = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                needs[module] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                needs[module] |= inner & set(paths) or {node.module}
        needs[module] &= set(paths)
    TopologicalSorter(needs).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("folder", TORCH_FREE)
def test_what_reads_files_and_scores_needs_no_torch(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        assert not {name.split(".")[0] for name in _imports(path)} & TORCH, path


START = """
import sys, runpy
sys.argv = ['bench', '--help']
try: runpy.run_module('bench', run_name='__main__')
except SystemExit: pass
"""
TRAIN = """
import sys, bench.training.train, bench.training.fit, bench.models.networks
import bench.models.scoring, bench.evaluation.evaluate
"""


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        (START, "torch timm mlflow sklearn matplotlib sed_eval transformers"),
        (TRAIN, "mlflow sed_eval matplotlib transformers librosa"),
    ],
    ids=["command line", "training"],
)
def test_heavy_libraries_are_not_imported(code: str, heavy: str) -> None:
    code += f"print('HEAVY', sorted({set(heavy.split())} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "HEAVY []" in done.stdout
