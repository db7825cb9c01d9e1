"""`python -m bench rescore`: score the prediction files that the HTS-AT authors published.

Their repository ships ground truth, clip lengths and the events of two systems for DESED's public
evaluation set, so that one row of the paper can be computed again without audio, model or GPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.experiment import config, folders
from bench.experiment.cells import Layout
from bench.experiment.config import Rescore
from bench.files import UserError, digest_file
from bench.results.measured import RESCORED, Rescored

URL = (
    "https://raw.githubusercontent.com/RetroCirce/HTS-Audio-Transformer/"
    "798cf54da9dae9eb6cd00fcb08a116ba08936c1b/heatmap_output"
)
REFERENCE, DURATIONS = "answer.tsv", "answer_meta.tsv"
PREDICTIONS = {  # system -> file of its events
    "single": "htsat-test_outputmap.tsv",
    "ensemble": "htsat-test-ensemble_outputmap.tsv",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", help="folder that holds the files (default: the experiment's rescore.folder)"
    )


def run(args: argparse.Namespace) -> int:
    from bench.metrics.event_scores import FAMILIES

    settings = folders.load(args.config)
    if args.folder:
        scored = rescore(Path(args.folder), url=None)
    else:
        scored = rescore(Path((settings.rescore or Rescore()).folder))
    path = output(settings)
    scored.write(path)
    for name, scores in scored.systems.items():
        macro = {family: getattr(scores, family).macro_f1 for family in FAMILIES}
        figures = ", ".join(f"{family} {100 * value:.2f}" for family, value in macro.items())
        print(f"{name}: macro F1 in %: {figures}", flush=True)
    print(f"written: {path}; `python -m bench report` shows it beside the paper", flush=True)
    return 0


def output(settings: config.Config) -> Path:
    """Where the scores of an experiment are."""
    return Layout.of(settings).results / RESCORED


def rescore(folder: Path, url: str | None = URL) -> Rescored:
    """All event metrics of each published prediction file, with the sha256 of what was read.

    Args:
        url: address that files which are not in `folder` are fetched from; None: nothing is.

    Raises:
        UserError: a file is absent and cannot be fetched, or is malformed (with its line).
    """
    from bench.evaluation.score import score_files
    from bench.provenance import environment, source

    names = (REFERENCE, DURATIONS, *PREDICTIONS.values())
    _fetch_missing(folder, url, names)
    return Rescored.model_validate(
        {
            "systems": {
                name: score_files(folder / REFERENCE, folder / file, folder / DURATIONS)
                for name, file in PREDICTIONS.items()
            },
            "files": {name: digest_file(folder / name) for name in names},
            "source": url or str(folder),
            "command": "python -m bench rescore" + ("" if url else f" --folder {folder}"),
            "provenance": {**source(), **environment()},
        }
    )


def _fetch_missing(folder: Path, url: str | None, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return
    if url is None:
        raise UserError(
            f"{folder / missing[0]}: no such file; put the authors' heatmap_output files there, "
            "or leave out --folder, and they are fetched"
        )
    from bench.sources.fetch import FetchError, fetch
    from bench.sources.source import Source

    try:
        for name in missing:
            fetch(Source((f"{url}/{name}",)), folder / name)
    except FetchError as error:
        raise UserError(
            f"{error}; or put the authors' heatmap_output files into {folder}, or name the folder "
            "that holds them: `python -m bench rescore --folder FOLDER`"
        ) from error
