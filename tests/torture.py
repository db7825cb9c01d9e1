"""kill -9 at random moments over the DAG; after each, the same command goes on.

    python tests/torture.py FOLDER [--kills 50] [--seed 0] [--config config/torture.yaml]

FOLDER gets two clean copies of the checkout. In one the pipeline runs undisturbed, in the other it
is killed again and again; whenever it finishes before all kills are done, its runs are compared to
the undisturbed ones, its work and results are deleted and it begins anew. Three kills of four come
a random time after a random number of jobs have begun, one while the stage is at work that was hit
least so far. At the end every run of both must have the same digest. What stands in FOLDER is used
again, so that the test itself may be interrupted. `make torture` runs it.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from workflow_copy import CODE, ROOT, WORKFLOW, copy_parts

sys.path.insert(0, str(ROOT))
STAGES = ("cost", "embed", "corpus", "featurize", "train", "evaluate", "track", "report")
AIMED_LONGEST = 0.8  # seconds: short stages are over soon
SAME = ("metrics", "chance", "trivial", "localization", "digests", "identity", "splits", "parent")


def copy_checkout(folder: Path) -> Path:
    """A clean checkout: what the pipeline needs, and nothing that runs have left."""
    copy_parts(folder, (*CODE, *WORKFLOW, "config", "pyproject.toml"))
    return folder


def command(*arguments: str, config: str) -> list[str]:
    """The plain command."""
    snakemake = [sys.executable, "-m", "snakemake", *arguments]
    return [*snakemake, "--cores", "all", "--configfile", config]


def environment() -> dict[str, str]:
    """Without this test's own limits on threads."""
    return {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}


def kill_once(
    folder: Path,
    call: list[str],
    wait: float,
    rng: random.Random,
    *,
    jobs_before: int = 0,
    stage: str = "",
) -> tuple[str, list[str]]:
    """Start the command, kill -9 something of it; says what, and which stages were at work.

    A power cut kills Snakemake and all jobs; a lost terminal Snakemake alone; the out-of-memory
    killer one process of a job. "finished" when the command was done before.

    Args:
        wait: seconds to the kill, from when that many jobs have begun or that stage is at work.
    """
    seen: set[int] = set()
    with open(folder / "torture.log", "ab") as log:
        process = subprocess.Popen(
            call, cwd=folder, env=environment(), stdout=log, stderr=log, start_new_session=True
        )
        while True:
            busy = at_work(process.pid)
            seen |= set(busy)
            due = len(seen) >= jobs_before and (not stage or stage in busy.values())
            try:
                code = process.wait(timeout=wait if due else 0.05)
            except subprocess.TimeoutExpired:
                if due:
                    break
                continue
            if code:
                raise SystemExit(f"the plain command failed: see {folder}/torture.log")
            return "finished", []
        stages = sorted(set(at_work(process.pid).values()))
        jobs = [pid for pid in session(process.pid) if pid != process.pid]
        what = rng.choice(["everything", "snakemake", "one job" if jobs else "everything"])
        if what == "one job":
            kill(rng.choice(jobs))
            time.sleep(rng.uniform(0.0, 1.0))
            what = f"{what}, then everything"
        if what == "snakemake":
            kill(process.pid)  # its jobs end by themselves, beside the next call
        else:
            os.killpg(process.pid, signal.SIGKILL)
            for pid in session(process.pid):
                kill(pid)
        process.wait()
    return what, stages


def at_work(leader: int) -> dict[int, str]:
    """The stage of each `python -m bench STAGE` of a session, without the processes it forked."""
    found = {}
    for pid, parent in session(leader).items():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if words[1:3] == ["-m", "bench"] and words[3] in STAGES:
                found[pid] = (words[3], parent)
    return {pid: stage for pid, (stage, parent) in found.items() if parent not in found}


def session(leader: int) -> dict[int, int]:
    """Live processes of the session that `leader` began, with their parents."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found[int(stat.parent.name)] = int(fields[1])
    return found


def kill(pid: int) -> None:
    """kill -9, where it still lives."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def digests(folder: Path, experiment: str) -> dict[str, str]:
    """Of every run with a record: all of it that is no time, its scores and its weights."""
    found = {}
    for path in records(folder, experiment):
        record = json.loads(path.read_text())
        digest = hashlib.sha256(json.dumps([record.get(n) for n in SAME], sort_keys=True).encode())
        for name in ("scores.npz", "model.pt"):
            for key, values in sorted(arrays(path.with_name(name)).items()):
                digest.update(key.encode() + np.ascontiguousarray(values).tobytes())
        events = path.with_name("events.tsv")
        digest.update(events.read_bytes() if events.exists() else b"")
        curve = path.with_name("metrics.jsonl").read_text().splitlines()
        points = [json.loads(line) | {"seconds": None} for line in curve]
        digest.update(json.dumps(points).encode())
        found[record["key"]] = digest.hexdigest()
    return found


def records(folder: Path, experiment: str) -> list[Path]:
    """The records that stand by now."""
    return sorted((folder / "results" / experiment / "runs").rglob("record.json"))


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz archive or of a PyTorch file."""
    from modelkit.checkpoint import read_state_dict

    if path.suffix == ".npz" or "mean.npy" in zipfile.ZipFile(path).namelist():  # the linear model
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    return {name: value.numpy() for name, value in read_state_dict(path).items()}


def finish(folder: Path, config: str) -> None:
    """The plain command, undisturbed."""
    done = subprocess.run(
        command(config=config), cwd=folder, env=environment(), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{folder}: {done.stdout[-3000:]}{done.stderr[-6000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", default="config/torture.yaml")
    parser.add_argument("--jobs", type=int, default=10, help="that begin before a kill, at most")
    parser.add_argument("--longest", type=float, default=4.0, help="seconds to a kill, at most")
    arguments = parser.parse_args()
    experiment = Path(arguments.config).stem
    calm, killed = arguments.folder / "undisturbed", arguments.folder / "killed"
    for folder in (calm, killed):
        if not folder.exists():
            copy_checkout(folder)
    finish(calm, arguments.config)
    log = arguments.folder / "kills.jsonl"
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    kills = sum(entry["what"] != "finished" for entry in done)
    while kills < arguments.kills:
        rng = random.Random(f"{arguments.seed}:{len(done)}")
        aim: dict[str, Any] = {"jobs_before": rng.randint(0, arguments.jobs)}
        longest = arguments.longest
        if rng.random() < 0.25:
            aim, longest = {"stage": least_hit(done)}, AIMED_LONGEST
        wait = rng.uniform(0.0, longest)
        what, stages = kill_once(killed, command(config=arguments.config), wait, rng, **aim)
        count = len(records(killed, experiment))
        entry = {**aim, "after_s": round(wait, 1), "what": what, "stages": stages, "records": count}
        done.append(entry)
        with open(log, "a") as file:
            file.write(json.dumps(entry) + "\n")
        print(f"{kills} kills, {entry}", flush=True)
        if what == "finished":
            compare(calm, killed, experiment)
            for part in ("work", "results", "data", "reports"):
                shutil.rmtree(killed / part, ignore_errors=True)
        else:
            kills += 1
    finish(killed, arguments.config)
    runs = compare(calm, killed, experiment)
    counts = collections.Counter(entry["what"] for entry in done)
    print(f"{kills} kills ({dict(counts)}), at work then: {hits(done)}")
    print(f"all {runs} runs equal the undisturbed ones")
    return 0


def hits(done: list[dict[str, Any]]) -> dict[str, int]:
    """How many kills came while each stage was at work; several are at a time, or none."""
    found = collections.Counter(stage for entry in done for stage in entry["stages"])
    return {stage: found[stage] for stage in STAGES}


def least_hit(done: list[dict[str, Any]]) -> str:
    """The stage that was hit least, of those that are not behind in this pass."""
    behind = 0
    for entry in done:
        reached = [STAGES.index(stage) for stage in entry["stages"]]
        behind = 0 if entry["what"] == "finished" else max(behind, *reached, 0)
    counts = hits(done)
    return min(STAGES[behind:], key=counts.__getitem__)


def compare(calm: Path, killed: Path, experiment: str) -> int:
    """Number of runs; ends the test where one differs."""
    expected, found = digests(calm, experiment), digests(killed, experiment)
    if expected != found:
        differing = [key for key in expected if expected[key] != found.get(key)]
        raise SystemExit(f"runs that differ after kills: {', '.join(differing)}")
    return len(expected)


if __name__ == "__main__":
    sys.exit(main())
