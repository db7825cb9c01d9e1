"""The smoke experiment with one seed on a real Slurm of two nodes, through profiles/slurm, a run
pre-empted, cancelled, and its node lost: equal to a local run to the digit."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from torture import command, copy_checkout, digests, environment, finish

from bench.process.locks import holder

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).parent / "slurm.sh"
RUN = "desed/htsat/base/seed0"
CONFIG = "config/clustered.yaml"
HERE = (  # what this machine lacks: accounting, a GPU; and what a test does not wait for
    *("--workflow-profile", "profiles/slurm", "--jobs", "4", "--latency-wait", "5"),
    *("--slurm-status-command", "squeue", "--slurm-no-account", "--slurm-array-jobs", "cost"),
    *("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"),
    *("--set-resources", "train:gpu=0", "cost:gpu=0"),
)


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "slurm"
    subprocess.run([str(SCRIPT), "start", str(folder)], check=True)
    yield folder
    subprocess.run([str(SCRIPT), "stop", str(folder)], check=True)


def checkout(folder: Path) -> Path:
    """A copy with one run that takes long enough to be interrupted."""
    folder.mkdir()
    copy_checkout(folder)
    (folder / CONFIG).write_text(
        "extends: torture.yaml\nexperiment: torture\nrecipes: {htsat/desed: {epochs: 30}}\n"
    )
    return folder


def jobs(states: str = "all") -> list[tuple[str, str, str]]:
    """Number, node and rule with wildcards of each Slurm job in these states."""
    listed = subprocess.run(
        ["squeue", "--noheader", f"--states={states}", "--format=%i %N %k"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = (line.split(" ") for line in listed.splitlines())
    return [(number, node, comment.removeprefix("rule_")) for number, node, comment in found]


def job_in_training(
    process: subprocess.Popen[bytes], folder: Path, beyond: int
) -> tuple[str, str, int]:
    """The Slurm job that trains RUN, its node, and the epochs saved, once over `beyond`."""
    while process.poll() is None:
        for lock in (folder / "work" / "torture" / "state").glob("*.lock"):
            curve = lock.with_suffix("") / "metrics.jsonl"
            epochs = len(curve.read_text().splitlines()) if curve.exists() else 0
            if (holder(lock) or {}).get("purpose") == RUN and epochs > beyond:
                for number, node, job in jobs("RUNNING"):
                    if job == f"train_wildcards_{RUN.replace('/', '_')}":
                        return number, node, epochs
        time.sleep(0.1)
    raise AssertionError(f"Snakemake ended before the training came to epoch {beyond + 1}")


def test_an_experiment_on_slurm_equals_a_local_one_though_a_run_is_stopped_and_a_node_lost(
    tmp_path: Path, slurm: Path
) -> None:
    folder, local = checkout(tmp_path / "cluster"), checkout(tmp_path / "local")
    record = f"results/torture/runs/{RUN}/record.json"
    call = [*command(config=CONFIG)[:3], "--configfile", CONFIG, *HERE, "--prioritize", record]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            call, cwd=folder, env=environment(), stdout=log, stderr=subprocess.STDOUT
        )
        stop = threading.Timer(2400, process.kill)  # a plug-in that forgets a job waits for ever
        stop.start()
        try:
            number, _, epochs = job_in_training(process, folder, beyond=0)
            subprocess.run(["scontrol", "requeue", number], check=True)  # as pre-emption does
            number, _, epochs = job_in_training(process, folder, beyond=epochs)
            subprocess.run(["scancel", number], check=True)  # tried again by the profile's retries
            number, lost, epochs = job_in_training(process, folder, beyond=epochs)
            subprocess.run([str(SCRIPT), "lose", str(slurm), lost], check=True)
            again, left, _ = job_in_training(process, folder, beyond=epochs)
            code = process.wait()
        finally:
            stop.cancel()
            process.kill()
            print((tmp_path / "log").read_text()[-6000:])
    told = (tmp_path / "log").read_text()
    assert code == 0
    assert "Trying to restart job" in told
    assert again == number  # requeued by Slurm: not Snakemake's retry
    assert left != lost
    for rule in ("featurize", "train"):
        assert {node for _, node, job in jobs() if job.startswith(rule)} == {lost, left}
    training = (folder / "work" / "torture" / "logs" / "train" / f"{RUN}.log").read_text()
    assert f"epoch {epochs}/30" not in training  # the last attempt did not begin anew
    assert (folder / "reports" / "torture" / "index.html").exists()

    finish(local, CONFIG)
    expected = digests(local, "torture")
    assert RUN in expected
    assert len(expected) >= 16
    assert digests(folder, "torture") == expected
