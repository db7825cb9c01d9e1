"""training.json: the origin of the weights, the curve and the scores beside it."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from bench.experiment.cells import Cell
from bench.results.sealed import Open, Sealed
from bench.strict import Strict


class Origin(Strict):
    """The code and the machine behind a file.

    Attributes:
        dirty: whether the working tree differed from the commit; `diff` is the difference.
        packages: name -> version; None where it was not installed.
        cpu: model name and vector extensions.
    """

    git_sha: str | None
    dirty: bool | None
    diff: str | None = None
    diff_sha256: str | None
    python: str
    packages: dict[str, str | None]
    pins_sha256: str
    platform: str
    cpu: str
    cores: int | None

    @property
    def commit(self) -> str:
        """The commit, and the digest of what the working tree changed."""
        if not self.git_sha:
            return "not a git checkout"
        changed = f" with changes (sha256 of the diff {self.diff_sha256})" if self.dirty else ""
        return f"{self.git_sha}{changed}"


class Provenance(Origin):
    """The origin of a run: the process besides code and machine."""

    threads: int
    processes: int = 1
    device: str
    deterministic: bool
    command: str
    started: str
    finished: str


class Parent(Strict):
    """The run whose weights a run started from."""

    key: str
    identity: str

    @property
    def group(self) -> tuple[str, str, str]:
        """(data set, model, variant)."""
        dataset, model, variant, _ = self.key.split("/")
        return dataset, model, variant


class Digests(Strict):
    """sha256 of everything besides the config that determined a result; None if it had no part.

    Attributes:
        members: the runs of an ensemble.
        parent, start: the weights that training started from, of a run or of a file.
        protocol: the localization settings.
        teacher: the file of scores that it was distilled from.
    """

    code_evaluate: str | None = None
    code_train: str
    data: str
    features: str
    members: str | None = None
    parent: str | None = None
    pins: str | None = None
    protocol: str | None = None
    start: str | None = None
    teacher: str | None = None

    @property
    def known(self) -> dict[str, str]:
        """Those that had a part, by name."""
        return self.model_dump(exclude_none=True)


class Cost(Strict):
    """The cost of a run; peak memory is the GPU's allocations, else the resident set."""

    train_seconds: float
    score_seconds: float
    train_hours: float | None = None
    clips_seen: int | None = None
    clips_per_second: float | None = None
    peak_memory_mb: float | None = None
    epochs: int | None = None
    selected_epoch: int | None = None
    activation_bytes_per_clip: float | None = None


class DatasetValues(Open):
    """The config's data set, without its paths."""

    fold_protocol: str


class FrontEndValues(Open):
    """The config's front end."""

    frames: int
    mels: int


class ModelValues(Open):
    """The config's model with the arguments of the run."""

    architecture: str
    front_end: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class RecipeValues(Open):
    """The recipe of the run; for a released checkpoint, only the shifts."""

    init: str = "random"
    supervision: str = "weak"
    select: str = "best"
    epochs: int = 0
    average_epochs: int = 0
    learning_rate: float = 0.0
    test_shifts: tuple[int, ...] = ()


class Resolved(Strict):
    """`Plan.resolved`: every config value that a run's result depends on."""

    cell: Cell
    dataset: DatasetValues
    front_end: FrontEndValues
    model: ModelValues
    parent: str | None
    recipe: RecipeValues
    released: dict[str, Any] | None = None
    members: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """As JSON values, exactly those that the config resolved to."""
        return self.model_dump(mode="json", exclude_unset=True)


class Made(Sealed):
    """What a training states about itself, and the record repeats.

    Attributes:
        key: DATASET/MODEL/VARIANT/[foldF-]seedS.
        identity: digest of everything that determines the result.
        splits: clips used, by split.
        seeds: of each random stream.
        network: what the model's preset and arguments resolved to; None if it does not state it.
        parameters: those that take part in the output.
    """

    key: str
    identity: str
    parent: Parent | None
    resolved: Resolved
    config_digest: str
    digests: Digests
    splits: dict[str, int]
    seeds: dict[str, int]
    provenance: Provenance
    network: dict[str, Any] | None
    parameters: int
    cost: Cost


class Training(Made):
    """training.json.

    Attributes:
        excluded: clips of the corpus that cannot be used.
        windowed: clips longer than the model's input, scored in windows.
    """

    SCHEMA: ClassVar[int] = 1
    REMEDY: ClassVar[str] = "train the run again"

    excluded: int
    windowed: int
