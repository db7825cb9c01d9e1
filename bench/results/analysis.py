"""Everything that is shown of an experiment, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.experiment.config import MARGINS, Config
from bench.files import UserError
from bench.results import published, rescored
from bench.results.audit import Audited, audit
from bench.results.checks import ChanceCheck, TrivialCheck, chance_checks, trivial_checks
from bench.results.claim import Claim
from bench.results.claims import claims
from bench.results.comparisons import Paired, comparisons
from bench.results.curves import Curve, curves
from bench.results.detectable import Detectable, studies
from bench.results.effects import Effect, effects
from bench.results.intervals import FigureInterval, draw, intervals
from bench.results.leaders import Standing, standings
from bench.results.load import load_results
from bench.results.measured import Rescored
from bench.results.published import Compared
from bench.results.released import Ensemble, Released, ensembles, released_runs
from bench.results.soundscapes import Soundscape, soundscapes
from bench.results.speed import Speed, load_speed
from bench.results.training_times import TrainingTimes, training_times


@dataclass(frozen=True, eq=False)
class Analysis(Audited):
    """The results of an experiment with all that follows from them; nothing more is read.

    Attributes:
        effects: every variant of every ablation against its reference, in each metric.
        comparisons: models trained alike against one another, then the ablations.
        chance, trivial: the checks of every model on every task.
        detectable: what each study can detect, and whether its controls came out as expected.
        training_times: data set -> its models that were also trained for another time.
        standings: (data set, its metric) -> the ranking of models, one for each way of training.
        intervals: every figure with its bootstrap interval.
        compared: (base group, metric) -> the published figure beside it, where there is one.
        not_compared: data set -> why its runs are compared with no published figure.
        claims: the claims of the paper, each with a verdict.
        curves: data set -> base group -> its learning curve.
        soundscapes: localized data set -> its pictured clips, or why there are none.
    """

    effects: tuple[Effect, ...]
    comparisons: tuple[Paired, ...]
    detectable: tuple[Detectable, ...]
    chance: tuple[ChanceCheck, ...]
    trivial: tuple[TrivialCheck, ...]
    training_times: Mapping[str, TrainingTimes]
    standings: Mapping[tuple[str, str], list[Standing]]
    intervals: tuple[FigureInterval, ...]
    compared: Mapping[tuple[str, str], Compared]
    not_compared: Mapping[str, list[str]]
    claims: tuple[Claim, ...]
    curves: Mapping[str, Mapping[str, Curve]]
    soundscapes: Mapping[str, tuple[list[Soundscape], str]]
    released: tuple[Released, ...]
    ensembles: tuple[Ensemble, ...]
    rescored: Rescored | None
    speed: Speed | None

    def bold(self, dataset: str, metric: str) -> frozenset[str]:
        """The names of the groups whose figures are bold."""
        if dataset in self.mixed:
            return frozenset()
        found = self.standings.get((dataset, metric), [])
        return frozenset(one.best.name for one in found if one.leads and not one.above)


def analyse(config: Config) -> Analysis:
    """Read all results of the experiment, and compute everything that is shown of it.

    Raises:
        UserError: the experiment has no record at all, or one that is damaged.
    """
    results = load_results(config)
    if not results.groups and not results.refused:
        raise UserError(
            f"{results.layout.results}: no record of experiment '{config.experiment}'; run "
            "`snakemake --cores all` with its config first"
        )
    audited, found, drawn = audit(results), effects(results), draw(results)
    scored_again = rescored.load(config)
    times = {dataset: training_times(results, found, dataset) for dataset in config.datasets}
    return Analysis(
        **vars(audited),
        effects=tuple(found),
        comparisons=tuple(comparisons(results, found, drawn)),
        detectable=tuple(studies(found)),
        chance=tuple(chance_checks(results)),
        trivial=tuple(trivial_checks(results)),
        training_times=times,
        standings={
            (dataset, settings.metric): standings(
                results, dataset, settings.metric, times[dataset].pairs
            )
            for dataset, settings in config.datasets.items()
        },
        intervals=tuple(intervals(results, drawn)),
        compared=_compared(audited),
        not_compared={dataset: published.why_none(results, dataset) for dataset in config.datasets},
        claims=tuple(claims(audited, scored_again)),
        curves={dataset: curves(results, dataset) for dataset in config.datasets},
        soundscapes={
            dataset: soundscapes(results, dataset)
            for dataset, settings in config.datasets.items()
            if settings.localize
        },
        released=tuple(released_runs(config)) if config.released else (),
        ensembles=tuple(ensembles(config)),
        rescored=scored_again,
        speed=load_speed(),
    )


def _compared(audited: Audited) -> dict[tuple[str, str], Compared]:
    """Every model's figures beside the published ones."""
    found = (
        ((group.name, metric), published.against(audited, group, metric))
        for dataset in audited.config.datasets
        for group in audited.base_groups(dataset)
        for metric in MARGINS
    )
    return {key: compared for key, compared in found if compared}
