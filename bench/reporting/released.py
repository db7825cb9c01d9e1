"""The tables of released checkpoints and of ensembles, beside what their authors report."""

from __future__ import annotations

from collections.abc import Sequence

from bench.experiment.config import Config
from bench.reporting.tables import Column, Entry, Row, Table
from bench.results.names import METRICS, dataset_name, model_name
from bench.results.released import Ensemble, Released

NONE = "no released checkpoint"
FIGURE = Column("figure_percent", "measured here (%)", 2, 100.0)


def released_table(config: Config, found: Sequence[Released]) -> Table:
    """Every released checkpoint of the experiment, and the pairs for which there is none."""
    return Table(
        "released",
        "Released checkpoints",
        "Files that the models' authors released, evaluated here without training. Thresholds for "
        "events are chosen on validation clips; test-time shifts are off unless a row says so.",
        (
            FIGURE,
            Column("metric", "metric", words=True),
            Column("authors", "authors report", words=True),
            Column("state", "file", words=True),
        ),
        [_row(config, one) for one in found],
        head="Checkpoint",
        notes=(
            "AudioSet classes become those of DESED by the authors' mapping; of several mapped "
            "classes, the largest score counts.",
        ),
    )


def ensemble_table(config: Config, found: Sequence[Ensemble]) -> Table:
    """Every ensemble of the experiment beside the mean of its members."""
    return Table(
        "ensembles",
        "Prediction ensembles",
        "Mean of the members' probabilities, of clips and of frames. An ensemble is not a single "
        "model, so its figures are listed separately.",
        (
            FIGURE,
            Column("members_percent", "mean of its members (%)", 2, 100.0),
            Column("members", "members", 0),
            Column("metric", "metric", words=True),
        ),
        [_ensemble_row(config, one) for one in found],
        head="Ensemble",
    )


def _row(config: Config, one: Released) -> Row:
    section = dataset_name(config, one.dataset)
    if one.entry is None:
        label = model_name(config, one.model)
        return Row(label, {"state": Entry(words=NONE)}, section=section)
    authors = one.entry.evaluates[config.datasets[one.dataset].loader]
    if one.other_data:
        authors = f"nothing on these data: {one.other_data}"
    entries = {
        FIGURE.key: Entry(one.figure),
        "metric": Entry(words=METRICS[config.datasets[one.dataset].metric]),
        "authors": Entry(words=authors),
        "state": Entry(words=_state(one)),
    }
    return Row(one.name, entries, (one.key,) if one.record else (), section=section)


def _state(one: Released) -> str:
    assert one.entry is not None
    if one.record is not None:
        return f"{one.entry.file} ({str(one.record.digests.start)[:12]})"
    if one.has_file:
        return "not evaluated yet"
    how = "fetched at its evaluation" if one.entry.urls else str(one.entry.manual)
    return f"{NONE} here: {how}"


def _ensemble_row(config: Config, one: Ensemble) -> Row:
    entries = {
        FIGURE.key: Entry(one.figure),
        "members_percent": Entry(one.mean_of_members),
        "members": Entry(float(len(one.members))),
        "metric": Entry(words=METRICS[config.datasets[one.dataset].metric]),
    }
    return Row(one.name, entries, one.members, section=dataset_name(config, one.dataset))
