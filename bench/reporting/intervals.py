"""Two intervals for every figure, each named: new seeds alone, and new seeds with new clips."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from bench.corpora import Corpus
from bench.evaluation.locate import FAMILIES
from bench.experiment.ablations import BASE
from bench.files import UserError
from bench.metrics.event_arrays import encode
from bench.metrics.event_counts import Counts
from bench.metrics.event_scores import count_events
from bench.metrics.events import read_events
from bench.metrics.statistics import ENOUGH_SEEDS, Interval, hierarchical_bootstrap
from bench.metrics.weighted import (
    Weighted,
    weighted_accuracy,
    weighted_d_prime,
    weighted_macro_f1,
    weighted_map,
    weighted_mauc,
)
from bench.models.scores import StoredScores, read_scores
from bench.reporting import context
from bench.reporting.names import METRICS, model_name, short_dataset_name, variant_name
from bench.reporting.results import Group, Results, corpus_of
from bench.reporting.tables import Column, Entry, Row, Table

WORK = 4e8
"""Products of resamples, seeds, clips and classes that one interval may cost (about a minute)."""
RESAMPLES = 1000, 200
"""The usual number, and the least that large test sets are cut down to."""
EVENT_FAMILIES = {metric: family for family, metric in FAMILIES.items()}
FROM_SCORES: dict[str, Callable[[StoredScores], Weighted]] = {
    "mAP": lambda test: weighted_map(test.scores.clip_scores, test.targets),
    "mAUC": lambda test: weighted_mauc(test.scores.clip_scores, test.targets),
    "d_prime": lambda test: weighted_d_prime(test.scores.clip_scores, test.targets),
    "accuracy": lambda test: weighted_accuracy(
        test.scores.clip_scores.argmax(axis=1) == test.targets.argmax(axis=1)
    ),
}
MEAN = Column("mean", "mean", 3)
NOT_RESAMPLED = "none: PSDS is not resampled by clip"


def metrics_of(results: Results, dataset: str) -> list[str]:
    """Every test figure of a data set that has a mean over runs."""
    settings = results.config.datasets[dataset]
    named = ["mAP", "mAUC", "d_prime"] if settings.loss == "bce" else ["accuracy", "mAP"]
    return named + ([*EVENT_FAMILIES, "psds1", "psds2"] if settings.localize else [])


def interval_table(results: Results) -> Table:
    """A row per figure; a section per data set and metric."""
    rows = [row for dataset in results.config.datasets for row in _rows(results, dataset)]
    few = context.fewest_seeds(results) < ENOUGH_SEEDS
    warning = (
        f" Warning: with fewer than {ENOUGH_SEEDS} seeds the bootstrap covers less than it says "
        "(simulated for a nominal 95 %: 85 to 95 % with 3 seeds, 91 to 95 % with 5, 93 to 94 % "
        "with 10, lowest where seeds differ most); the t-interval keeps its level and is wide."
        if few
        else ""
    )
    return Table(
        name="intervals",
        title=f"Intervals of every figure ({context.data_words(results)})",
        caption=(
            f"Every test figure on {context.data_words(results)} with two 95 % intervals, accuracy "
            "and F1 as fractions of 1 like mAP. New "
            "seeds: Student's t-interval of the mean, what other seeds on this test set would give "
            "(with folds, corrected for shared training data). New seeds and new clips: "
            "hierarchical percentile bootstrap, seeds and then recordings drawn with replacement. "
            "Where a class has few test clips, those drawn twice raise its average precision: "
            "that interval leans upward. "
            f"{context.seeds_sentence(results)}{warning}"
        ),
        columns=[
            MEAN,
            Column("seeds", "new seeds (t)", words=True),
            Column("seeds_and_clips", "new seeds and clips (bootstrap)", words=True),
            Column("bootstrap_low", "bootstrap low", 3, csv_only=True),
            Column("bootstrap_high", "bootstrap high", 3, csv_only=True),
            Column("runs", "runs", 0),
        ],
        rows=rows,
    )


def _rows(results: Results, dataset: str) -> list[Row]:
    """The rows of a data set, metric by metric; each run's files are read for all of them."""
    found: dict[str, list[Row]] = {metric: [] for metric in metrics_of(results, dataset)}
    for group in results.groups.values():
        if group.dataset == dataset:
            tests = Outcomes(results, group)
            for metric, rows in found.items():
                row = _row(tests, metric)
                rows += [row] if row else []
    return [row for rows in found.values() for row in rows]


def _row(tests: Outcomes, metric: str) -> Row | None:
    results, group = tests.results, tests.group
    summary = group.summary(metric)
    if summary is None:
        return None
    entries = {
        "mean": Entry.of(summary),
        "seeds": Entry(words=MEAN.interval(summary)),
        "seeds_and_clips": Entry(words=NOT_RESAMPLED),
        "runs": Entry(float(summary.n)),
    }
    if metric in FROM_SCORES or metric in EVENT_FAMILIES:
        try:
            found = bootstrap(tests, metric)
        except UserError as error:
            entries["seeds_and_clips"] = Entry(words=f"none: {error}")
        else:
            if not np.isfinite([found.mean, found.low, found.high]).all():
                entries["seeds_and_clips"] = Entry(words="none: infinite in some resamples")
                return _labelled(results, group, metric, entries)
            low, high = MEAN.text(found.low), MEAN.text(found.high)
            entries["seeds_and_clips"] = Entry(words=f"[{low}, {high}]")
            entries["bootstrap_low"] = Entry(found.low)
            entries["bootstrap_high"] = Entry(found.high)
    return _labelled(results, group, metric, entries)


def _labelled(results: Results, group: Group, metric: str, entries: dict[str, Entry]) -> Row:
    label = model_name(results.config, group.model)
    if group.variant != BASE:
        label = variant_name(results.config, group.model, group.variant)
    section = f"{short_dataset_name(results.config, group.dataset)}, {METRICS[metric]}"
    return Row(label, entries, group.record_keys, group.name, section)


class Outcomes:
    """What a group's runs made of their test clips: read when first asked for, and once."""

    def __init__(self, results: Results, group: Group) -> None:
        self.results, self.group = results, group

    @cached_property
    def corpus(self) -> Corpus:
        return corpus_of(self.results, self.group.dataset)

    @cached_property
    def scores(self) -> list[StoredScores]:
        return [read_scores(run.folder / "scores.npz", "test") for run in self.group.runs]

    @cached_property
    def counts(self) -> list[dict[str, Counts]]:
        """Of located events, by family."""
        table, events = self.corpus.clips, self.corpus.events
        assert events is not None
        seconds = dict(zip(table["clip"], table["duration_s"], strict=True))
        found = []
        for run, test in zip(self.group.runs, self.scores, strict=True):
            own = {clip: seconds[clip] for clip in test.clip_ids.tolist()}
            truth = events[events["filename"].isin(own)]
            made = read_events(run.folder / "events.tsv", own)
            classes = self.corpus.classes
            found.append(
                count_events(
                    encode(made, own, classes),
                    encode(truth, own, classes),
                    np.array(list(own.values()), np.float64),
                    len(classes),
                )
            )
        return found

    def weighted(self, metric: str) -> list[Weighted]:
        """The metric of each run as a function of how often each of its clips was drawn."""
        if metric in FROM_SCORES:
            return [FROM_SCORES[metric](test) for test in self.scores]
        return [weighted_macro_f1(counts[EVENT_FAMILIES[metric]]) for counts in self.counts]


def bootstrap(tests: Outcomes, metric: str) -> Interval:
    """The hierarchical bootstrap of a group's test metric.

    Runs of other folds test other clips: all test clips of the group are drawn together, and each
    run sees those of its own.

    Raises:
        UserError: the corpus table, scores or events of a run are missing or damaged.
    """
    corpus, weighted = tests.corpus, tests.weighted(metric)
    named = [test.clip_ids.tolist() for test in tests.scores]
    clips = sorted({clip for names in named for clip in names})
    place = {clip: number for number, clip in enumerate(clips)}
    places = [np.array([place[clip] for clip in names]) for names in named]
    recording = dict(zip(corpus.clips["clip"], corpus.clips["group"], strict=True))
    work = len(named) * len(clips) * len(corpus.classes)
    most, least = RESAMPLES
    with np.errstate(invalid="ignore"):  # d' of an AUC of 1 is infinite; the caller says so
        return hierarchical_bootstrap(
            lambda seed, weights: weighted[seed](weights[:, places[seed]]),
            len(named),
            np.array([recording[clip] for clip in clips]),
            resamples=int(np.clip(WORK / work, least, most)),
        )
