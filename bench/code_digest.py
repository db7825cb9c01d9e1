"""Digests of the code that a stage runs, so that Snakemake re-runs a stage when its code changes.

Snakemake does not see edits in imported modules. A stage's digest covers its entry modules and
everything of this repository that they import, directly or not, taken over the syntax tree without
docstrings: comments and formatting do not count.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path

from bench.registry import ARCHITECTURES, LOADERS, module_of

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("modelkit", "htsat", "baselines", "bench", "synth")

STAGES: dict[str, tuple[str, ...]] = {
    "embed": ("synth",),
    "corpus": ("bench.corpora",),
    "featurize": ("bench.data.features",),
    "train": ("bench.training.train",),
    "evaluate": ("bench.evaluation.evaluate",),
    "released": ("bench.evaluation.score_released",),
    "ensemble": ("bench.evaluation.ensemble",),
    "cost": ("bench.cost.measure",),
    "rescore": ("bench.evaluation.rescore",),
    "track": ("bench.tracking.sync",),
    "report": ("bench.reporting.build",),
}
MARK = "CHANGES_RESULTS"
"""Where a package sets it to False, the modules of its folder are not counted: they decide what
runs, when and where, and what is recorded about it. The values that they pass to a stage have a
digest of their own (`Plan.resolved`)."""
NOT_COUNTED = {
    "bench.code_digest",
    "bench.provenance",
    "bench.registry",
    "bench.strict",
    "bench.tracking.live",
}
"""Single modules that are not counted either."""


@cache
def stage_digest(stage: str, *extra: str) -> str:
    """sha256 over the modules that `stage` (and the modules `extra`) reach by imports."""
    modules: set[str] = set()
    for entry in (*STAGES[stage], *extra):
        modules |= _reachable(entry)
    counted = sorted(name for name in modules if _counts(name))
    text = "\n".join(f"{name} {_module_digest(name)}" for name in counted)
    return hashlib.sha256(text.encode()).hexdigest()


def model_stage_digest(stage: str, architecture: str) -> str:
    """`stage_digest` with the code of one architecture (models are imported by name, late)."""
    return stage_digest(stage, module_of(architecture, ARCHITECTURES))


def loader_stage_digest(loader: str) -> str:
    """`stage_digest` of reading a corpus with one loader."""
    return stage_digest("corpus", module_of(loader, LOADERS))


def _counts(module: str) -> bool:
    """Whether an edit of this module can change a result."""
    path = _file(module)
    package = module if path and path.name == "__init__.py" else module.rpartition(".")[0]
    return module not in NOT_COUNTED and not (package and _changes_nothing(package))


@cache
def _changes_nothing(package: str) -> bool:
    return any(
        isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == MARK
        and not ast.literal_eval(node.value)
        for node in _tree(package).body
    )


@cache
def _reachable(entry: str) -> frozenset[str]:
    """The repository's modules that `entry` reaches; a package counts as its __init__.

    A plug-in counts with the modules of its own package.
    """
    packages = {*PACKAGES, entry.partition(".")[0]}
    seen: set[str] = set()
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name in seen or _file(name) is None:
            continue
        seen.add(name)
        waiting += [other for other in _imports(name) if other.partition(".")[0] in packages]
    return frozenset(seen)


def _file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None if module.partition(".")[0] in PACKAGES else _installed(module)


def _installed(module: str) -> Path | None:
    """The source of a plug-in outside of this repository."""
    try:
        found = find_spec(module)
    except ImportError:  # an attribute of a module, not a module of a package
        return None
    origin = found.origin if found else None
    return Path(origin) if origin and origin.endswith(".py") else None


@cache
def _tree(module: str) -> ast.Module:
    path = _file(module)
    assert path is not None
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules named by import statements anywhere in `module` (late imports too)."""
    path = _file(module)
    package = module if path and path.name == "__init__.py" else module.rpartition(".")[0]
    found: list[str] = []
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            names = [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            found += [".".join(parts[: i + 1]) for i in range(len(parts))]
    return tuple(dict.fromkeys(found))


@cache
def _module_digest(module: str) -> str:
    tree = _tree(module)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[0] = ast.Pass()
    return hashlib.sha256(repr(_plain(tree)).encode()).hexdigest()


def _plain(node: object) -> object:
    """A syntax tree without places and empty fields: which of these a node has, and `ast.dump`
    shows, differs between versions of Python."""
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, ast.AST):
        return ascii(node)
    if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some with an empty text
        node = ast.JoinedStr([part for part in node.values if getattr(part, "value", None) != ""])
    fields = ((name, getattr(node, name, None)) for name in node._fields)
    filled = [(name, _plain(value)) for name, value in fields if value not in (None, [])]
    return type(node).__name__, filled


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
