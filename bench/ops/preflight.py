"""`python -m bench check`: reports everything that can be known to fail before any work starts."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bench import registry
from bench.data import embed
from bench.experiment import config
from bench.experiment.cells import Cell, list_cells, network_plan, plan
from bench.experiment.checkpoints import start_obstacle
from bench.experiment.config import Config, Draft
from bench.experiment.estimate import Estimate, source_parts
from bench.experiment.folders import foreign, output_folders
from bench.experiment.jobs import Job
from bench.experiment.released import find_file
from bench.experiment.wanted import fetched_here, starts
from bench.files import UserError, digest_of
from bench.process.meter import Meter
from bench.registry import OWN_DATA
from bench.results.words import counted
from bench.strict import Mistakes

SPARE = 200e6  # bytes kept free besides the estimate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--parts",
        action="store_true",
        help="check only the sizes of the embedded corpora and the networks",
    )


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    wrong: list[str] = []
    try:
        settings = config.load(args.config)
    except UserError as error:
        settings, wrong = config.draft(args.config), str(error).splitlines()
    found = Mistakes(partial=bool(wrong))
    found.add(*wrong)
    if not args.parts:
        with found():
            check(settings, say=print)
        with found():
            check_starts(settings, starts(settings))
    with found():
        check_parts(settings)
    found.stop()
    runs = counted(len(list_cells(settings)), "run")
    print(f"{settings.experiment}: no blocking problems for its {runs}")
    return 0


def check(settings: Config, say: Callable[[str], None] | None = None) -> None:
    """Check an experiment on this machine: cells, data folders, users' own data in them, output
    folders.

    Args:
        say: called with what was understood of users' own data, line by line.

    Raises:
        UserError: one line per obstacle, each with its remedy.
    """
    found = _mistakes(settings)
    for cell in list_cells(settings):
        with found(_run(cell)):
            plan(settings, cell)
    for lines in (
        foreign(settings),
        _missing_data(settings),
        embed.taken_for_real(settings),
        _own_data(settings, say),
        _unwritable(settings),
    ):
        with found():
            for line in lines:
                found.add(line)
    found.stop()


def _mistakes(settings: Config) -> Mistakes:
    return Mistakes(partial=isinstance(settings, Draft))


def _run(cell: Cell) -> str:
    """What the name of a run has after data set and model: a mistake of all is told of one."""
    return str(cell).split("/", 2)[2]


def check_starts(settings: Config, names: Iterable[str]) -> None:
    """Compare checkpoints that runs start from with the registry, if they are here; each is hashed
    once.

    Raises:
        UserError: one line per file that is a different one, or that a person has to download
            first.
    """
    folder = Path(settings.paths.checkpoints)
    entries = (find_file(name, "recipes: init") for name in names)
    found = [said for entry in entries if (said := start_obstacle(entry, folder))]
    if found:
        raise UserError("\n".join(found))


def check_space(settings: Config, jobs: Iterable[Job]) -> None:
    """Check that there is disk space for what these jobs will write.

    Raises:
        UserError: one line per file system that is too full.
    """
    found = list(_too_little_space(settings, jobs))
    if found:
        raise UserError("\n".join(found))


def check_parts(settings: Config) -> None:
    """Read the builder's sizes and build every network of the experiment once (imports torch); each
    takes one forward pass, and progress is shown.

    Raises:
        UserError: an argument or size is unknown, has the wrong type, or does not fit; or a network
            does not take its front end's features, returns something wrong, or gets no labels for
            an output that is scored.
    """
    from bench.ops.trial_pass import check_trained, trial

    found = _mistakes(settings)
    if settings.embedded is not None:
        with found():
            embed.sizes_of(settings.embedded)
    networks: dict[str, list[Cell]] = {}
    for cell in list_cells(settings):
        with found():
            alone = network_plan(settings, cell)
            where = f"models.{cell.model}.architecture"
            registry.check(alone.model.architecture, registry.ARCHITECTURES, where)
            front_end = alone.front_end
            if front_end.frames and front_end.mels and front_end.seconds:  # a draft may lack them
                key = digest_of([alone.resolved[part] for part in ("model", "front_end")])
                networks.setdefault(key, []).append(cell)
    with Meter("check", len(networks), "networks") as meter:
        for cells in networks.values():
            notes: dict[str, None] = {}
            with found(str(cells[0])):
                network, output = trial(network_plan(settings, cells[0]))
                for cell in cells:
                    with found(_run(cell)):
                        notes[check_trained(network, output, plan(settings, cell))] = None
            for note in filter(None, notes):
                print(f"note: {note}")
            meter.add(1)
    found.stop()


def _missing_data(settings: Config) -> Iterator[str]:
    for name, dataset in settings.datasets.items():
        here = settings.built_here(name) or dataset.source is not None
        if not here and not Path(dataset.root).is_dir():
            own = dataset.loader in OWN_DATA
            fetched = "" if own else f", or let datasets.{name}.source fetch it"
            yield (
                f"datasets.{name}.root: no such folder: {dataset.root}; put the data there, or "
                f"name the folder that holds it{fetched}"
            )


def _own_data(settings: Config, say: Callable[[str], None] | None) -> Iterator[str]:
    """What is wrong with data sets that the config describes, if they are here."""
    for name, dataset in settings.datasets.items():
        if dataset.loader not in OWN_DATA or not Path(dataset.root).is_dir():
            continue
        from bench.corpora import load
        from bench.corpora.understood import told
        from bench.data.corpus import unmet

        try:
            corpus = load(dataset.loader, dataset.root, name=name, **dataset.options)
        except UserError as error:
            yield str(error)
            continue
        yield from unmet(settings, name, corpus)
        if say is not None:
            for line in told(corpus):
                say(line)


def _unwritable(settings: Config) -> Iterator[str]:
    for name, folder in _outputs(settings).items():
        existing = _existing(folder)
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            yield f"{name}: {folder} cannot be written ({error.strerror} in {existing})"


def _too_little_space(settings: Config, jobs: Iterable[Job]) -> Iterator[str]:
    """Per file system: how much the folders on it will still grow, against what is free."""
    ahead = Estimate.of(settings).disk_ahead(jobs)
    needed: dict[int, float] = {}
    places: dict[int, Path] = {}
    for name, folder in _outputs(settings).items():
        place = _existing(folder)
        device = place.stat().st_dev
        places.setdefault(device, place)
        needed[device] = needed.get(device, SPARE) + ahead.get(name, 0.0)
    for device, amount in needed.items():
        free = shutil.disk_usage(places[device]).free
        if free < amount:
            yield (
                f"{places[device].absolute()}: {free / 1e9:,.1f} GB free, about "
                f"{amount / 1e9:,.1f} GB needed; free some or set `paths` to a larger disk"
            )


def _outputs(settings: Config) -> dict[str, Path]:
    folders = output_folders(settings)
    if settings.embedded is not None:
        folders["embedded.root"] = Path(settings.embedded.root)
    for name, wanted in fetched_here(settings).items():
        if source_parts(settings, name):  # what is here is only read
            folders[f"fetched {name}"] = wanted.folder
    return folders


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
