"""A copy of the pipeline whose stages only write their outputs: a whole DAG runs in seconds.

The Snakefile, the rules, the experiment, the digests and Snakemake are the real ones.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from subprocess import PIPE, STDOUT

import yaml

ROOT = Path(__file__).resolve().parent.parent
CODE = ("modelkit", "htsat", "baselines", "bench", "synth")
WORKFLOW = ("Snakefile", "workflow", "profiles", "environment.yml", "requirements.txt")

STAND_IN = """
import json, sys, time
from pathlib import Path

verb, *rest = sys.argv[1:]
if verb == "check" or rest[0].startswith("--") and verb == "tune":  # the choice, in words
    sys.exit()

from bench.experiment.cells import Layout
from bench.experiment.config import load
from bench.ops.receipts import Receipts

names = rest[: min(i for i, word in enumerate(rest) if word.startswith("--"))]
settings = load(rest[rest.index("--config") + 1])
receipts = Receipts(settings)
job = receipts.jobs[verb, " ".join(names)]


def work():
    store = [Layout.of(settings).results / "mlflow.db"] if verb == "track" else []
    for path in (*store, *receipts.outputs(job)):
        path.parent.mkdir(parents=True, exist_ok=True)
        # A new training has new weights; the same data gives the same corpus and features.
        path.write_text(json.dumps([verb, time.time_ns() if verb == "train" else 0]))
    if verb == "track":
        from bench.tracking.store import Seal, address, write_seal

        write_seal(settings, Seal(store=address(settings), files={}))
    return 0


sys.exit(receipts.perform(job, work))
"""

EXPERIMENT = {
    "experiment": "small",
    "title": "Small",
    "seeds": [0],
    "paths": {"work": "work", "results": "results", "report": "out"},
    "embedded": {"root": "data"},
    "datasets": {
        name: {
            "loader": name,
            "root": f"data/{name}",
            "loss": "bce",
            "metric": "mAP",
            "selection": "mAP",
            "localize": name == "desed",
            "front_ends": {
                "logmel": {
                    "kind": "logmel",
                    "sample_rate": 16000,
                    "window": 512,
                    "hop": 160,
                    "mels": 32,
                    "fmin": 50,
                    "fmax": 8000,
                    "frames": 100,
                }
            },
        }
        for name in ("audioset", "desed")
    },
    "models": {
        name: {"architecture": name, "front_end": "logmel", "arguments": {"preset": "tiny"}}
        for name in ("htsat", "pann")
    },
    "recipes": {
        "base": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3},
        "htsat/desed": {"init": "run:audioset"},
    },
    "ablations": {
        "study": {
            "models": ["htsat"],
            "datasets": ["desed"],
            "factors": {"start": {"scratch": {"recipe": {"init": "random"}}}},
        }
    },
    "localization": {"median_filters": [1], "thresholds": 3},
    "cost": {
        "models": {"htsat": {"architecture": "htsat"}},
        "batch_size": 1,
        "steps": 1,
        "classes": 5,
    },
}


def copy_parts(folder: Path, parts: Iterable[str]) -> None:
    """Copy files and folders of the checkout, without what runs have left in them."""
    for name in parts:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "out")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)


def make_copy(folder: Path) -> Path:
    """The pipeline below `folder`, its stages replaced, with EXPERIMENT as config/default.yaml."""
    folder.mkdir(exist_ok=True)
    copy_parts(folder, (*CODE, *WORKFLOW))
    (folder / "bench" / "__main__.py").write_text(STAND_IN)
    write_experiment(folder, EXPERIMENT)
    return folder


def write_experiment(folder: Path, values: dict) -> None:
    """Make `values` the default experiment of a copy."""
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / "default.yaml").write_text(yaml.safe_dump(values))


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`snakemake` in `folder`, as a person calls it."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, stdout=PIPE, stderr=STDOUT, text=True
    )


def due(folder: Path, *arguments: str) -> list[str]:
    """What a dry run would do, as the rules' messages."""
    done = snakemake(folder, "-n", *arguments)
    assert done.returncode == 0, done.stdout
    return sorted(re.findall(r"^Job \d+: (.*)$", done.stdout, re.MULTILINE))
