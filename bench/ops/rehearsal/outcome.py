"""The limits of a rehearsal, and its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.ops.rehearsal.scratch import Group

FAILED = "failed: "


@dataclass(frozen=True)
class Limits:
    """Limits of the rehearsal of one run on this machine.

    Attributes:
        memory: bytes of its process (of the device, where it trains on one).
        step_seconds: of one training step.
        threads: CPU threads.
        stated: bytes that the experiment's device has, if stated: a batch that needs more is a
            failure; otherwise it is reduced.
    """

    memory: float
    step_seconds: float
    threads: int = 1
    stated: float | None = None


@dataclass
class Outcome:
    """The outcome of a run; memory in bytes.

    Attributes:
        stage, said: where it failed and with which message; empty if it did not.
        digest: of the resolved run (`Plan.digest`).
        batch, rehearsed: clips of the recipe's batch, and of the one that was rehearsed.
        step_seconds: of a rehearsed step.
        score_seconds: of scoring one clip.
        in_fp32: the recipe says bf16, for which this CPU has no instructions.
        memory: peak at the rehearsed batch; `memory_per_clip` is what another clip adds.
    """

    run: str
    digest: str
    batch: int = 0
    rehearsed: int = 0
    stage: str = ""
    said: str = ""
    step_seconds: float = 0.0
    score_seconds: float = 0.0
    in_fp32: bool = False
    memory: float = 0.0
    memory_per_clip: float = 0.0
    parameters: int = 0
    device: str = ""

    @property
    def memory_needed(self) -> float:
        """Bytes at the recipe's batch, estimated from the rehearsed ones."""
        return self.memory + self.memory_per_clip * (self.batch - self.rehearsed)

    def fitting(self, memory: float) -> int:
        """The largest batch that fits into this many bytes, at most the recipe's."""
        spare = (memory - self.memory) / max(self.memory_per_clip, 1.0)
        return max(0, min(self.batch, self.rehearsed + int(spare)))


@dataclass
class Rehearsal:
    """What was rehearsed, on what data and checkpoints, and the outcome.

    Attributes:
        outcomes: of each distinct run.
        stages: outcomes of the verbs after the last run.
        data, starts: what each data set and each checkpoint was.
        seconds: how long it took.
        partial: whether it was of some runs only.
    """

    limits: Limits
    outcomes: dict[Group, Outcome] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    starts: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    partial: bool = False

    @property
    def failures(self) -> dict[str, str]:
        """Runs and stages that failed, with the stage of a run and the message."""
        runs = {
            str(group): f"{one.stage}: {one.said}"
            for group, one in self.outcomes.items()
            if one.said
        }
        stages = {name: said for name, said in self.stages.items() if said.startswith(FAILED)}
        return runs | stages
