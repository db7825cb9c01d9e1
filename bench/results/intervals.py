"""The interval of every figure under new seeds and new clips: a bootstrap over both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial

import numpy as np

from bench.corpora import Corpus, open_corpus
from bench.files import UserError
from bench.metrics.event_arrays import encode
from bench.metrics.event_counts import Counts
from bench.metrics.event_scores import count_events
from bench.metrics.events import read_events
from bench.metrics.statistics import Interval, hierarchical_bootstrap
from bench.metrics.weighted import (
    Weighted,
    weighted_accuracy,
    weighted_d_prime,
    weighted_macro_f1,
    weighted_map,
    weighted_mauc,
)
from bench.models.scores import StoredScores, read_scores
from bench.results.groups import Group
from bench.results.load import Results
from bench.results.record import FAMILIES
from bench.results.summary import Summary

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
NOT_RESAMPLED = "PSDS is not resampled by clip"


def metrics_of(results: Results, dataset: str) -> list[str]:
    """Every test figure of a data set that has a mean over runs."""
    settings = results.config.datasets[dataset]
    named = ["mAP", "mAUC", "d_prime"] if settings.loss == "bce" else ["accuracy", "mAP"]
    return named + ([*EVENT_FAMILIES, "psds1", "psds2"] if settings.localize else [])


@dataclass(frozen=True)
class FigureInterval:
    """One test figure of a group with its bootstrap interval, or why there is none."""

    group: Group
    metric: str
    summary: Summary
    interval: Interval | None
    problem: str = ""


def intervals(results: Results) -> Iterator[FigureInterval]:
    """Every figure by data set and metric; the files of a group's runs are read once for all."""
    for dataset in results.config.datasets:
        metrics = metrics_of(results, dataset)
        corpus = cache(partial(open_corpus, results.layout.corpus(dataset)))
        groups = (group for group in results.groups.values() if group.dataset == dataset)
        found = [_of_group(Outcomes(group, corpus), metrics) for group in groups]
        yield from (one for by_metric in zip(*found, strict=True) for one in by_metric if one)


def _of_group(tests: Outcomes, metrics: Sequence[str]) -> list[FigureInterval | None]:
    return [_interval(tests, metric) for metric in metrics]


def _interval(tests: Outcomes, metric: str) -> FigureInterval | None:
    summary = tests.group.summary(metric)
    if summary is None:
        return None
    interval, problem = None, NOT_RESAMPLED
    if metric in FROM_SCORES or metric in EVENT_FAMILIES:
        try:
            interval, problem = bootstrap(tests, metric), ""
        except UserError as error:
            problem = str(error)
    if interval and not np.isfinite([interval.mean, interval.low, interval.high]).all():
        interval, problem = None, "infinite in some resamples"
    return FigureInterval(tests.group, metric, summary, interval, problem)


class Outcomes:
    """What a group's runs made of their test clips: read when first asked for, and once."""

    def __init__(self, group: Group, corpus: Callable[[], Corpus]) -> None:
        self.group, self._corpus = group, corpus

    @property
    def corpus(self) -> Corpus:
        return self._corpus()

    @cached_property
    def scores(self) -> list[StoredScores]:
        return [read_scores(run.file("scores.npz"), "test") for run in self.group.runs]

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
            made = read_events(run.file("events.tsv"), own)
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
