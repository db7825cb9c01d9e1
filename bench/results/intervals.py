"""The interval of every figure and difference under new seeds and new clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import product

import numpy as np

from bench.corpora import Corpus, open_corpus
from bench.files import UserError
from bench.metrics.event_arrays import encode
from bench.metrics.event_counts import Counts
from bench.metrics.event_scores import count_events
from bench.metrics.events import read_events
from bench.metrics.resampling import Resampled, interval_of, resample
from bench.metrics.statistics import Interval
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
from bench.results.summary import Summary, unit_runs

WORK = 2e9
"""Limit on resamples x clips x classes of a run's figure (about 5 seconds); the number of runs
does not count, so that groups can be compared resample by resample."""
RESAMPLES = 1000, 200
"""The usual number, and the fewest for large test sets."""
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
    located = [*EVENT_FAMILIES, "psds1", "psds2"] if settings.localize else []
    return list(dict.fromkeys([*named, *located, settings.metric]))


@dataclass(frozen=True)
class FigureInterval:
    """One test figure of a group with its bootstrap interval, or why there is none."""

    group: Group
    metric: str
    summary: Summary
    interval: Interval | None
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Every metric of a group's runs on resamples of their test clips.

    Attributes:
        runs: (fold, seed) of each run.
        clips: all test clips of the group; resamples of equal ones are equal.
        figures: metric -> its figures, a column per run.
        problems: metric -> why it has none.
    """

    runs: tuple[tuple[int, int], ...]
    clips: tuple[str, ...]
    figures: Mapping[str, Resampled]
    problems: Mapping[str, str]


def draw(results: Results) -> dict[str, Drawn]:
    """Every group's figures on resampled clips, by name; each run's files are read once."""
    found = {}
    for dataset in results.config.datasets:
        metrics = metrics_of(results, dataset)
        corpus = cache(partial(open_corpus, results.layout.corpus(dataset)))
        for group in results.groups.values():
            if group.dataset == dataset:
                found[group.name] = _drawn(Outcomes(group, corpus), metrics)
    return found


def _drawn(tests: Outcomes, metrics: Sequence[str]) -> Drawn:
    figures, problems = {}, {}
    for metric in metrics:
        if tests.group.summary(metric) is None:
            continue
        if metric not in FROM_SCORES and metric not in EVENT_FAMILIES:
            problems[metric] = NOT_RESAMPLED
            continue
        try:
            figures[metric] = bootstrap(tests, metric)
        except UserError as error:
            problems[metric] = str(error)
    runs = tuple((run.fold, run.seed) for run in tests.group.runs)
    return Drawn(runs, tests.clips if figures else (), figures, problems)


def intervals(results: Results, drawn: Mapping[str, Drawn]) -> Iterator[FigureInterval]:
    """Every figure by data set and metric."""
    for dataset in results.config.datasets:
        groups = [group for group in results.groups.values() if group.dataset == dataset]
        for metric, group in product(metrics_of(results, dataset), groups):
            summary, own = group.summary(metric), drawn[group.name]
            if summary is None:
                continue
            figures = own.figures.get(metric)
            found = None
            if figures:
                found = interval_of(by_unit(figures, own.runs), test_share=summary.test_share)
            problem = own.problems.get(metric, "")
            if found and not np.isfinite([found.mean, found.low, found.high]).all():
                found, problem = None, "infinite in some resamples"
            yield FigureInterval(group, metric, summary, found, problem)


def gains(first: Drawn | None, second: Drawn | None, metric: str) -> Resampled | None:
    """Resampled figures of the first group minus those of the second, for runs with the same fold
    and seed; None if they have none or were tested on different clips."""
    if first is None or second is None or first.clips != second.clips:
        return None
    one, other = first.figures.get(metric), second.figures.get(metric)
    common = [run for run in first.runs if run in second.runs]
    if one is None or other is None or not common:
        return None
    gap = one.of([first.runs.index(run) for run in common]) - other.of(
        [second.runs.index(run) for run in common]
    )
    return by_unit(gap, common)


def by_unit(figures: Resampled, runs: Sequence[tuple[int, int]]) -> Resampled:
    """The figures of runs (fold, seed) by the units of `Summary`: repeats, else folds; runs where
    there are no folds."""
    folds, seeds = zip(*runs, strict=True)
    return figures if max(folds) < 0 else figures.means(unit_runs(folds, seeds))


class Outcomes:
    """The scores and events of a group's runs on their test clips, read once and on demand."""

    def __init__(self, group: Group, corpus: Callable[[], Corpus]) -> None:
        self.group, self._corpus = group, corpus

    @property
    def corpus(self) -> Corpus:
        return self._corpus()

    @cached_property
    def scores(self) -> list[StoredScores]:
        return [read_scores(run.file("scores.npz"), "test") for run in self.group.runs]

    @cached_property
    def clips(self) -> tuple[str, ...]:
        """The test clips of all runs."""
        return tuple(sorted({clip for test in self.scores for clip in test.clip_ids.tolist()}))

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


def bootstrap(tests: Outcomes, metric: str) -> Resampled:
    """A test metric of a group's runs, a column each, on resamples of their recordings.

    Runs of different folds test different clips: all test clips of the group are drawn together,
    and each run uses its own.

    Raises:
        UserError: the corpus table, scores or events of a run are missing or damaged.
    """
    corpus, weighted, clips = tests.corpus, tests.weighted(metric), tests.clips
    place = {clip: number for number, clip in enumerate(clips)}
    places = [np.array([place[clip] for clip in test.clip_ids.tolist()]) for test in tests.scores]
    recording = dict(zip(corpus.clips["clip"], corpus.clips["group"], strict=True))
    most, least = RESAMPLES
    with np.errstate(invalid="ignore"):  # d' of an AUC of 1 is infinite; the caller says so
        return resample(
            lambda weights: np.stack(
                [run(weights[:, own]) for run, own in zip(weighted, places, strict=True)], axis=1
            ),
            np.array([recording[clip] for clip in clips]),
            resamples=int(np.clip(WORK / (len(clips) * len(corpus.classes)), least, most)),
        )
