"""Time and memory of every stage that sees all of AudioSet, at its real number of clips.

    python tests/audioset_size.py FOLDER [--share 1]

FOLDER gets a stand-in of AudioSet: lists in the published format with `share` of its 2,084,320
clips, and for 95 % of them a file, each a link to one of a few. One file in 64 is too short.
Features are two frames of zeros a clip. Everything else is real: the stages of two full-size
trainings of `config/paper.yaml`, each in a process of its own. The last lines are a table in
Markdown.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.process.memory import peak_bytes  # noqa: E402

LISTS = {"balanced_train": 22_160, "unbalanced_train": 2_041_789, "eval": 20_371}
"""Segments in each published list."""
FILES, MISSING = 64, 0.05
"""Distinct files, as many as hard links need; and the share of listed clips without a file."""
RATE, SECONDS = 1000, 10
RUNS = ("audioset/htsat/base/seed0", "audioset/pann/base/seed0")
SAMPLERS = ("shuffle", "weighted", "balanced", "cycled")


def main(arguments: list[str]) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="of AudioSet's clips (default: 1)")
    args = parser.parse_args(arguments)
    for stage, figures in measure(args.folder.absolute(), args.share):
        print(f"| {stage} | {figures['seconds']:.1f} | {figures['cpu']:.1f} |", end=" ")
        print(f"{figures['peak'] / 1e6:,.0f} |", flush=True)


def measure(folder: Path, share: float) -> Iterator[tuple[str, dict[str, float]]]:
    """Each stage with its seconds, CPU seconds and peak bytes, once `folder` has the stand-in."""
    folder.mkdir(parents=True)
    started = time.monotonic()
    write_audioset(folder / "audioset", share)
    config = str(write_experiment(folder))
    print(f"the stand-in was made in {time.monotonic() - started:.0f} s", file=sys.stderr)
    on, audioset = ("--config", config), ("audioset", "logmel")
    stages = {
        "`plan`, before anything": ("bench", "plan", *on),
        "missing list (of `fetch`)": ("missing_list", str(folder / "audioset")),
        "`corpus`: reading, checks, table, every file hashed": ("bench", "corpus", "audioset", *on),
        "`corpus` again: no file has changed": ("bench", "corpus", "audioset", *on),
        "`featurize` without decoding": ("featurize", "bench", "featurize", *audioset, *on),
        "`snakemake -n`: are all jobs up to date?": ("workflow", config),
        **{f"order of an epoch: {name}": ("order", config, name) for name in SAMPLERS},
        **{f"`train {run}` to its first batch": ("start", config, run) for run in RUNS},
        **{f"writing the scores of {run}": ("scores", config, run) for run in RUNS},
        "`evaluate`": ("bench", "evaluate", RUNS[0], *on),
        "`evaluate` of the other": ("bench", "evaluate", RUNS[1], *on),
        "`report`": ("bench", "report", *on),
        "`plan`, after everything": ("bench", "plan", *on),
    }
    for stage, call in stages.items():
        yield stage, run(folder, *call)


def run(folder: Path, *call: str) -> dict[str, float]:
    """Seconds, CPU seconds and peak bytes of one of STAGES with its arguments, as a process."""
    figures, started = folder / "figures.json", time.monotonic()
    command = [sys.executable, __file__, "stage", str(figures), *call]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(call)}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return {"seconds": time.monotonic() - started, **json.loads(figures.read_text())}


# The stand-in


def write_audioset(root: Path, share: float) -> None:
    """The lists in the published format, and links in folders of a few hundred."""
    import csv

    import soundfile

    from bench.experiment.released import class_list

    names, rng = class_list("audioset"), np.random.default_rng(0)
    mids = [f"/m/0{number:04x}" for number in range(len(names))]
    sounds = root.parent / "sounds"
    for place in (root, sounds):
        place.mkdir()
    with open(root / "class_labels_indices.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("index", "mid", "display_name"))
        writer.writerows(zip(range(len(names)), mids, names, strict=True))
    for number in range(FILES):
        seconds = SECONDS if number else 0.6 * SECONDS
        noise = 0.1 * rng.standard_normal(int(seconds * RATE))
        soundfile.write(sounds / f"{number}.wav", noise, RATE, subtype="PCM_U8")
    for folder in {f"{a}{b}" for a in ALPHABET for b in ALPHABET}:
        (root / "audio" / folder).mkdir(parents=True)
    common = 1 / np.arange(1, len(names) + 1)  # as skewed as AudioSet's speech and music
    for name, listed in LISTS.items():
        clips = round(listed * share)
        marked = rng.choice(len(names), (clips, 3), p=common / common.sum())
        marked[: len(names), 0] = np.arange(min(clips, len(names)))  # every class has a clip
        many, here = rng.integers(1, 4, clips), rng.random(clips) >= MISSING
        start = 10 * rng.integers(0, 30, clips)
        with open(root / f"{name}_segments.csv", "w") as file:
            file.write("# Segments csv created Sun Mar  5 10:54:31 2017\n")
            file.write(f"# num_ytids={clips}\n")
            file.write("# YTID, start_seconds, end_seconds, positive_labels\n")
            for number in range(clips):
                clip, at = video(name, number), start[number]
                labels = dict.fromkeys(mids[label] for label in marked[number, : many[number]])
                file.write(f'{clip}, {at}.000, {at + SECONDS}.000, "{",".join(labels)}"\n')
                if here[number]:
                    sound = sounds / f"{number % FILES}.wav"
                    os.link(sound, root / "audio" / clip[:2] / f"Y{clip}.wav")


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def video(*of: object) -> str:
    """An 11-character id like YouTube's."""
    return base64.urlsafe_b64encode(hashlib.sha256(repr(of).encode()).digest())[:11].decode()


def write_experiment(folder: Path) -> Path:
    """The trainings of `config/paper.yaml` on full AudioSet, with what they start from."""
    from bench.experiment.cells import find_cell
    from bench.experiment.config import load
    from bench.files import write_json
    from bench.ops.rehearsal import scratch

    paper = load(ROOT / "config/paper.yaml")
    chosen = scratch.chosen(paper, [name.rsplit("/", 1)[0] for name in RUNS])
    small = scratch.scratch_of(paper, folder, chosen)
    dataset = small.datasets["audioset"].model_copy(update={"root": str(folder / "audioset")})
    small = small.model_copy(update={"datasets": {"audioset": dataset}})
    scratch.with_checkpoints(folder, small, [find_cell(small, name) for name in RUNS], True)
    path = folder / "experiment.json"
    write_json(path, small.model_dump(mode="json"))
    return path


# The stages


def bench(*arguments: str) -> None:
    """A verb."""
    from bench.__main__ import main as verb

    code = verb([*arguments])
    assert code == 0, code


def missing_list(root: str) -> None:
    """The listed clips that have no file."""
    from bench.corpora.audioset import absent

    print(len(list(absent(Path(root), train="full"))))


def featurize(*call: str) -> None:
    """The stage with two frames of zeros in place of a clip's features."""
    from bench.data import features
    from bench.data.array import Outcome

    def silent(jobs: list[Any], front_end: Any) -> list[Any]:
        zeros = np.zeros((2, front_end.mels), np.float16)
        return [Outcome(zeros, "kept", "", 32_000) for _ in jobs]

    features._featurize_clips = silent
    STAGES[call[0]](*call[1:])


def workflow(config: str) -> None:
    """What the plain command does before its first job."""
    from snakemake.cli import main as snakemake

    given = ["-n", "-q", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    try:
        snakemake([*given, "--configfile", config])
    except SystemExit as ended:
        if ended.code:
            raise


def order(config: str, sampler: str) -> None:
    """Read what a training reads, and draw the clips of its first epoch."""
    from bench.training.sampling import epoch_batches

    plan, task, _ = read_task(config, RUNS[0])
    batches = epoch_batches(task, plan.recipe.model_copy(update={"sampler": sampler}), 0, 0)
    print(batches.shape)


def read_task(config: str, name: str) -> tuple[Any, Any, Any]:
    """The plan of a run, its task and the experiment's layout."""
    from bench.data.task import open_task
    from bench.experiment.cells import Layout, find_cell, plan
    from bench.experiment.config import load

    settings = load(config)
    layout, cell = Layout.of(settings), find_cell(settings, name)
    chosen = plan(settings, cell)
    features = layout.features(cell.dataset, chosen.model.front_end)
    return chosen, open_task(chosen, layout.corpus(cell.dataset), features), layout


class _Ready(Exception):
    """The first batch is there."""


def start(config: str, name: str) -> None:
    """A training until its first batch is ready."""
    from bench.training import fit

    def ready(*_: object, **__: object) -> NoReturn:
        raise _Ready

    fit.within_memory = ready
    try:
        bench("train", name, "--gpus", "0", "--config", config)
    except _Ready:
        return
    raise AssertionError("no batch was read")


def scores(config: str, name: str) -> None:
    """What a training writes, with random scores."""
    from bench.files import write_text
    from bench.models.scores import Scores
    from bench.training.description import SCORED, Origin, Outcome, write_run
    from bench.training.train import input_digests

    plan, task, layout = read_task(config, name)
    rng, classes = np.random.default_rng(0), len(task.corpus.classes)
    made = {
        split: Scores.of(rng.random((len(task.rows[split]), classes), np.float32), (), 0.0)
        for split in SCORED
    }
    cost = {"train_seconds": 1.0, "score_seconds": 1.0, "selected_epoch": 1, "epochs": 1}
    origin = Origin(plan, input_digests(plan, layout), 1)
    point = {"epoch": 1, "step": 1, "train_loss": 1.0, "learning_rate": 1e-4, "seconds": 1.0}
    curve = [{**point, "validation_mAP": 0.1}]
    save = partial(write_text, text="no weights")
    outcome = Outcome(made, None, 1, cost, curve=curve, save=save)
    write_run(layout.run(plan.cell), origin, task, outcome)


STAGES: dict[str, Callable[..., None]] = {
    stage.__name__: stage
    for stage in (bench, missing_list, featurize, workflow, order, start, scores)
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["stage"]:
        STAGES[sys.argv[3]](*sys.argv[4:])
        spent = {"cpu": sum(os.times()[:2]), "peak": peak_bytes()}
        Path(sys.argv[2]).write_text(json.dumps(spent))
    else:
        main(sys.argv[1:])
