"""The page of a rehearsal: failures, the time of a step, and stand-ins."""

from __future__ import annotations

import os
from collections.abc import Iterator

from bench.experiment.config import Config
from bench.ops.plan import duration, table
from bench.ops.rehearsal.outcome import Outcome, Rehearsal
from bench.ops.rehearsal.scratch import Group
from bench.provenance import environment, source

GB = 1e9
EMULATED = (
    " bf16 was rehearsed as fp32, which takes up to twice the memory: this CPU has no instructions "
    "for it."
)


def summary(group: Group, one: Outcome) -> str:
    """The outcome of a run, in one line."""
    if one.said:
        return f"{group}: FAILED at {one.stage}: {one.said}"
    if not one.rehearsed:
        return f"{group}: ok"
    return (
        f"{group}: ok; {one.step_seconds:.2f} s a step of {one.rehearsed} clips, "
        f"{one.memory / GB:.1f} GB"
    )


def page(settings: Config, done: Rehearsal) -> str:
    return "\n".join(_lines(settings, done)) + "\n"


def _lines(settings: Config, done: Rehearsal) -> Iterator[str]:
    failed = done.failures
    found = f"failures: {len(failed)}" if failed else "no failures"
    emulated = any(one.in_fp32 for one in done.outcomes.values())
    devices = sorted({one.device for one in done.outcomes.values()} - {"", "cpu"})
    yield f"# Rehearsal of `{settings.experiment}`"
    yield ""
    yield (
        f"{len(done.outcomes)} distinct runs, {found}. Made by `python -m bench rehearse` in "
        f"{duration(done.seconds)} at commit {(source()['git_sha'] or 'unknown')[:12]} on "
        f"{', '.join([environment()['cpu'], f'{os.cpu_count()} cores', *devices])}."
    )
    yield ""
    yield (
        "Every run went through its first and last step of its first and last epoch, an "
        "interruption and a resumption, validation, scoring and its record, with its own model, "
        "features, sampler, schedule, augmentation, precision and loss. Batches were cut so that "
        f"a step takes about {done.limits.step_seconds:.0f} s at most and its process no more than "
        f"{done.limits.memory / GB:.1f} GB." + (EMULATED if emulated else "")
    )
    if failed:
        yield from ("", "## Failures", "")
        yield from (f"* **{name}**: {said}" for name, said in failed.items())
    yield from ("", "## Runs", "")
    yield from _table(done)
    yield from ("", "## After the runs", "")
    yield from (f"* {name}: {said}" for name, said in done.stages.items())
    yield from ("", "## Real data and stand-ins", "")
    yield from (f"* data set {name}: {told}" for name, told in done.data.items())
    yield from (f"* checkpoint {name}: {told}" for name, told in done.starts.items())
    left = "downloads, seeds after the first, trials, released checkpoints, ensembles"
    yield f"* not rehearsed: {left}"
    yield from ("", "## Plan at these rates", "", "```", table(settings), "```")


def _table(done: Rehearsal) -> Iterator[str]:
    """A row for each run; memory is the peak of its process (of its GPU, if it has one)."""
    stated = done.limits.stated
    fit = f"fit into {stated / GB:.0f} GB" if stated else "MB per clip"
    head = [
        "run",
        "result",
        "recipe's batch",
        "rehearsed batch",
        "s per step",
        "peak GB",
        "GB, extrapolated to the recipe's batch",
        fit,
    ]
    yield f"| {' | '.join(head)} |"
    yield "|---|---|---|---|---|---|---|---|"
    for group, one in done.outcomes.items():
        result = f"fails at {one.stage}" if one.said else "ok"
        cells = [str(group), result, f"{one.batch}"]
        if one.memory:
            cells += [
                f"{one.rehearsed}",
                f"{one.step_seconds:.2f}",
                f"{one.memory / GB:.1f}",
                f"{one.memory_needed / GB:.1f}",
                f"{one.fitting(stated)}" if stated else f"{one.memory_per_clip / 1e6:.0f}",
            ]
        yield "| " + " | ".join([*cells, *["–"] * (8 - len(cells))]) + " |"
