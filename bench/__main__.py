"""`python -m bench VERB`: every stage of the pipeline, and tools around it."""

from __future__ import annotations

import argparse
import errno
import faulthandler
import importlib
import os
import signal
import sys
import tomllib
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import TextIOWrapper
from typing import Any, NamedTuple, NoReturn, TextIO

from bench.code_digest import ROOT
from bench.files import UserError
from bench.process.locks import stop_with_supervisor

PROGRAM = "python -m bench"
DEFAULT_CONFIG = "config/default.yaml"


class Verb(NamedTuple):
    """Where a verb lives: a module with `add_arguments(parser)` and `run(args) -> int`."""

    module: str
    help: str
    experiment: bool = True  # whether it takes --config


VERBS = {
    "fetch": Verb("bench.data.obtain", "fetch a data set from its public sources"),
    "embed": Verb("bench.data.embed", "build the embedded corpora"),
    "corpus": Verb("bench.data.corpus", "read one data set into a checked table"),
    "featurize": Verb("bench.data.featurize", "compute the features of one data set"),
    "train": Verb("bench.training.train", "train one run and score its clips"),
    "teach": Verb("bench.training.teacher", "write a run's scores on its training clips"),
    "evaluate": Verb("bench.evaluation.evaluate", "turn a run's scores into its record"),
    "released": Verb("bench.evaluation.score_released", "evaluate a released checkpoint"),
    "ensemble": Verb("bench.evaluation.ensemble", "average the scores of several runs"),
    "cost": Verb("bench.cost.measure", "measure what a full-size model costs, over a few steps"),
    "speed": Verb("speed.measure", "time our models beside installed peers", experiment=False),
    "gpu-check": Verb(
        "speed.gpu_check", "parity, reproducibility and speed on a GPU", experiment=False
    ),
    "track": Verb("bench.tracking.sync", "bring the MLflow store up to date with the records"),
    "report": Verb("bench.reporting.build", "write the report and the tables"),
    "compare": Verb("bench.reporting.changes", "what differs between two reports of an experiment"),
    "check": Verb("bench.ops.preflight", "report every problem that blocks an experiment"),
    "rehearse": Verb("bench.ops.rehearse", "try a few real steps of every distinct run"),
    "plan": Verb("bench.ops.plan", "jobs, hours and disk ahead"),
    "status": Verb("bench.ops.status", "what has run, is running and is left"),
    "explain": Verb("bench.ops.explain", "where a number came from"),
    "pin": Verb("bench.data.pin", "pin the embedded corpora in data.dvc"),
    "tag": Verb(
        "bench.tagging.tag", "labels and located events of any recording", experiment=False
    ),
    "score": Verb(
        "bench.evaluation.score", "all event metrics of a prediction file", experiment=False
    ),
    "tune": Verb(
        "bench.training.tune", "try declared recipes on validation data, or show what was tried"
    ),
    "rescore": Verb("bench.evaluation.rescore", "score the prediction files of the HTS-AT authors"),
    "config-page": Verb(
        "bench.experiment.config_page", "write docs/config.md from the types", experiment=False
    ),
}
GROUPS = {  # verb -> what follows it in an example
    "An experiment": {
        "check": "--config config/paper.yaml",
        "plan": "--jobs",
        "rehearse": "--config config/paper.yaml",
        "status": "--results",
        "explain": "desed/htsat/base/seed0",
        "compare": "docs/default.json",
        "tune": "esc50 ast",
    },
    "Its stages, as the workflow runs them": {
        "fetch": "esc50 --config config/paper.yaml",
        "embed": "--config config/smoke.yaml",
        "corpus": "esc50",
        "featurize": "esc50 logmel",
        "train": "esc50/htsat/base/fold0-seed0 --threads 2",
        "evaluate": "esc50/htsat/base/fold0-seed0",
        "teach": "esc50/htsat/base/fold0-seed0 --scores data/teacher.npz",
        "released": "audioset/htsat/released-htsat-audioset-1/seed0 --config config/paper.yaml",
        "ensemble": "htsat_desed --config config/paper.yaml",
        "cost": "htsat",
        "rescore": "--folder data/htsat-desed",
        "track": "",
        "report": "",
    },
    "Recordings and predictions of your own": {
        "tag": "rec.wav --checkpoint results/default/runs/desed/htsat/base/seed0/model.pt",
        "score": "--reference truth.tsv --predictions made.tsv --durations files.tsv",
    },
    "This software": {
        "speed": "--only models --quick",
        "gpu-check": "--device cpu",
        "pin": "",
        "config-page": "",
    },
}
# Errors of a disk or a network drive that is full, closed or gone.
STORAGE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENODEV),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR),
}
LEAST = {"threads": 1, "workers": 0, "gpus": 0, "save_every": 0, "top": 1, "rounds": 1}
CONTROL = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""Signs of names that would move a terminal's cursor or worse."""


class Legible:
    """A stream that lets no control codes through."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(text.translate(CONTROL))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Parser(argparse.ArgumentParser):
    """A parser whose errors tell how to name a file that looks like an option."""

    given: Sequence[str] = ()

    def remedy(self) -> str:
        """What is said of a given file whose name begins with -; else nothing."""
        files = (one for one in self.given if one.startswith("-") and os.path.exists(one))
        file = next(files, None)
        return "" if file is None else f"; a file whose name begins with - is written ./{file}"

    def error(self, message: str) -> NoReturn:
        super().error(message + self.remedy())


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code.

    2 = a mistake that the user can fix (one line on stderr), 130 = interrupted, 143 = terminated.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, TextIOWrapper):
        # A file's name may hold what a terminal cannot show; a closed pipe must not wait for exit.
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    if argv is None:
        faulthandler.enable()  # a mapped file that is gone ends the process without a message
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        args = _parsed(arguments)
        for name, least in LEAST.items():
            value = getattr(args, name, None)
            if value is not None and not value >= least:
                option = name.replace("_", "-")
                raise UserError(f"--{option} {value}: must be at least {least}")
        stop_with_supervisor()
        with redirect_stdout(Legible(sys.stdout)):
            if "config" not in args:
                return int(args.run(args))
            from bench.ops.receipts import run_verb

            return run_verb(args)
    except UserError as error:
        print(f"error: {error}".translate(CONTROL), file=sys.stderr)
        return 2
    except RecursionError:
        print("error: an input is too deeply nested to be read", file=sys.stderr)
        return 2
    except MemoryError:
        print("error: out of memory; give a smaller input, or a larger machine", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in STORAGE:
            raise
        print(
            f"error: {error}; finished work is kept: fix this, then rerun the command",
            file=sys.stderr,
        )
        return 2


def _parsed(arguments: list[str]) -> argparse.Namespace:
    """The arguments of a call; without any, its help is shown.

    Raises:
        UserError: no such verb, or an argument that the verb does not take.
    """
    given = arguments or ["--help"]
    verb = given[0]
    if verb not in VERBS and not verb.startswith("-"):
        from bench.strict import nearest  # late: loads pydantic

        raise UserError(f"unknown verb '{verb}'{nearest(verb, VERBS)}")
    parser = _parser(given)
    args, unknown = parser.parse_known_args(given)
    if unknown:
        raise UserError(
            f"{verb}: unknown argument '{unknown[0]}'{parser.remedy()}; `python -m bench {verb} "
            "--help` shows the valid ones"
        )
    return args


def _parser(arguments: Sequence[str]) -> Parser:
    """The parser of these arguments; only the chosen verb's module is imported."""
    parser = Parser(
        prog=PROGRAM,
        description=f"{__doc__}\n\n{_overview()}",
        epilog="python -m bench VERB --help shows the options of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [-h] [--version] VERB ...",
    )
    parser.given = arguments
    parser.add_argument("--version", action="version", version=_version())
    verbs = parser.add_subparsers(
        dest="verb", metavar="VERB", required=True, help=argparse.SUPPRESS, prog=PROGRAM
    )
    examples = {name: text for group in GROUPS.values() for name, text in group.items()}
    for name, verb in VERBS.items():
        example = f"python -m bench {name} {examples.get(name, '')}".rstrip()
        child = verbs.add_parser(name, description=verb.help, epilog=f"example: {example}")
        child.given = arguments
        if name in arguments[:1]:
            module = importlib.import_module(verb.module)
            module.add_arguments(child)
            child.set_defaults(run=module.run)
            if verb.experiment:
                child.add_argument(
                    "--config",
                    default=DEFAULT_CONFIG,
                    help=f"experiment (default: {DEFAULT_CONFIG})",
                )
    return parser


def _overview() -> str:
    """The verbs by group, each with an example."""
    lines = []
    for title, group in GROUPS.items():
        lines.append(f"{title}:")
        for name, example in group.items():
            lines.append(f"    {name:<10} {VERBS[name].help}")
            lines.append(f"    {'':<10}     {name} {example}".rstrip())
        lines.append("")
    return "\n".join(lines).rstrip()


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['name']} {project['version']}"


if __name__ == "__main__":
    sys.exit(main())
